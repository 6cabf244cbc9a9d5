//! Problems of how the gateway becomes a Redis user, for the golden file, and what comes of
//! sections without one.

use std::time::Duration;

use respgate::identity::{Keeping, Password};

use crate::golden::{CASE, Case, assert_said};
use crate::world::{FINE, World};

const EXAMPLE: &str = include_str!("../../config/provisioned.toml");
const DATABASE: &str = "[database]\n";
const LOGIN: &str = "redis_user = \"app\"\nredis_password_file = \"app.password\"";
const MADE: &str = "[database]\nprovisioning = { redis_user = \"admin\", redis_password_file = \"app.password\", instance = \"a\" }\n";

const CASES: &[Case] = &[
    Case {
        claim: "users that the gateway makes",
        edits: &[(DATABASE, MADE), (LOGIN, "acl = \"+@read ~app:*\"")],
        ..CASE
    },
    Case {
        claim: "rules without anybody who makes users",
        edits: &[(LOGIN, "acl = \"+@read ~app:*\"")],
        ..CASE
    },
    Case {
        claim: "rules that would set who comes in are errors, and no password is shown",
        edits: &[(DATABASE, MADE), (LOGIN, "acl = \"+@read >hunter2\"")],
        more: "[[user]]\nname = \"b\"\ncertificate_subject_line = \"CN=b\"\nacl = \"on +@all\"\n\
               [[user]]\nname = \"c\"\ncertificate_subject_line = \"CN=c\"\nacl = \"\"\n\
               [[user]]\nname = \"d\"\ncertificate_subject_line = \"CN=d\"\nacl = \"(+@all nopass)\"",
        ..CASE
    },
    Case {
        claim: "rules with a parenthesis that is not closed",
        edits: &[(DATABASE, MADE), (LOGIN, "acl = \"+@read (+get ~b\"")],
        ..CASE
    },
    Case {
        claim: "rules beside a user and a password",
        edits: &[
            (DATABASE, MADE),
            (LOGIN, "acl = \"+@read\"\nredis_user = \"app\"\nredis_password_file = \"app.password\""),
        ],
        ..CASE
    },
    Case {
        claim: "a section that is not whole, and makes nobody",
        edits: &[(
            DATABASE,
            "[database]\nprovisioning = { prefix = \"a:b\", rotate_every_s = 0, owner = \"x\" }\n",
        )],
        ..CASE
    },
    Case {
        claim: "an instance from a variable that is not set",
        edits: &[
            (
                DATABASE,
                "[database]\nprovisioning = { redis_user = \"admin\", redis_password_file = \"app.password\", instance_env = \"NOWHERE\" }\n",
            ),
            (LOGIN, "acl = \"+@read\""),
        ],
        ..CASE
    },
    Case {
        claim: "two databases that would remove each other's users",
        edits: &[
            (
                "[database]\naddress = \"127.0.0.1:6379\"",
                "[[database]]\nname = \"one\"\naddress = \"127.0.0.1:6379\"\nprovisioning = { redis_user = \"admin\", \
                 redis_password_file = \"app.password\", instance = \"a\" }\n[[database]]\nname = \"two\"\naddress = \
                 \"127.0.0.1:6379\"\nprovisioning = { redis_user = \"admin\", redis_password_file = \"app.password\", instance = \"a\" }",
            ),
            ("client_ca = \"ca.crt\"", "client_ca = \"ca.crt\"\ndatabase = \"one\""),
            (LOGIN, "database = \"one\"\nacl = \"+@read\""),
        ],
        ..CASE
    },
    Case {
        claim: "given users that are called as those that the gateway makes, which it would remove",
        edits: &[
            (
                DATABASE,
                "[database]\nprovisioning = { redis_user = \"respgate:a:admin\", redis_password_file = \"app.password\", \
                 instance = \"a\" }\nreplicas = { redis_user = \"respgate:a:repl\", redis_password_file = \"app.password\" }\n\
                 roles = [{ role = \"r\", redis_user = \"respgate:a:role:r\", redis_password_file = \"app.password\" }]\n",
            ),
            (LOGIN, "redis_user = \"respgate:a:user:app\"\nredis_password_file = \"app.password\""),
        ],
        more: "[[user]]\nname = \"respgate:a:itself\"\nauth_method = \"password\"\n\
               [[user]]\nname = \"b\"\ncertificate_subject_line = \"CN=b\"\nacl = \"+@read\"\n\
               [[user]]\nname = \"c\"\ncertificate_subject_line = \"CN=c\"\nredis_user = \"respgate:ab\"\n\
               redis_password_file = \"app.password\"",
        ..CASE
    },
    Case {
        claim: "a cluster that is asked for its map by such a user",
        edits: &[
            (
                "address = \"127.0.0.1:6379\"",
                "provisioning = { redis_user = \"admin\", redis_password_file = \"app.password\", instance = \"a\" }\n\
                 cluster = { seeds = [\"a:1\"], redis_user = \"respgate:a:map\", redis_password_file = \"app.password\" }",
            ),
            (LOGIN, "acl = \"+@read\""),
        ],
        ..CASE
    },
    Case {
        claim: "commands for passwords that cannot be",
        edits: &[(
            LOGIN,
            "redis_user = \"app\"\nredis_password_command = [\"bin/nowhere\"]\nredis_password_refresh_s = 0",
        )],
        more: "[[user]]\nname = \"b\"\ncertificate_subject_line = \"CN=b\"\nredis_user = \"b\"\nredis_password_refresh_s = 5\n\
               redis_password_file = \"app.password\"\n\
               [[user]]\nname = \"c\"\ncertificate_subject_line = \"CN=c\"\nredis_user = \"c\"\nredis_password_command = [\"\"]\n\
               redis_password_file = \"app.password\"\n\
               [[user]]\nname = \"d\"\ncertificate_subject_line = \"CN=d\"\nredis_user = \"d\"\nredis_password_command = [\"./none\"]",
        ..CASE
    },
    Case {
        claim: "a Redis without users, and users who have one",
        edits: &[(DATABASE, "[database]\nauth = \"password\"\nredis_password_file = \"app.password\"\n")],
        ..CASE
    },
    Case {
        claim: "a Redis without users, and users as they can be",
        edits: &[
            (DATABASE, "[database]\nauth = \"password\"\nredis_password_file = \"app.password\"\n"),
            (LOGIN, "commands = \"default\""),
        ],
        ..CASE
    },
    Case {
        claim: "a password of the database that nobody would use",
        edits: &[(DATABASE, "[database]\nredis_password_file = \"app.password\"\n")],
        ..CASE
    },
];

