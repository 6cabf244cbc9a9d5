//! What holds of matching, whatever the users and the certificate: it does not
//! depend on how a name is printed, and what is found is what compares equal.

use proptest::prelude::*;
use respgate::identity::{
    Certificate, Entry, Order, Reason, SanKind, Scope, Skip, SubjectLine, User, UserMap,
};

use crate::craft::{ca, dns, made, under, uri};
use crate::make;

const TYPES: [(&str, &str); 3] = [("CN", "2.5.4.3"), ("O", "2.5.4.10"), ("OU", "2.5.4.11")];

/// Few values, so that what is alike and what is equal both come up.
const VALUES: [&str; 6] = ["a", "A", "a b", "a,CN=a", "b+O=a", "Ł"];

type Rdns = Vec<Vec<(usize, usize)>>;

/// A name by indexes: RDNs from the most general on, of one or two types.
fn rdns() -> impl Strategy<Value = Rdns> {
    let rdn = (prop::sample::subsequence(vec![0, 1, 2], 1..=2), prop::collection::vec(0..VALUES.len(), 2))
        .prop_map(|(types, values)| types.into_iter().zip(values).collect::<Vec<_>>());
    prop::collection::vec(rdn, 1..4)
}

fn certificate(rdns: &Rdns) -> Certificate {
    let attribute = |&(kind, value): &(usize, usize)| {
        make::attribute(TYPES[kind].1, make::UTF8, VALUES[value].as_bytes())
    };
    let rdns: Vec<Vec<_>> = rdns.iter().map(|rdn| rdn.iter().map(attribute).collect()).collect();
    Certificate::from_der(&make::with_subject(&make::name(&rdns))).expect("readable")
}

/// One of the ways to write a value: plain, in quotes, all in hex pairs, or as DER.
fn written(value: &str, style: usize) -> String {
    let hex = |bytes: &[u8], before: &str| {
        bytes.iter().map(|byte| format!("{before}{byte:02X}")).collect::<String>()
    };
    match style % 4 {
        0 => value.chars().map(|c| if ",+".contains(c) { format!("\\{c}") } else { c.to_string() }).collect(),
        1 => format!("\"{value}\""),
        2 => hex(value.as_bytes(), "\\"),
        _ => format!("#{}", hex(&make::tlv(make::UTF8, value.as_bytes()), "")),
    }
}

/// The same name in one of many spellings.
fn spelled(rdns: &Rdns, styles: &[usize]) -> String {
    let mut styles = styles.iter().cycle().copied();
    let mut next = || styles.next().unwrap_or_default();
    let rdn = |rdn: &Vec<(usize, usize)>| {
        let mut attributes: Vec<String> = rdn
            .iter()
            .map(|&(kind, value)| {
                let style = next();
                let name = match style % 3 {
                    0 => TYPES[kind].0.to_lowercase(),
                    1 => TYPES[kind].1.to_owned(),
                    _ => format!("OID.{}", TYPES[kind].1),
                };
                let space = " ".repeat(style % 2);
                format!("{space}{name}{space}={space}{}{space}", written(VALUES[value], style / 3))
            })
            .collect();
        if next() % 2 == 0 {
            attributes.reverse();
        }
        attributes.join("+")
    };
    rdns.iter().rev().map(rdn).collect::<Vec<_>>().join(",")
}

