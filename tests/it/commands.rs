//! The commands that live servers know, as their own COMMAND tells them, are those of the
//! files in `tests/commands`. What the table makes of them is held in `tests/commands/main.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::backend::{Redis, Version};
use crate::resp::Value;
use crate::wire::Client;

/// `RESPGATE_BLESS=1` writes the files anew. `RESPGATE_FACTS=redis-8.10=/path/to/redis.sock` adds
/// a server that runs already, without a password, and that `make test` does not install.
#[test]
fn live_servers_know_the_commands_of_the_files_and_no_others() {
    for version in Version::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let redis = Redis::start(version, directory.path(), &[]);
        let name = match version {
            Version::System => "redis-7.0",
            Version::Redis8 => "redis-8.2",
            Version::Valkey9 => "valkey-9.1",
        };
        compare(name, redis.client("root"));
    }
    if let Some((name, socket)) = std::env::var("RESPGATE_FACTS").as_deref().unwrap_or("").split_once('=') {
        compare(name, Client::unix(Path::new(socket)).expect("a server listens there"));
    }
}

fn compare(name: &str, mut client: Client) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands").join(format!("{name}.txt"));
    let mut lines = BTreeMap::new();
    collect(&client.call(&["COMMAND"]).items(), &mut lines);
    let live: String = lines.into_values().map(|line| line + "\n").collect();
    if std::env::var_os("RESPGATE_BLESS").is_some() {
        fs::write(&path, &live).expect("writable");
    }
    let file = fs::read_to_string(&path).expect("RESPGATE_BLESS=1 writes it");
    for line in live.lines().filter(|line| !file.contains(&format!("{line}\n"))) {
        eprintln!("{name} has {line}");
    }
    assert!(
        live == file,
        "{name} is not as its file says: RESPGATE_BLESS=1 renews it, then look at the difference"
    );
}

/// A line for each command and subcommand: name, arity, flags, keys, ACL categories.
fn collect(commands: &[Value], lines: &mut BTreeMap<String, String>) {
    for command in commands {
        let fields = command.items();
        let name = plain(&fields[0]).to_lowercase();
        let words = |of: &Value| {
            let mut words: Vec<String> = of.items().iter().map(plain).collect();
            words.sort();
            if words.is_empty() { "-".to_owned() } else { words.join(",") }
        };
        let [arity, first, last, step] = [1, 3, 4, 5].map(|field: usize| plain(&fields[field]));
        let (flags, categories) = (words(&fields[2]), words(&fields[6]));
        lines.insert(name.clone(), format!("{name} {arity} {flags} {first},{last},{step} {categories}"));
        collect(&fields.get(9).map(Value::items).unwrap_or_default(), lines);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        text => String::from_utf8_lossy(text.bytes()).into_owned(),
    }
}
