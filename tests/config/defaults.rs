//! What a configuration without a problem becomes, and the example file that
//! names every key.

use std::os::unix::fs::PermissionsExt;

use respgate::command::Profile;
use respgate::config::{Loaded, load};
use respgate::identity::Entry;
use respgate::identity::roles::RoleMap;
use respgate::io::tls::{ClientEku, ClientSan, TlsVersion, TrustSettings};
use respgate::io::{Address, Admin, AtStart, Audit, Listener, Location, Log, LogFormat, Settings};
use respgate::limits::Limits;

use crate::pki::{self, Ca};
use crate::world::{FINE, NOW, World};

const EXAMPLE: &str = include_str!("../../config/respgate.toml");

/// The password of the first user.
fn password(loaded: &Loaded) -> &[u8] {
    loaded.settings.users.users()[0]
        .credential
        .as_ref()
        .expect("its own")
        .password
        .given()
        .expect("in the file")
        .expose()
}

/// Every setting but certificates, for comparison.
fn outline(loaded: &Loaded) -> String {
    let Settings {
        listeners,
        databases,
        users,
        roles,
        limits,
        admin,
        log,
        audit,
        workers,
        watch,
        whoami,
        landlock,
        password_commands,
    } = &loaded.settings;
    let warnings = &loaded.warnings;
    let of_listener = |listener: &Listener| {
        let Listener { name, address: _, tls, gate, realms, destinations } = listener;
        let TrustSettings {
            client_eku, client_san, crl_depth, crl_unknown, crl_expired, allow_expired, ..
        } = &tls.trust;
        let trust = (client_eku, client_san, crl_depth, crl_unknown, crl_expired, allow_expired);
        let tls = (tls.min_version, tls.client_auth, tls.resumption, tls.keep_server_names);
        format!("{name} {trust:?} {tls:?} {gate:?} {realms:?} {destinations:?}")
    };
    let tls: Vec<_> = listeners.iter().map(of_listener).collect();
    let (users, warnings) = (users.users(), &warnings.list);
    format!(
        "{tls:?} {databases:?} {users:?} {roles:?} {limits:?} {admin:?} {log:?} {audit:?} {workers} {watch} {whoami} {landlock} {password_commands:?} {warnings:?}"
    )
}

/// The example with every commented setting in force.
fn uncommented() -> String {
    let is_setting = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    };
    let line = |line: &str| if is_setting(line) { line[1..].to_owned() } else { line.to_owned() };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_byte_order_mark_hides_no_first_section_of_a_file() {
    let world = World::new();
    let marked = |name: &str, text: String| world.write(name, &format!("\u{feff}{text}"));
    for name in ["server.crt", "server.key"] {
        marked(name, std::fs::read_to_string(world.path(name)).unwrap());
    }
    marked("ca.crt", format!("{}{}", world.ca.pem(), Ca::new("Other CA").pem()));
    let list = |until| world.ca.crl(&[], NOW - 60, until);
    marked("ca.crl", format!("{}{}", list(NOW + 60), list(NOW + 90)));
    let text = FINE.replace("client_ca =", "crl = \"ca.crl\"\nclient_ca =");
    let trust = world.load(&text).unwrap().settings.listeners[0].tls.trust.clone();
    assert_eq!((trust.client_ca.len(), trust.crls.len()), (2, 2));
}

