//! What is taken out of a certificate, and whom it stands for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rcgen::SanType;
use respgate::identity::{
    Certificate, Extract, ExtractError, Extraction, Principal, Reason, Skip, TableError, derived,
};

use crate::craft::{dns, email, uri, with_raw_sans, with_sans};
use crate::make::{self, UTF8};

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";

fn extract(text: &str) -> Extract {
    Extract::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn one(text: &str, certificate: &Certificate) -> Result<String, Reason> {
    extract(text).one(certificate).map_err(|refusal| refusal.reason())
}

fn subject(rdns: &[(&str, &str)]) -> Certificate {
    Certificate::from_der(&make::with_subject(&make::plain_name(rdns))).expect("readable")
}

fn table(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(key, user)| ((*key).to_owned(), (*user).to_owned())).collect()
}

fn by(text: &str, rows: &[(&str, &str)]) -> Extraction {
    Extraction::new(extract(text), table(rows)).expect("a table")
}

fn principal(extraction: &Extraction, certificate: &Certificate) -> Result<Principal, Reason> {
    extraction.principal(certificate).map_err(|refusal| refusal.reason())
}

/// OS-07, OS-08, ES-17, RE-18
#[test]
fn an_attribute_is_taken_by_name_or_by_oid() {
    let plain = make::certificate("v01_plain.pem");
    for name in ["CN", "cn", "2.5.4.3", "OID.2.5.4.3"] {
        assert_eq!(one(name, &plain).as_deref(), Ok("CLIENT1"), "{name}");
    }
    assert_eq!(one("uid", &make::certificate("v05_multivalued.pem")).as_deref(), Ok("1001"));
    assert_eq!(one("emailAddress", &make::certificate("v09_email.pem")).as_deref(), Ok("svc@acme.test"));
    assert_eq!(one("2.5.4.65", &subject(&[("2.5.4.65", "nick")])).as_deref(), Ok("nick"));
    assert_eq!(
        one("1.3.6.1.4.1.42069.1", &make::certificate("v19_unknown_oid.pem")).as_deref(),
        Ok("Jane Doe")
    );
    let dn = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";
    assert_eq!(one("dn", &plain).as_deref(), Ok(dn));
    assert_eq!(Extract::subject().one(&plain).as_deref().ok(), Some(dn));
}

/// OS-09, RE-18
#[test]
fn an_alternative_name_is_taken_by_type_and_pattern() {
    let ip = SanType::IpAddress(IpAddr::from([10, 0, 0, 1]));
    let certificate =
        with_sans(&[dns("a.prod.test"), dns("a.dev.test"), email("a@b.test"), uri("urn:a"), ip]);
    for (text, expected) in [
        ("san:dns:*.prod.test", Ok("a.prod.test")),
        ("SAN:DNS:/a[.]d.*/", Ok("a.dev.test")),
        ("san:dns", Err(Reason::AmbiguousIdentity)),
        ("san:dns:*.test", Err(Reason::AmbiguousIdentity)),
        ("san:dns:a", Err(Reason::IdentityAttributeMissing)),
        ("san:email", Ok("a@b.test")),
        ("san:uri:urn:*", Ok("urn:a")),
        ("san:ip", Ok("10.0.0.1")),
        ("san:upn", Err(Reason::IdentityAttributeMissing)),
    ] {
        assert_eq!(one(text, &certificate), expected.map(str::to_owned), "{text}");
    }
    let upn = b"\xa0\x12\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x04\x0c\x02me";
    let other = b"\xa0\x0b\x06\x03\x2a\x03\x04\xa0\x04\x0c\x02us";
    let both = with_raw_sans(&[&upn[..], other].concat()).expect("readable");
    assert_eq!(one("san:upn", &both).as_deref(), Ok("me"));
    assert_eq!(one("san:other:u?", &both).as_deref(), Ok("us"));
}

