//! Redis' own tools and a client library, with a name and a password.

use crate::backend::{leashed, needed, target};
use crate::clients::{finish, run};
use crate::pki::write_secret;
use crate::world::{Setup, World};

use super::{setup, world};

fn cli(world: &World) -> std::process::Command {
    let mut command = leashed("redis-cli");
    command.args(["-h", "localhost", "-p", &world.gateway.address.port().to_string(), "--tls"]);
    command.arg("--cacert").arg(world.path("ca.crt")).env_remove("REDISCLI_AUTH");
    command.arg("--no-auth-warning");
    command
}

/// OS-04: `redis-cli --user --pass` without a certificate.
#[test]
fn redis_cli_comes_in_by_a_password() {
    let world = world();
    for protocol in ["-2", "-3"] {
        let who =
            run(cli(&world).args([protocol, "--user", "person", "--pass", "canary-person", "ACL", "WHOAMI"]));
        assert_eq!(who, "app\n");
    }
    let output = finish(cli(&world).args(["--user", "person", "--pass", "wrong", "ACL", "WHOAMI"]));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("WRONGPASS") && text.contains("NOAUTH Authentication required."), "{text}");
    let text = run(cli(&world).args(["PING"]));
    assert!(text.contains("NOAUTH"), "{text}");
}

/// What `respgate hash` prints is what `password_hash_file` takes.
#[test]
fn a_hash_of_our_own_lets_its_user_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("fresh.hash");
    write_secret(&directory.path().join("password"), "canary fresh\n");
    let typed = std::fs::File::open(directory.path().join("password")).expect("just written");
    write_secret(&file, &run(leashed(env!("CARGO_BIN_EXE_respgate")).arg("hash").stdin(typed)));
    let user = format!(
        "[[user]]\nname = \"fresh\"\nauth_method = \"password\"\npassword_hash_file = \"{}\"\n\
         redis_user = \"ops\"\nredis_password_file = \"ops.password\"\n",
        file.display()
    );
    let world = World::with(Setup { more: format!("{}\n{user}", setup().more), ..setup() });
    let who = run(cli(&world).args(["--user", "fresh", "--pass", "canary fresh", "ACL", "WHOAMI"]));
    assert_eq!(who, "ops\n");
}

const PYTHON: &str = r#"
import sys, redis
port, ca, protocol = sys.argv[1:]
options = dict(host="localhost", port=int(port), ssl=True, ssl_ca_certs=ca, decode_responses=True, socket_timeout=20)
if protocol != "default":
    options["protocol"] = int(protocol)
for user in ("person", "third"):
    r = redis.Redis(username=user, password="canary-" + user, **options)
    assert r.execute_command("ACL", "WHOAMI") == {"person": "app", "third": "third"}[user]
    r.set("k", "v")
    assert r.get("k") == "v"
    with r.pipeline() as pipe:
        assert pipe.incr("n").incr("n").execute()[1] >= 2
    r.close()
try:
    redis.Redis(username="person", password="wrong", **options).ping()
except redis.exceptions.AuthenticationError as error:
    assert "invalid username-password pair" in str(error), error
else:
    raise AssertionError("a wrong password was accepted")
try:
    redis.Redis(**options).ping()
except redis.exceptions.AuthenticationError as error:
    print("ok")
"#;

#[test]
fn redis_py_comes_in_by_a_password() {
    // Its newer versions try a wrong password more than once.
    let world = World::with(Setup { limits: "auth_failures_per_network_max = 0", ..setup() });
    for (version, protocols) in [("6.4.0", ["default", "3"]), ("8.1.0", ["default", "2"])] {
        for protocol in protocols {
            let mut command = leashed(needed(target("venv/bin/python")));
            command
                .env("PYTHONPATH", needed(target(&format!("py/{version}"))))
                .env("PYTHONDONTWRITEBYTECODE", "1");
            command.arg("-c").arg(PYTHON).arg(world.gateway.address.port().to_string());
            command.arg(world.path("ca.crt")).arg(protocol);
            assert_eq!(run(&mut command), "ok\n", "redis-py {version}, protocol {protocol}");
        }
    }
}
