//! Transactions of many clients at once: what Redis itself sees of them, and what is left.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::backend::Version;
use crate::resp::typed;
use crate::wire::Client;
use crate::world::{Setup, World, at_both_doors};

const CLIENTS: usize = 16;
const TRANSACTIONS: usize = 40;
const COMMANDS: usize = 4;

/// One client's transactions, some in one write, some in pieces, with other commands between them.
fn transact(client: &mut Client, number: usize) {
    for round in 0..TRANSACTIONS {
        let mut commands = vec!["MULTI".to_owned()];
        commands.extend((0..COMMANDS).map(|step| format!("SET t:{number}:{round}:{step} v")));
        commands.push("EXEC".to_owned());
        match (number + round) % 4 {
            0 | 1 => client.write(&commands.iter().flat_map(|command| typed(command)).collect::<Vec<u8>>()),
            2 => commands.iter().for_each(|command| client.send(command)),
            _ => {
                client.talk(&[(&format!("WATCH w:{number}"), "+OK")]);
                let (front, back) = commands.split_at(2);
                client.write(&front.iter().flat_map(|command| typed(command)).collect::<Vec<u8>>());
                client.write(&back.iter().flat_map(|command| typed(command)).collect::<Vec<u8>>());
            }
        }
        assert_eq!(client.read().to_string(), "+OK");
        for _ in 0..COMMANDS {
            assert_eq!(client.read().to_string(), "+QUEUED");
        }
        assert_eq!(client.read().to_string(), "[+OK, +OK, +OK, +OK]");
        client.talk(&[(&format!("SET plain:{number} v"), "+OK")]);
        assert!(client.ask("INCR plain").starts_with(':'));
    }
}

/// Looks at the lines of MONITOR: on each connection, from MULTI to EXEC, there is one whole transaction.
fn look(monitor: &mut Client) -> usize {
    let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut whole = 0;
    while whole < CLIENTS * TRANSACTIONS {
        let line = monitor.read().to_string();
        // +1700000000.123456 [0 127.0.0.1:40000] "SET" "t:1:2:0" "v"
        let (head, words) = line.split_once("] ").unwrap_or_else(|| panic!("no line of MONITOR: {line}"));
        let connection = head.rsplit(' ').next().expect("an address").to_owned();
        let words: Vec<&str> = words.split(' ').map(|word| word.trim_matches('"')).collect();
        match words[0].to_uppercase().as_str() {
            "MULTI" => {
                let before = open.insert(connection, Vec::new());
                assert!(before.is_none(), "a MULTI inside of a transaction: {line}");
            }
            "EXEC" => {
                let keys = open.remove(&connection).unwrap_or_else(|| panic!("no MULTI before {line}"));
                let first =
                    keys.first().and_then(|key| key.strip_suffix(":0")).unwrap_or_default().to_owned();
                let expected: Vec<String> = (0..COMMANDS).map(|step| format!("{first}:{step}")).collect();
                assert!(first.starts_with("t:") && keys == expected, "between MULTI and EXEC: {keys:?}");
                whole += 1;
            }
            _ => match open.get_mut(&connection) {
                Some(keys) => keys.push(words.get(1).copied().unwrap_or(words[0]).to_owned()),
                None => assert!(!line.contains("\"t:"), "outside of its transaction: {line}"),
            },
        }
    }
    whole
}

#[test]
fn nothing_of_another_session_comes_between_multi_and_exec() {
    for version in Version::ALL {
        // By TCP, so that MONITOR tells connections apart.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let world = World::with_unready(Setup {
            version,
            database: Some(format!("127.0.0.1:{port}")),
            edits: super::control::two_workers(),
            ..Setup::default()
        });
        world.announce(crate::world::LOST);
        world.redis.client("root").talk(&[(&format!("CONFIG SET port {port}"), "+OK")]);
        world.gateway.wait_ready();
        let mut monitor = world.redis.client("root");
        monitor.talk(&[("MONITOR", "+OK")]);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| world.client("app")).collect();
        let whole = std::thread::scope(|scope| {
            for (number, client) in clients.iter_mut().enumerate() {
                scope.spawn(move || transact(client, number));
            }
            look(&mut monitor)
        });
        eprintln!("{version:?}: {whole} transactions, each by itself");
    }
}

#[test]
fn optimistic_locks_hold_however_the_transaction_is_written() {
    at_both_doors(|door| {
        let workers: Vec<Client> = (0..8).map(|_| door.client("app")).collect();
        let conflicts: usize = std::thread::scope(|scope| {
            let run = |(number, mut client): (usize, Client)| {
                let (mut committed, mut conflicts) = (0, 0);
                while committed < 20 {
                    client.talk(&[("WATCH n", "+OK")]);
                    let n: u64 = client.ask("GET n").trim_start_matches('$').parse().unwrap_or(0);
                    let commands = [
                        "MULTI".to_owned(),
                        format!("SET n {}", n + 1),
                        "CLIENT ID".to_owned(),
                        "EXEC".to_owned(),
                    ];
                    if number % 2 == 0 {
                        client
                            .write(&commands.iter().flat_map(|command| typed(command)).collect::<Vec<u8>>());
                    } else {
                        commands.iter().for_each(|command| client.send(command));
                    }
                    (0..3).for_each(|_| drop(client.read()));
                    match client.read().to_string().as_str() {
                        "nil" => conflicts += 1,
                        done => {
                            assert!(done.starts_with("[+OK, :"), "{done}");
                            committed += 1;
                        }
                    }
                }
                conflicts
            };
            let running: Vec<_> =
                workers.into_iter().enumerate().map(|worker| scope.spawn(move || run(worker))).collect();
            running.into_iter().map(|one| one.join().expect("no worker failed")).sum()
        });
        eprintln!("{conflicts} conflicts");
        door.client("app").talk(&[("GET n", "$160")]);
    });
}
