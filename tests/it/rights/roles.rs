//! Roles of both forms, from the configuration and from a file, and what a reload
//! makes of who has them.

use std::time::{Duration, Instant};

use super::{NO_ROLE, answer, assert_is, assert_refused, identity, setup, whoami};
use crate::wire::{Client, PATIENCE};
use crate::world::{Setup, World};

/// Every certificate is a user: its CN is the name, its OUs are the groups.
const DERIVED: &str = r#"
[[realm]]
name = "programs"
kind = "certificate"
username_attribute = "CN"
user_is_value = true
roles_attribute = "OU"
"#;

const LISTED: &str = "realms = [\"programs\"]";

const RULES: &str = r#"
[roles_mapping.reader]
users = ["read-*", "CN=both,OU=UNIT,O=Acme"]
backend_roles = ["CN=CLIENT1,OU=UNIT,O=ORG", "CN=both,OU=UNIT,O=Acme", "/view[0-9]/"]

[roles_mapping.writer]
and_backend_roles = ["ops", "dba"]
hosts = ["192.0.2.0/24"]

[[role_rule]]
roles = ["admin", "reader"]
rules = { all = [
    { field = { dn = "*,OU=admins,O=Acme" } },
    { field = { "realm.name" = "programs" } },
    { field = { peer = "127.0.0.0/8" } },
    { except = { field = { username = ["fired", "/gone-.*/"] } } },
] }

[[role_rule]]
roles = ["admin"]
rules = { all = [{ field = { username = "far" } }, { field = { peer = "10.0.0.0/8" } }] }

[[role_rule]]
roles = ["admin"]
enabled = false
rules = { field = { username = "*" } }
"#;

/// OS-12, OS-14, OD-02, OD-03, ES-10: names, groups and whole subjects lead to roles,
/// and the first role of the database's list to a Redis user.
#[test]
fn a_user_without_a_redis_user_is_that_of_its_first_role() {
    let world = World::with(setup(LISTED, &format!("{DERIVED}{RULES}")));
    for (subject, redis_user) in [
        ("CN=read-1,O=Acme", "app"),
        ("CN=CLIENT1,OU=UNIT,O=ORG", "app"),
        ("CN=x,OU=view7,O=Acme", "app"),
        ("CN=x,OU=dba,OU=ops,O=Acme", "ops"),
        ("CN=read-2,OU=ops,OU=dba,O=Acme", "ops"),
        ("CN=boss,OU=admins,O=Acme", "root"),
        // A user with a Redis user of its own keeps it, whatever its roles.
        ("CN=ops,O=Acme", "ops"),
    ] {
        assert_is(&world, subject, redis_user);
    }
    // The same by name, by subject in users and by subject in backend_roles: once.
    let mut both = world.client_as(&identity("CN=both,OU=UNIT,O=Acme")).expect("let in");
    assert_eq!(whoami(&mut both, "roles").as_deref(), Some("[$reader]"));
    let mut boss = world.client_as(&identity("CN=boss,OU=admins,O=Acme")).expect("let in");
    for (field, expected) in [
        ("user", "$boss"),
        ("redis_user", "$root"),
        ("realm", "$programs"),
        ("rule", "$user_is_value"),
        ("role", "$admin"),
        ("roles", "[$admin, $reader]"),
        ("groups", "[$admins]"),
    ] {
        assert_eq!(whoami(&mut boss, field).as_deref(), Some(expected), "{field}");
    }
    let record = world.wait_audit("of boss", |record| record["user"] == "boss");
    assert_eq!((&record["role"], &record["redis_user"]), (&"admin".into(), &"root".into()), "{record:#}");
    assert_eq!(record["roles"], serde_json::json!(["admin", "reader"]));
}

