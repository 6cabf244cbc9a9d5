//! Keys that are encrypted, PKCS#12, and secrets from each of their places:
//! what is read, and what is said about what is not. The files are OpenSSL's,
//! the texts are in tests/golden/secrets.txt.

use std::process::Command;

use pkcs8::der::Encode;
use respgate::config::keystore::Keystore;
use respgate::config::{Loaded, load_in};
use respgate::secret::Secret;

use crate::golden::{CASE, Case, assert_said};
use crate::pki;
use crate::world::{FINE, NOW, World};

const KEY: &str = "key = \"server.key\"";
const PAIR: &str = "certificate = \"server.crt\"\nkey = \"server.key\"";
const P12: &str = "keystore = \"server.p12\"";
const P12_OPENED: &str = "keystore = \"server.p12\"\nkeystore_password_file = \"key.password\"";
const PASSWORD: &str = "redis_password_file = \"app.password\"";
const FROM_KEYSTORE: &[(&str, &str)] = &[
    ("[listener]", "keystore = \"respgate.keystore\"\n[listener]"),
    (PASSWORD, "redis_password_keystore = \"app\""),
];

/// Runs openssl beside the files of this world.
fn openssl(world: &World, args: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(args.split_whitespace()).current_dir(world.path("")).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Encrypts the server's key as these arguments of `openssl pkcs8` say.
fn encrypt(world: &World, args: &str) {
    world.write("key.password", "hunter2\n");
    world.write_bytes("plain.key", &std::fs::read(world.path("server.key")).unwrap());
    openssl(world, &format!("pkcs8 -topk8 -in plain.key -out server.key {args}"));
}

/// Makes server.p12 as these arguments of `openssl pkcs12 -export` say.
fn export(world: &World, args: &str) {
    world.write("key.password", "hunter2\n");
    openssl(world, &format!("pkcs12 -export -in server.crt -inkey server.key -out server.p12 {args}"));
    world.mode("server.p12", 0o600);
}

/// Writes respgate.keystore with the passwords of this world in it.
fn store(world: &World, password: Option<&str>) -> Vec<u8> {
    let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
    let mut keystore = Keystore::default();
    keystore.put("app", secret("hunter3")).unwrap();
    keystore.put("server", secret("hunter2")).unwrap();
    let file = keystore.seal(password.map(secret).as_ref()).unwrap();
    world.write_bytes("respgate.keystore", &file);
    file
}

/// The text of a configuration without a problem, edited.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(FINE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not there");
        text.replacen(from, to, 1)
    })
}

/// Loads it, which must go without a warning.
fn load(world: &World, edits: &[(&str, &str)]) -> Loaded {
    let loaded = world.load(&edited(edits)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings.list, [], "{}", loaded.warnings);
    loaded
}

fn redis_password(loaded: &Loaded) -> &[u8] {
    loaded.settings.users.users()[0].credential.password.expose()
}

