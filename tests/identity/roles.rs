//! Which roles rules grant, to whom, and what is said where they do not.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test, in helpers too")]

use std::sync::Arc;

use respgate::identity::roles::{
    Clause, Condition, DatabaseRoles, Expression, ExpressionError, Field, FieldError, Group, Mapping,
    Metadata, Principal, RoleMap, RoleMapError, RoleRule, Scalar, Test, Who,
};
use respgate::identity::{Credential, Reason};
use respgate::secret::Secret;

use crate::make;

/// A user "app" from 192.0.2.7 with the certificate of T-01.
fn principal() -> Principal {
    Principal {
        username: "app".to_owned(),
        dn: Some(make::certificate("v01_plain.pem").subject().clone()),
        groups: vec!["UNIT".to_owned(), "payments".to_owned()],
        peer: "192.0.2.7".parse().unwrap(),
        realm: "certificates".to_owned(),
        listener: "default".to_owned(),
        metadata: Metadata::default(),
    }
}

const DN: &str = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";

/// `users`, `hosts`, `backend_roles` and `and_backend_roles`.
fn mapping([users, hosts, any, all]: [&[&str]; 4]) -> Mapping {
    let groups = |list: &[&str]| list.iter().map(|text| Group::parse(text).unwrap()).collect();
    Mapping {
        users: users.iter().map(|text| Who::parse(text).unwrap()).collect(),
        hosts: hosts.iter().map(|text| text.parse().unwrap()).collect(),
        backend_roles: groups(any),
        and_backend_roles: groups(all),
    }
}

fn rule(role: &str, condition: Condition) -> RoleRule {
    RoleRule { place: format!("rule {role}").into(), roles: vec![role.to_owned()], enabled: true, condition }
}

fn map(rules: Vec<(&str, Condition)>) -> RoleMap {
    RoleMap::build(rules.into_iter().map(|(role, condition)| rule(role, condition)).collect()).unwrap()
}

/// Whether the condition grants its role, asked of the decision and of the trace.
fn grants(condition: Condition, principal: &Principal) -> bool {
    let map = map(vec![("r", condition)]);
    let is_granted = map.roles(principal).find("r").is_some();
    assert_eq!(map.trace(principal)[0].is_granted, is_granted, "the trace says something else");
    assert_eq!(map.trace(principal)[0].misses.is_empty(), is_granted);
    is_granted
}

fn maps(lists: [&[&str]; 4]) -> bool {
    grants(Condition::Mapping(mapping(lists)), &principal())
}

/// The words and sentences for why the condition grants nothing.
fn misses(condition: Condition, principal: &Principal) -> Vec<String> {
    let tried = map(vec![("r", condition)]).trace(principal).remove(0);
    assert!(!tried.is_granted);
    tried.misses.iter().map(ToString::to_string).collect()
}

/// OS-14
#[test]
fn one_match_in_any_list_is_enough_and_and_backend_roles_needs_all() {
    for lists in [
        [&["app"][..], &[], &[], &[]],
        [&["other", "app"], &[], &[], &[]],
        [&["a*"], &["10.0.0.0/8"], &["nobody"], &["nobody"]],
        [&["/a.p/"], &[], &[], &[]],
        [&["?pp"], &[], &[], &[]],
        [&["other"], &["192.0.2.0/24"], &[], &[]],
        [&[], &[], &["payments"], &[]],
        [&[], &[], &["pay*"], &[]],
        [&[], &[], &[], &["payments", "UNIT"]],
        [&[], &[], &[], &["payments", DN]],
    ] {
        assert!(maps(lists), "{lists:?}");
    }
    for lists in [
        [&["App"][..], &[], &[], &[]],
        [&["pp", "ap", "/a/", "/pp/", "app?"], &[], &[], &[]],
        [&["payments"], &[], &[], &[]],
        [&[], &[], &["app"], &[]],
        [&[], &["192.0.2.8"], &[], &[]],
        [&[], &[], &[], &["payments", "UNIT", "admins"]],
    ] {
        assert!(!maps(lists), "{lists:?}");
    }
}