#[test]
fn the_smallest_configuration_runs_by_the_defaults() {
    let Loaded { settings, warnings } = World::new().load(FINE).unwrap();
    assert_eq!(settings.listeners[0].address, "127.0.0.1:6380".parse().unwrap());
    assert_eq!(settings.listeners[0].tls.trust.client_ca.len(), 1);
    assert_eq!(settings.listeners[0].tls.min_version, TlsVersion::V12);
    assert_eq!(settings.listeners[0].tls.trust.client_eku, ClientEku::IfPresent);
    assert_eq!(
        settings.databases[0].location,
        Location::Address(Address::Tcp { host: "127.0.0.1".to_owned(), port: 6379 })
    );
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.admin, None);
    assert_eq!(settings.log, Log { format: LogFormat::Text, level: "info".to_owned() });
    assert_eq!(settings.audit, Audit { file: None });
    assert_eq!(settings.workers, 3, "one for each core but the last");
    assert!(settings.whoami && settings.landlock);
    assert_eq!(warnings.list, []);
    let [user] = settings.users.users() else { panic!("one user") };
    let credential = user.credential.as_ref().unwrap();
    assert_eq!((user.name.as_str(), credential.redis_user.as_str()), ("app", "app"));
    assert_eq!(credential.password.given().expect("in the file").expose(), b"s3cret");
    assert_eq!(user.commands, Profile::Default);
    assert_eq!(user.entries[0].to_string(), "CN=app,O=Acme");
}

#[test]
fn the_example_equals_the_defaults_with_and_without_its_commented_settings() {
    let world = World::new();
    let smallest = world.load(FINE).unwrap();
    let example = world.load(EXAMPLE).unwrap();
    assert_eq!(outline(&example), outline(&smallest));

    world.write("roles.toml", "");
    let all = world.load(&uncommented()).unwrap();
    // A mapping and a rule are examples, and lead to no Redis user.
    let ids: Vec<_> = all.warnings.list.iter().map(|problem| problem.cause.id()).collect();
    assert_eq!(ids, ["mapping_of_nobody", "role_without_redis_user", "role_without_redis_user"]);
    let places: Vec<_> = all.settings.roles.rules().iter().map(|rule| &*rule.place).collect();
    assert_eq!(places, ["roles_mapping.reader", "role_rule[0]"]);
    assert_eq!(all.settings.admin, Some(Admin { address: "127.0.0.1:9121".parse().unwrap() }));
    assert_eq!(all.settings.audit.file, Some(world.path("audit.log")));
    let (admin, audit, roles) = (None, Audit { file: None }, RoleMap::default());
    let settings = Settings { admin, audit, roles, ..all.settings };
    let optional = Loaded { settings, warnings: smallest.warnings.clone() };
    assert_eq!(outline(&optional), outline(&smallest));
}

#[test]
fn the_example_has_every_key() {
    let example: toml::Table = uncommented().parse().unwrap();
    let keys = |section: &str| -> Vec<String> {
        let found = section.split('.').fold(None, |table: Option<&toml::Value>, key| {
            Some(table.map_or_else(|| &example[key], |table| &table[key]))
        });
        let table = match found.unwrap() {
            toml::Value::Array(items) => items[0].as_table(),
            other => other.as_table(),
        };
        table.unwrap().keys().cloned().collect()
    };
    let limits = Limits::default().entries();
    let mut expected: Vec<_> = limits.iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.sort();
    let mut found = keys("limits");
    found.sort();
    assert_eq!(found, expected);
    for (name, value) in limits {
        assert_eq!(example["limits"][name].as_integer(), i64::try_from(value).ok(), "{name}");
    }

    // An unknown key lists all known ones when none is like it.
    let world = World::new();
    for section in [
        "listener",
        "database",
        "user",
        "realm",
        "role_rule",
        "roles_mapping.reader",
        "admin",
        "log",
        "audit",
        "process",
    ] {
        let mut spoiled = example.clone();
        let mut path = section.split('.');
        let outer = spoiled.get_mut(path.next().unwrap()).unwrap();
        let table = match path.fold(outer, |table, key| &mut table[key]) {
            toml::Value::Array(items) => items[0].as_table_mut(),
            other => other.as_table_mut(),
        };
        table.unwrap().insert("0".to_owned(), toml::Value::Boolean(true));
        let text = world.load(&toml::to_string(&spoiled).unwrap()).unwrap_err().to_string();
        let known = text.split("known here: ").nth(1).unwrap().lines().next().unwrap();
        let mut known: Vec<_> = known.split(", ").collect();
        // Alternatives to what stands there are indented.
        known.retain(|key| {
            !EXAMPLE.contains(&format!("\n#   {key} = ")) || keys(section).iter().any(|it| it == key)
        });
        known.sort_unstable();
        let mut shown = keys(section);
        shown.sort();
        // What has no default, or stands for another key, is shown indented.
        let indented = |key: &str| EXAMPLE.contains(&format!("\n#   {key} = "));
        known.retain(|key| shown.iter().any(|shown| shown == key) || !indented(key));
        assert_eq!(shown, known, "[{section}]");
    }
}