/// OS-10
#[test]
fn a_missing_attribute_is_a_refusal_unless_the_subject_may_stand_in() {
    let certificate = subject(&[(O, "Acme"), (CN, "svc")]);
    assert_eq!(one("UID", &certificate), Err(Reason::IdentityAttributeMissing));
    let strict = by("UID", &[("CN=svc,O=Acme", "admin")]).with_user_is_value(true);
    assert_eq!(principal(&strict, &certificate), Err(Reason::IdentityAttributeMissing));
    let lenient = strict.with_fallback_to_subject(true);
    assert_eq!(principal(&lenient, &certificate), Ok(Principal::Subject("CN=svc,O=Acme".to_owned())));
    // The table is of values: a value that is spelled like a subject does not meet the subject there.
    let empty = make::certificate("v24_empty_subject.pem");
    assert_eq!(principal(&lenient, &empty), Err(Reason::IdentityAttributeMissing));
}

/// OS-11, ES-17: with the character at which it goes wrong.
#[test]
fn what_cannot_be_taken_is_an_error_of_the_configuration() {
    for (text, expected) in [
        ("XYZ", "unknown attribute \"XYZ\" at character 1"),
        (
            "commonName",
            "unknown attribute \"commonName\" at character 1, expected one such as CN, a dotted OID, dn or san:dns: did you mean CN?",
        ),
        ("", "unknown attribute \"\" at character 1"),
        ("2.5.4.", "unknown attribute \"2.5.4.\" at character 1"),
        ("san:", "unknown type of alternative name \"\" at character 5"),
        ("san:rfc", "unknown type of alternative name \"rfc\" at character 5"),
        ("san:dns:", "the pattern at character 9 cannot be used: the pattern is blank"),
        ("san:email:/(/", "the pattern at character 11 cannot be used: not a regular expression"),
    ] {
        let error: ExtractError = Extract::parse(text).expect_err(text);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

/// OS-12
#[test]
fn every_value_of_an_attribute_is_a_group() {
    let groups = extract("OU").values(&make::certificate("v08_two_ou.pem"));
    assert_eq!(
        groups.map_err(|refusal| refusal.reason()),
        Ok(vec!["Engineering".to_owned(), "Testing".to_owned()])
    );
    let none = extract("OU").values(&subject(&[(CN, "svc")]));
    assert_eq!(none.map_err(|refusal| refusal.reason()), Ok(vec![]));
}

/// T-25: the first, the last and all of them joined are somebody else's choices.
#[test]
fn two_values_are_nobody() {
    assert_eq!(one("CN", &make::certificate("v07_dup_cn.pem")), Err(Reason::AmbiguousIdentity));
    let rdn = vec![make::attribute(CN, UTF8, b"admin"), make::attribute(CN, UTF8, b"admin")];
    let same = Certificate::from_der(&make::with_subject(&make::name(&[rdn]))).expect("readable");
    assert_eq!(one("CN", &same), Err(Reason::AmbiguousIdentity));
}

/// ES-18, T-16: CVE-2025-37731 let `OU="x,CN=admin"` in as `admin`.
#[test]
fn what_looks_like_an_attribute_within_a_value_is_not_one() {
    let mallory = make::certificate("v04_cn_injection.pem");
    assert_eq!(one("CN", &mallory).as_deref(), Ok("mallory"));
    assert_eq!(one("2.5.4.3", &mallory).as_deref(), Ok("mallory"));
    let admins = [("admin", "admin"), ("CN=admin,C=US", "admin"), ("x,CN=admin", "admin")];
    let value = Principal::Value("mallory".to_owned());
    assert_eq!(principal(&by("CN", &admins).with_user_is_value(true), &mallory), Ok(value));
    assert_eq!(principal(&by("CN", &admins), &mallory), Err(Reason::NoMapping));
    let by_subject = by("dn", &[("CN=admin,C=US", "admin"), ("CN=mallory,OU=x\\,CN=admin,C=US", "mallory")]);
    assert_eq!(principal(&by_subject, &mallory), Ok(Principal::User("mallory".to_owned())));
    for pattern in ["/CN=admin.*/", "CN=admin*", "/.*,CN=admin,C=US/", "*,CN=admin,C=US", "CN=admin,C=US"] {
        let skip = Skip::parse(pattern).expect(pattern);
        assert!(!skip.matches(mallory.subject()), "{pattern} matches {}", mallory.subject());
    }
}

/// T-36
#[test]
fn a_control_character_is_nobody() {
    for text in ["CN", "O", "dn", "san:dns"] {
        assert_eq!(one(text, &make::certificate("v16_nul.pem")), Err(Reason::SubjectControlChar), "{text}");
    }
    let names = with_raw_sans(b"\x82\x0badmin\0.evil\x82\x05admin").expect("readable");
    assert_eq!(one("san:dns", &names), Err(Reason::SanControlChar));
    assert_eq!(one("san:dns:admin", &names), Err(Reason::SanControlChar));
}

#[test]
fn a_value_that_is_not_text_is_no_name() {
    for (tag, value) in [(make::TELETEX, &b"\xe9"[..]), (0x04, b"admin"), (UTF8, b"")] {
        let rdn = vec![make::attribute(CN, tag, value)];
        let certificate = Certificate::from_der(&make::with_subject(&make::name(&[rdn]))).expect("readable");
        assert_eq!(one("CN", &certificate), Err(Reason::UnusableName), "{value:02x?}");
    }
}

#[test]
fn a_table_says_whom_a_value_stands_for() {
    let svc = make::certificate("v14_utf8.pem");
    assert_eq!(principal(&by("CN", &[("svc", "app")]), &svc), Ok(Principal::User("app".to_owned())));
    assert_eq!(principal(&by("CN", &[("SVC", "app")]), &svc), Err(Reason::NoMapping));
    assert_eq!(principal(&by("CN", &[]), &svc), Err(Reason::NoMapping));
    let spaced = by("dn", &[("cn = svc, O=\"Acme\"", "app")]);
    assert_eq!(principal(&spaced, &svc), Ok(Principal::User("app".to_owned())));
    assert_eq!(principal(&by("dn", &[]), &svc), Err(Reason::NoMapping));
    let subject = Principal::Subject("CN=svc,O=Acme".to_owned());
    assert_eq!(principal(&by("dn", &[]).with_user_is_value(true), &svc), Ok(subject));
    let errors = Extraction::new(extract("dn"), table(&[("CN=svc", "a"), ("cn=svc", "b"), ("svc", "c")]));
    let errors = errors.map(|_| ()).expect_err("errors");
    assert!(matches!(errors[..], [TableError::Duplicate { .. }, TableError::Line { .. }]), "{errors:?}");
}

#[test]
fn a_derived_name_is_plain_and_never_default() {
    for name in ["a", "svc-1", "svc_1", "a.b:c@d/e-f", &"x".repeat(128)] {
        assert_eq!(derived(name).ok(), Some(name));
    }
    for bad in
        ["", "default", "Default", "a b", "a*", "~*", "+@all", "ü", "a\n", "a,b", "%R~x", &"x".repeat(129)]
    {
        assert_eq!(derived(bad).map_err(|refusal| refusal.reason()), Err(Reason::UnusableName), "{bad:?}");
    }
    let default = subject(&[(CN, "default")]);
    let any = by("CN", &[]).with_user_is_value(true);
    assert_eq!(principal(&any, &default), Err(Reason::UnusableName));
}

/// OS-13
#[test]
fn whom_a_realm_skips_is_told_by_subject_glob_or_regex() {
    let plain = make::certificate("v01_plain.pem");
    for (text, matches, is_pattern) in [
        ("CN=CLIENT1, OU=UNIT, O=ORG, L=ONTARIO, ST=TORONTO, C=CA", true, false),
        ("CN=CLIENT1", false, false),
        ("CN=CLIENT?,OU=UNIT,*", true, true),
        ("CN=CLIENT1,*", true, true),
        ("*,O=ORG", false, true),
        ("/CN=CLIENT[0-9],.*/", true, true),
        ("/CN=CLIENT1/", false, true),
        ("/O=ORG/", false, true),
        ("*", true, true),
    ] {
        let skip = Skip::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((skip.matches(plain.subject()), skip.is_pattern()), (matches, is_pattern), "{text}");
        assert_eq!(skip.to_string(), text);
    }
    let comma = make::certificate("v03_comma_in_o.pem");
    assert!(Skip::parse("*,O=Acme\\2C Inc.,C=US").expect("a glob").matches(comma.subject()));
    assert!(Skip::parse("/CN=[^,]*,O=Acme\\\\2C Inc[.],C=US/").expect("a regex").matches(comma.subject()));
    for bad in ["", "client1", "/(/", "//", "CN=a,", "/C=CA/CN=a"] {
        assert!(Skip::parse(bad).is_err(), "{bad}");
    }
}
