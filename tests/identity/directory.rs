//! Who a client is, over realms in every order: what a certificate leads to, what
//! a password adds to it, and what remains of both when things change.

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use respgate::identity::roles::{DatabaseRoles, RoleMap};
use respgate::identity::{
    Admission, Certificate, Chain, Claim, Credential, Directory, Entry, Evidence, Fingerprint, Gate, Method,
    Needs, PasswordHash, Permit, Proof, Realm, RealmKind, Reason, Recognition, Refusal, Rights, Scope, User,
    UserMap, Verify,
};
use respgate::secret::Secret;

use crate::make::{certificate, line};

/// `secret`, hashed by argon2-cffi.
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$0YvBN0Sc/YbmfJzljfOHMRSJX/6JRQ0m/NBs2g2uhzs";
const SHOWN: &str = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";

const CERTIFICATES: RealmKind = RealmKind::Certificate(Recognition::by_entries());
const HASHES: RealmKind = RealmKind::Password(Verify::Argon2id);
const REDIS: RealmKind = RealmKind::Password(Verify::Backend);

fn chain(kinds: &[RealmKind]) -> Chain {
    let realm = |(number, kind): (usize, &RealmKind)| Realm {
        name: format!("realm{number}").into(),
        kind: kind.clone(),
    };
    Chain::new(kinds.iter().enumerate().map(realm).collect())
}

/// A client that has shown this certificate, or none.
fn client(certificate: Option<Certificate>) -> Evidence {
    Evidence::new(certificate.map(Arc::new), [], Ipv4Addr::LOCALHOST.into(), "default")
}

fn shown() -> Evidence {
    client(Some(certificate("v01_plain.pem")))
}

fn nothing() -> Evidence {
    client(None)
}

fn over<'a>(users: &'a UserMap, chain: &'a Chain) -> Directory<'a> {
    within(users, chain, &Gate::Disabled)
}

/// Without roles.
fn within<'a>(users: &'a UserMap, chain: &'a Chain, gate: &'a Gate) -> Directory<'a> {
    static RULES: LazyLock<RoleMap> = LazyLock::new(RoleMap::default);
    static DATABASE: LazyLock<DatabaseRoles> = LazyLock::new(DatabaseRoles::default);
    Directory::new(users, Rights { rules: &RULES, database: &DATABASE }, chain, gate)
}

fn user(name: &str, needs: Needs, subject: Option<&str>, hash: Option<&str>) -> User {
    let credential = Credential::new(format!("redis-{name}"), Secret::new(b"x".to_vec()));
    User {
        needs,
        entries: subject.map(line).map(Entry::from).into_iter().collect(),
        password: hash.map(|hash| Arc::new(PasswordHash::parse(hash).expect("a hash"))),
        ..User::new(name, credential)
    }
}

/// `app` by certificate, `person` and `both` by hash, `redis` by Redis alone.
fn users(app: Needs) -> UserMap {
    let mut redis = user("redis", Needs::Password, None, None);
    redis.credential = None;
    let mut gone = user("gone", Needs::Password, None, Some(HASH));
    gone.enabled = false;
    UserMap::build(vec![
        user("app", app, Some(SHOWN), (app == Needs::Both).then_some(HASH)),
        user("person", Needs::Password, None, Some(HASH)),
        user("both", Needs::Both, Some("CN=both"), Some(HASH)),
        redis,
        gone,
    ])
    .expect("a sound map")
}

fn reason(refusal: &Refusal) -> Reason {
    refusal.reason()
}

/// The claim of a client that is not in yet.
fn claim(directory: Directory<'_>, evidence: Evidence) -> Claim {
    match directory.arrive(&evidence) {
        Admission::Unproven(claim) => claim,
        other => panic!("{other:?}"),
    }
}

/// What becomes of a password, as `io` carries it out; Redis knows `secret`.
fn log_in(
    directory: Directory<'_>,
    claim: &Claim,
    name: Option<&str>,
    password: &str,
) -> Result<Permit, Refusal> {
    let check = directory.check(claim, name.map(str::as_bytes));
    let fits = match check.method() {
        Method::Hash(hash) => hash.fits(password.as_bytes()),
        Method::Backend(_) => password == "secret",
    };
    let proof: Proof =
        if fits { check.succeeded(Secret::new(password.into()))? } else { return Err(check.failed()) };
    directory.prove(claim, Arc::new(proof))
}