#[test]
fn every_setting_can_be_given() {
    let world = World::new();
    world.write("second.crt", &Ca::new("Second CA").pem());
    let text = r#"
        workers = 3
        whoami = false
        [listener]
        address = "[::1]:0"
        certificate = "server.crt"
        key = "server.key"
        client_ca = ["ca.crt", "second.crt", "ca.crt"]
        tls_min_version = "1.3"
        client_eku = "required"
        client_san = "required"
        [database]
        address = "unix:run/redis.sock"
        [[user]]
        name = "app"
        auth_method = "certificate"
        certificate_subject_line = ["CN=app,O=Acme", "CN=app2,O=Acme"]
        ignore_case = true
        redis_user = "app"
        redis_password_env = "APP_PASSWORD"
        [[user]]
        name = "dev"
        certificate_subject_line = "CN=dev,O=Acme"
        redis_user = "dev"
        redis_password_file = "app.password"
        commands = ["DEBUG", "config|set"]
        [[user]]
        name = "ops"
        certificate_subject_line = "CN=ops,O=Acme"
        redis_user = "ops"
        redis_password_file = "app.password"
        commands = "all"
        [admin]
        address = "[::1]:0"
        [log]
        format = "json"
        level = "warn,respgate=debug"
        [audit]
        file = "audit.log"
        [process]
        landlock = false
        [limits]
        clients_max = 0x10
        client_idle_timeout_ms = 60_000
    "#;
    let loaded = world.load(text).unwrap();
    assert_eq!(password(&loaded), b"from the environment");
    let settings = loaded.settings;
    assert_eq!(settings.workers, 3);
    assert!(!settings.whoami && !settings.landlock);
    assert_eq!(settings.listeners[0].tls.trust.client_ca.len(), 2, "each CA once");
    assert_eq!(settings.listeners[0].tls.min_version, TlsVersion::V13);
    assert_eq!(settings.listeners[0].tls.trust.client_eku, ClientEku::Required);
    assert_eq!(settings.listeners[0].tls.trust.client_san, ClientSan::Required);
    assert_eq!(
        settings.databases[0].location,
        Location::Address(Address::Unix(world.path("run/redis.sock")))
    );
    let [app, dev, ops] = settings.users.users() else { panic!("three users") };
    let ignores_case = |entry: &Entry| entry.line().is_some_and(|line| line.ignores_case());
    assert!(app.entries.len() == 2 && app.entries.iter().all(ignores_case));
    let listed = ["debug", "config|set"].map(str::to_owned);
    assert_eq!(dev.commands, Profile::Listed(listed.into()));
    assert_eq!(ops.commands, Profile::All);
    assert_eq!(settings.log, Log { format: LogFormat::Json, level: "warn,respgate=debug".to_owned() });
    assert_eq!(settings.audit.file, Some(world.path("audit.log")));
    assert_eq!((settings.limits.clients_max, settings.limits.client_idle_timeout_ms), (16, 60_000));
}

#[test]
fn one_newline_at_the_end_of_a_password_file_is_not_part_of_it() {
    let world = World::new();
    for (file, expected) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
        world.write("app.password", file);
        assert_eq!(password(&world.load(FINE).unwrap()), expected.as_bytes(), "{file:?}");
    }
}

