//! Roles and the rules that grant them, from files to decisions.

use respgate::config::Loaded;
use respgate::identity::SubjectLine;
use respgate::identity::roles::{Metadata, Principal, Resolved};
use respgate::identity::{Reason, Refusal};

use crate::world::{FINE, World};

/// The configuration with three roles in the database, and more at its end.
fn text(more: &str) -> String {
    let roles = r#"address = "127.0.0.1:6379"
roles = [
    { role = "admin", redis_user = "redis-admin", redis_password_env = "APP_PASSWORD" },
    { role = "writer", redis_user = "redis-writer", redis_password_env = "APP_PASSWORD" },
    { role = "reader", redis_user = "redis-reader", redis_password_file = "app.password" },
]"#;
    let text = FINE.replace("address = \"127.0.0.1:6379\"", roles);
    assert!(text.contains("redis-admin"));
    format!("{text}{more}\n")
}

fn principal(username: &str, dn: &str, peer: &str) -> Principal {
    let line: SubjectLine = dn.parse().unwrap();
    Principal {
        username: username.to_owned(),
        dn: Some(line.name().clone()),
        groups: vec!["ops".to_owned()],
        peer: peer.parse().unwrap(),
        realm: "certificates".to_owned(),
        listener: "default".to_owned(),
        metadata: Metadata::default(),
    }
}

/// A user without a Redis user of its own.
fn resolve(loaded: &Loaded, principal: &Principal) -> Result<Resolved, Refusal> {
    loaded.settings.databases[0].roles.resolve(None, &loaded.settings.roles, principal)
}

fn redis_user(loaded: &Loaded, principal: &Principal) -> Result<String, Reason> {
    match resolve(loaded, principal) {
        Ok(resolved) => Ok(resolved.credential.redis_user.clone()),
        Err(refusal) => Err(refusal.reason()),
    }
}

/// OS-14, OS-15, OS-18, OD-02, ES-10
#[test]
fn rules_of_both_forms_lead_to_a_redis_user() {
    let more = r#"
        roles = ["reader"]
        [roles_mapping.writer]
        users = ["w-*", "CN=writer,O=Acme"]
        hosts = ["192.0.2.0/24"]
        and_backend_roles = ["ops", "dba"]
        [[role_rule]]
        roles = ["admin"]
        rules = { all = [
            { field = { "metadata.san_dns" = { absent = true } } },
            { field.metadata.san_uri = { absent = true } },
            { field.realm.name = ["certificates", 7] },
            { any = [{ field = { dn = "*,OU=admins,O=Acme" } }, { field = { username = "/root[0-9]/" } }] },
            { except = { field = { username = "root0" } } },
            { field = { peer = "10.0.0.0/8" } },
        ] }
        [[role_rule]]
        roles = ["admin"]
        enabled = false
        rules = { field = { username = "*" } }
    "#;
    let loaded = World::new().load(&text(more)).unwrap();
    assert_eq!(loaded.warnings.list, []);
    for (name, dn, peer, expected) in [
        ("app", "CN=app,O=Acme", "10.0.0.1", Ok("redis-reader")),
        ("w-1", "CN=x", "10.0.0.1", Ok("redis-writer")),
        ("x", "CN=writer,O=Acme", "10.0.0.1", Ok("redis-writer")),
        ("x", "O=Acme,CN=writer", "10.0.0.1", Err(Reason::NoRole)),
        ("x", "CN=x", "192.0.2.9", Ok("redis-writer")),
        ("x", "CN=x,OU=admins,O=Acme", "10.0.0.1", Ok("redis-admin")),
        ("w-1", "CN=x,OU=admins,O=Acme", "10.0.0.1", Ok("redis-admin")),
        ("root1", "CN=x", "10.0.0.1", Ok("redis-admin")),
        ("root1", "CN=x", "11.0.0.1", Err(Reason::HostScope)),
        ("root0", "CN=x", "10.0.0.1", Err(Reason::NoRole)),
        ("root11", "CN=x", "10.0.0.1", Err(Reason::NoRole)),
    ] {
        let expected = expected.map(str::to_owned);
        assert_eq!(redis_user(&loaded, &principal(name, dn, peer)), expected, "{name} {dn} {peer}");
    }
    let app = resolve(&loaded, &principal("app", "CN=app,O=Acme", "10.0.0.1")).unwrap();
    assert_eq!(app.credential.password.given().expect("in the file").expose(), b"s3cret");
    assert_eq!(&*app.roles.granted()[0].by, "user[0].roles");
}

