//! From a certificate to a permit or a refusal, and what a map refuses to be
//! built from.

use std::sync::Arc;

use respgate::identity::{
    Certificate, Entry, MapError, Permit, Reason, Refusal, Rule, SanKind, User, UserMap,
};

use crate::make::{self, UTF8};

fn permit(map: &UserMap, der: &[u8]) -> Result<Permit, Refusal> {
    map.permit(&make::evidence(Certificate::from_der(der).expect("a readable certificate")))
}

fn refusal(map: &UserMap, der: &[u8]) -> (Reason, String) {
    let refusal = permit(map, der).expect_err("a refusal");
    (refusal.reason(), refusal.detail().to_owned())
}

const CN: &str = "2.5.4.3";
const O: &str = "2.5.4.10";

/// T-01, T-02, T-03, T-08, T-10 with the reasons that the vectors leave out.
#[test]
fn a_refusal_names_the_nearest_line_and_how_it_differs() {
    let line = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";
    let plain = make::fixture("v01_plain.pem");
    assert_eq!(permit(&make::map(&[("app", line)]), &plain).expect("a permit").user().name, "app");
    for (line, file, reason, why) in [
        (line, "v02_reversed_der.pem", Reason::RdnOrder, "it would match if its order were reversed"),
        (
            "C=CA,ST=TORONTO,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1",
            "v01_plain.pem",
            Reason::RdnOrder,
            "it would match if its order were reversed",
        ),
        (
            "C=CA,ST=Toronto,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1",
            "v01_plain.pem",
            Reason::RdnOrder,
            "it would match if its order were reversed and case and spaces were ignored",
        ),
        (
            "CN=client1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA",
            "v01_plain.pem",
            Reason::CaseOnly,
            "it differs in the case of letters or in spaces only, first in RDN 1: line CN=client1, certificate CN=CLIENT1",
        ),
        ("CN=CLIENT1", "v01_plain.pem", Reason::NoMapping, "RDN 2: line nothing, certificate OU=UNIT"),
        (
            "CN=CLIENT1,OU=Unit,O=Other,L=ONTARIO,ST=TORONTO,C=CA",
            "v01_plain.pem",
            Reason::NoMapping,
            "RDN 2: line OU=Unit, certificate OU=UNIT (case or spaces)",
        ),
        (
            "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA,DC=x",
            "v01_plain.pem",
            Reason::NoMapping,
            "RDN 7: line DC=x, certificate nothing",
        ),
    ] {
        let map = make::map(&[("other", "CN=else"), ("app", line)]);
        let expected = format!("the nearest line is {line:?} of user \"app\": {why}");
        assert_eq!(refusal(&map, &make::fixture(file)), (reason, expected));
    }
}

#[test]
fn a_line_that_ignores_case_is_not_told_about_case() {
    for (text, reason, why) in [
        ("o=ACME,cn=SVC", Reason::RdnOrder, "it would match if its order were reversed"),
        ("CN=SVC,O=Other", Reason::NoMapping, "RDN 2: line O=Other, certificate O=Acme"),
    ] {
        let users = vec![make::user("app", vec![make::line(text).with_ignore_case(true)])];
        let map = UserMap::build(users).expect("a sound map");
        let expected = format!("the nearest line is {text:?} of user \"app\": {why}");
        assert_eq!(refusal(&map, &make::fixture("v14_utf8.pem")), (reason, expected));
    }
}

#[test]
fn a_subject_like_no_line_is_told_as_such() {
    let map = make::map(&[("a", "CN=else,O=ORG")]);
    let expected = (Reason::NoMapping, "no certificate_subject_line begins with CN=CLIENT1".to_owned());
    assert_eq!(refusal(&map, &make::fixture("v01_plain.pem")), expected);
    // However long it is, what is told about it is not.
    let long = make::with_subject(&make::plain_name(&[(CN, &"x".repeat(20_000))]));
    assert_eq!(refusal(&map, &long).1.len(), "no certificate_subject_line begins with ".len() + 203);
}