/// OS-12: the values of an attribute become groups, and a mapping names them.
#[test]
fn every_group_is_usable_in_a_mapping() {
    for group in ["UNIT", "payments"] {
        assert!(maps([&[], &[], &[group], &[]]));
    }
    let nobody = Principal { groups: Vec::new(), ..principal() };
    assert!(!grants(Condition::Mapping(mapping([&[], &[], &["*"], &[]])), &nobody));
}

/// ODA-01
#[test]
fn an_empty_mapping_grants_nobody_and_a_blank_element_is_refused() {
    assert!(!maps([&[], &[], &[], &[]]));
    assert_eq!(misses(Condition::Mapping(Mapping::default()), &principal()), ["empty: it names nobody"]);
    for blank in ["", " ", "//"] {
        assert!(Who::parse(blank).is_err() && Group::parse(blank).is_err(), "{blank:?}");
        assert!(Test::new(Field::Username, &[Scalar::Text(blank.to_owned())]).is_err());
        assert!(Test::new(Field::Dn, &[Scalar::Text(blank.to_owned())]).is_err());
        assert!(Test::new(Field::Peer, &[Scalar::Text(blank.to_owned())]).is_err());
    }
}

/// OD-02
#[test]
fn a_subject_is_a_key_in_the_order_of_a_subject_line() {
    let reversed =
        Principal { dn: Some(make::certificate("v02_reversed_der.pem").subject().clone()), ..principal() };
    let without = Principal { dn: None, ..principal() };
    for key in [DN, "cn=CLIENT1, ou=UNIT, o=ORG, l=ONTARIO, st=TORONTO, c=CA", "*,C=CA"] {
        for lists in [[&[key][..], &[], &[], &[]], [&[], &[], &[key], &[]], [&[], &[], &[], &[key]]] {
            let condition = || Condition::Mapping(mapping(lists));
            assert!(grants(condition(), &principal()), "{key}");
            assert!(!grants(condition(), &reversed), "{key}");
            assert!(!grants(condition(), &without), "{key}");
        }
    }
    assert!(Who::parse("CN=app,nonsense").is_err());
}

/// OD-02: text that looks like a subject, in a user's name or a group, is not one.
#[test]
fn a_group_that_looks_like_a_subject_is_not_taken_for_it() {
    let forged =
        Principal { username: "CN=admin".to_owned(), groups: vec!["CN=admin".to_owned()], ..principal() };
    for lists in
        [[&["CN=admin"][..], &[], &[], &[]], [&[], &[], &["CN=admin"], &[]], [&[], &[], &["CN=*"], &[]]]
    {
        assert!(!grants(Condition::Mapping(mapping(lists)), &forged), "{lists:?}");
    }
}

/// OD-03
#[test]
fn a_principal_named_by_name_and_by_subject_has_the_role_once() {
    let both = || Condition::Mapping(mapping([&["app", DN], &[], &[DN], &[]]));
    let map =
        map(vec![("reader", both()), ("writer", Condition::User("app".to_owned())), ("reader", both())]);
    let roles = map.roles(&principal());
    let granted: Vec<_> = roles.granted().iter().map(|it| (it.role.as_str(), &*it.by)).collect();
    assert_eq!(granted, [("reader", "rule reader"), ("writer", "rule writer")]);
}

