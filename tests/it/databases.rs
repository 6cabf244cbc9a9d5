//! Several databases behind one gateway: which one a client comes to, and that nothing of one
//! is seen, killed or lost at another.

use std::io;

use tempfile::TempDir;

use crate::backend::{Redis, Version};
use crate::pki::{Leaf, pki};
use crate::wire::Client;
use crate::world::{APP, LOST, OPS, ROOT, Setup, World};

/// A gateway with two databases: "orders" is the world's own Redis, "stock" this one.
struct Two {
    world: World,
    stock: Redis,
    _directory: TempDir,
}

/// `listener` says which is whose. At stock a reader is to Redis `ops`, and only app is one.
fn two(listener: &'static str) -> Two {
    two_at(listener, None)
}

/// The same, with other lines in the place of stock's address.
fn two_at(listener: &'static str, place: Option<&str>) -> Two {
    let directory = tempfile::tempdir().expect("a directory");
    let stock = Redis::start(Version::default(), directory.path(), &[]);
    let server =
        pki().trusted.issue(Leaf::server(&["localhost", "127.0.0.1", "stock.example", "else.example"]));
    let address = format!("address = \"unix:{}\"", stock.socket().display());
    let more = format!(
        "[[database]]\nname = \"stock\"\n{}\n\
         roles = [{{ role = \"reader\", redis_user = \"ops\", redis_password_file = \"ops.password\" }}]",
        place.unwrap_or(&address)
    );
    let of_orders = |user: &str| format!("redis_user = \"{user}\"\ndatabase = \"orders\"");
    let setup = Setup {
        users: vec![APP, OPS, ROOT],
        listener,
        more,
        files: vec![("server.crt", server.certificate), ("server.key", server.key)],
        edits: vec![
            ("[database]\naddress", "[[database]]\nname = \"orders\"\naddress".to_owned()),
            ("redis_user = \"app\"\n", format!("{}\nroles = [\"reader\"]\n", of_orders("app"))),
            ("redis_user = \"ops\"\n", format!("{}\n", of_orders("ops"))),
            ("redis_user = \"root\"\n", format!("{}\n", of_orders("root"))),
        ],
        ..Setup::default()
    };
    let world = if place.is_some() { World::with_unready(setup) } else { World::with(setup) };
    Two { world, stock, _directory: directory }
}

impl Two {
    fn client(&self, user: &str, server_name: &'static str) -> io::Result<Client> {
        Client::tls_named(self.world.gateway.address, self.world.tls(user), server_name)
    }

    /// The record of the client that was refused last.
    fn refused(&self, user: &str, server_name: &'static str) -> String {
        let before = self.world.audit().len();
        let mut client = self.client(user, server_name).expect("the handshake succeeds");
        assert!(client.read().to_string().starts_with("-NOPERM "));
        let record =
            self.world.wait_audit_after(before, "of the refusal", |record| record["outcome"] == "refused");
        record["reason"].as_str().expect("a word").to_owned()
    }
}

const BY_NAME: &str = "database = \"orders\"\nsni = { \"Stock.example\" = \"stock\" }";

#[test]
fn a_server_name_leads_to_its_database_and_any_other_to_the_default() {
    let two = two(BY_NAME);
    let mut stock = two.client("app", "stock.example").expect("let in");
    stock.talk(&[("ACL WHOAMI", "$ops"), ("SET place stock", "+OK")]);
    for name in ["localhost", "else.example", "127.0.0.1"] {
        let mut orders = two.client("app", name).expect("let in");
        orders.talk(&[("ACL WHOAMI", "$app"), ("SET place orders", "+OK")]);
    }
    two.world.redis.client("root").talk(&[("GET place", "$orders")]);
    two.stock.client("root").talk(&[("GET place", "$stock")]);
}

#[test]
fn a_redis_user_of_one_database_is_nobody_at_another() {
    let two = two(BY_NAME);
    two.client("ops", "localhost").expect("let in").talk(&[("ACL WHOAMI", "$ops")]);
    // Stock has a Redis user of the same name and password, but it is not this user's there.
    assert_eq!(two.refused("ops", "stock.example"), "no_role");
}

#[test]
fn without_a_default_who_asks_for_no_known_name_is_refused() {
    let two = two("sni = { \"stock.example\" = \"stock\", \"localhost\" = \"orders\" }");
    two.client("app", "localhost").expect("let in").talk(&[("ACL WHOAMI", "$app")]);
    two.client("app", "stock.example").expect("let in").talk(&[("ACL WHOAMI", "$ops")]);
    for name in ["else.example", "127.0.0.1"] {
        assert_eq!(two.refused("app", name), "unknown_server_name", "{name}");
    }
}

#[test]
fn a_client_of_one_database_cannot_kill_or_count_those_of_another() {
    let two = two(BY_NAME);
    let mut killer = two.client("root", "localhost").expect("let in");
    let mut orders = two.client("app", "localhost").expect("let in");
    let mut stock = two.client("app", "stock.example").expect("let in");
    let there = stock.ask("CLIENT ID").replace(':', "");
    assert_eq!(killer.ask(&format!("CLIENT KILL ID {there}")), ":0");
    // At stock, app is to Redis of the killer's own name.
    assert_eq!(killer.ask("CLIENT KILL USER ops"), ":0");
    assert_eq!(killer.ask(&format!("CLIENT UNBLOCK {there}")), ":0");
    stock.talk(&[("PING", "+PONG")]);
    let here = orders.ask("CLIENT ID").replace(':', "");
    assert_eq!(killer.ask(&format!("CLIENT KILL ID {here}")), ":1");
    orders.expect_end();
}

