//! Keys that are encrypted, PKCS#12 and secrets from each of their places, as
//! OpenSSL and the keystore write them: what is read, and what no damage does.

use pkcs8::pkcs5::pbes2::{Kdf, Parameters, ScryptParams};
use respgate::config::{Loaded, load_in};

use crate::pki;
use crate::secrets::{
    FROM_KEYSTORE, KEY, P12, P12_OPENED, PAIR, edited, encrypt, export, openssl, pbkdf2, store,
    write_encrypted,
};
use crate::world::{FINE, NOW, World};

/// Loads it, which must go without a warning.
fn load(world: &World, edits: &[(&str, &str)]) -> Loaded {
    let loaded = world.load(&edited(edits)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings.list, [], "{}", loaded.warnings);
    loaded
}

fn redis_password(loaded: &Loaded) -> &[u8] {
    loaded.settings.users.users()[0]
        .credential
        .as_ref()
        .unwrap()
        .password
        .given()
        .expect("in the file")
        .expose()
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
    let sealed = pbkdf2(2048).encrypt("", plain.key_der().secret_der()).unwrap();
    write_encrypted(&world, pbkdf2(2048), &sealed);
    world.write("key.password", "");
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password = \"\"")]);
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
    load(&world, &[(KEY, "key = \"server.key\"\nkey_password_env = \"EMPTY\"")]);
    let none = world.load(FINE).unwrap_err();
    assert_eq!(none.list[0].cause.id(), "encrypted_key");
}

/// A hostile file is refused before the work that it asks for is begun.
#[test]
fn a_key_that_asks_for_much_memory_or_for_nonsense_is_refused_at_once() {
    let scrypt = |change: fn(&mut ScryptParams)| {
        let params = pkcs8::pkcs5::scrypt::Params::new(14, 8, 1).unwrap();
        let mut scheme = Parameters::generate_scrypt_aes256cbc(params, &[7; 16], [7; 16]).unwrap();
        let Kdf::Scrypt(params) = &mut scheme.kdf else { panic!("scrypt") };
        change(params);
        scheme
    };
    let cases = [
        (scrypt(|it| it.cost_parameter = 1 << 20), "costly_key"),
        (scrypt(|it| it.cost_parameter = 1 << 63), "costly_key"),
        (scrypt(|it| it.block_size = u16::MAX), "costly_key"),
        (scrypt(|it| it.parallelization = u16::MAX), "costly_key"),
        (scrypt(|it| it.cost_parameter = 0), "unsupported_cipher"),
        (scrypt(|it| it.cost_parameter = 1), "unsupported_cipher"),
        (scrypt(|it| it.cost_parameter = 1000), "unsupported_cipher"),
        (scrypt(|it| it.block_size = 0), "unsupported_cipher"),
        (scrypt(|it| it.parallelization = 0), "unsupported_cipher"),
        (pbkdf2(99_000_000), "costly_key"),
    ];
    for (scheme, id) in cases {
        let world = World::new();
        let shown = format!("{:?}", scheme.kdf);
        write_encrypted(&world, scheme, &[7; 64]);
        let text = edited(&[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
        assert_eq!(world.load(&text).unwrap_err().list[0].cause.id(), id, "{shown}");
    }
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
        let server = &loaded.settings.listeners[0].tls.server.cert;
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
    assert_eq!(loaded.settings.listeners[0].tls.server.cert, [leaf.der(), middle.der(), world.ca.der()]);
}

#[test]
fn no_damage_to_an_encrypted_key_panics_or_opens_it() {
    let world = World::new();
    encrypt(&world, "-iter 1 -passout pass:hunter2");
    let section = pem::parse(std::fs::read(world.path("server.key")).unwrap()).unwrap();
    let text = edited(&[(KEY, "key = \"server.key\"\nkey_password_file = \"key.password\"")]);
    let load = |der: &[u8]| {
        world.write("server.key", &pem::encode(&pem::Pem::new(section.tag(), der)));
        world.load(&text).map(drop)
    };
    load(section.contents()).unwrap();
    for index in 0..section.contents().len() {
        let mut damaged = section.contents().to_vec();
        damaged[index] ^= 0x81;
        load(&damaged).expect_err("a changed byte");
        load(&section.contents()[..index]).expect_err("a missing end");
    }
}

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
    // Of several CAs, a user is bound to one, or that is remarked upon.
    let bound = ("redis_user", "issuer = \"both.crt\"\nredis_user");
    let loaded = load(&world, &[bound]);
    let mut found = loaded.settings.listeners[0].tls.trust.client_ca.clone();
    let mut expected = vec![world.ca.der(), second.der()];
    found.sort_by(|a, b| a.as_ref().cmp(b));
    expected.sort_by(|a, b| a.as_ref().cmp(b));
    assert_eq!(found, expected);
    world.write("key.password", "hunter2");
    // The same with a key: attributes stand before the certificate and before the key.
    openssl(&world, "pkcs12 -in all.p12 -clcerts -out server.crt -passin pass:hunter2 -passout pass:hunter2");
    world.mode("server.crt", 0o600);
    load(&world, &[(KEY, "key = \"server.crt\"\nkey_password_file = \"key.password\""), bound]);
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