/// OD-04
#[test]
fn a_name_a_subject_and_a_host_that_do_not_fit_have_words_of_their_own() {
    let other = "CN=CLIENT1,OU=Unit,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";
    let lists: [&[&str]; 4] =
        [&["CLIENT1", "CLIENT2", other], &["10.0.0.0/8", "10.1.1.1"], &["ops"], &["UNIT", "ops"]];
    assert_eq!(
        misses(Condition::Mapping(mapping(lists)), &principal()),
        [
            "name_mismatch: user name \"app\" is none of the 2 in users".to_owned(),
            format!(
                "dn_mismatch: {other:?}: it differs in the case of letters or in spaces only, first in RDN 2: line OU=Unit, certificate OU=UNIT"
            ),
            "host_mismatch: address 192.0.2.7 is not in 10.0.0.0/8, 10.1.1.1".to_owned(),
            "group_mismatch: groups \"UNIT\", \"payments\" lack \"ops\" of backend_roles".to_owned(),
            "group_mismatch: groups \"UNIT\", \"payments\" lack \"ops\" of and_backend_roles".to_owned(),
        ]
    );
    let without = Principal { dn: None, ..principal() };
    assert_eq!(
        misses(Condition::Mapping(mapping([&["CN=a"], &[], &[], &[]])), &without),
        ["dn_mismatch: \"CN=a\": there is no certificate"]
    );
    let hostile = Principal { username: "a\nb\u{1b}".to_owned(), ..principal() };
    assert_eq!(
        misses(Condition::User("app".to_owned()), &hostile),
        [r#"name_mismatch: user name "a\nb\u{1b}" is not "app""#]
    );
}

fn text(value: &str) -> Scalar {
    Scalar::Text(value.to_owned())
}

fn field(name: &str, values: &[Scalar]) -> Expression {
    Expression::field(Test::new(Field::parse(name).unwrap(), values).unwrap())
}

fn holds(name: &str, value: Scalar, principal: &Principal) -> bool {
    grants(Condition::Expression(field(name, &[value])), principal)
}

/// ES-10
#[test]
fn any_all_except_and_field_are_what_they_say() {
    let app = || field("username", &[text("app")]);
    let other = || field("username", &[text("other")]);
    let any = |parts| Expression::any(parts).unwrap();
    let all = |parts| Expression::all(parts).unwrap();
    for (expression, expected) in [
        (app(), true),
        (other(), false),
        (any(vec![other(), app()]), true),
        (any(vec![other(), other()]), false),
        (all(vec![Clause::Is(app()), Clause::Is(any(vec![app(), other()]))]), true),
        (all(vec![Clause::Is(app()), Clause::Is(other())]), false),
        (all(vec![Clause::Is(app()), Clause::Except(other())]), true),
        (all(vec![Clause::Is(app()), Clause::Except(app())]), false),
        (any(vec![all(vec![Clause::Is(other())]), app()]), true),
    ] {
        let what = format!("{expression:?}");
        assert_eq!(grants(Condition::Expression(expression), &principal()), expected, "{what}");
    }
    // A service identity, as the documentation of Kibana's has it.
    assert!(grants(Condition::Expression(field("dn", &[text(DN)])), &principal()));
}

/// ES-10: exact, `*`, `/regex/`, null, number and array.
#[test]
fn a_field_is_compared_with_every_kind_of_value() {
    let numbered = Principal { groups: vec!["42".to_owned()], ..principal() };
    for (name, value, expected) in [
        ("username", text("app"), true),
        ("username", text("a?p"), true),
        ("username", text("/ap+/"), true),
        ("username", text("/a/"), false),
        ("username", Scalar::Null, false),
        ("metadata.san_uri", Scalar::Null, true),
        ("metadata.issuer", Scalar::Null, true),
        ("metadata.san_ip", Scalar::Null, true),
        ("dn", Scalar::Null, false),
        ("groups", Scalar::Number(42), true),
        ("groups", Scalar::Number(4), false),
    ] {
        assert_eq!(holds(name, value.clone(), &numbered), expected, "{name} {value:?}");
    }
    let list = [text("x"), text("payments")];
    assert!(grants(Condition::Expression(field("groups", &list)), &principal()));
    assert_eq!(Test::new(Field::Groups, &[]).map(|_| ()), Err(FieldError::NoValue("groups")));
}

/// ES-10
#[test]
fn a_rule_that_is_switched_off_grants_nothing() {
    let off = RoleRule { enabled: false, ..rule("r", Condition::User("app".to_owned())) };
    let map = RoleMap::build(vec![off]).unwrap();
    assert!(map.roles(&principal()).granted().is_empty());
    assert_eq!(map.trace(&principal())[0].misses[0].to_string(), "disabled: enabled = false");
}

/// ES-11
#[test]
fn rules_see_every_field_of_a_certificate() {
    let metadata = Metadata {
        san_dns: vec!["App1.Example.COM".to_owned(), "*.example.com".to_owned()],
        san_uri: vec!["spiffe://prod/app".to_owned()],
        san_email: vec!["Jane@Acme.TEST".to_owned()],
        san_ip: vec!["10.1.2.3".parse().unwrap()],
        issuer: Some(make::line("CN=CA,O=Acme").name().clone()),
        certificate_sha256: Some("ab01".to_owned()),
        spki_sha256: Some("cd02".to_owned()),
        serial: Some("0a1b".to_owned()),
    };
    let principal = Principal { metadata, ..principal() };
    for (name, yes, no) in [
        ("username", "app", "App"),
        ("dn", DN, "CN=CLIENT1"),
        ("metadata.pki_dn", "*,O=ORG,L=ONTARIO,ST=TORONTO,C=CA", "*,O=ORG"),
        ("groups", "UNIT", "unit"),
        ("realm.name", "certificates", "people"),
        ("listener", "default", "apps"),
        ("peer", "192.0.2.0/24", "192.0.3.0/24"),
        ("metadata.san_dns", "app1.example.com", "app2.example.com"),
        ("metadata.san_dns", "*.EXAMPLE.com", "*.example.org"),
        ("metadata.san_uri", "spiffe://prod/app", "spiffe://prod/App"),
        ("metadata.san_email", "Jane@acme.test", "jane@acme.test"),
        ("metadata.san_email", "*@ACME.test", "*@acme.org"),
        ("metadata.san_ip", "10.1.0.0/16", "10.2.0.0/16"),
        ("metadata.issuer", "CN=CA,O=Acme", "O=Acme,CN=CA"),
        ("metadata.certificate_sha256", "AB:01", "ab02"),
        ("metadata.spki_sha256", "cd*", "ab*"),
        ("metadata.serial", "0A1B", "a1b"),
    ] {
        assert!(holds(name, text(yes), &principal), "{name} {yes}");
        assert!(!holds(name, text(no), &principal), "{name} {no}");
    }
    let unknown = Field::parse("user_name").unwrap_err().to_string();
    assert!(unknown.starts_with("unknown field \"user_name\", expected one of username, dn,"), "{unknown}");
}

#[test]
fn rules_are_bounded_in_depth_size_and_number() {
    let app = || field("username", &[text("app")]);
    let nest = |expression: Result<Expression, _>, _| Expression::any(vec![expression?]);
    assert!((0..15).fold(Ok(app()), nest).is_ok());
    assert_eq!((0..16).fold(Ok(app()), nest).map(|_| ()), Err(ExpressionError::TooDeep));
    let many = (0..4096).map(|_| app()).collect();
    assert_eq!(Expression::any(many).map(|_| ()), Err(ExpressionError::TooLarge));
    assert_eq!(Expression::any(Vec::new()).map(|_| ()), Err(ExpressionError::Empty("any")));
    assert_eq!(Expression::all(Vec::new()).map(|_| ()), Err(ExpressionError::Empty("all")));

    let rules = |count, text: &str| {
        let who = || vec![Who::parse(text).unwrap()];
        let one = |_| rule("r", Condition::Mapping(Mapping { users: who(), ..Mapping::default() }));
        RoleMap::build((0..count).map(one).collect()).map(|_| ())
    };
    assert_eq!(rules(4097, "a"), Err(RoleMapError::Rules(4097)));
    assert_eq!(rules(257, "/a/"), Err(RoleMapError::Regexes(257)));
    assert_eq!(rules(256, "/a/"), Ok(()));
}

fn credential(redis_user: &str) -> Arc<Credential> {
    Arc::new(Credential::new(redis_user, Secret::new(b"x".to_vec())))
}

fn database(roles: &[&str]) -> DatabaseRoles {
    DatabaseRoles::new(roles.iter().map(|role| ((*role).to_owned(), credential(role))).collect())
}

#[test]
fn the_first_role_of_the_database_that_somebody_has_decides() {
    let user = || Condition::User("app".to_owned());
    let map = map(vec![("reader", user()), ("admin", user())]);
    let resolve = |names: &[&str]| database(names).resolve(None, &map, &principal()).unwrap();
    let resolved = resolve(&["root", "admin", "reader"]);
    assert_eq!((resolved.role.as_deref(), resolved.credential.redis_user.as_str()), (Some("admin"), "admin"));
    assert_eq!(resolve(&["reader", "admin"]).role.as_deref(), Some("reader"));

    let own = credential("own");
    let resolved = database(&["admin"]).resolve(Some(&own), &map, &principal()).unwrap();
    assert_eq!((resolved.role, resolved.credential.redis_user.as_str()), (None, "own"));
    assert_eq!(resolved.roles.names().collect::<Vec<_>>(), ["reader", "admin"]);
}

/// OS-18
#[test]
fn who_has_no_role_is_refused_and_told_why() {
    let map = map(vec![
        ("reader", Condition::User("other".to_owned())),
        ("writer", Condition::User("app".to_owned())),
    ]);
    let refusal = |names: &[&str], principal: &Principal| {
        let refusal = database(names).resolve(None, &map, principal).unwrap_err();
        (refusal.reason(), refusal.detail().to_owned())
    };
    let stranger = Principal { username: "stranger".to_owned(), ..principal() };
    assert_eq!(
        refusal(&["reader"], &stranger),
        (Reason::NoRole, "user \"stranger\" has no role: none of 2 rules grants one".to_owned())
    );
    assert_eq!(
        refusal(&["reader"], &principal()),
        (
            Reason::NoRole,
            "user \"app\" has roles writer: the database has a Redis user for none of them".to_owned()
        )
    );
    assert_eq!(
        refusal(&[], &principal()),
        (Reason::NoRole, "user \"app\" has no redis_user, and the database has no roles".to_owned())
    );
    assert_eq!(Reason::NoRole.as_str(), "no_role");
}

/// OD-04
#[test]
fn a_host_that_alone_does_not_fit_is_the_reason() {
    let at = |network: &str| Clause::Is(field("peer", &[text(network)]));
    let user = |name: &str| Clause::Is(field("username", &[text(name)]));
    let all = |parts| Condition::Expression(Expression::all(parts).unwrap());
    let any_of = |parts| Clause::Is(Expression::any(parts).unwrap());
    let reason = |condition: Condition| {
        let map = map(vec![("r", condition)]);
        database(&["r"]).resolve(None, &map, &principal()).unwrap_err().reason()
    };
    assert_eq!(reason(all(vec![user("app"), at("10.0.0.0/8")])), Reason::HostScope);
    assert_eq!(reason(all(vec![at("10.0.0.0/8"), user("other")])), Reason::NoRole);
    assert_eq!(reason(Condition::Mapping(mapping([&[], &["10.0.0.0/8"], &[], &[]]))), Reason::HostScope);
    assert_eq!(reason(Condition::Mapping(mapping([&["other"], &["10.0.0.0/8"], &[], &[]]))), Reason::NoRole);
    // A part that holds is not to blame, whatever else was tried in it.
    let some_name = any_of(vec![field("groups", &[text("x")]), field("username", &[text("app")])]);
    assert_eq!(reason(all(vec![some_name, at("10.0.0.0/8")])), Reason::HostScope);
    // Nor is a rule for a role that the database does not know.
    let elsewhere = map(vec![("x", all(vec![at("10.0.0.0/8")]))]);
    let refusal = database(&["r"]).resolve(None, &elsewhere, &principal()).unwrap_err();
    assert_eq!(refusal.reason(), Reason::NoRole);
}

proptest::proptest! {
    /// Whatever is read as a pattern can be asked of anybody, and the decision
    /// and the trace agree.
    #[test]
    fn no_pattern_panics(pattern in "[*?/=,a-c\\\\()|.+ ]{0,12}", name in "[a-c*,=\\\\ ]{0,12}") {
        let principal = Principal { username: name.clone(), groups: vec![name], ..principal() };
        if let (Ok(who), Ok(group)) = (Who::parse(&pattern), Group::parse(&pattern)) {
            let mapping = Mapping { users: vec![who], and_backend_roles: vec![group], ..Mapping::default() };
            grants(Condition::Mapping(mapping), &principal);
        }
    }

    /// A pattern without a special character is compared as it is.
    #[test]
    fn a_plain_pattern_matches_itself_only(pattern in "[a-z@._-]{1,8}", name in "[a-z@._-]{1,8}") {
        let principal = Principal { username: name.clone(), ..principal() };
        let mapping = Mapping { users: vec![Who::parse(&pattern).unwrap()], ..Mapping::default() };
        proptest::prop_assert_eq!(grants(Condition::Mapping(mapping), &principal), pattern == name);
    }
}
