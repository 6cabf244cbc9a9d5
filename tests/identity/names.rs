//! Alternative names and purposes: how they are read, and how they are compared.

use std::net::IpAddr;

use rcgen::{CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use respgate::identity::{Certificate, Reason, San, SanKind, Unreadable};

use crate::craft::{dns, email, made, map, permit, reason, san, uri, user, with_raw_sans, with_sans};
use crate::make;

#[test]
fn an_alternative_name_is_compared_as_its_type_is() {
    for (kind, text, name, matches) in [
        (SanKind::Dns, "app1.example.com", dns("APP1.Example.com"), true),
        (SanKind::Dns, "App1.example.com", dns("app1.example.com"), true),
        (SanKind::Dns, "app1.example.com", dns("app1.example.com."), false),
        (SanKind::Dns, "example.com", dns("app1.example.com"), false),
        (SanKind::Uri, "urn:app:1", uri("urn:app:1"), true),
        (SanKind::Uri, "urn:app:1", uri("urn:APP:1"), false),
        (SanKind::Uri, "urn:app:1", uri("urn:app:12"), false),
        (SanKind::Email, "app@Example.com", email("app@exAMPLE.com"), true),
        (SanKind::Email, "app@example.com", email("App@example.com"), false),
        (SanKind::Ip, "10.0.0.1", SanType::IpAddress(IpAddr::from([10, 0, 0, 1])), true),
        (SanKind::Ip, "::ffff:10.0.0.1", SanType::IpAddress(IpAddr::from([10, 0, 0, 1])), false),
        (SanKind::Ip, "2001:DB8::1", SanType::IpAddress("2001:db8::1".parse().expect("an address")), true),
    ] {
        let map = map(vec![user("app", vec![san(kind, text)])]);
        let outcome = permit(&map, &with_sans(&[dns("other.test"), name.clone()]));
        assert_eq!(outcome.is_ok(), matches, "{text} against {name:?}");
        if let Ok(permit) = outcome {
            assert_eq!(permit.rule().to_string(), format!("san_{kind}[0]"));
        }
    }
}

/// T-57: Envoy once compared a name of one type with those of all types (CVE-2022-21656).
#[test]
fn a_name_of_one_type_is_not_one_of_another() {
    let text = "spiffe://prod/a";
    let map = map(vec![user("app", vec![san(SanKind::Uri, text)])]);
    assert_eq!(reason(&map, &with_sans(&[email(text)])), Some(Reason::NoMapping));
    assert_eq!(reason(&map, &with_sans(&[dns(text)])), Some(Reason::NoMapping));
    assert_eq!(
        reason(&map, &made(|params| params.distinguished_name.push(DnType::CommonName, text))),
        Some(Reason::NoMapping)
    );
    assert_eq!(reason(&map, &with_sans(&[uri(text), dns("other.test")])), None);
}

/// T-58
#[test]
fn a_spiffe_id_stands_alone_and_is_a_workloads() {
    let map = map(vec![
        user("app", vec![san(SanKind::Uri, "spiffe://prod/a")]),
        user("urn", vec![san(SanKind::Uri, "urn:a")]),
        make::user("svc", vec![make::line("CN=svc,O=Acme")]),
    ]);
    for other in ["urn:a", "spiffe://prod/b", "spiffe://prod/a", "SPIFFE://prod/a"] {
        for names in [[uri("spiffe://prod/a"), uri(other)], [uri(other), uri("spiffe://prod/a")]] {
            assert_eq!(reason(&map, &with_sans(&names)), Some(Reason::SpiffeMultipleUri), "{names:?}");
        }
    }
    for bad in
        ["spiffe://prod", "spiffe://prod:80/a", "spiffe://prod/a?x", "SPIFFE://prod/a", "spiffe://prod/a/"]
    {
        assert_eq!(reason(&map, &with_sans(&[uri(bad)])), Some(Reason::SpiffeInvalid), "{bad}");
    }
    // Where nobody is recognised by a URI, nobody reads them.
    let by_subject = make::map(&[("svc", "CN=svc,O=Acme")]);
    assert_eq!(reason(&by_subject, &with_sans(&[uri("spiffe://prod/a"), uri("urn:a")])), None);
}

/// T-59
#[test]
fn a_star_in_a_certificate_is_a_star() {
    let app = map(vec![user("app", vec![san(SanKind::Dns, "app1.example.com")])]);
    let star = map(vec![user("star", vec![san(SanKind::Dns, "*.example.com")])]);
    assert_eq!(reason(&app, &with_sans(&[dns("*.example.com")])), Some(Reason::NoMapping));
    assert_eq!(reason(&star, &with_sans(&[dns("app1.example.com")])), Some(Reason::NoMapping));
    assert_eq!(reason(&star, &with_sans(&[dns("*.example.com")])), None);
    assert_eq!(star.lints()[0].advice.as_str(), "wildcard_is_literal");
}

/// T-61: by our policy anyExtendedKeyUsage is not enough, as in WebPKI.
#[test]
fn a_certificate_for_another_purpose_is_told_so() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, EmailProtection, ServerAuth};
    let map = make::map(&[("svc", "CN=svc,O=Acme")]);
    let with = |purposes: &[ExtendedKeyUsagePurpose]| {
        let refusal = permit(&map, &made(|params| params.extended_key_usages = purposes.to_vec())).err();
        refusal.map(|refusal| (refusal.reason(), refusal.detail().to_owned()))
    };
    assert_eq!(with(&[]), None);
    assert_eq!(with(&[ClientAuth]), None);
    assert_eq!(with(&[ServerAuth, ClientAuth]), None);
    let eku = |oid: &str, hint: &str| {
        let detail = format!("the certificate's extended key usage is {oid}, expected clientAuth{hint}");
        Some((Reason::Eku, detail))
    };
    assert_eq!(with(&[EmailProtection]), eku("1.3.6.1.5.5.7.3.4", ""));
    assert_eq!(with(&[Any]), eku("2.5.29.37.0", ""));
    assert_eq!(
        with(&[ServerAuth]),
        eku("1.3.6.1.5.5.7.3.1", ": it is a server's, ask the CA for one with clientAuth")
    );
}

