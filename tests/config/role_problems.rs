//! Every problem that roles can have, and keys of other products: further cases
//! of the golden file.

use crate::golden::{CASE, Case, assert_said};

/// Roles that lead to a Redis user.
const DATABASE_ROLES: (&str, &str) = (
    "\"127.0.0.1:6379\"",
    "\"127.0.0.1:6379\"\nroles = [\n{ role = \"reader\", redis_user = \"r\", redis_password_env = \"APP_PASSWORD\" },\n\
     { role = \"writer\", redis_user = \"w\", redis_password_env = \"APP_PASSWORD\" },\n\
     { role = \"unused\", redis_user = \"u\", redis_password_env = \"APP_PASSWORD\" } ]",
);

const CASES: &[Case] = &[
    Case {
        claim: "mappings that grant nothing to nobody, or everything to everybody",
        edits: &[("[listener]", "role_mapping_file = \"roles.toml\"\n[listener]"), DATABASE_ROLES],
        more: "[roles_mapping.reader]\n[roles_mapping.writer]\nusers = [\"*\"]\nhosts = [\"0.0.0.0/0\"]\n\
               [[role_rule]]\nroles = [\"reader\"]\nrules = { field = { dn = \"/CN=.*/\" } }",
        spoil: |world| {
            world.write("roles.toml", "[roles_mapping.other]\nusers = [\"app\"]\n[roles_mapping.none]")
        },
    },
    Case {
        claim: "mappings whose elements are none",
        more: "[roles_mapping.reader]\nusers = [\"\", \"/a(/\", \"CN=a,b\", \"CN=*\\\\2A\", 7]\n\
               hosts = [\"\", \"client.example.com\", \"10.1.2.3/8\"]\nbackend_role = \"x\"\n\
               and_backend_roles = { }\n[roles_mapping.\"a role\"]\nusers = \"x\"\n[roles_mapping]\nx = 1",
        ..CASE
    },
    Case {
        claim: "rules that cannot be read are all reported",
        more: "[[role_rule]]\n[[role_rule]]\nroles = []\nrules = { except = { field = { username = \"x\" } } }\n\
               [[role_rule]]\nroles = [\"reader\"]\nrules = { any = [\n\
               { field = { user = \"x\" } },\n{ field = { peer = \"host\" } },\n{ field = { dn = [] } },\n\
               { field = { username = \"x\", dn = \"CN=x\" } },\n{ field = { groups = { absent = false } } },\n\
               { field = { groups = 1.5 } },\n{ any = [], all = [] },\n{ all = [] },\n{ },\n{ some = 1 } ] }",
        ..CASE
    },
    Case {
        claim: "roles of a database that cannot be used",
        edits: &[(
            "\"127.0.0.1:6379\"",
            "\"127.0.0.1:6379\"\nroles = [\n{ role = \"a\", redis_user = \"a\", redis_password_env = \"APP_PASSWORD\" },\n\
             { role = \"a\", redis_user = \"a b\", redis_password_env = \"APP_PASSWORD\" },\n\
             { role = \"no role\", redis_user = \"b\" },\n{ } ]",
        )],
        ..CASE
    },
    Case {
        claim: "more regular expressions than are held",
        edits: &[("[listener]", "role_mapping_file = \"roles.toml\"\n[listener]"), DATABASE_ROLES],
        spoil: |world| {
            let users = vec!["\"/a/\""; 257].join(", ");
            world.write("roles.toml", &format!("[roles_mapping.reader]\nusers = [{users}]"));
        },
        ..CASE
    },
    Case {
        claim: "a bad mapping file names its lines",
        edits: &[("[listener]", "role_mapping_file = \"roles.toml\"\n[listener]")],
        spoil: |world| {
            world.write("roles.toml", "[roles_mapping.reader]\nuser = [\"app\"]\nusers = [\"\"]\n[user]")
        },
        ..CASE
    },
    Case {
        claim: "a mapping file that is not TOML",
        edits: &[("[listener]", "role_mapping_file = \"roles.toml\"\n[listener]")],
        spoil: |world| world.write("roles.toml", "\n\n[roles_mapping.reader\nusers = [\"app\"]"),
        ..CASE
    },
    Case {
        claim: "keys of other products are told what stands for them",
        edits: &[(
            "[listener]",
            "opendistro_security.ssl.transport.pemtrustedcas_filepath = \"ca.pem\"\n\
             \"plugins.security.ssl.http.clientauth_mode\" = \"REQUIRE\"\n\
             [listener]\nauthentication_ssl_client_certs = []\nmtls_allow_weak_hashing = true\ntls-auth-clients = \"yes\"",
        )],
        more: "[xpack.security.http.ssl]\nclient_authentication = \"required\"\nkey = \"x.key\"",
        ..CASE
    },
];

#[test]
fn every_problem_with_roles_is_said_as_the_golden_file_says() {
    assert_said("roles.txt", CASES);
}
