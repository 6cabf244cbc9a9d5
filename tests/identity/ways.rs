//! The ways to be recognised beside the whole subject, and under which CA.

use respgate::identity::{
    Certificate, Difference, Entry, MapError, Mismatch, Order, Reason, Rule, SanKind, Scope, SubjectLine,
    Tried, User, UserMap,
};

use crate::craft::{attributes, ca, dns, made, map, permit, reason, san, under, user, with_sans};
use crate::make::{self, UTF8};

#[test]
fn a_certificate_or_key_is_recognised_by_its_sha_256() {
    let (one, other) = (made(|_| ()), made(|_| ()));
    let by_certificate =
        map(vec![user("app", vec![Entry::certificate(&one.fingerprint().to_string()).expect("hex")])]);
    let by_key = map(vec![user("app", vec![Entry::key(&one.key().to_string()).expect("hex")])]);
    for (map, rule) in [(&by_certificate, Rule::CertificateSha256(0)), (&by_key, Rule::SpkiSha256(0))] {
        assert_eq!(permit(map, &one).expect("a permit").rule(), rule);
        assert_eq!(reason(map, &other), Some(Reason::NoMapping));
    }
    // A certificate's fingerprint is not its key's.
    let swapped = map(vec![user("app", vec![Entry::key(&one.fingerprint().to_string()).expect("hex")])]);
    assert_eq!(reason(&swapped, &one), Some(Reason::NoMapping));
    // The expected value is what openssl pkey -pubin -outform der | sha256sum prints for the file.
    assert_eq!(make::certificate("v03_comma_in_o.pem").key().to_string(), OPENSSL_V03_KEY);
}

const OPENSSL_V03_KEY: &str = "bfb256529ba87f331eb22cea654b79e9f0cb796403a2c472215a07c05f4234b8";

#[test]
fn issuer_and_serial_number_are_compared_as_a_name_and_a_number() {
    let certificate = make::certificate("v03_comma_in_o.pem");
    let entry = |issuer: &str, serial: &str| Entry::issuer_serial(make::line(issuer).name(), serial);
    for (issuer, serial, matches) in [
        ("CN=Test CA", "07", true),
        ("cn = Test CA", "00:07", true),
        ("CN=Test CA", "08", false),
        ("CN=test CA", "07", false),
        ("CN=Test CA,O=Acme", "07", false),
    ] {
        let map = map(vec![user("app", vec![entry(issuer, serial).expect("hex")])]);
        assert_eq!(permit(&map, &certificate).is_ok(), matches, "{issuer} {serial}");
    }
    for bad in ["", "7", "0x07", "07:", "zz", &"01".repeat(21)] {
        assert!(entry("CN=Test CA", bad).is_err(), "{bad}");
    }
}

/// T-31: no mode forgets how often a value is there (NATS CVE-2026-33248).
#[test]
fn a_value_counts_as_often_as_it_is_there() {
    let subject = |rdns: &[(&str, &str)]| {
        Certificate::from_der(&make::with_subject(&make::plain_name(rdns))).expect("readable")
    };
    let (cn, o, ou) = ("2.5.4.3", "2.5.4.10", "2.5.4.11");
    let alice = subject(&[(o, "NATS"), (ou, "Users"), (cn, "Alice")]);
    let twice = subject(&[(o, "NATS"), (cn, "Alice"), (ou, "Users"), (cn, "Alice")]);
    let line = || make::line("CN=Alice,CN=Alice,O=NATS");
    for line in [line(), line().with_partial(true), line().with_order(Order::Certificate)] {
        for ignore_case in [false, true] {
            let line = line.clone().with_ignore_case(ignore_case);
            assert!(!line.matches(alice.subject()), "{line:?}");
            assert_eq!(line.matches(twice.subject()), line.is_partial(), "{line:?}");
        }
    }
    let written = attributes(&[("CN", &["Alice", "Alice"]), ("O", &["NATS"])]);
    let map = map(vec![user("a", vec![Entry::attributes(&written).expect("attributes")])]);
    assert_eq!(reason(&map, &alice), Some(Reason::NoMapping));
    assert_eq!(reason(&map, &twice), None);
    assert!(!make::line("CN=Alice").with_partial(true).matches(twice.subject()));
}

