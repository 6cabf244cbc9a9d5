//! Clients that come in by a password, or by a certificate and a password.

mod chain;
mod floods;
mod proof;
mod tools;

use crate::pki::{Leaf, client_config, pki};
use crate::wire::Client;
use crate::world::{Setup, World};

/// Redis' answer to a password that does not fit.
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";
const NOAUTH: &str = "-NOAUTH Authentication required.";

/// Three realms: certificates for programs, hashes for people, Redis for the rest.
pub(crate) const REALMS: &str = r#"
[[realm]]
name = "programs"
kind = "certificate"

[[realm]]
name = "people"
kind = "password"
verify = "argon2id"

[[realm]]
name = "redis"
kind = "password"
verify = "backend"
"#;

/// The password of each is `canary-` and the name.
pub(crate) const USERS: &str = r#"
[[user]]
name = "person"
auth_method = "password"
password_hash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdC1vZi1wZXJzb24$V3y50ho4rP/63ndN4yl32/RIf+rYuAEVTS6I82k1bNs"
redis_user = "app"
redis_password_file = "app.password"

[[user]]
name = "second"
auth_method = "certificate_and_password"
certificate_subject_line = "CN=second,O=Acme"
password_hash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdC1vZi1zZWNvbmQ$TY4nJuWqdWd++w82x6KqMwUQdT7Nqy5Ur4AybsCw2ig"
redis_user = "ops"
redis_password_file = "ops.password"

[[user]]
name = "gone"
enabled = false
auth_method = "password"
password_hash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdC1vZi1nb25l$RkK9nPE39TVfL8CJ+iatqwsoALxr/7NeCpjZywfCabM"
redis_user = "app"
redis_password_file = "app.password"

[[user]]
name = "third"
auth_method = "password"
"#;

pub(crate) const OPTIONAL: &str =
    "client_auth = \"optional\"\nrealms = [\"programs\", \"people\", \"redis\"]";

fn setup() -> Setup {
    Setup {
        listener: OPTIONAL,
        log: "level = \"trace\"",
        more: format!("{REALMS}{USERS}"),
        ..Setup::default()
    }
}

/// A world in which certificates and passwords are both taken. It logs all that there
/// is to log, so that its end finds a password in any of it.
fn world() -> World {
    World::with(setup())
}

/// A client that shows no certificate.
fn stranger(world: &World) -> Client {
    Client::tls(world.gateway.address, client_config(None)).expect("a handshake")
}

/// A client with a certificate of this subject.
fn bearer(world: &World, subject: &str) -> Client {
    world.client_as(&pki().trusted.issue(Leaf::client(subject))).expect("a handshake")
}

/// Waits for the audit to say that a password was refused for this reason.
fn wait_refusal(world: &World, reason: &str) -> serde_json::Value {
    let record =
        world.wait_audit(reason, |record| record["event"] == "authentication" && record["reason"] == *reason);
    assert_eq!(record["outcome"], "refused");
    assert!(record["reference"].as_str().is_some_and(|text| text.len() == 4), "{record}");
    record
}