/// OS-06, ES-07: the order of the realms decides, and only those listed exist.
#[test]
fn what_a_certificate_leads_to_is_for_the_realms_in_their_order() {
    let (known, unknown) = (users(Needs::Certificate), UserMap::default());
    for (kinds, of_known, of_unknown, of_none) in [
        (&[CERTIFICATES][..], "permit", "no_mapping", "no_client_certificate"),
        (&[CERTIFICATES, HASHES], "permit", "unproven", "unproven"),
        (&[HASHES, CERTIFICATES], "permit", "no_mapping", "unproven"),
        (&[HASHES, CERTIFICATES, REDIS], "permit", "unproven", "unproven"),
        (&[HASHES], "unproven", "unproven", "unproven"),
        (&[], "no_client_certificate", "no_client_certificate", "no_client_certificate"),
    ] {
        let chain = chain(kinds);
        let word = |users: &UserMap, evidence: Evidence| match over(users, &chain).arrive(&evidence) {
            Admission::Permit(_) => "permit",
            Admission::Unproven(_) => "unproven",
            Admission::Refused(refusal) => reason(&refusal).as_str(),
        };
        let found = (word(&known, shown()), word(&unknown, shown()), word(&known, nothing()));
        assert_eq!(found, (of_known, of_unknown, of_none), "{kinds:?}");
    }
}

/// A certificate that is nobody's may be another realm's matter; one that no rule may
/// recognise, and one of a user that may not come in, are nobody's matter.
#[test]
fn a_certificate_that_is_refused_outright_gets_no_second_chance() {
    let chain = chain(&[CERTIFICATES, HASHES]);
    let mut disabled = user("app", Needs::Certificate, Some(SHOWN), None);
    disabled.enabled = false;
    let users = UserMap::build(vec![disabled]).expect("a sound map");
    match over(&users, &chain).arrive(&shown()) {
        Admission::Refused(refusal) => assert_eq!(reason(&refusal), Reason::UserDisabled),
        other => panic!("{other:?}"),
    }
}

/// OS-04, OS-22, RE-11: who can be whom by a password, and the reason where not.
#[test]
fn a_password_makes_the_users_that_need_one_and_no_others() {
    let (users, chain) = (users(Needs::Certificate), chain(&[CERTIFICATES, HASHES, REDIS]));
    let directory = over(&users, &chain);
    let stranger = claim(directory, nothing());
    for (name, password, expected) in [
        (Some("person"), "secret", Ok("redis-person")),
        (Some("redis"), "secret", Ok("redis")),
        (Some("person"), "Secret", Err(Reason::WrongPassword)),
        (Some("redis"), "wrong", Err(Reason::WrongPassword)),
        (Some("app"), "secret", Err(Reason::PasswordNotAccepted)),
        (Some("both"), "secret", Err(Reason::NoClientCertificate)),
        (Some("gone"), "secret", Err(Reason::UserDisabled)),
        (Some("nobody"), "secret", Err(Reason::UnknownUser)),
        (Some("PERSON"), "secret", Err(Reason::UnknownUser)),
        (Some("person\0"), "secret", Err(Reason::UnknownUser)),
        (None, "secret", Err(Reason::UnknownUser)),
    ] {
        let found = log_in(directory, &stranger, name, password);
        let found = found.map(|permit| permit.credential().redis_user.clone());
        assert_eq!(found.as_ref().map(String::as_str).map_err(reason), expected, "{name:?} {password}");
    }
    let permit = log_in(directory, &stranger, Some("person"), "secret").expect("let in");
    assert_eq!((&**permit.realm(), permit.certificate().is_none()), ("realm1", true));
}