#[test]
fn a_partial_line_asks_for_all_values_of_its_types_and_for_no_others() {
    let certificate = make::certificate("v08_two_ou.pem");
    for (text, matches) in [
        ("CN=svc", true),
        ("O=Acme,CN=svc", true),
        ("OU=Engineering,OU=Testing", true),
        ("OU=Testing+CN=svc,OU=Engineering", true),
        ("OU=Engineering", false),
        ("OU=Engineering,OU=Engineering", false),
        ("OU=Engineering,OU=Testing,OU=Other", false),
        ("CN=svc,L=x", false),
        ("CN=SVC", false),
    ] {
        let line = make::line(text).with_partial(true);
        assert_eq!(line.matches(certificate.subject()), matches, "{text}");
        let map = map(vec![user("a", vec![line.into()])]);
        assert_eq!(permit(&map, &certificate).is_ok(), matches, "{text}");
    }
    let folded = make::line("CN=SVC").with_ignore_case(true).with_partial(true);
    assert!(permit(&map(vec![user("a", vec![folded.into()])]), &certificate).is_ok());
    let missing = make::line("OU=Engineering").with_partial(true).compare(certificate.subject());
    assert_eq!(
        missing.map_err(|mismatch| mismatch.to_string()),
        Err("OU: rule Engineering, certificate Engineering and Testing".to_owned())
    );
}

#[test]
fn a_line_in_the_certificates_order_is_read_from_its_other_end() {
    let pasted = "C = CA, ST = TORONTO, L = ONTARIO, O = ORG, OU = UNIT, CN = CLIENT1";
    let line = make::line(pasted).with_order(Order::Certificate);
    let certificate = make::certificate("v01_plain.pem");
    assert!(line.matches(certificate.subject()));
    assert!(!line.matches(make::certificate("v02_reversed_der.pem").subject()));
    assert_eq!(line.to_string(), pasted);
    let map = map(vec![user("a", vec![line.into()])]);
    assert_eq!((reason(&map, &certificate), map.lints()), (None, vec![]));
    let other = make::line("C=CA,ST=Toronto,O=ORG").with_order(Order::Certificate);
    let expected = "RDN 2: line ST=Toronto, certificate ST=TORONTO (case or spaces)".to_owned();
    assert_eq!(other.compare(certificate.subject()).map_err(|mismatch| mismatch.to_string()), Err(expected));
}

#[test]
fn a_structured_subject_is_the_line_that_its_order_makes() {
    let order = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let written = attributes(&[("CN", &["a,b"]), ("O", &["Acme"]), ("OU", &["x", "y"])]);
    let structured = |names: &[&str]| SubjectLine::structured(&written, Some(&order(names)));
    assert_eq!(
        structured(&["CN", "OU", "O"]).expect("a line").name(),
        make::line("CN=a\\,b,OU=x,OU=y,O=Acme").name()
    );
    assert_eq!(
        structured(&["CN", "OU", "o", "ou"]).expect("a line").to_string(),
        "CN=a\\,b,OU=x,O=Acme,OU=y"
    );
    let one = SubjectLine::structured(&attributes(&[("CN", &["a"])]), None).expect("a line");
    assert_eq!(one.name(), make::line("CN=a").name());
    let error = |written: &[(&str, &[&str])], names: Option<&[&str]>| {
        let order = names.map(order);
        SubjectLine::structured(&attributes(written), order.as_deref()).map_err(|error| error.to_string())
    };
    for (written, names, expected) in [
        (&[][..], None, "the subject has no attributes"),
        (&[("XX", &["a"][..])], None, "unknown attribute type \"XX\""),
        (&[("CN", &["a"]), ("2.5.4.3", &["b"])], None, "\"2.5.4.3\" is there under another of its names too"),
        (&[("CN", &[])], None, "CN has no value"),
        (&[("CN", &[""])], None, "CN has the value \"\""),
        (&[("CN", &["a\0"])], None, "CN has the value \"a\\0\""),
        (&[("CN", &["a"]), ("O", &["b"])], None, "order is missing"),
        (&[("CN", &["a"]), ("O", &["b"])], Some(&["CN"][..]), "order has O 0 times, expected once"),
        (
            &[("CN", &["a"])],
            Some(&["CN", "CN"]),
            "order has CN 2 times, expected once, or as often as it has values, which is 1",
        ),
        (&[("CN", &["a"])], Some(&["CN", "O"]), "order has O 1 times"),
        (&[("CN", &["a", "b", "c"])], Some(&["CN", "CN"]), "order has CN 2 times"),
    ] {
        let error = error(written, names).expect_err(expected);
        assert!(error.starts_with(expected), "{error}");
    }
}

/// T-55: the CA is told by its key; one of the same name is another.
#[test]
fn a_user_bound_to_a_ca_is_not_found_under_another() {
    let line = || vec![Entry::from(make::line("CN=svc,O=Acme"))];
    let bound_user = User { scope: Some(Scope::new([ca(1)])), ..user("app", line()) };
    let bound_entry = user("app", vec![line()[0].clone().within(Scope::new([ca(1), ca(3)]))]);
    let certificate = make::certificate("v14_utf8.pem");
    for user in [bound_user, bound_entry] {
        let map = map(vec![user]);
        assert_eq!(map.permit(&under(&certificate, &[ca(9), ca(1)])).expect("a permit").user().name, "app");
        for issuers in [&[ca(2)][..], &[]] {
            let refusal = map.permit(&under(&certificate, issuers)).expect_err("a refusal");
            assert_eq!(refusal.reason(), Reason::IssuerScope);
        }
    }
    let nobody = map(vec![User { scope: Some(Scope::new([])), ..user("app", line()) }]);
    let refusal = nobody.permit(&under(&certificate, &[ca(1)])).expect_err("a refusal");
    assert_eq!(refusal.reason(), Reason::IssuerScope);
}

