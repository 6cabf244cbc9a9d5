//! Who has which role, and which Redis user that leads to; and whom a realm takes
//! for whom by what a certificate says. Through the real gateway.

mod realms;
mod roles;

use serde_json::Value as Json;

use crate::pki::{Identity, Leaf, pki};
use crate::wire::Client;
use crate::world::{Setup, World};

/// Which role leads to which Redis user, the first before the others.
const ROLES: &str = "[database]\nroles = [\n\
    { role = \"admin\", redis_user = \"root\", redis_password_file = \"root.password\" },\n\
    { role = \"writer\", redis_user = \"ops\", redis_password_file = \"ops.password\" },\n\
    { role = \"reader\", redis_user = \"app\", redis_password_file = \"app.password\" },\n]\n";

/// A world with these roles, these keys of the listener, and these further sections.
fn setup(listener: &'static str, more: &str) -> Setup {
    Setup {
        listener,
        more: more.to_owned(),
        edits: vec![("[database]\n", ROLES.to_owned())],
        ..Setup::default()
    }
}

/// A certificate of the trusted CA.
fn identity(subject: &str) -> Identity {
    pki().trusted.issue(Leaf::client(subject))
}

/// Who the client of this certificate is to Redis, or what it is refused with.
fn answer(world: &World, identity: &Identity) -> String {
    let mut client = match world.client_as(identity) {
        Ok(client) => client,
        Err(error) => return error.to_string(),
    };
    let _ = client.try_write(b"*2\r\n$3\r\nACL\r\n$6\r\nWHOAMI\r\n");
    client.try_read().map_or_else(|error| error.to_string(), |value| value.to_string())
}

fn assert_is(world: &World, subject: &str, redis_user: &str) {
    assert_eq!(answer(world, &identity(subject)), format!("${redis_user}"), "{subject}");
}

/// It is refused with this line and a reference, and the audit has this reason.
fn assert_refused(world: &World, identity: &Identity, line: &str, reason: &str) -> Json {
    let said = answer(world, identity);
    let reference = said.strip_prefix(&format!("-NOPERM {line} (reference "));
    let reference = reference.and_then(|rest| rest.strip_suffix(')'));
    let reference = reference.unwrap_or_else(|| panic!("{reason}: {said}"));
    let record = world.wait_audit(reason, |record| record["reference"] == *reference);
    assert_eq!((&record["outcome"], &record["reason"]), (&"refused".into(), &reason.into()), "{record:#}");
    record
}

const NO_ROLE: &str = "no role is mapped to this certificate";
const NO_USER: &str = "no user is mapped to this certificate";

/// A field of RESPGATE WHOAMI.
fn whoami(client: &mut Client, field: &str) -> Option<String> {
    client.call(&["RESPGATE", "WHOAMI"]).field(field).map(|value| value.to_string())
}