/// OS-04: both layers, of one user.
#[test]
fn a_user_of_both_is_let_in_by_both_alone() {
    let (users, chain) = (users(Needs::Both), chain(&[CERTIFICATES, HASHES]));
    let directory = over(&users, &chain);
    let bearer = claim(directory, shown());
    assert_eq!(reason(&bearer.missing()), Reason::NoPassword);
    for name in [Some("app"), None] {
        let permit = log_in(directory, &bearer, name, "secret").expect("let in");
        assert!(permit.certificate().is_some() && permit.user().name == "app");
    }
    let refused =
        |name, password| log_in(directory, &bearer, name, password).map_err(|why| reason(&why)).err();
    assert_eq!(refused(Some("app"), "wrong"), Some(Reason::WrongPassword));
    assert_eq!(refused(Some("person"), "secret"), Some(Reason::AuthDiffers));
    assert_eq!(refused(Some("both"), "secret"), Some(Reason::AuthDiffers));
    let stranger = claim(directory, nothing());
    assert_eq!(
        log_in(directory, &stranger, None, "secret").map_err(|why| reason(&why)).err(),
        Some(Reason::UnknownUser)
    );
    let without = Chain::default();
    match over(&users, &without).arrive(&shown()) {
        Admission::Refused(refusal) => assert_eq!(reason(&refusal), Reason::NoPassword),
        other => panic!("{other:?}"),
    }
}

/// ES-07: a realm that is not listed checks nobody's password.
#[test]
fn a_password_of_a_realm_that_is_not_listed_is_not_looked_at() {
    let users = users(Needs::Certificate);
    for (kinds, name, right) in [(&[HASHES][..], "redis", "person"), (&[REDIS], "person", "redis")] {
        let chain = chain(kinds);
        let directory = over(&users, &chain);
        let stranger = claim(directory, nothing());
        let refused = log_in(directory, &stranger, Some(name), "secret").expect_err("refused");
        assert!(matches!(reason(&refused), Reason::RealmInactive), "{refused}");
        assert!(log_in(directory, &stranger, Some(right), "secret").is_ok());
    }
}

/// What is checked in the place of a password that cannot be right costs as much as
/// one that can, and never fits.
#[test]
fn a_doomed_password_is_held_against_something_as_costly() {
    let (users, chain) = (users(Needs::Certificate), chain(&[HASHES]));
    let directory = over(&users, &chain);
    let stranger = claim(directory, nothing());
    for name in ["nobody", "app"] {
        let check = directory.check(&stranger, Some(name.as_bytes()));
        assert!(check.is_doomed());
        let Method::Hash(hash) = check.method() else { panic!("{check:?}") };
        assert!(!hash.fits(b"secret") && !hash.fits(b""));
        assert!(check.succeeded(Secret::new(b"secret".to_vec())).is_err(), "whatever it fits");
    }
}

#[test]
fn a_session_holds_as_long_as_what_let_it_in() {
    let (before, kinds) = (users(Needs::Both), chain(&[CERTIFICATES, HASHES, REDIS]));
    let directory = over(&before, &kinds);
    let stranger = claim(directory, nothing());
    let person = log_in(directory, &stranger, Some("person"), "secret").expect("let in");
    let redis = log_in(directory, &stranger, Some("redis"), "secret").expect("let in");
    let app = log_in(directory, &claim(directory, shown()), None, "secret").expect("let in");
    for permit in [&person, &redis, &app] {
        let again = directory.again(permit).expect("still");
        assert_eq!(again.credential(), permit.credential());
    }
    let again = |users: &UserMap, kinds: &[RealmKind], permit| {
        let chain = chain(kinds);
        over(users, &chain).again(permit).map_err(|why| reason(&why)).err()
    };
    // Another password, another way in, another realm, nobody left.
    let other =
        UserMap::build(vec![user("person", Needs::Password, None, Some(&HASH.replace("0Yv", "1Yv")))]);
    assert_eq!(again(&other.expect("sound"), &[HASHES], &person), Some(Reason::WrongPassword));
    let certificates_only = users(Needs::Certificate);
    assert_eq!(again(&certificates_only, &[CERTIFICATES, HASHES], &app), Some(Reason::PasswordNotAccepted));
    assert_eq!(again(&before, &[HASHES], &app), Some(Reason::NoMapping));
    assert_eq!(again(&before, &[CERTIFICATES, HASHES], &redis), Some(Reason::RealmInactive));
    assert_eq!(again(&before, &[CERTIFICATES], &person), Some(Reason::RealmInactive));
    assert_eq!(again(&UserMap::default(), &[HASHES], &person), Some(Reason::UnknownUser));
    // A certificate that was enough is not any more.
    let chain = chain(&[CERTIFICATES, HASHES]);
    let directory = over(&certificates_only, &chain);
    let Admission::Permit(by_certificate) = directory.arrive(&shown()) else { panic!("let in") };
    assert_eq!(again(&before, &[CERTIFICATES, HASHES], &by_certificate), Some(Reason::NoPassword));
}