/// OS-18, OD-04, ES-10: without a role there is no Redis user, least of all Redis' own.
#[test]
fn a_user_without_a_role_is_refused_and_never_the_default() {
    let world = World::with(setup(LISTED, &format!("{DERIVED}{RULES}")));
    for (subject, reason, detail) in [
        ("CN=nobody,O=Acme", "no_role", "user \"nobody\" has no role"),
        ("CN=x,OU=ops,O=Acme", "no_role", "user \"x\" has no role"),
        ("CN=view7,O=Acme", "no_role", "has no role"),
        ("CN=Read-1,O=Acme", "no_role", "has no role"),
        ("O=Acme,OU=admins,CN=boss", "no_role", "has no role"),
        ("CN=fired,OU=admins,O=Acme", "no_role", "has no role"),
        ("CN=gone-1,OU=admins,O=Acme", "no_role", "has no role"),
        ("CN=far,O=Acme", "host_scope", "not to the address 127.0.0.1"),
    ] {
        let record = assert_refused(&world, &identity(subject), NO_ROLE, reason);
        let told = record["detail"].as_str().expect("a sentence");
        assert!(told.contains(detail), "{subject}: {told}");
    }
    // CVE-2025-37731: a value that looks like a further part of the subject.
    let forged = identity("CN=x,OU=admins\\,O=Acme,O=Evil");
    assert_refused(&world, &forged, NO_ROLE, "no_role");
    let start = Instant::now();
    while world.gateway.metric("respgate_clients_refused_total", "reason=\"no_role\"") < 8.0 {
        assert!(start.elapsed() < PATIENCE, "not counted");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// OS-14, OS-15: whoever comes from there.
#[test]
fn a_host_has_a_role_whoever_comes_from_it() {
    let hosts = "[roles_mapping.writer]\nhosts = [\"127.0.0.0/8\"]\n";
    let world = World::with(setup(LISTED, &format!("{DERIVED}{hosts}")));
    // The other roles of the database are nobody's.
    world.announce("role_never_granted");
    assert_is(&world, "CN=anybody,O=Acme", "ops");
}

fn is_cut(client: &mut Client) {
    let start = Instant::now();
    client.expect_end();
    assert!(start.elapsed() < Duration::from_secs(5), "cut only after {:?}", start.elapsed());
}

/// ES-16: a mapping file that changes decides about those who are in: another role, or
/// none, ends a session, and what has not changed goes on.
#[test]
fn a_mapping_file_read_again_cuts_who_has_another_role_and_no_other() {
    let edits = vec![
        ("[database]\n", super::ROLES.to_owned()),
        ("[listener]\naddress", "role_mapping_file = \"roles.toml\"\n[listener]\naddress".to_owned()),
    ];
    let file = |writers: &str, readers: &str, admins: &str| {
        format!(
            "[roles_mapping.writer]\nusers = {writers}\n[roles_mapping.reader]\nusers = {readers}\n\
             [roles_mapping.admin]\nusers = {admins}\n"
        )
    };
    let world = World::with(Setup {
        edits,
        files: vec![("roles.toml", file("[\"one\", \"two\"]", "[\"three\", \"four\"]", "[\"root\"]"))],
        ..setup(LISTED, DERIVED)
    });
    let client = |name: &str| {
        let mut client = world.client_as(&identity(&format!("CN={name},O=Acme"))).expect("let in");
        client.talk(&[("PING", "+PONG")]);
        client
    };
    let [mut one, mut two, mut three, mut four] = ["one", "two", "three", "four"].map(client);
    let mut own = client("app");
    own.talk(&[("SELECT 3", "+OK"), ("WATCH k", "+OK")]);
    three.talk(&[("ACL WHOAMI", "$app"), ("WATCH k", "+OK")]);
    // One has another role, two has none, three has another besides, of lower rank, and four a higher one.
    let changed = file("[\"four\"]", "[\"one\", \"three\", \"four\"]", "[\"root\"]");
    world.write_again(|setup| setup.files = vec![("roles.toml", changed)]);
    world.reload();
    [&mut one, &mut two, &mut four].into_iter().for_each(is_cut);
    three.talk(&[("MULTI", "+OK"), ("ACL WHOAMI", "+QUEUED"), ("EXEC", "[$app]")]);
    own.talk(&[("ACL WHOAMI", "$app"), ("MULTI", "+OK"), ("PING", "+QUEUED"), ("EXEC", "[+PONG]")]);
    for (name, expected) in [("one", "$app"), ("four", "$ops")] {
        assert_eq!(answer(&world, &identity(&format!("CN={name},O=Acme"))), expected, "{name}");
    }
    assert_refused(&world, &identity("CN=two,O=Acme"), NO_ROLE, "no_role");
    for reason in ["role_changed", "no_role"] {
        world.gateway.stderr.wait_for(reason, |line| {
            line.contains("client is no longer let in") && line.contains(&format!("\"{reason}\""))
        });
    }
    // The role is the same, the Redis user of it another one.
    world.write_again(|setup| {
        setup.files = vec![("roles.toml", file("[\"four\"]", "[\"three\"]", "[\"root\"]"))];
        setup.edits[0].1 = super::ROLES.replace(
            "redis_user = \"app\", redis_password_file = \"app.",
            "redis_user = \"narrow\", redis_password_file = \"narrow.",
        );
    });
    world.reload();
    is_cut(&mut three);
    assert_eq!(answer(&world, &identity("CN=three,O=Acme")), "$narrow");
    own.talk(&[("ACL WHOAMI", "$app")]);
}

/// ES-21: a person's password leads to a role as a certificate does.
#[test]
fn a_password_user_without_a_redis_user_is_that_of_its_role() {
    let more = r#"
[[realm]]
name = "people"
kind = "password"
verify = "argon2id"

[[user]]
name = "person"
auth_method = "password"
password_hash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdC1vZi1wZXJzb24$V3y50ho4rP/63ndN4yl32/RIf+rYuAEVTS6I82k1bNs"
roles = ["writer"]

[[role_rule]]
roles = ["admin", "reader"]
rules = { all = [{ field = { dn = { absent = true } } }, { field = { username = "other" } }] }
"#;
    let world = World::with(setup("client_auth = \"optional\"\nrealms = [\"people\"]", more));
    let config = crate::pki::client_config(None);
    let mut client = Client::tls(world.gateway.address, config).expect("a handshake");
    client.talk(&[("AUTH person canary-person", "+OK"), ("ACL WHOAMI", "$ops")]);
    assert_eq!(whoami(&mut client, "role").as_deref(), Some("$writer"));
    assert_eq!(whoami(&mut client, "groups"), None);
}