#[test]
fn a_purpose_must_be_readable_and_there_once() {
    let with = |contents: &[&[u8]]| {
        let mut params = CertificateParams::default();
        let extension =
            |content: &&[u8]| CustomExtension::from_oid_content(&[2, 5, 29, 37], content.to_vec());
        params.custom_extensions = contents.iter().map(extension).collect();
        let key = KeyPair::generate().expect("a key");
        Certificate::from_der(params.self_signed(&key).expect("a certificate").der())
    };
    let client = &b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"[..];
    assert!(with(&[client]).expect("readable").is_for_clients());
    let bad = Err(Unreadable::Extension("extendedKeyUsage"));
    for contents in [
        &[client, client][..],
        &[b""],
        &[b"\x30\x00"],
        &[b"\x30\x02\x06\x00"],
        &[&client[..11]],
        &[b"\x31\x00"],
    ] {
        assert_eq!(with(contents), bad, "{contents:02x?}");
    }
}

#[test]
fn alternative_names_must_be_readable_and_there_once() {
    let bad = Err(Unreadable::Extension("subjectAltName"));
    for names in
        [&b"\x82\x05ab"[..], b"\x82", b"\x82\x80\x00\x00", b"\xa0\x03\x06\x01\x2a", b"\xa0\x02\x0c\x00"]
    {
        assert_eq!(with_raw_sans(names), bad, "{names:02x?}");
    }
    let many = |count: usize| with_raw_sans(&b"\x82\x01a".repeat(count));
    assert_eq!(many(1024).expect("readable").sans().len(), 1024);
    assert_eq!(many(1025), Err(Unreadable::TooManySans));
    // A directory name and a registered identifier are left out.
    assert_eq!(
        with_raw_sans(b"\xa4\x02\x30\x00\x88\x01\x2a\x82\x01a").expect("readable").sans(),
        [San::Dns("a".into())]
    );
    let upn = b"\xa0\x12\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x04\x0c\x02me";
    let expected = San::Other { oid: "1.3.6.1.4.1.311.20.2.3".into(), text: "me".into() };
    assert_eq!(with_raw_sans(upn).expect("readable").sans(), [expected]);
    let twice = {
        let mut params = CertificateParams::default();
        params.custom_extensions = [b"\x30\x03\x82\x01a".to_vec(), b"\x30\x03\x82\x01b".to_vec()]
            .map(|content| CustomExtension::from_oid_content(&[2, 5, 29, 17], content))
            .to_vec();
        let key = KeyPair::generate().expect("a key");
        Certificate::from_der(params.self_signed(&key).expect("a certificate").der())
    };
    assert_eq!(twice, bad);
}

/// `admin\0.evil.test` was `admin` to many; here it is nobody, and nothing cuts it.
#[test]
fn a_malformed_name_is_refused_where_its_type_counts_and_never_matches() {
    let named = |kind, text| map(vec![user("admin", vec![san(kind, text)])]);
    for (names, kind, text) in [
        (&b"\x82\x0badmin\0.evil\x82\x05admin"[..], SanKind::Dns, "admin"),
        (b"\x82\x06admin\n\x82\x05admin", SanKind::Dns, "admin"),
        (b"\x82\x02\xc3\xa9\x82\x05admin", SanKind::Dns, "admin"),
        (b"\x82\x00\x82\x05admin", SanKind::Dns, "admin"),
        (b"\x86\x06urn:\0a\x86\x05urn:a", SanKind::Uri, "urn:a"),
        (b"\x81\x04a@\0b\x81\x03a@b", SanKind::Email, "a@b"),
        (b"\x87\x08\x0a\0\0\x01\xff\0\0\0\x87\x04\x0a\0\0\x01", SanKind::Ip, "10.0.0.1"),
    ] {
        let certificate = with_raw_sans(names).expect("readable");
        assert_eq!(reason(&named(kind, text), &certificate), Some(Reason::SanControlChar), "{names:02x?}");
        let other = map(vec![user("x", vec![san(SanKind::Dns, "x"), san(SanKind::Ip, "::1")])]);
        let expected = if matches!(kind, SanKind::Dns | SanKind::Ip) {
            Reason::SanControlChar
        } else {
            Reason::NoMapping
        };
        assert_eq!(reason(&other, &certificate), Some(expected), "{names:02x?}");
    }
    let shown = with_raw_sans(b"\x82\x0badmin\0.evil").expect("readable").sans()[0].to_string();
    assert_eq!(shown, "dns:admin\\x00.evil (unfit)");
}

/// T-49, and a subject that is there but nobody's.
#[test]
fn an_alternative_name_needs_no_subject() {
    let map = map(vec![user("app", vec![san(SanKind::Dns, "app.test")])]);
    let empty = made(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![dns("app.test")];
    });
    assert!(empty.subject().is_empty());
    assert_eq!(reason(&map, &empty), None);
    assert_eq!(reason(&map, &with_sans(&[dns("app.test")])), None);
}
