//! Clients that act on other clients: CLIENT KILL and CLIENT UNBLOCK by the ids that CLIENT ID
//! tells, whichever of the gateway's workers serves them.

use crate::wire::Client;
use crate::world::{Door, OPS, ROOT, Setup, User, World, at_both_doors};

fn id(client: &mut Client) -> String {
    client.ask("CLIENT ID").trim_start_matches(':').to_owned()
}

/// All clients are at one worker.
pub(crate) fn one_worker() -> Vec<(&'static str, String)> {
    vec![("[listener]\naddress", "workers = 1\n\n[listener]\naddress".to_owned())]
}

/// Two workers, however many cores there are.
pub(crate) fn two_workers() -> Vec<(&'static str, String)> {
    vec![("[listener]", "workers = 2\n\n[listener]".to_owned())]
}

/// Waits until so many clients of Redis are blocked.
pub(crate) fn wait_blocked(redis: &mut Client, count: usize) {
    let wanted = format!("blocked_clients:{count}\r\n");
    let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
    while !redis.ask("INFO clients").contains(&wanted) {
        assert!(std::time::Instant::now() < deadline, "never {wanted}: {}", redis.ask("INFO clients"));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn redis_of<'a>(door: &Door<'a>) -> &'a World {
    match door {
        Door::Gateway(world) | Door::Redis(world) => world,
    }
}

#[test]
fn a_client_is_killed_by_its_id_and_no_other_is() {
    at_both_doors(|door| {
        let mut killer = door.client("root");
        // As many as are sure to be spread over all workers.
        let mut clients: Vec<Client> = (0..6).map(|_| door.client("app")).collect();
        let ids: Vec<String> = clients.iter_mut().map(id).collect();
        for (victim, id) in ids.iter().enumerate().filter(|(number, _)| number % 3 != 2) {
            killer.talk(&[(&format!("CLIENT KILL ID {id}"), ":1"), (&format!("client kill id {id}"), ":0")]);
            clients[victim].expect_end();
        }
        for spared in [2, 5] {
            clients[spared].talk(&[("PING", "+PONG")]);
        }
    });
}

#[test]
fn what_a_killed_client_waited_for_is_nobodys() {
    at_both_doors(|door| {
        let (mut killer, mut redis) = (door.client("root"), redis_of(door).redis.client("root"));
        for _ in 0..4 {
            let mut victim = door.client("app");
            let victim_id = id(&mut victim);
            victim.send("BLPOP queue 0");
            wait_blocked(&mut redis, 1);
            killer.talk(&[
                (&format!("CLIENT KILL ID {victim_id}"), ":1"),
                ("RPUSH queue item", ":1"),
                ("LPOP queue", "$item"),
            ]);
            victim.expect_end();
        }
    });
}