/// T-56
#[test]
fn a_user_bound_to_no_ca_is_found_under_each_and_remarked_upon() {
    let print = made(|_| ()).fingerprint().to_string();
    let map = map(vec![
        user("app", vec![Entry::from(make::line("CN=svc,O=Acme")), san(SanKind::Dns, "a.test")]),
        user("bound", vec![san(SanKind::Dns, "b.test").within(Scope::new([ca(1)]))]),
        User { scope: Some(Scope::new([ca(1)])), ..make::user("scoped", vec![make::line("CN=x")]) },
        user("pinned", vec![Entry::certificate(&print).expect("hex")]),
    ]);
    let certificate = make::certificate("v14_utf8.pem");
    for issuers in [&[ca(1)][..], &[ca(2)], &[]] {
        assert!(map.permit(&under(&certificate, issuers)).is_ok());
    }
    let unbound: Vec<_> =
        map.unbound().iter().map(|lint| (lint.user, lint.entry, lint.advice.as_str())).collect();
    assert_eq!(unbound, [(0, 0, "subject_not_issuer_bound")]);
}

#[test]
fn one_subject_under_two_cas_may_be_two_users_but_not_under_both_at_once() {
    let of = |name: &str, scope: Option<&[u8]>| User {
        scope: scope.map(|numbers| Scope::new(numbers.iter().map(|&number| ca(number)))),
        ..make::user(name, vec![make::line("CN=svc,O=Acme")])
    };
    let certificate = make::certificate("v14_utf8.pem");
    let map = map(vec![of("a", Some(&[1])), of("b", Some(&[2]))]);
    for (issuers, name) in [(&[ca(1)][..], "a"), (&[ca(2), ca(3)], "b")] {
        assert_eq!(map.permit(&under(&certificate, issuers)).expect("a permit").user().name, name);
    }
    let both = map.permit(&under(&certificate, &[ca(1), ca(2)])).expect_err("a refusal");
    assert_eq!(both.reason(), Reason::AmbiguousIdentity);
    for (one, other) in [(None, None), (None, Some(&[1][..])), (Some(&[1, 2][..]), Some(&[2, 3][..]))] {
        let errors = UserMap::build(vec![of("a", one), of("b", other)]).expect_err("a duplicate");
        assert!(matches!(errors[..], [MapError::Duplicate { user: 1, other: 0, is_subject: true, .. }]));
    }
}

#[test]
fn a_certificate_that_is_two_users_is_nobody() {
    let certificate = with_sans(&[dns("app.test")]);
    let line = || Entry::from(make::line("CN=svc,O=Acme"));
    let two = map(vec![user("a", vec![line()]), user("b", vec![san(SanKind::Dns, "app.test")])]);
    let refusal = permit(&two, &certificate).expect_err("a refusal");
    assert_eq!(
        (refusal.reason(), refusal.detail()),
        (
            Reason::AmbiguousIdentity,
            "the certificate is certificate_subject_line[0] \"CN=svc,O=Acme\" of user \"a\" and \
             san_dns[0] \"app.test\" of user \"b\": change one of them"
        )
    );
    // One user by two rules is one user, and the first rule is the one that is told.
    let one = map(vec![user("a", vec![san(SanKind::Dns, "app.test"), line()])]);
    assert_eq!(permit(&one, &certificate).expect("a permit").rule(), Rule::San(SanKind::Dns, 0));
    // A user that is not enabled still takes part.
    let disabled = User { enabled: false, ..user("b", vec![san(SanKind::Dns, "app.test")]) };
    let two = map(vec![user("a", vec![line()]), disabled.clone()]);
    assert_eq!(reason(&two, &certificate), Some(Reason::AmbiguousIdentity));
    assert_eq!(reason(&map(vec![disabled]), &certificate), Some(Reason::UserDisabled));
}

