//! Keys, PKCS#12 files, keystores and modes that are no good, and exactly what is
//! said about them. The files are OpenSSL's, the texts in tests/golden/secrets.txt.

use std::process::Command;

use pkcs8::der::Encode;
use pkcs8::pkcs5::pbes2::Parameters;
use respgate::config::keystore::Keystore;
use respgate::secret::Secret;

use crate::golden::{CASE, Case, assert_said};
use crate::world::{FINE, World};

pub(crate) const KEY: &str = "key = \"server.key\"";
pub(crate) const PAIR: &str = "certificate = \"server.crt\"\nkey = \"server.key\"";
pub(crate) const P12: &str = "keystore = \"server.p12\"";
pub(crate) const P12_OPENED: &str = "keystore = \"server.p12\"\nkeystore_password_file = \"key.password\"";
const PASSWORD: &str = "redis_password_file = \"app.password\"";
pub(crate) const FROM_KEYSTORE: &[(&str, &str)] = &[
    ("[listener]", "keystore = \"respgate.keystore\"\n[listener]"),
    (PASSWORD, "redis_password_keystore = \"app\""),
];

/// Runs openssl beside the files of this world.
pub(crate) fn openssl(world: &World, args: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(args.split_whitespace()).current_dir(world.path("")).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Encrypts the server's key as these arguments of `openssl pkcs8` say.
pub(crate) fn encrypt(world: &World, args: &str) {
    world.write("key.password", "hunter2\n");
    world.write_bytes("plain.key", &std::fs::read(world.path("server.key")).unwrap());
    openssl(world, &format!("pkcs8 -topk8 -in plain.key -out server.key {args}"));
}

/// Makes server.p12 as these arguments of `openssl pkcs12 -export` say.
pub(crate) fn export(world: &World, args: &str) {
    world.write("key.password", "hunter2\n");
    openssl(world, &format!("pkcs12 -export -in server.crt -inkey server.key -out server.p12 {args}"));
    world.mode("server.p12", 0o600);
}

/// Writes respgate.keystore with the passwords of this world in it.
pub(crate) fn store(world: &World, password: Option<&str>) -> Vec<u8> {
    let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
    let mut keystore = Keystore::default();
    keystore.put("app", secret("hunter3")).unwrap();
    keystore.put("server", secret("hunter2")).unwrap();
    let file = keystore.seal(password.map(secret).as_ref()).unwrap();
    world.write_bytes("respgate.keystore", &file);
    file
}

/// The text of a configuration without a problem, edited.
pub(crate) fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(FINE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not there");
        text.replacen(from, to, 1)
    })
}

/// Writes a key that is encrypted like this, without having computed anything.
pub(crate) fn write_encrypted(world: &World, scheme: Parameters, data: &[u8]) {
    let data = pkcs8::der::asn1::OctetString::new(data).unwrap();
    let info =
        pkcs8::EncryptedPrivateKeyInfoOwned { encryption_algorithm: scheme.into(), encrypted_data: data };
    let section = pem::Pem::new("ENCRYPTED PRIVATE KEY", info.to_der().unwrap());
    world.write("server.key", &pem::encode(&section));
    world.write("key.password", "hunter2\n");
}

pub(crate) fn pbkdf2(rounds: u32) -> Parameters {
    Parameters::generate_pbkdf2_sha256_aes256cbc(rounds, &[7; 16], [7; 16]).unwrap()
}