#[test]
fn a_database_that_is_away_is_away_for_its_own_clients_only() {
    let mut two = two(BY_NAME);
    two.world.announce(LOST);
    let mut orders = two.client("app", "localhost").expect("let in");
    let mut stock = two.client("app", "stock.example").expect("let in");
    stock.talk(&[("PING", "+PONG")]);
    two.stock.kill();
    for _ in 0..20 {
        let reply = stock.ask("PING");
        assert!(reply.starts_with("-ERR respgate: "), "{reply}");
        orders.talk(&[("PING", "+PONG"), ("INCR n", &format!(":{}", orders_count(&two)))]);
    }
    two.stock.resume();
    let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
    while stock.ask("PING") != "+PONG" {
        assert!(std::time::Instant::now() < deadline, "stock does not come back");
    }
}

/// Asks until it is not answered by Redis any more, and then waits for `/readyz` to answer so. Its lines.
fn told_down(two: &Two, client: &mut Client, status: u16, lines: usize) -> String {
    let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
    loop {
        client.ask("PING");
        let (got, body) = two.world.gateway.get("/readyz");
        if got == status && body.lines().count() == lines + 1 {
            return body;
        }
        assert!(std::time::Instant::now() < deadline, "{got}: {body}");
    }
}

#[test]
fn readyz_names_the_database_that_is_down_and_says_503_when_all_are() {
    let mut two = two(BY_NAME);
    two.world.announce(LOST);
    let mut orders = two.client("app", "localhost").expect("let in");
    let mut stock = two.client("app", "stock.example").expect("let in");
    [&mut orders, &mut stock].into_iter().for_each(|client| client.talk(&[("PING", "+PONG")]));
    two.stock.kill();
    let told = told_down(&two, &mut stock, 200, 1);
    assert!(told.starts_with("ready\ndatabase stock at unix:"), "{told}");
    orders.talk(&[("PING", "+PONG")]);
    two.world.redis.kill();
    let told = told_down(&two, &mut orders, 503, 2);
    assert!(told.starts_with("backend_unavailable\ndatabase orders at unix:"), "{told}");
    assert!(told.contains("\ndatabase stock at unix:"), "{told}");
    two.stock.resume();
    let told = told_down(&two, &mut stock, 200, 1);
    assert!(told.starts_with("ready\ndatabase orders at unix:"), "{told}");
}

#[test]
fn a_database_whose_master_nobody_knows_is_named_and_the_other_is_served() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let sentinel = format!("sentinel = {{ master = \"stock\", addresses = [\"127.0.0.1:{port}\"] }}");
    let mut two = two_at(BY_NAME, Some(&sentinel));
    for announced in ["few_sentinels", "this sentinel does not answer", "too few sentinels answer", LOST] {
        two.world.announce(announced);
    }
    let mut orders = two.client("app", "localhost").expect("let in");
    let told = told_down(&two, &mut orders, 200, 1);
    assert!(told.starts_with("ready\ndatabase stock at nowhere: no_master since 20"), "{told}");
    orders.talk(&[("PING", "+PONG")]);
    two.world.redis.kill();
    let told = told_down(&two, &mut orders, 503, 2);
    assert!(told.starts_with("backend_unavailable\ndatabase orders at unix:"), "{told}");
}

fn orders_count(two: &Two) -> u64 {
    let count = two.world.redis.client("root").ask("GET n");
    count.trim_start_matches('$').parse::<u64>().unwrap_or(0) + 1
}

#[test]
fn a_reload_that_leads_a_name_elsewhere_ends_its_clients_and_no_other() {
    let two = two(BY_NAME);
    let mut moved = two.client("app", "stock.example").expect("let in");
    let mut stays = two.client("app", "localhost").expect("let in");
    moved.talk(&[("ACL WHOAMI", "$ops")]);
    two.world.write_again(|setup| setup.listener = "database = \"orders\"");
    two.world.reload();
    moved.expect_end();
    stays.talk(&[("ACL WHOAMI", "$app")]);
    two.client("app", "stock.example").expect("let in").talk(&[("ACL WHOAMI", "$app")]);
}

#[test]
fn a_database_that_a_reload_adds_serves_its_clients_at_once() {
    let two = two("database = \"orders\"");
    let mut before = two.client("app", "stock.example").expect("let in");
    before.talk(&[("ACL WHOAMI", "$app")]);
    two.world.write_again(|setup| {
        setup.listener = BY_NAME;
        setup.more = setup.more.replace("name = \"stock\"", "name = \"warehouse\"");
    });
    // It names one that is not there: nothing changes.
    for line in ["unknown_database", "nothing was reloaded"] {
        two.world.announce(line);
    }
    let log = &two.world.gateway.stderr;
    let at = log.count();
    two.world.gateway.signal(rustix::process::Signal::HUP);
    log.wait_after(at, "of the refused reload", |line| line.contains("unknown_database"));
    before.talk(&[("ACL WHOAMI", "$app")]);
    two.world.write_again(|setup| {
        setup.listener = "database = \"warehouse\"";
        setup.more = setup.more.replace("name = \"stock\"", "name = \"warehouse\"");
    });
    two.world.reload();
    let mut after = two.client("app", "localhost").expect("let in");
    after.talk(&[("ACL WHOAMI", "$ops")]);
    before.expect_end();
}