/// PBES2 with more rounds than anybody needs, which were never computed.
fn costly_key(world: &World) {
    use pkcs8::pkcs5::pbes2::Parameters;
    let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(4_000_000, &[7; 16], [7; 16]).unwrap();
    let data = pkcs8::der::asn1::OctetString::new([7; 64]).unwrap();
    let info =
        pkcs8::EncryptedPrivateKeyInfoOwned { encryption_algorithm: scheme.into(), encrypted_data: data };
    world.write("server.key", &pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", info.to_der().unwrap())));
    world.write("key.password", "hunter2\n");
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
        spoil: costly_key,
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

/// ES-03
#[test]
fn an_encrypted_key_is_opened_with_a_password_from_each_place() {
    let world = World::new();
    encrypt(&world, "-passout pass:hunter2");
    world.write("keystore.variable", "open");
    store(&world, Some("open"));
    let keystore = ("[listener]", "keystore = \"respgate.keystore\"\n[listener]");
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
    load(&world, &[keystore, (KEY, "key = \"server.key\"\nkey_password_keystore = \"server\"")]);
    let inline = world.load(&edited(&[(KEY, "key = \"server.key\"\nkey_password = \"hunter2\"")])).unwrap();
    assert_eq!(inline.warnings.list.len(), 1, "{}", inline.warnings);
}

/// ES-03
#[test]
fn every_cipher_and_derivation_of_pbes2_that_openssl_writes_is_read() {
    for args in [
        "-v2 aes-256-cbc",
        "-v2 aes-128-cbc -v2prf hmacWithSHA1",
        "-v2 aes256 -v2prf hmacWithSHA512",
        "-v2 des3 -v2prf hmacWithSHA1",
        "-v2 aes-256-cbc -scrypt",
        "-v2 aes-256-cbc -iter 100000",
    ] {
        let world = World::new();
        encrypt(&world, &format!("{args} -passout pass:hunter2"));
        load(&world, &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
    }
}

/// ES-03
#[test]
fn an_empty_password_opens_a_key_that_has_one_and_is_not_none() {
    let world = World::new();
    // The command line of OpenSSL refuses an empty password here, its format does not.
    let plain = world.ca.issue("server", pki::for_servers);
    world.write("server.crt", &plain.certificate);
    let key = plain.key_der();
    let params =
        pkcs8::pkcs5::pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2048, &[7; 16], [9; 16]).unwrap();
    let data = params.encrypt("", key.secret_der()).unwrap();
    let info = pkcs8::EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: params.into(),
        encrypted_data: pkcs8::der::asn1::OctetString::new(data).unwrap(),
    };
    world.write("server.key", &pem::encode(&pem::Pem::new("ENCRYPTED PRIVATE KEY", info.to_der().unwrap())));
    world.write("key.password", "");
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password = \"\"")]);
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password_env = \"EMPTY\"")]);
    let none = world.load(FINE).unwrap_err();
    assert_eq!(none.list[0].cause.id(), "encrypted_key");
}

/// ES-02, ES-03
#[test]
fn a_pkcs12_file_serves_as_certificate_and_key() {
    for args in [
        "-passout pass:hunter2",
        "-legacy -passout pass:hunter2",
        "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -passout pass:hunter2",
        "-keypbe NONE -certpbe NONE -passout pass:hunter2",
        "-macalg SHA512 -iter 100000 -passout pass:hunter2",
        "-name server -certfile ca.crt -passout pass:hunter2",
    ] {
        let world = World::new();
        export(&world, args);
        let loaded = load(&world, &[(PAIR, P12_OPENED)]);
        let server = &loaded.settings.listener.tls.server.cert;
        let expected = 1 + usize::from(args.contains("certfile"));
        assert_eq!(server.len(), expected, "{args}: the chain");
        assert!(server.get(1).is_none_or(|ca| *ca == world.ca.der()), "{args}: the CA");
    }
}

/// ES-03
#[test]
fn a_pkcs12_file_with_an_empty_password_and_one_with_none_are_told_apart() {
    let world = World::new();
    export(&world, "-passout pass:");
    load(&world, &[(PAIR, "keystore = \"server.p12\"\nkeystore_password = \"\"")]);
    assert_eq!(world.load(&edited(&[(PAIR, P12)])).unwrap_err().list[0].cause.id(), "encrypted_pkcs12");
    // Without any protection there is nothing that a password could open.
    export(&world, "-nomac -keypbe NONE -certpbe NONE -passout pass:");
    load(&world, &[(PAIR, P12)]);
}

/// ES-02
#[test]
fn the_chain_of_a_pkcs12_file_leads_from_the_keys_certificate_upwards() {
    let world = World::new();
    let middle = world.ca.intermediate("Middle CA");
    let leaf = middle.issue("server", pki::for_servers);
    world.write("server.crt", &leaf.certificate);
    world.write("server.key", &leaf.key);
    // In the wrong order, and with one that does not belong to it.
    let stranger = pki::Ca::new("Stranger");
    world.write("others.crt", &format!("{}{}{}", stranger.pem(), world.ca.pem(), middle.pem()));
    export(&world, "-certfile others.crt -passout pass:hunter2");
    let loaded = load(&world, &[(PAIR, P12_OPENED)]);
    assert_eq!(loaded.settings.listener.tls.server.cert, [leaf.der(), middle.der(), world.ca.der()]);
}

