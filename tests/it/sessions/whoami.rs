//! RESPGATE WHOAMI: what the gateway tells a client about itself.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::resp::Value;
use crate::wire::{Client, PATIENCE};
use crate::world::World;

/// The fields of a reply, as text.
fn fields(client: &mut Client) -> Vec<(String, String)> {
    client.send("RESPGATE WHOAMI");
    let items = client.read().items();
    items.chunks(2).map(|pair| (pair[0].to_string(), pair[1].to_string())).collect()
}

/// OS-25
#[test]
fn whoami_says_what_the_audit_says_in_either_protocol() {
    let world = World::start();
    let mut client = world.client("app");
    let record = world.wait_audit("of the client", |record| record["outcome"] == "accepted");
    let two = fields(&mut client);
    client.send("HELLO 3");
    client.read();
    client.send("respgate whoami");
    let three = client.read();
    assert!(matches!(three, Value::Map(_)), "{three}");
    assert_eq!(three.items().len(), two.len() * 2);
    for (name, of_audit) in [
        ("user", "user"),
        ("redis_user", "redis_user"),
        ("subject", "subject"),
        ("serial", "serial"),
        ("fingerprint", "fingerprint"),
        ("tls_version", "tls_version"),
        ("tls_cipher", "tls_cipher"),
        ("database", "database"),
        ("peer", "peer"),
    ] {
        let expected = format!("${}", record[of_audit].as_str().unwrap_or_default());
        assert_eq!(three.field(name).map(|value| value.to_string()), Some(expected.clone()), "{name}");
        assert!(two.contains(&(format!("${name}"), expected)), "{name}: {two:?}");
    }
    for (name, expected) in [
        ("rule", "$certificate_subject_line[0]"),
        ("subject", "$CN=app,O=Acme"),
        ("issuer", "$CN=Test CA,O=Acme"),
        ("sans", "[]"),
        ("listener", "$default"),
    ] {
        assert_eq!(three.field(name).map(|value| value.to_string()).as_deref(), Some(expected), "{name}");
    }
    let end = three.field("not_after").map(|value| value.to_string()).unwrap_or_default();
    assert!(end.starts_with('$') && end.ends_with('Z') && end.contains('T'), "{end}");
    client.talk(&[
        ("RESPGATE", "-ERR wrong number of arguments for 'respgate' command"),
        ("RESPGATE WHOAMI now", "-ERR wrong number of arguments for 'respgate|whoami' command"),
        ("RESPGATE NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try RESPGATE HELP."),
    ]);
    let help = client.ask("RESPGATE HELP");
    assert!(help.contains("WHOAMI"), "{help}");
}

#[test]
fn respgate_keeps_its_place_in_a_pipeline_and_reaches_no_backend() {
    let world = World::start();
    let mut redis = world.redis.client("root");
    let errors = |redis: &mut Client| redis.ask("INFO errorstats");
    let before = errors(&mut redis);
    let mut client = world.client("app");
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*2\r\n$8\r\nRESPGATE\r\n$6\r\nWHOAMI\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    assert_eq!(client.read().to_string(), "+OK");
    assert_eq!(client.read().field("user").map(|value| value.to_string()).as_deref(), Some("$app"));
    assert_eq!(client.read().to_string(), "$v");
    client.talk(&[
        ("RESPGATE NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try RESPGATE HELP."),
        ("MULTI", "+OK"),
        ("RESPGATE WHOAMI", "+QUEUED"),
        ("ECHO next", "+QUEUED"),
    ]);
    let executed = client.read_after("EXEC").items();
    assert_eq!(executed[0].field("user").map(|value| value.to_string()).as_deref(), Some("$app"));
    assert_eq!(executed[1].to_string(), "$next");
    // Redis counts every command that it refuses.
    assert_eq!(errors(&mut redis), before);
}

#[test]
fn where_whoami_is_switched_off_redis_says_that_there_is_no_such_command() {
    let world = World::start();
    let mut client = world.client("app");
    assert!(!fields(&mut client).is_empty());
    let path = world.path("respgate.toml");
    let text = fs::read_to_string(&path).expect("written at start");
    fs::write(&path, format!("whoami = false\n{text}")).expect("writable");
    world.gateway.signal(Signal::HUP);
    let deadline = Instant::now() + PATIENCE;
    let mut said = client.ask("RESPGATE WHOAMI");
    while !said.starts_with('-') {
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(20));
        said = client.ask("RESPGATE WHOAMI");
    }
    assert_eq!(said, world.redis.client("app").ask("RESPGATE WHOAMI"));
    assert!(said.starts_with("-ERR unknown command 'RESPGATE'"), "{said}");
}
