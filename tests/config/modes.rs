//! Who else can reach the files of a configuration: what is an error, what a
//! warning, and what is nobody's business.

use crate::secrets::{FROM_KEYSTORE, P12_OPENED, PAIR, edited, export, store};
use crate::world::{FINE, World};

/// Ids of the problems, and whether it runs. `mode` spoils a file after it was written.
fn problems(text: &str, configuration: u32, spoil: impl Fn(&World)) -> (bool, Vec<&'static str>) {
    let world = World::new();
    spoil(&world);
    let result = world.load_with_mode(text, configuration);
    let is_fine = result.is_ok();
    let problems = result.map_or_else(|problems| problems, |loaded| loaded.warnings);
    (is_fine, problems.list.iter().map(|problem| problem.cause.id()).collect())
}

fn strict(text: &str) -> String {
    format!("strict = true\n{text}")
}

/// ODA-02: a key, a password or a keystore that others can read is an error, or a warning where
/// that is allowed, and an error again in strict mode.
#[test]
fn a_readable_secret_is_an_error_unless_allowed_and_always_in_strict_mode() {
    let spoil = |world: &World| world.mode("server.key", 0o640);
    assert_eq!(problems(FINE, 0o600, spoil), (false, vec!["readable_secret"]));
    let allowed = format!("allow_readable_secrets = true\n{FINE}");
    assert_eq!(problems(&allowed, 0o600, spoil), (true, vec!["readable_secret"]));
    assert_eq!(problems(&strict(&allowed), 0o600, spoil), (false, vec!["readable_secret"]));
}

/// ODA-02
#[test]
fn keystores_pkcs12_and_the_files_of_their_passwords_are_secrets_too() {
    for file in ["respgate.keystore", "keystore.password", "server.p12", "key.password"] {
        let text = edited(&[FROM_KEYSTORE[0], FROM_KEYSTORE[1], (PAIR, P12_OPENED)]);
        let spoil = |mode: u32| {
            move |world: &World| {
                store(world, Some("hunter4"));
                world.write("keystore.password", "hunter4\n");
                export(world, "-passout pass:hunter2");
                world.mode(file, mode);
            }
        };
        assert_eq!(problems(&text, 0o600, spoil(0o600)), (true, vec![]), "{file}");
        assert_eq!(problems(&text, 0o600, spoil(0o604)), (false, vec!["readable_secret"]), "{file}");
    }
}

/// ODA-02
#[test]
fn a_configuration_is_a_secret_only_once_a_password_is_in_it() {
    assert_eq!(problems(FINE, 0o644, |_| {}), (true, vec![]));
    let inline = FINE.replace("redis_password_file = \"app.password\"", "redis_password = \"hunter2\"");
    assert_eq!(problems(&inline, 0o600, |_| {}), (true, vec!["inline_password"]));
    let expected = vec!["inline_password", "readable_configuration"];
    assert_eq!(problems(&inline, 0o644, |_| {}), (true, expected.clone()));
    assert_eq!(problems(&strict(&inline), 0o644, |_| {}), (false, expected));
}

/// ODA-02
#[test]
fn what_others_can_write_is_a_warning_for_every_file_and_the_directories_above_it() {
    assert_eq!(problems(FINE, 0o666, |_| {}), (true, vec!["writable_file"]));
    assert_eq!(problems(&strict(FINE), 0o666, |_| {}), (false, vec!["writable_file"]));
    assert_eq!(problems(FINE, 0o600, |world| world.mode("", 0o777)), (true, vec!["writable_directory"]));
    assert_eq!(problems(FINE, 0o600, |world| world.mode("", 0o1777)), (true, vec![]), "sticky, as /tmp");
}

/// ODA-02: Kubernetes mounts a secret as a link to a link, and swaps the directory in between.
#[test]
fn the_directory_that_a_link_leads_to_counts_too() {
    let spoil = |world: &World| {
        std::fs::create_dir_all(world.path("..data.1")).unwrap();
        std::fs::rename(world.path("ca.crt"), world.path("..data.1/ca.crt")).unwrap();
        std::os::unix::fs::symlink("..data.1", world.path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/ca.crt", world.path("ca.crt")).unwrap();
    };
    assert_eq!(problems(FINE, 0o600, spoil), (true, vec![]));
    let open = |world: &World| {
        spoil(world);
        world.mode("..data.1", 0o777);
    };
    assert_eq!(problems(FINE, 0o600, open), (true, vec!["writable_directory"]));
}