#[test]
fn every_problem_with_credentials_is_said_as_the_golden_file_says() {
    assert_said("credentials.txt", CASES);
}

#[test]
fn a_user_that_is_made_is_called_by_prefix_instance_kind_and_name() {
    let text = FINE.replace(DATABASE, MADE).replace(LOGIN, "acl = \" +@read\\t~app:* \"");
    let settings = World::new().load(&text).unwrap().settings;
    let made = settings.databases[0].provisioning.as_ref().unwrap();
    assert_eq!((made.namespace.as_str(), made.rotate_every), ("respgate:a:", Duration::from_secs(86_400)));
    let [account] = &made.accounts[..] else { panic!("one user") };
    assert_eq!(
        (account.redis_user.as_str(), account.rules.to_string().as_str()),
        ("respgate:a:user:app", "+@read ~app:*")
    );
    let credential = settings.users.users()[0].credential.as_ref().unwrap();
    assert_eq!(credential.redis_user, "respgate:a:user:app");
    assert!(matches!(&credential.password, Password::Kept(keeping) if *keeping == account.keeping));
}

#[test]
fn a_command_that_two_users_name_is_run_once_as_often_as_either_wants() {
    let world = World::new();
    world.write("token", "");
    let login = "redis_user = \"app\"\nredis_password_command = [\"./token\", \"a b\"]";
    let text = FINE.replace(LOGIN, login)
        + &format!("[[user]]\nname = \"b\"\ncertificate_subject_line = \"CN=b\"\n{login}\n")
        + "redis_password_refresh_s = 60";
    let settings = world.load(&text).unwrap().settings;
    let [command] = &settings.password_commands[..] else { panic!("one command") };
    assert!(command.program.ends_with("token") && command.program.is_absolute());
    assert_eq!((&command.arguments[..], command.refresh), (&["a b".to_owned()][..], Duration::from_secs(60)));
    let keeping = Keeping("printed by [\"./token\", \"a b\"]".into());
    assert_eq!(command.keeping, keeping);
}

#[test]
fn the_example_makes_one_user_and_one_role() {
    let world = World::new();
    world.write("admin.password", "s3cret\n");
    let loaded = world.load(EXAMPLE).unwrap();
    assert_eq!(loaded.warnings.list, []);
    let made = loaded.settings.databases[0].provisioning.as_ref().unwrap();
    let names: Vec<_> = made.accounts.iter().map(|account| account.redis_user.as_str()).collect();
    assert_eq!(names, ["respgate:a:user:app", "respgate:a:role:reader"]);
    assert_eq!(made.rotate_every, Duration::from_secs(3_600));
}