fn gate(common_name: &str) -> Gate {
    Gate::SanCn(vec![common_name.to_owned()])
}

/// RE-04: what the gate does not take comes in by no realm, and goes when the gate
/// is closed behind it; a client without a certificate has nothing for it to look at.
#[test]
fn the_gate_is_asked_before_every_realm_and_again() {
    let (users, kinds) = (users(Needs::Certificate), chain(&[CERTIFICATES, HASHES]));
    let (fits, other) = (gate("CLIENT1"), gate("CLIENT2"));
    let [opened, closed] = [&fits, &other].map(|gate| within(&users, &kinds, gate));
    let Admission::Permit(permit) = opened.arrive(&shown()) else { panic!("let in") };
    assert_eq!(opened.again(&permit).map(|permit| permit.user().name.clone()).as_deref(), Ok("app"));
    assert_eq!(closed.again(&permit).map_err(|why| reason(&why)).err(), Some(Reason::GateCn));
    let passwords = chain(&[HASHES]);
    for directory in [closed, within(&users, &passwords, &other)] {
        match directory.arrive(&shown()) {
            Admission::Refused(refusal) => assert_eq!(reason(&refusal), Reason::GateCn),
            admission => panic!("{admission:?}"),
        }
    }
    let person = log_in(closed, &claim(closed, nothing()), Some("person"), "secret").expect("let in");
    assert!(closed.again(&person).is_ok());
}

/// A reload between the handshake and the password counts, whatever the password needs.
#[test]
fn a_gate_that_was_closed_since_lets_no_password_in() {
    let users = users(Needs::Both);
    let (kinds, other) = (chain(&[CERTIFICATES, HASHES]), gate("CLIENT2"));
    let opened = over(&users, &kinds);
    let bearer = claim(opened, shown());
    let closed = within(&users, &kinds, &other);
    let refused = log_in(closed, &bearer, Some("app"), "secret").expect_err("refused");
    assert_eq!(reason(&refused), Reason::GateCn);
    let permit = log_in(opened, &bearer, Some("app"), "secret").expect("let in");
    assert_eq!(closed.again(&permit).map_err(|why| reason(&why)).err(), Some(Reason::GateCn));
}

/// The CA above a certificate is asked again, beside the certificate itself, and one
/// that is right but for its CA is not left to the passwords.
#[test]
fn the_scope_of_a_user_is_decided_again_from_the_evidence() {
    let (ours, theirs) = (Fingerprint::of(b"ours"), Fingerprint::of(b"theirs"));
    let under = |issuer: Fingerprint| {
        let shown = Arc::new(certificate("v01_plain.pem"));
        Evidence::new(Some(shown), [issuer], Ipv4Addr::LOCALHOST.into(), "default")
    };
    let bound = |issuer: Fingerprint| {
        let scope = Some(Scope::new(vec![issuer]));
        let app = User { scope, ..user("app", Needs::Certificate, Some(SHOWN), None) };
        UserMap::build(vec![app]).expect("a sound map")
    };
    let (before, after, kinds) = (bound(ours), bound(theirs), chain(&[CERTIFICATES, HASHES]));
    let Admission::Permit(permit) = over(&before, &kinds).arrive(&under(ours)) else { panic!("let in") };
    assert_eq!(permit.evidence(), &under(ours));
    assert!(over(&before, &kinds).again(&permit).is_ok());
    let again = over(&after, &kinds).again(&permit);
    assert_eq!(again.map_err(|why| reason(&why)).err(), Some(Reason::IssuerScope));
    match over(&before, &kinds).arrive(&under(theirs)) {
        Admission::Refused(refusal) => assert_eq!(reason(&refusal), Reason::IssuerScope),
        admission => panic!("{admission:?}"),
    }
}

/// Who came in by a password alone is held to nothing else that it has shown.
#[test]
fn the_evidence_of_a_password_is_where_the_client_comes_from() {
    let (users, kinds) = (users(Needs::Certificate), chain(&[HASHES]));
    let directory = over(&users, &kinds);
    let permit = log_in(directory, &claim(directory, shown()), Some("person"), "secret").expect("let in");
    assert_eq!(permit.evidence(), &nothing());
}