#[test]
fn backend_addresses_are_hosts_ips_or_sockets() {
    let world = World::new();
    for (text, expected) in [
        ("redis.internal:6379", "redis.internal:6379"),
        ("[::1]:6379", "[::1]:6379"),
        ("unix:/run/redis.sock", "unix:/run/redis.sock"),
    ] {
        let settings = world.load(&FINE.replace("127.0.0.1:6379", text)).unwrap().settings;
        assert_eq!(settings.databases[0].location.to_string(), expected);
    }
    for text in [
        "",
        ":6379",
        "redis",
        "redis:0",
        "redis:65536",
        "::1:6379",
        "[::1:6379",
        "[redis]:1",
        "a b:1",
        "unix:",
    ] {
        let problems = world.load(&FINE.replace("127.0.0.1:6379", text)).unwrap_err();
        assert_eq!(problems.list.len(), 1, "{text:?}: {problems}");
        assert_eq!(problems.list[0].cause.id(), "backend_address", "{text:?}");
    }
}

#[test]
fn a_key_may_stand_in_the_certificate_file() {
    let world = World::new();
    let leaf = world.ca.issue("server", pki::for_servers);
    world.write("server.crt", &format!("{}{}", leaf.certificate, leaf.key));
    let text = FINE.replace("server.key", "server.crt");
    world.load(&text).unwrap();
    world.mode("server.crt", 0o644);
    let problems = world.load(&text).unwrap_err();
    assert_eq!(problems.list[0].cause.id(), "readable_secret");
}

#[test]
fn load_looks_at_the_real_clock_and_environment() {
    let world = World::new();
    let text = FINE.replace("redis_password_file = \"app.password\"", "redis_password_env = \"PATH\"");
    std::fs::write(world.path("respgate.toml"), text).unwrap();
    std::fs::set_permissions(world.path("respgate.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = load(&world.path("respgate.toml")).unwrap();
    assert_eq!(Some(password(&loaded)), std::env::var("PATH").ok().as_deref().map(str::as_bytes));
    assert_eq!(loaded.warnings.list, []);
    world.serve(pki::expired);
    let loaded = load(&world.path("respgate.toml")).unwrap();
    assert_eq!(loaded.warnings.list[0].cause.id(), "certificate_expired");
}

#[test]
fn a_restart_is_needed_for_what_is_set_up_once() {
    let world = World::new();
    let start = AtStart::of(&world.load(FINE).unwrap().settings);
    world.serve(pki::for_servers);
    world.write("app.password", "changed");
    let same = format!("{}[limits]\nop_timeout_ms = 1000\n", FINE.replace("CN=app", "CN=other"));
    assert_eq!(start.needs_restart(&world.load(&same).unwrap().settings), Vec::<String>::new());

    let other = format!(
        "workers = 1\n{}[admin]\naddress = \"127.0.0.1:1\"\n[log]\nformat = \"json\"\nlevel = \"warn\"\n\
         [audit]\nfile = \"audit.log\"\n[process]\nlandlock = false\n[limits]\nhandshakes_max = 1\nclients_max = 1\nlisten_backlog = 1\n\
         unproven_clients_max = 1\npassword_hashes_max = 1\npassword_connections_max = 1\n\
         password_checks_max = 1\n",
        FINE.replace("6380", "6381")
    );
    assert_eq!(
        start.needs_restart(&world.load(&other).unwrap().settings),
        [
            "listener.address",
            "admin.address",
            "log.format",
            "log.level",
            "audit.file",
            "workers",
            "process.landlock",
            "limits.handshakes_max",
            "limits.clients_max",
            "limits.listen_backlog",
            "limits.unproven_clients_max",
            "limits.password_hashes_max",
            "limits.password_connections_max",
            "limits.password_checks_max",
        ]
    );
}
