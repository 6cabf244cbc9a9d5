//! What the servers know: names, arities and subcommands, from the live server's COMMAND. Says
//! for which of them no arguments are made up, and why.

use crate::resp::Value;
use crate::wire::Client;

/// One command, or a subcommand as `client|kill`.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) arity: i64,
    /// It may wait: it gets no number that it could wait for.
    pub(crate) is_blocking: bool,
    /// Where its first key stands; zero where none is known.
    pub(crate) first_key: usize,
}

impl Known {
    /// The words that it begins with.
    pub(crate) fn words(&self) -> Vec<Vec<u8>> {
        self.name.split('|').map(|word| word.as_bytes().to_vec()).collect()
    }
}

/// Commands that are sent only as `phrases` writes them, or not at all, and why.
pub(crate) const LEFT_OUT: &[(&str, &str)] = &[
    ("acl|deluser", "would end the users of the test; phrases delete another"),
    ("acl|load", "would undo what the twin's users have been denied"),
    ("acl|save", "would overwrite the file that the servers start from"),
    ("acl|setuser", "would change the users of the test; phrases change another"),
    ("bgrewriteaof", "its process is still there, or not, at the next command"),
    ("bgsave", "its process is still there, or not, at the next command"),
    ("client|kill", "would end the connections that the test holds; phrases kill what there is not"),
    ("client|no-touch", "phrases; its state shows in no reply"),
    ("client|pause", "would hold up the test's own commands; phrases pause for no time"),
    ("client|tracking", "sessions of their own play it with two connections"),
    ("config|rewrite", "would write a file; phrases ask where there is none"),
    ("config|set", "a made-up value can end the server or make it refuse everybody"),
    ("debug", "most of it ends or stops the server; phrases ask for what is harmless"),
    ("failover", "there is no replica; it would pause the writes"),
    ("migrate", "would connect to other hosts and wait for them"),
    ("module|load", "phrases name a file that is not there"),
    ("module|loadex", "phrases name a file that is not there"),
    ("monitor", "sessions of their own play it"),
    ("pfselftest", "holds the server up for seconds"),
    ("psync", "the connection is a replica's from then on"),
    ("quit", "sessions of their own end with it"),
    ("replconf", "the connection is a replica's from then on"),
    ("replicaof", "the server would be a replica; phrases name no one"),
    ("save", "writes to the disk each time; a phrase does it rarely"),
    ("script|debug", "forks the server and takes the connection over"),
    ("shutdown", "ends the server"),
    ("slaveof", "the server would be a replica; phrases name no one"),
    ("spop", "takes a member by chance, and later replies with it; phrases leave no choice"),
    ("subscribe", "sessions of their own play the subscriptions, and phrases"),
    ("sync", "the connection is a replica's from then on"),
    ("wait", "may wait for ever; phrases say how long"),
    ("waitaof", "may wait for ever; phrases say how long"),
];

/// What this server knows, in the order of names.
pub(crate) fn known(client: &mut Client) -> Vec<Known> {
    let mut all = Vec::new();
    client.send("COMMAND");
    for command in client.read().items() {
        read(&command, &mut all);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() > 300, "only {} commands and subcommands", all.len());
    all
}

fn read(command: &Value, all: &mut Vec<Known>) {
    let parts = command.items();
    let subcommands = parts.get(9).map(Value::items).unwrap_or_default();
    let name = String::from_utf8_lossy(parts[0].bytes()).into_owned();
    let number = |at: usize| match parts[at] {
        Value::Int(number) => number,
        _ => 0,
    };
    let flags: Vec<Value> = parts[2].items();
    all.push(Known {
        name,
        arity: number(1),
        is_blocking: flags.iter().any(|flag| flag.bytes() == b"blocking"),
        first_key: usize::try_from(number(3)).unwrap_or(0),
    });
    subcommands.iter().for_each(|one| read(one, all));
}

/// Whether arguments may be made up for it.
pub(crate) fn is_free(name: &str) -> bool {
    LEFT_OUT.iter().all(|(left_out, _)| *left_out != name)
}