/// ES-16
#[test]
fn a_mapping_file_adds_to_the_configuration_and_is_read_again() {
    let world = World::new();
    let configuration = format!(
        "role_mapping_file = \"roles.toml\"\n{}",
        text(
            "[roles_mapping.reader]\nusers = [\"here\"]\n[roles_mapping.writer]\nusers = [\"w\"]\n[roles_mapping.admin]\nusers = [\"a\"]"
        )
    );
    world.write("roles.toml", "[roles_mapping.reader]\nusers = [\"there\"]\n");
    let loaded = world.load(&configuration).unwrap();
    let of = |loaded: &Loaded, name: &str| redis_user(loaded, &principal(name, "CN=x", "10.0.0.1"));
    assert_eq!(of(&loaded, "here"), Ok("redis-reader".to_owned()));
    assert_eq!(of(&loaded, "there"), Ok("redis-reader".to_owned()));
    let trace = loaded.settings.roles.trace(&principal("there", "CN=x", "10.0.0.1"));
    let by: Vec<_> = trace.iter().filter(|tried| tried.is_granted).map(|tried| &*tried.rule).collect();
    assert_eq!(by, ["roles.toml: roles_mapping.reader"]);

    world.write(
        "roles.toml",
        "[[role_rule]]\nroles = [\"admin\"]\nrules = { field = { username = \"there\" } }\n",
    );
    let loaded = world.load(&configuration).unwrap();
    assert_eq!(of(&loaded, "there"), Ok("redis-admin".to_owned()));

    world.write("roles.toml", "[roles_mapping.reader]\n\nuser = [\"there\"]\n");
    let problems = world.load(&configuration).unwrap_err();
    let text = world.without_directory(&problems.to_string());
    assert!(
        text.contains(
            "role_mapping_file: roles.toml:3: roles_mapping.reader.user: unknown key\n    did you mean users?"
        ),
        "{text}"
    );
    assert!(problems.has_errors());
}

#[test]
fn a_rule_nested_too_deep_is_told_and_nothing_overflows() {
    let world = World::new();
    let nested = |depth: usize| {
        let (open, close) = ("{ any = [".repeat(depth), "] }".repeat(depth));
        let rule = format!("{open}{{ field = {{ username = \"x\" }} }}{close}");
        world.load(&text(&format!("[[role_rule]]\nroles = [\"admin\"]\nrules = {rule}")))
    };
    nested(15).unwrap();
    for depth in [16, 20, 30, 10_000] {
        let problems = nested(depth).unwrap_err();
        let ids: Vec<_> = problems.list.iter().map(|problem| problem.cause.id()).collect();
        assert!(ids.contains(&"role_rule_bounds") || ids.contains(&"syntax"), "{depth}: {ids:?}");
    }
}

/// ODA-03, OD-01: keys of OpenSearch and of Open Distro are answered alike.
#[test]
fn a_configuration_of_another_product_is_refused_key_by_key() {
    let archived = "\
opendistro_security.ssl.transport.pemcert_filepath: esnode.pem
opendistro_security.ssl.transport.pemkey_filepath: esnode-key.pem
opendistro_security.ssl.transport.pemtrustedcas_filepath: root-ca.pem
opendistro_security.ssl.http.clientauth_mode: REQUIRE
opendistro_security.nodes_dn: CN=node
plugins.security.ssl.http.crl.file_path: ca.crl
plugins.security.authcz.admin_dn: CN=kirk
";
    let keys = archived.lines().map(|line| line.split_once(": ").unwrap());
    let pasted: String = keys.map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
    let problems = World::new().load(&format!("{pasted}{FINE}")).unwrap_err();
    let found: Vec<_> = problems
        .list
        .iter()
        .map(|problem| {
            (problem.at.line.unwrap().number, problem.cause.id(), problem.cause.way_out().unwrap())
        })
        .collect();
    let uses = [
        "listener.certificate",
        "listener.key",
        "listener.client_ca",
        "listener.client_auth",
        "[[user]] with certificate_subject_line",
        "listener.crl",
        "[[user]] with certificate_subject_line",
    ];
    let expected: Vec<_> =
        uses.iter().zip(1..).map(|(meant, line)| (line, "legacy_key", format!("use {meant}"))).collect();
    assert_eq!(found, expected);
}
