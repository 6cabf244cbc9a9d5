//! Any bytes as a certificate: what is read is held against users of every kind,
//! and the decision is the one that the trace tells.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use respgate::identity::{
    Certificate, Credential, Entry, Evidence, Extract, Gate, Reason, SanKind, SubjectLine, User, UserMap,
};
use respgate::secret::Secret;

static MAP: LazyLock<UserMap> = LazyLock::new(|| {
    let line = |text: &str| text.parse::<SubjectLine>().expect("a line");
    let san = |kind, text| Entry::alternative(kind, text).expect("a name");
    let ways = [
        Entry::from(line("CN=svc,O=Acme")),
        Entry::from(line("CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA")),
        Entry::from(line("CN=Svc,O=ACME").with_ignore_case(true).with_order(Default::default())),
        Entry::from(line("OU=Users").with_partial(true)),
        san(SanKind::Dns, "app.test"),
        san(SanKind::Uri, "spiffe://prod/a"),
        san(SanKind::Email, "a@b.test"),
        san(SanKind::Ip, "10.0.0.1"),
        Entry::issuer_serial(line("CN=Test CA").name(), "07").expect("hex"),
    ];
    let user = |(at, entry): (usize, Entry)| {
        let credential = Credential::new("u", Secret::new(b"x".to_vec()));
        User { enabled: at % 2 == 0, entries: vec![entry], ..User::new(format!("u{at}"), credential) }
    };
    // The third means the first once case is ignored: one of them is enough.
    let users = ways.into_iter().enumerate().filter(|(at, _)| *at != 0).map(user).collect();
    UserMap::build(users).expect("a sound map")
});

fuzz_target!(|der: &[u8]| {
    let Ok(certificate) = Certificate::from_der(der) else { return };
    let _ = Gate::SanCn(vec!["app.test".to_owned()]).check(&certificate);
    for text in ["CN", "dn", "san:dns", "san:upn", "san:uri:spiffe://*"] {
        let _ = Extract::parse(text).expect("a source").one(&certificate);
    }
    let certificate = Some(Arc::new(certificate));
    let evidence = Evidence::new(certificate, [], Ipv4Addr::LOCALHOST.into(), "default");
    let tried = MAP.trace(&evidence);
    let mut matched = tried.iter().filter(|tried| tried.outcome.is_ok());
    match MAP.permit(&evidence) {
        Ok(permit) => {
            let only = matched.next().expect("a rule that matches");
            assert!(
                only.enabled && only.user == permit.user().name && matched.all(|more| more.user == only.user)
            );
        }
        Err(refusal) => match refusal.reason() {
            Reason::AmbiguousIdentity => assert!(matched.count() > 1),
            Reason::UserDisabled => assert!(matched.all(|tried| !tried.enabled)),
            Reason::NoMapping | Reason::RdnOrder | Reason::CaseOnly | Reason::IssuerScope => {
                assert_eq!(matched.count(), 0);
            }
            _ => {}
        },
    }
});