#[test]
fn where_no_whole_line_is_near_the_nearest_entry_is_named_or_that_there_is_none() {
    let subject = make::plain_name(&[(O, "Acme"), (CN, "admin"), (CN, "svc")]);
    let certificate = make::with_subject(&subject);
    let attributes = [("CN".to_owned(), vec!["svc".to_owned()])];
    let host = Entry::alternative(SanKind::Dns, "svc.example").expect("a host name");
    let near = |rule: &str, text: &str| {
        format!("the nearest is {rule} {text:?} of user \"app\": CN: rule svc, certificate admin and svc")
    };
    for (entry, expected) in [
        (make::line("CN=svc").with_partial(true).into(), near("certificate_subject_line[0]", "CN=svc")),
        (Entry::attributes(&attributes).expect("attributes"), near("attributes[0]", "CN=svc")),
        (host, "no entry of any user matches the certificate".to_owned()),
    ] {
        let user = User { entries: vec![entry], ..make::user("app", Vec::new()) };
        let map = UserMap::build(vec![user]).expect("a sound map");
        assert_eq!(refusal(&map, &certificate), (Reason::NoMapping, expected));
    }
}

#[test]
fn an_empty_map_admits_nobody() {
    let map = UserMap::build(Vec::new()).expect("no users are no error");
    for file in ["v01_plain.pem", "v24_empty_subject.pem"] {
        assert_eq!(refusal(&map, &make::fixture(file)).0, Reason::NoMapping);
    }
}

#[test]
fn a_permit_says_who_by_which_line_and_with_what() {
    let users = vec![
        make::user("first", vec![make::line("CN=x")]),
        make::user("second", vec![make::line("CN=y"), make::line("CN=SVC,O=acme").with_ignore_case(true)]),
    ];
    let map = UserMap::build(users).expect("a sound map");
    let permit = permit(&map, &make::fixture("v14_utf8.pem")).expect("a permit");
    assert_eq!(permit.credential().redis_user, "redis-second");
    assert_eq!(
        (permit.rule(), permit.rule().to_string().as_str()),
        (Rule::SubjectLine(1), "certificate_subject_line[1]")
    );
    assert_eq!(permit.certificate().expect("it was shown").subject().to_string(), "CN=svc,O=Acme");
    assert!(Arc::ptr_eq(permit.user(), &map.users()[1]));
}

/// Valkey takes the first CN (valkey#4577); here every RDN counts.
#[test]
fn two_common_names_are_not_the_one_that_is_mapped() {
    let map = make::map(&[("admin", "CN=admin"), ("acme", "CN=admin,O=Acme")]);
    for subject in [
        &[(CN, "admin"), (CN, "mallory")][..],
        &[(CN, "mallory"), (CN, "admin")],
        &[(CN, "admin"), (CN, "admin")],
        &[(O, "Acme"), (CN, "admin"), (CN, "admin")],
        &[(CN, "mallory"), (O, "Acme"), (CN, "admin")],
    ] {
        let der = make::with_subject(&make::plain_name(subject));
        assert_eq!(refusal(&map, &der).0, Reason::NoMapping, "{subject:?}");
    }
    // Also as one RDN, and twice the same in it.
    for second in ["mallory", "admin"] {
        let rdn = vec![make::attribute(CN, UTF8, b"admin"), make::attribute(CN, UTF8, second.as_bytes())];
        assert_eq!(refusal(&map, &make::with_subject(&make::name(&[rdn]))).0, Reason::NoMapping);
    }
}

#[test]
fn a_control_character_is_refused_before_any_mapping() {
    let map = make::map(&[("admin", "CN=admin"), ("nl", "CN=a\\0Ab")]);
    let bmp: Vec<u8> = "adm\0in".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (tag, value) in [
        (UTF8, &b"\0admin"[..]),
        (UTF8, b"adm\0in"),
        (UTF8, b"admin\0"),
        (UTF8, b"a\nb"),
        (UTF8, b"admin\x7f"),
        (0x1e, &bmp[..]),
        (make::TELETEX, b"admin\0\xe9"),
    ] {
        for rdns in [
            vec![vec![make::attribute(CN, tag, value)]],
            vec![vec![make::attribute(O, tag, value)], vec![make::attribute(CN, UTF8, b"admin")]],
        ] {
            let reason = refusal(&map, &make::with_subject(&make::name(&rdns))).0;
            assert_eq!(reason, Reason::SubjectControlChar, "{value:02x?}");
        }
    }
}