/// A line of any kind for a name.
fn line(rdns: &Rdns, styles: &[usize], kind: usize) -> SubjectLine {
    let line: SubjectLine = make::line(&spelled(rdns, styles));
    let line = if kind & 4 == 0 { line } else { line.with_order(Order::Certificate) };
    line.with_ignore_case(kind & 1 != 0).with_partial(kind & 2 != 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matching_does_not_depend_on_how_a_name_is_printed(
        name in rdns(),
        shown in rdns(),
        styles in prop::collection::vec(0..24_usize, 1..8),
        kind in 0..8_usize,
    ) {
        let plain = line(&name, &[0], kind);
        let other = line(&name, &styles, kind);
        prop_assert_eq!(plain.name(), other.name());
        let shown = certificate(&shown);
        prop_assert_eq!(plain.matches(shown.subject()), other.matches(shown.subject()));
        prop_assert_eq!(plain.compare(shown.subject()), other.compare(shown.subject()));
        // In the order of RFC 4514 a certificate is found by every spelling of its own name.
        if kind & 4 == 0 {
            prop_assert!(other.matches(certificate(&name).subject()));
        }
    }

    /// The decision asks an index, the trace asks every rule: they say the same.
    #[test]
    fn what_is_found_is_what_compares_equal(
        users in prop::collection::vec((rdns(), 0..8_usize, 0..3_u8, any::<bool>()), 1..6),
        shown in rdns(),
        issuer in 1..3_u8,
    ) {
        let user = |(at, (name, kind, scope, enabled)): (usize, &(Rdns, usize, u8, bool))| User {
            enabled: *enabled,
            entries: vec![Entry::from(line(name, &[at], *kind))],
            scope: (*scope > 0).then(|| Scope::new([ca(*scope)])),
            ..make::user(&format!("u{at}"), vec![])
        };
        let built: Vec<User> = users.iter().enumerate().map(user).collect();
        let Ok(map) = UserMap::build(built) else { return Ok(()) };
        let evidence = under(&certificate(&shown), &[ca(issuer)]);
        let matched: Vec<_> = map.trace(&evidence).into_iter().filter(|tried| tried.outcome.is_ok()).collect();
        let decided = map.permit(&evidence).map(|permit| permit.user().name.clone());
        match (&matched[..], decided.map_err(|refusal| refusal.reason())) {
            ([only], Ok(name)) => prop_assert_eq!((&only.user, only.enabled), (&name, true)),
            ([only], Err(Reason::UserDisabled)) => prop_assert!(!only.enabled),
            ([], Err(Reason::NoMapping | Reason::RdnOrder | Reason::CaseOnly | Reason::IssuerScope)) => {}
            ([_, _, ..], Err(Reason::AmbiguousIdentity)) => {}
            (matched, decided) => prop_assert!(false, "{matched:?} and yet {decided:?}"),
        }
    }

    /// What a pattern sees of a subject has a comma between two RDNs and nowhere else.
    #[test]
    fn a_pattern_sees_no_commas_within_values(name in rdns()) {
        let subject = certificate(&name);
        let commas = name.len() - 1;
        let exactly = format!("/[^,]*(,[^,]*){{{commas}}}/");
        prop_assert!(Skip::parse(&exactly).expect("a regex").matches(subject.subject()), "{}", subject.subject());
    }

    #[test]
    fn no_text_can_harm_what_reads_alternative_names(text in any::<String>()) {
        for kind in [SanKind::Dns, SanKind::Uri, SanKind::Email, SanKind::Ip, SanKind::Other] {
            let _ = Entry::alternative(kind, &text);
        }
        let _ = (Entry::certificate(&text), Skip::parse(&text), respgate::identity::Extract::parse(&text));
    }
}

/// An index of many users finds each of them, and nobody else.
#[test]
fn each_of_many_users_is_found_by_its_own_name() {
    let user = |at: usize| User {
        entries: vec![
            Entry::alternative(SanKind::Dns, &format!("app{at}.test")).expect("a host name"),
            Entry::alternative(SanKind::Uri, &format!("spiffe://prod/app{at}")).expect("a SPIFFE ID"),
        ],
        ..make::user(&format!("u{at}"), vec![make::line(&format!("CN=app{at}"))])
    };
    let map = UserMap::build((0..2_000).map(user).collect()).expect("a sound map");
    for at in [0, 7, 1_999] {
        for san in [dns(&format!("app{at}.test")), uri(&format!("spiffe://prod/app{at}"))] {
            let certificate = made(|params| params.subject_alt_names = vec![san]);
            assert_eq!(
                map.permit(&under(&certificate, &[])).expect("a permit").user().name,
                format!("u{at}")
            );
        }
    }
    let two = made(|params| params.subject_alt_names = vec![dns("app7.test"), dns("app8.test")]);
    let refusal = map.permit(&under(&two, &[])).expect_err("a refusal");
    assert_eq!(refusal.reason(), Reason::AmbiguousIdentity);
}