#[test]
fn entries_of_one_meaning_are_refused_whatever_their_kind() {
    let print = made(|_| ()).key().to_string();
    let attribute = |name: &str| Entry::attributes(&attributes(&[(name, &["a"])])).expect("attributes");
    for (one, other) in [
        (san(SanKind::Dns, "A.test"), san(SanKind::Dns, "a.test")),
        (san(SanKind::Ip, "::1"), san(SanKind::Ip, "0:0::1")),
        (Entry::key(&print).expect("hex"), Entry::key(&print.to_uppercase()).expect("hex")),
        (attribute("CN"), attribute("2.5.4.3")),
        (attribute("CN"), make::line("CN=a").with_partial(true).into()),
    ] {
        let errors =
            UserMap::build(vec![user("a", vec![one]), user("b", vec![other])]).expect_err("a duplicate");
        assert!(
            matches!(errors[..], [MapError::Duplicate { user: 1, entry: 0, other: 0, .. }]),
            "{errors:?}"
        );
    }
}

#[test]
fn partial_entries_that_overlap_are_remarked_upon_and_refused_when_they_do() {
    let partial = |text: &str| Entry::from(make::line(text).with_partial(true));
    let overlapping = |one: Entry, other: Entry| {
        let map = map(vec![user("a", vec![one]), user("b", vec![other])]);
        map.lints().iter().any(|lint| lint.advice.as_str() == "overlapping_patterns")
    };
    let line = |text: &str| Entry::from(make::line(text));
    assert!(overlapping(partial("CN=svc"), line("CN=svc,O=Acme")));
    assert!(overlapping(partial("CN=svc"), partial("O=Acme")));
    assert!(overlapping(partial("CN=svc,O=Acme"), partial("O=Acme,L=x")));
    assert!(!overlapping(partial("CN=svc"), line("CN=other,O=Acme")));
    assert!(!overlapping(partial("CN=svc,O=Acme"), partial("O=Other,L=x")));
    assert!(!overlapping(
        partial("CN=svc").within(Scope::new([ca(1)])),
        partial("O=Acme").within(Scope::new([ca(2)]))
    ));
    let map = map(vec![user("a", vec![partial("CN=svc")]), user("b", vec![partial("O=Acme")])]);
    assert_eq!(reason(&map, &make::certificate("v14_utf8.pem")), Some(Reason::AmbiguousIdentity));
}

#[test]
fn a_trace_holds_every_rule_against_the_certificate_in_file_order() {
    let map = map(vec![
        user(
            "a",
            vec![
                make::line("CN=CLIENT1,OU=Unit,O=ORG,L=ONTARIO,ST=TORONTO,C=CA").into(),
                make::line("C=CA,ST=TORONTO,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1").into(),
                san(SanKind::Dns, "a.test"),
            ],
        ),
        User {
            enabled: false,
            ..user(
                "b",
                vec![
                    Entry::from(make::line("CN=CLIENT1").with_partial(true)).within(Scope::new([ca(1)])),
                    Entry::from(make::line("C=CA").with_partial(true)),
                ],
            )
        },
    ]);
    let tried = map.trace(&under(&make::certificate("v01_plain.pem"), &[ca(2)]));
    let told = |Tried { user, enabled, rule, outcome, .. }: &Tried| {
        let why = outcome.as_ref().err().map(|difference| difference.to_string());
        (user.clone(), *enabled, rule.to_string(), why)
    };
    let scope = format!("it would match if it were issued under the CA with the SHA-256 {}", ca(1));
    let expected = [
        (
            "a",
            true,
            "certificate_subject_line[0]",
            Some("it differs in the case of letters or in spaces only, first in RDN 2: line OU=Unit, certificate OU=UNIT".to_owned()),
        ),
        (
            "a",
            true,
            "certificate_subject_line[1]",
            Some("it would match if its order were reversed".to_owned()),
        ),
        ("a", true, "san_dns[0]", Some("the certificate has no alternative name of type dns".to_owned())),
        ("b", false, "certificate_subject_line[0]", Some(scope)),
        ("b", false, "certificate_subject_line[1]", None),
    ];
    let expected =
        expected.map(|(user, enabled, rule, why)| (user.to_owned(), enabled, rule.to_owned(), why));
    assert_eq!(tried.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(matches!(tried[1].outcome, Err(Difference::Subject(Mismatch::Order))));
}

/// The attribute by which a partial entry is found is one of several that a certificate has.
#[test]
fn a_partial_entry_is_found_whichever_attribute_leads_it() {
    let rdn = vec![
        make::attribute("2.5.4.3", UTF8, b"alice"),
        make::attribute("0.9.2342.19200300.100.1.1", UTF8, b"1001"),
    ];
    let der = make::with_subject(&make::name(&[vec![make::attribute("2.5.4.10", UTF8, b"Acme")], rdn]));
    let certificate = Certificate::from_der(&der).expect("readable");
    for text in ["CN=alice", "UID=1001", "O=Acme", "O=Acme,CN=alice", "CN=alice+UID=1001"] {
        for ignore_case in [false, true] {
            let line = make::line(text).with_ignore_case(ignore_case).with_partial(true);
            assert_eq!(reason(&map(vec![user("a", vec![line.into()])]), &certificate), None, "{text}");
        }
    }
}