/// A hostile file is refused before any of its rounds are computed.
#[test]
fn no_damage_to_a_pkcs12_file_panics_or_opens_it_otherwise() {
    let world = World::new();
    export(&world, "-iter 1 -passout pass:hunter2");
    let file = std::fs::read(world.path("server.p12")).unwrap();
    let text = edited(&[(PAIR, P12_OPENED)]);
    for index in (0..file.len()).step_by(7) {
        let mut damaged = file.clone();
        damaged[index] ^= 0x81;
        world.write_bytes("server.p12", &damaged);
        // A byte outside of what the MAC covers may not matter; it may never panic.
        let _ = world.load(&text);
        world.write_bytes("server.p12", &file[..index]);
        world.load(&text).expect_err("half a file");
    }
}

/// ES-04
#[test]
fn any_password_can_be_taken_from_the_keystore() {
    for password in [None, Some("open")] {
        let world = World::new();
        export(&world, "-passout pass:hunter2");
        store(&world, password);
        password.into_iter().for_each(|password| world.write("keystore.password", &format!("{password}\n")));
        let p12 = (PAIR, "keystore = \"server.p12\"\nkeystore_password_keystore = \"server\"");
        let loaded = load(&world, &[FROM_KEYSTORE[0], FROM_KEYSTORE[1], p12]);
        assert_eq!(redis_password(&loaded), b"hunter3");
    }
}

/// ES-05: what `openssl pkcs12 -cacerts -nokeys` writes has text around each certificate.
#[test]
fn a_ca_bundle_with_text_around_its_certificates_is_read() {
    let world = World::new();
    let second = pki::Ca::new("Second CA");
    world.write("second.crt", &second.pem());
    world.write("both.crt", &format!("{}{}", world.ca.pem(), second.pem()));
    openssl(
        &world,
        "pkcs12 -export -in server.crt -inkey server.key -certfile both.crt -caname first -caname second \
         -out all.p12 -passout pass:hunter2",
    );
    openssl(&world, "pkcs12 -in all.p12 -cacerts -nokeys -out ca.crt -passin pass:hunter2");
    let text = std::fs::read_to_string(world.path("ca.crt")).unwrap();
    assert!(text.contains("Bag Attributes") && text.contains("subject="), "{text}");
    let loaded = load(&world, &[]);
    let mut found = loaded.settings.listener.tls.client_ca.clone();
    let mut expected = vec![world.ca.der(), second.der()];
    found.sort_by(|a, b| a.as_ref().cmp(b));
    expected.sort_by(|a, b| a.as_ref().cmp(b));
    assert_eq!(found, expected);
    world.write("key.password", "hunter2");
    // The same with a key: attributes stand before the certificate and before the key.
    openssl(&world, "pkcs12 -in all.p12 -clcerts -out server.crt -passin pass:hunter2 -passout pass:hunter2");
    world.mode("server.crt", 0o600);
    load(
        &world,
        &[(KEY, "key = \"server.crt\"\nkey_password_file = \"key.password\""), ("[database]", "[database]")],
    );
}

#[test]
fn the_environment_is_asked_for_the_keystores_password_only_where_there_is_a_keystore() {
    let world = World::new();
    world.write("respgate.toml", FINE);
    let asked = std::cell::Cell::new(false);
    let variable = |_: &str| {
        asked.set(true);
        None
    };
    let surroundings = respgate::config::Surroundings { variable: &variable, now: NOW, cores: 1 };
    load_in(&world.path("respgate.toml"), &surroundings).unwrap();
    assert!(!asked.get());
}
