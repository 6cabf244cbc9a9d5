//! The ways in which a configuration is broken, each by itself, and a part of what is
//! said about it.

use super::era::{Eras, Files};

/// What is broken, and what the refusal has to contain.
pub(super) type Way = (fn(&mut Files, &Eras, usize), &'static str);

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/config/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("it is part of the tests")
}

/// In the place of a PEM file, its first half.
fn halve(files: &mut Files, name: &'static str) {
    let text = files.text(name);
    files.put(name, text[..text.len() / 2].to_owned());
}

pub(super) const WAYS: [Way; 40] = [
    // The configuration itself.
    (|files, _, _| files.say("[database]", "[database"), "not TOML"),
    (|files, _, _| files.say("[[user]]", "[[user]]\nname = \"twice\""), "duplicate key"),
    (|files, _, _| files.put("respgate.toml", ""), "listener: missing"),
    (|files, _, _| files.put("respgate.toml", [0xff, 0xfe, 0]), "UTF-8"),
    (|files, _, _| files.remove("respgate.toml"), "there is no such file"),
    (|files, _, _| files.say("client_ca =", "client_cas ="), "listener.client_cas: unknown key"),
    (|files, _, _| files.say("[limits]", "[nonsense]\nkey = 1\n[limits]"), "nonsense: unknown key"),
    (|files, _, _| files.say("\"127.0.0.1:0\"", "7"), "found a whole number, expected a string"),
    (|files, _, _| files.say("[limits]", "[limits]\nclients_max = 0"), "found 0, expected 1 to"),
    (|files, _, _| files.say("\"unix:", "\"nonsense "), "expected host:port or unix:/path"),
    // The listener.
    (|files, _, _| files.say("[listener]", "[listener]\nname = \"a b\""), "listener.name: found"),
    (|files, _, _| files.say("[listener]", "[listener]\nrealms = [\"nowhere\"]"), "no [[realm]] is named"),
    (
        |files, _, _| files.say("[listener]", "[listener]\nmtls_allow_weak_hashing = true"),
        "SHA-1 or MD5 are never accepted",
    ),
    // The server's certificate and key.
    (|files, _, _| files.remove("server.crt"), "listener.certificate: cannot read"),
    (|files, _, _| files.put("server.crt", fixture("rsa1024.crt")), "an RSA key of 1024 bits"),
    (|files, _, _| files.put("server.crt", fixture("v1.crt")), "older than X.509 v3"),
    (|files, eras, _| files.put("server.key", eras.other_server.key.clone()), "does not belong to the first"),
    (|files, _, _| files.mode("server.key", 0o644), "chmod 600"),
    (|files, _, _| halve(files, "server.key"), "a section has no END line"),
    (
        |files, eras, _| {
            files.put("server.crt", eras.other_server.certificate.clone());
            files.put("server.key", eras.other_server.key.clone());
        },
        "keep_server_names",
    ),
    // The CAs and their lists.
    (|files, _, _| files.put("era.crt", "nothing to see\n"), "has no certificate in it"),
    (|files, _, _| halve(files, "era.crt"), "is not readable as PEM"),
    (|files, eras, _| files.put("era.crt", eras.app.certificate.clone()), "is not a CA's"),
    (|files, _, _| halve(files, "era.crl"), "is not readable as PEM"),
    (
        |files, _, _| files.put("era.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
        "is not readable as a CRL",
    ),
    (|files, eras, number| files.put("era.crl", eras.eras[1 - number].crl()), "was not signed by it"),
    (|files, _, _| files.put("era.crl", fixture("delta.crl")), "it is a delta CRL"),
    (|files, _, _| files.remove("era.crl"), "listener.crl[1]: cannot read"),
    // The users.
    (|files, _, _| files.say("\"CN=ops,O=Acme\"", "\"cn = app , o=Acme\""), "means the same subject"),
    (|files, _, _| files.say("name = \"ops\"", "name = \"app\""), "is taken by an earlier user"),
    (|files, _, _| files.say("\"CN=app,O=Acme\"", "\"/O=Acme/CN=app\""), "one-line form"),
    (|files, _, _| files.say("\"CN=app,O=Acme\"", "\"CN=app,XYZ=Acme\""), "unknown attribute type"),
    (|files, _, _| files.say("\nredis_password_file = \"app.password\"", ""), "no password"),
    // What secrets are in.
    (|files, _, _| files.remove("app.password"), "redis_password_file: cannot read"),
    (|files, _, _| files.put("era.password", "\n"), "is empty"),
    (|files, _, _| files.put("ops.password", vec![b'x'; (1 << 20) + 1]), "is larger than"),
    (
        |files, _, _| files.say("[listener]", "keystore = \"nowhere.keystore\"\n[listener]"),
        "keystore: cannot read",
    ),
    (|files, _, _| files.say("[listener]", "keystore = \"roles.toml\"\n[listener]"), "it is not a keystore"),
    // The mapping file.
    (|files, _, _| files.edit("roles.toml", "users", "user"), "roles_mapping.tenant.user: unknown key"),
    (|files, _, _| files.remove("roles.toml"), "role_mapping_file: cannot read"),
];