#[test]
fn a_client_is_unblocked_by_its_id() {
    at_both_doors(|door| {
        let (mut other, mut redis) = (door.client("root"), redis_of(door).redis.client("root"));
        for _ in 0..4 {
            let mut blocked = door.client("app");
            let who = id(&mut blocked);
            other.talk(&[(&format!("CLIENT UNBLOCK {who}"), ":0")]);
            for (how, reply) in [
                ("", "nil"),
                (" TIMEOUT", "nil"),
                (" error", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            ] {
                blocked.send("BLPOP none 0");
                wait_blocked(&mut redis, 1);
                other.talk(&[(&format!("CLIENT UNBLOCK {who}{how}"), ":1")]);
                assert_eq!(blocked.read().to_string(), reply);
            }
            other.talk(&[(&format!("CLIENT UNBLOCK {who}"), ":0")]);
            blocked.talk(&[("PING", "+PONG")]);
        }
    });
}

#[test]
fn mistakes_about_other_clients_are_answered_in_redis_words() {
    at_both_doors(|door| {
        let mut client = door.client("root");
        client.talk(&[
            ("CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command"),
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
            ("CLIENT KILL ID 999999 ID 999998", ":0"),
            ("CLIENT KILL ID 999999 SKIPME maybe", "-ERR syntax error"),
            ("CLIENT KILL ID 999999 WHAT x", "-ERR syntax error"),
            ("CLIENT KILL ID 999999 USER", "-ERR syntax error"),
            ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'"),
            ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'"),
            ("CLIENT UNBLOCK", "-ERR wrong number of arguments for 'client|unblock' command"),
            ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
            ("CLIENT UNBLOCK -1", ":0"),
            ("CLIENT UNBLOCK 999999", ":0"),
            ("CLIENT UNBLOCK 999999 x", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            ("PING", "+PONG"),
        ]);
        assert!(client.ask("CLIENT KILL MAXAGE 0 ID 999999").starts_with("-ERR "));
    });
}

#[test]
fn clients_are_killed_by_user_and_by_what_they_do() {
    at_both_doors(|door| {
        let mut killer = door.client("root");
        let mut narrow: Vec<Client> = (0..3).map(|_| door.client("narrow")).collect();
        let mut app = door.client("app");
        narrow.iter_mut().for_each(|client| client.talk(&[("PING", "+PONG")]));
        app.talk(&[("SUBSCRIBE news", "[$subscribe, $news, :1]")]);
        killer.talk(&[("CLIENT KILL USER narrow TYPE pubsub", ":0"), ("CLIENT KILL USER narrow", ":3")]);
        narrow.iter_mut().for_each(Client::expect_end);
        killer.talk(&[("CLIENT KILL TYPE pubsub", ":1")]);
        app.expect_end();
    });
}

#[test]
fn a_client_that_kills_itself_gets_its_answer_first() {
    at_both_doors(|door| {
        let mut client = door.client("root");
        let who = id(&mut client);
        client.talk(&[
            (&format!("CLIENT KILL ID {who}"), ":0"),
            ("PING", "+PONG"),
            (&format!("CLIENT KILL ID {who} SKIPME no"), ":1"),
        ]);
        client.expect_end();
    });
}

#[test]
fn replies_keep_their_order_around_a_kill() {
    at_both_doors(|door| {
        for _ in 0..4 {
            let (mut victim, mut killer) = (door.client("app"), door.client("root"));
            let kill = format!("CLIENT KILL ID {}", id(&mut victim));
            killer.pipeline(&[
                ("SET k 1", "+OK"),
                (&kill, ":1"),
                ("GET k", "$1"),
                ("CLIENT UNBLOCK 999999", ":0"),
                ("INCR k", ":2"),
                ("CLIENT GETNAME", "nil"),
                ("MULTI", "+OK"),
                ("GET k", "+QUEUED"),
                ("EXEC", "[$2]"),
            ]);
            victim.expect_end();
        }
    });
}

#[test]
fn addresses_are_those_of_the_gateways_clients() {
    let world = World::with(Setup { edits: two_workers(), ..Setup::default() });
    let mut killer = world.client("root");
    let address = |client: &mut Client, name: &str| {
        let info = client.ask("CLIENT INFO");
        let field = info.split(' ').find_map(|field| field.strip_prefix(name)).map(str::to_owned);
        field.unwrap_or_else(|| panic!("no {name} in {info}"))
    };
    for form in ["CLIENT KILL {}", "CLIENT KILL ADDR {}", "CLIENT KILL ADDR {} TYPE normal USER app"] {
        for _ in 0..3 {
            let (mut victim, mut spared) = (world.client("app"), world.client("app"));
            let peer = address(&mut victim, "addr=");
            let answer = if form.contains("ADDR") { ":1" } else { "+OK" };
            killer.talk(&[(&form.replace("{}", &peer), answer)]);
            victim.expect_end();
            spared.talk(&[("PING", "+PONG")]);
        }
    }
    let local = address(&mut killer, "laddr=");
    let mut others: Vec<Client> = (0..3).map(|_| world.client("app")).collect();
    others.iter_mut().for_each(|other| other.talk(&[("PING", "+PONG")]));
    killer.talk(&[(&format!("CLIENT KILL LADDR {local} USER app"), ":3"), ("PING", "+PONG")]);
    others.iter_mut().for_each(Client::expect_end);
    // It kills itself too, in the old form.
    let itself = address(&mut killer, "addr=");
    killer.talk(&[(&format!("CLIENT KILL {itself}"), "+OK")]);
    killer.expect_end();
}

#[test]
fn no_id_means_a_connection_of_the_gateway_to_redis() {
    let world = World::with(Setup { edits: two_workers(), ..Setup::default() });
    let mut clients: Vec<Client> = (0..4).map(|_| world.client("root")).collect();
    let own: Vec<String> = clients.iter_mut().map(id).collect();
    clients.iter_mut().for_each(|client| client.talk(&[("WATCH k", "+OK"), ("PING", "+PONG")]));
    let mut redis = world.redis.client("root");
    let opened = |redis: &mut Client| {
        let stats = redis.ask("INFO stats");
        stats.lines().find(|line| line.starts_with("total_connections_received")).map(str::to_owned)
    };
    // What the gateway opens for the first CLIENT KILL.
    clients[0].talk(&[("CLIENT KILL ID 999999", ":0")]);
    let before = opened(&mut redis);
    let list = redis.ask("CLIENT LIST");
    let ids = list.lines().filter_map(|line| line.trim_start_matches('$').strip_prefix("id="));
    let mut asked = 0;
    for backend_id in
        ids.filter_map(|line| line.split(' ').next()).filter(|id| !own.contains(&(*id).to_owned()))
    {
        clients[0].talk(&[(&format!("CLIENT KILL ID {backend_id}"), ":0")]);
        clients[0].talk(&[(&format!("CLIENT UNBLOCK {backend_id}"), ":0")]);
        asked += 1;
    }
    assert!(asked > 0, "{list}");
    clients.iter_mut().for_each(|client| client.talk(&[("PING", "+PONG"), ("EXISTS k", ":0")]));
    assert_eq!(opened(&mut redis), before);
}

#[test]
fn redis_says_who_may_kill_and_unblock() {
    let world = World::with(Setup {
        users: vec![crate::world::APP, User { commands: "\"all\"", ..OPS }, ROOT],
        edits: two_workers(),
        ..Setup::default()
    });
    let mut ops = world.client("ops");
    world.client("root").talk(&[("ACL SETUSER ops -client|kill -client|unblock", "+OK")]);
    for _ in 0..2 {
        let mut app = world.client("app");
        let who = id(&mut app);
        for command in ["kill", "unblock"] {
            let by_redis =
                ops.ask(&format!("CLIENT {command} {who}{}", if command == "kill" { ":1" } else { "" }));
            assert!(by_redis.starts_with("-NOPERM "), "{by_redis}");
            let by_profile = app.ask(&format!("CLIENT {command} ID {who}"));
            // As the system's Redis says it.
            let words = format!("-NOPERM this user has no permissions to run the 'client|{command}' command");
            assert_eq!(by_profile, words);
        }
        assert!(ops.ask(&format!("CLIENT KILL ID {who}")).starts_with("-NOPERM "));
        assert!(ops.ask("CLIENT KILL USER app").starts_with("-NOPERM "));
        app.talk(&[("PING", "+PONG")]);
    }
}

#[test]
fn what_the_gateway_cannot_know_of_a_client_is_refused() {
    let world = World::start();
    world.client("root").talk(&[
        ("CLIENT KILL NAME x", "-ERR respgate: CLIENT KILL NAME is not supported"),
        ("CLIENT KILL NOT-ID 5 ID 999999", "-ERR respgate: CLIENT KILL NOT-ID is not supported"),
        (
            "CLIENT KILL TYPE replica",
            "-ERR respgate: CLIENT KILL TYPE replica is not supported: no client of the gateway is one",
        ),
        ("PING", "+PONG"),
    ]);
}