/// T-33
#[test]
fn latin_1_in_a_teletex_string_is_never_guessed() {
    let map = make::map(&[("a", "CN=é,O=Acme"), ("b", "CN=svc,O=Acme")]);
    let rdns = [vec![make::attribute(O, UTF8, b"Acme")], vec![make::attribute(CN, make::TELETEX, b"\xe9")]];
    assert_eq!(refusal(&map, &make::with_subject(&make::name(&rdns))).0, Reason::NoMapping);
    // Who asks for exactly these bytes gets them.
    let map = make::map(&[("c", "CN=#1401E9,O=Acme")]);
    assert_eq!(permit(&map, &make::with_subject(&make::name(&rdns))).expect("a permit").user().name, "c");
}

#[test]
fn an_empty_subject_has_no_mapping() {
    let detail = "the certificate's subject is empty".to_owned();
    assert_eq!(
        refusal(&make::map(&[("a", "CN=svc")]), &make::fixture("v24_empty_subject.pem")),
        (Reason::NoMapping, detail)
    );
}

#[test]
fn an_empty_value_is_not_a_value_of_spaces() {
    let users = vec![make::user("a", vec![make::line("CN=\\ ").with_ignore_case(true)])];
    let map = UserMap::build(users).expect("a sound map");
    let subject = |value| make::with_subject(&make::plain_name(&[(CN, value)]));
    assert!(permit(&map, &subject("   ")).is_ok());
    assert_eq!(refusal(&map, &subject("")).0, Reason::NoMapping);
}

/// T-53
#[test]
fn two_lines_of_one_meaning_are_refused() {
    let users = vec![
        make::user("a", vec![make::line("CN=x"), make::line("CN=svc,O=Acme")]),
        make::user("b", vec![make::line("cn = svc , o=Acme")]),
        make::user("c", vec![make::line("CN=y"), make::line("2.5.4.3=y")]),
    ];
    let errors = UserMap::build(users).expect_err("duplicates");
    let places: Vec<_> = errors.iter().map(|error| (error.user(), error.entry())).collect();
    assert_eq!(places, [(1, Some(0)), (2, Some(1))]);
    assert_eq!(
        errors[0].to_string(),
        "duplicate_subject: \"cn = svc , o=Acme\" means the same subject as \"CN=svc,O=Acme\" of user \"a\": \
         remove one of them"
    );
}

/// T-54, whichever of the two ignores case and whichever comes first.
#[test]
fn lines_that_overlap_once_case_is_ignored_are_refused() {
    let built = |first: bool, second: bool| {
        UserMap::build(vec![
            make::user("a", vec![make::line("CN=svc,O=Acme").with_ignore_case(first)]),
            make::user("b", vec![make::line("CN=SVC,O=Acme").with_ignore_case(second)]),
        ])
    };
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let errors = built(first, second).expect_err("duplicates");
        assert!(
            matches!(errors[..], [MapError::Duplicate { user: 1, other: 0, by_case: true, .. }]),
            "{errors:?}"
        );
    }
    let map = built(false, false).expect("neither ignores case");
    assert_eq!(permit(&map, &make::fixture("v14_utf8.pem")).expect("a permit").user().name, "a");
}

#[test]
fn every_problem_of_the_users_is_told() {
    let users = vec![
        make::user("a", vec![]),
        make::user("a", vec![make::line("CN=x")]),
        make::user("b", vec![make::line("CN=x")]),
        make::user("a", vec![]),
    ];
    let errors = UserMap::build(users).expect_err("problems");
    let expected = [
        (1, None, "the user name \"a\" is taken by an earlier user: choose another"),
        (
            2,
            Some(0),
            "duplicate_subject: \"CN=x\" means the same subject as \"CN=x\" of user \"a\": remove one of them",
        ),
        (3, None, "the user name \"a\" is taken by an earlier user: choose another"),
    ];
    let told: Vec<_> = errors.iter().map(|error| (error.user(), error.entry(), error.to_string())).collect();
    assert_eq!(told, expected.map(|(user, line, text)| (user, line, text.to_owned())));
}
