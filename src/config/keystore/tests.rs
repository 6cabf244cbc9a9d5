//! A keystore's bytes: what comes back, and what is refused.

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn filled() -> Keystore {
    let mut keystore = Keystore::default();
    keystore.put("app", secret("canary-app")).unwrap();
    keystore.put("server.key", Secret::new(vec![0, 255, 10])).unwrap();
    keystore
}

#[test]
fn what_was_sealed_is_what_is_opened() {
    for password in [None, Some(secret("open")), Some(secret(""))] {
        let file = filled().seal(password.as_ref()).unwrap();
        let opened = Keystore::open(&file, password.as_ref()).unwrap();
        assert_eq!(opened.names().collect::<Vec<_>>(), ["app", "server.key"]);
        assert_eq!(opened.secret("app"), Some(&secret("canary-app")));
        assert_eq!(opened.secret("server.key").unwrap().expose(), [0, 255, 10]);
        assert_eq!(Keystore::has_password(&file), Ok(password.is_some()));
        assert!(
            memchr::memmem::find(&file, b"canary").is_none()
                && memchr::memmem::find(&file, b"server").is_none()
        );
    }
}

#[test]
fn a_wrong_password_none_and_a_needless_one_are_told_apart() {
    let file = filled().seal(Some(&secret("open"))).unwrap();
    assert_eq!(Keystore::open(&file, Some(&secret("Open"))).unwrap_err(), KeystoreError::Sealed);
    assert_eq!(Keystore::open(&file, Some(&secret(""))).unwrap_err(), KeystoreError::Sealed);
    assert_eq!(Keystore::open(&file, None).unwrap_err(), KeystoreError::PasswordNeeded);
    let file = filled().seal(None).unwrap();
    assert_eq!(Keystore::open(&file, Some(&secret("open"))).unwrap_err(), KeystoreError::NoPassword);
}

#[test]
fn no_byte_can_change_and_none_be_missing() {
    let file = filled().seal(None).unwrap();
    for index in 0..file.len() {
        let mut changed = file.clone();
        changed[index] ^= 1;
        Keystore::open(&changed, None).expect_err("a changed byte");
        Keystore::open(&file[..index], None).expect_err("a missing end");
    }
    let longer = [file.as_slice(), &[0]].concat();
    assert_eq!(Keystore::open(&longer, None).unwrap_err(), KeystoreError::Damaged);
    // The same holds with a password, of which one byte of each part is tried.
    let file = filled().seal(Some(&secret("open"))).unwrap();
    for index in [9, 16, 40, HEADER_BYTES, file.len() - 1] {
        let mut changed = file.clone();
        changed[index] ^= 1;
        Keystore::open(&changed, Some(&secret("open"))).expect_err("a changed byte");
    }
}

#[test]
fn a_file_that_asks_for_much_work_is_refused_before_any_is_done() {
    let file = filled().seal(Some(&secret("open"))).unwrap();
    // The highest byte of the memory, of the passes, and the lanes.
    for index in [6, 10, 14] {
        let mut changed = file.clone();
        changed[index] = 255;
        assert_eq!(Keystore::open(&changed, Some(&secret("open"))).unwrap_err(), KeystoreError::Costly);
    }
}

#[test]
fn another_kind_of_file_and_a_later_version_are_said_to_be() {
    for text in ["", "RGKS", "-----BEGIN CERTIFICATE-----", "RGKS\u{1}\u{1}"] {
        assert_eq!(Keystore::open(text.as_bytes(), None).unwrap_err(), KeystoreError::NotAKeystore);
    }
    let mut file = filled().seal(None).unwrap();
    file[4] = 2;
    assert_eq!(Keystore::open(&file, None).unwrap_err(), KeystoreError::Version { found: 2 });
}

#[test]
fn names_secrets_and_numbers_have_bounds() {
    let mut keystore = Keystore::default();
    for name in ["", "a b", "a\n", "ä", &"x".repeat(129)] {
        assert!(matches!(keystore.put(name, secret("x")), Err(KeystoreError::BadName { .. })), "{name:?}");
    }
    assert_eq!(keystore.put("a", secret("")), Err(KeystoreError::EmptySecret));
    let large = |bytes| Secret::new(vec![7; bytes]);
    assert_eq!(keystore.put("a", large(SECRET_BYTES_MAX + 1)), Err(KeystoreError::LargeSecret));
    for n in 0..SECRETS_MAX {
        keystore.put(&n.to_string(), secret("x")).unwrap();
    }
    assert_eq!(keystore.put("one-more", secret("x")), Err(KeystoreError::Full));
    let mut keystore = Keystore::default();
    for n in 0..16 {
        keystore.put(&n.to_string(), large(SECRET_BYTES_MAX)).unwrap();
    }
    assert_eq!(keystore.seal(None).unwrap_err(), KeystoreError::Full);
}

#[test]
fn the_same_secrets_are_never_sealed_the_same() {
    assert_ne!(filled().seal(None).unwrap(), filled().seal(None).unwrap());
}
