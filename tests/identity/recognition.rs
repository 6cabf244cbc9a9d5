//! What a realm takes of a certificate, and what becomes of that over time: users by
//! value, users that are values, and the roles that each leads to.

use std::net::Ipv4Addr;
use std::sync::Arc;

use respgate::identity::roles::{Condition, DatabaseRoles, RoleMap, RoleRule};
use respgate::identity::{
    Admission, Certificate, Chain, Credential, Directory, Evidence, Extract, Extraction, Fingerprint, Gate,
    Needs, PasswordHash, Permit, Realm, RealmKind, Reason, Recognition, Refusal, Rights, Rule, Scope, User,
    UserMap, Verify,
};
use respgate::secret::Secret;

use crate::make::certificate;

/// `secret`, hashed by argon2-cffi.
const HASH: &str = "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$0YvBN0Sc/YbmfJzljfOHMRSJX/6JRQ0m/NBs2g2uhzs";

fn credential(redis_user: &str) -> Credential {
    Credential::new(redis_user, Secret::new(b"x".to_vec()))
}

/// The role `reader` for the user of this name, and the Redis user of the role.
fn roles(name: &str, redis_user: &str) -> (RoleMap, DatabaseRoles) {
    let rule = RoleRule {
        place: "here".into(),
        roles: vec!["reader".to_owned()],
        enabled: true,
        condition: Condition::User(name.to_owned()),
    };
    let database = vec![("reader".to_owned(), Arc::new(credential(redis_user)))];
    (RoleMap::build(vec![rule]).expect("a map"), DatabaseRoles::new(database))
}

/// A realm that takes the CN.
fn by_name(values: &[(&str, &str)], makes_users: bool) -> Recognition {
    let table = values.iter().map(|(value, user)| ((*value).to_owned(), (*user).to_owned())).collect();
    let extraction = Extraction::new(Extract::parse("CN").expect("an attribute"), table).expect("a table");
    let extraction = Some(Box::new(extraction.with_user_is_value(makes_users)));
    Recognition { extraction, ..Recognition::by_entries() }
}

fn chain(recognition: Recognition) -> Chain {
    let realm = |name: &str, kind| Realm { name: name.into(), kind };
    let passwords = RealmKind::Password(Verify::Argon2id);
    Chain::new(vec![realm("programs", RealmKind::Certificate(recognition)), realm("people", passwords)])
}

fn shown(issuers: &[Fingerprint]) -> Evidence {
    let certificate: Arc<Certificate> = Arc::new(certificate("v01_plain.pem"));
    Evidence::new(Some(certificate), issuers, Ipv4Addr::LOCALHOST.into(), "default")
}

fn directory<'a>(
    users: &'a UserMap,
    (rules, database): &'a (RoleMap, DatabaseRoles),
    chain: &'a Chain,
) -> Directory<'a> {
    Directory::new(users, Rights { rules, database }, chain, &Gate::Disabled)
}

fn permit(admission: Admission) -> Permit {
    match admission {
        Admission::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn reason(refused: Result<Permit, Refusal>) -> Reason {
    refused.expect_err("a refusal").reason()
}

/// OS-07, OS-18: a name and nothing else needs a role, and ends with it or with its value.
#[test]
fn a_user_that_is_a_value_holds_as_long_as_its_role_and_its_realm() {
    let (users, makes, lists) = (UserMap::default(), chain(by_name(&[], true)), chain(by_name(&[], false)));
    let readers = roles("CLIENT1", "redis-reader");
    let permit = permit(directory(&users, &readers, &makes).arrive(&shown(&[])));
    assert_eq!((permit.user().name.as_str(), permit.rule()), ("CLIENT1", Rule::Derived));
    assert_eq!((permit.role(), permit.credential().redis_user.as_str()), (Some("reader"), "redis-reader"));
    assert!(directory(&users, &readers, &makes).again(&permit).is_ok());
    for (roles, chain, expected) in [
        (&readers, &lists, Reason::NoPassword),
        (&roles("CLIENT1", "redis-other"), &makes, Reason::RoleChanged),
        (&roles("client1", "redis-reader"), &makes, Reason::NoRole),
        (&(RoleMap::default(), DatabaseRoles::default()), &makes, Reason::NoRole),
    ] {
        assert_eq!(reason(directory(&users, roles, chain).again(&permit)), expected);
    }
    // Meanwhile somebody of that name is written down, by another certificate or by none.
    let other = User { needs: Needs::Password, ..User::new("CLIENT1", credential("redis-reader")) };
    let users = UserMap::build(vec![other]).expect("a map");
    assert_eq!(reason(directory(&users, &readers, &makes).again(&permit)), Reason::UnusableName);
}

/// OS-04: a value finds the user, and the password is asked for all the same.
#[test]
fn a_user_by_value_that_needs_a_password_is_asked_for_it_and_then_has_its_role() {
    let hash = PasswordHash::parse(HASH).expect("a hash");
    let both = User {
        needs: Needs::Both,
        password: Some(Arc::new(hash)),
        credential: None,
        ..User::new("both", credential("none"))
    };
    let users = UserMap::build(vec![both]).expect("a map");
    let readers = roles("both", "redis-reader");
    let listed = chain(by_name(&[("CLIENT1", "both")], false));
    let over = directory(&users, &readers, &listed);
    let Admission::Unproven(claim) = over.arrive(&shown(&[])) else { panic!("not asked") };
    assert_eq!(claim.user().expect("known").name, "both");
    let proof = Arc::new(over.check(&claim, None).succeeded(Secret::new(b"secret".to_vec())).expect("fits"));
    let permit = over.prove(&claim, Arc::clone(&proof)).expect("let in");
    assert_eq!((permit.rule(), permit.role()), (Rule::Value, Some("reader")));
    assert!(over.again(&permit).is_ok());
    // The value is another user's now, or nobody's.
    for values in [&[("CLIENT2", "both")][..], &[]] {
        let changed = chain(by_name(values, false));
        assert_eq!(reason(directory(&users, &readers, &changed).again(&permit)), Reason::NoMapping);
    }
}

/// ES-08: a CA counts by its key or by its certificate, and without one of them nobody does.
#[test]
fn a_realm_with_cas_looks_at_the_certificates_of_no_others() {
    let (users, readers) = (UserMap::default(), roles("CLIENT1", "redis-reader"));
    let print = |text: &str| Fingerprint::of(text.as_bytes());
    let scope = Scope::new([print("key of a CA"), print("certificate of a CA")]);
    let bound = Recognition { client_ca: Some(scope), ..by_name(&[], true) };
    let realm = Realm { name: "programs".into(), kind: RealmKind::Certificate(bound) };
    let chain = Chain::new(vec![realm]);
    let over = directory(&users, &readers, &chain);
    for issuer in ["key of a CA", "certificate of a CA"] {
        permit(over.arrive(&shown(&[print("between"), print(issuer)])));
    }
    for issuers in [&[print("key of another")][..], &[]] {
        match over.arrive(&shown(issuers)) {
            Admission::Refused(refusal) => assert_eq!(refusal.reason(), Reason::IssuerScope),
            other => panic!("{other:?}"),
        }
    }
}