const CASES: &[Case] = &[
    Case {
        claim: "an encrypted key without a password",
        spoil: |world| encrypt(world, "-passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "a wrong password is not shown, the file is",
        edits: &[(KEY, "key = \"server.key\"\nkey_password = \"hunter1\"")],
        spoil: |world| encrypt(world, "-passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "an empty password is not that of a key with one",
        edits: &[(KEY, "key = \"server.key\"\nkey_password = \"\"")],
        spoil: |world| encrypt(world, "-passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "a key that is not encrypted needs no password",
        edits: &[(KEY, "key = \"server.key\"\nkey_password_env = \"APP_PASSWORD\"")],
        ..CASE
    },
    Case {
        claim: "a key encrypted by PBES1",
        edits: &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")],
        spoil: |world| encrypt(world, "-v1 PBE-SHA1-3DES -passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "a key that asks for four million rounds",
        edits: &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")],
        spoil: |world| write_encrypted(world, pbkdf2(4_000_000), &[7; 64]),
        ..CASE
    },
    Case {
        claim: "an encrypted key beside one that is not",
        spoil: |world| {
            encrypt(world, "-passout pass:hunter2");
            let both =
                ["plain.key", "server.key"].map(|name| std::fs::read(world.path(name)).unwrap()).concat();
            world.write_bytes("server.key", &both);
        },
        ..CASE
    },
    Case {
        claim: "PKCS#12 without a password",
        edits: &[(PAIR, P12)],
        spoil: |world| export(world, "-passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 with an empty password, and none is set",
        edits: &[(PAIR, P12)],
        spoil: |world| export(world, "-passout pass:"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 with another password",
        edits: &[(PAIR, P12_OPENED)],
        spoil: |world| export(world, "-passout pass:hunter1"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 with an empty password, and another is set",
        edits: &[(PAIR, P12_OPENED)],
        spoil: |world| export(world, "-passout pass:"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 that nothing vouches for",
        edits: &[(PAIR, P12_OPENED)],
        spoil: |world| export(world, "-nomac -passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 without a key",
        edits: &[(PAIR, P12_OPENED)],
        spoil: |world| export(world, "-nokeys -passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "PKCS#12 that asks for eight million rounds",
        edits: &[(PAIR, P12_OPENED)],
        spoil: |world| {
            export(world, "-iter 65536 -passout pass:hunter2");
            let mut file = std::fs::read(world.path("server.p12")).unwrap();
            let rounds = file.len() - 3;
            assert_eq!(file[rounds..], [1, 0, 0], "the MAC's rounds come last");
            file[rounds..].copy_from_slice(&[0x7f, 0xff, 0xff]);
            world.write_bytes("server.p12", &file);
        },
        ..CASE
    },
    Case { claim: "PEM in the place of PKCS#12", edits: &[(PAIR, "keystore = \"server.key\"")], ..CASE },
    Case {
        claim: "PKCS#12 beside what it takes the place of",
        edits: &[(PAIR, "certificate = \"server.crt\"\nkeystore = \"server.p12\"\nkey_password = \"\"")],
        spoil: |world| export(world, "-passout pass:hunter2"),
        ..CASE
    },
    Case {
        claim: "a password for PKCS#12 that is not there",
        edits: &[(KEY, "key = \"server.key\"\nkeystore_password = \"\"")],
        ..CASE
    },
    Case {
        claim: "a secret of a keystore that is not named",
        edits: &[(PASSWORD, "redis_password_keystore = \"app\"")],
        ..CASE
    },
    Case {
        claim: "a secret that the keystore does not have",
        edits: &[FROM_KEYSTORE[0], (PASSWORD, "redis_password_keystore = \"apo\"")],
        spoil: |world| drop(store(world, None)),
        ..CASE
    },
    Case {
        claim: "a password where the name of a secret belongs is not shown",
        edits: &[FROM_KEYSTORE[0], (PASSWORD, "redis_password_keystore = \"hunter3\"")],
        spoil: |world| drop(store(world, None)),
        ..CASE
    },
    Case { claim: "a keystore that is not there", edits: FROM_KEYSTORE, ..CASE },
    Case {
        claim: "a keystore with a password, and none is given",
        edits: FROM_KEYSTORE,
        spoil: |world| drop(store(world, Some("hunter4"))),
        ..CASE
    },
    Case {
        claim: "a keystore with another password",
        edits: FROM_KEYSTORE,
        spoil: |world| {
            store(world, Some("hunter4"));
            world.write("keystore.password", "hunter5\n");
        },
        ..CASE
    },
    Case {
        claim: "a keystore without a password in the place of one with it",
        edits: FROM_KEYSTORE,
        spoil: |world| {
            store(world, None);
            world.write("keystore.password", "hunter5\n");
        },
        ..CASE
    },
    Case {
        claim: "two passwords for the keystore",
        edits: FROM_KEYSTORE,
        spoil: |world| {
            store(world, None);
            world.write("keystore.password", "hunter5\n");
            world.write("keystore.variable", "hunter5");
        },
        ..CASE
    },
    Case {
        claim: "something else in the place of the keystore",
        edits: FROM_KEYSTORE,
        spoil: |world| world.write("respgate.keystore", "hunter"),
        ..CASE
    },
    Case {
        claim: "a keystore of another version",
        edits: FROM_KEYSTORE,
        spoil: |world| change(world, 4, 9),
        ..CASE
    },
    Case {
        claim: "a keystore of which a byte was changed",
        edits: FROM_KEYSTORE,
        spoil: |world| change(world, 60, 0),
        ..CASE
    },
    Case {
        claim: "a keystore that asks for four terabytes",
        edits: FROM_KEYSTORE,
        spoil: |world| {
            let mut file = store(world, Some("hunter4"));
            file[6..10].fill(255);
            world.write_bytes("respgate.keystore", &file);
            world.write("keystore.variable", "hunter4");
        },
        ..CASE
    },
    Case {
        claim: "files that others can write",
        spoil: |world| {
            world.mode("ca.crt", 0o666);
            world.mode("server.crt", 0o664);
        },
        ..CASE
    },
    Case {
        claim: "in strict mode they are errors",
        edits: &[("[listener]", "strict = true\n[listener]")],
        spoil: |world| world.mode("ca.crt", 0o666),
        ..CASE
    },
    Case {
        claim: "a directory that others can write",
        edits: &[("\"ca.crt\"", "\"open/ca.crt\"")],
        spoil: |world| {
            std::fs::create_dir(world.path("open")).unwrap();
            world.write("open/ca.crt", &world.ca.pem());
            world.mode("open", 0o777);
        },
        ..CASE
    },
];

/// A keystore without a password of which one byte is another.
fn change(world: &World, index: usize, to: u8) {
    let mut file = store(world, None);
    assert!(file[index] != to || index == 60, "it is that already");
    file[index] = if index == 60 { !file[index] } else { to };
    world.write_bytes("respgate.keystore", &file);
}

/// ES-03: the file is named, the password is not.
#[test]
fn every_problem_with_a_secret_is_said_as_the_golden_file_says() {
    assert_said("secrets.txt", CASES);
}
