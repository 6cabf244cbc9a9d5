//! What a client costs that is there and says nothing.

use crate::pki::client_config;
use crate::trust::app_and_ops;
use crate::trust::hierarchy::{Ca, DAY, as_is, now};
use crate::wire::Client;
use crate::world::World;

const IDLE: usize = 2_000;

/// Bytes of resident memory for each client that shows a chain with so many CAs between its leaf
/// and the root, has made one request and waits.
fn cost(cas_between: usize) -> u64 {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&root.pem(), ""));
    let lowest = (0..cas_between).fold(None::<Ca>, |above, number| {
        Some(above.as_ref().unwrap_or(&root).below(&format!("CN=CA {number},O=Acme"), as_is))
    });
    let config = client_config(Some(&lowest.as_ref().unwrap_or(&root).leaf("CN=app,O=Acme", as_is).identity));
    let arrive = |count: usize| -> Vec<Client> {
        let arrival = |_| {
            let mut client = Client::tls(world.gateway.address, config.clone()).expect("let in");
            client.talk(&[("PING", "+PONG")]);
            client
        };
        (0..count).map(arrival).collect()
    };
    let _first = arrive(200);
    let before = world.gateway.resident();
    let _idle = arrive(IDLE);
    (world.gateway.resident() - before) / IDLE as u64
}

#[test]
fn an_idle_client_costs_little_however_long_its_chain_is() {
    let (leaf, chain) = (cost(0), cost(3));
    eprintln!("an idle client costs {leaf} bytes, with three CAs in its chain {chain}");
    assert!(leaf < 32 << 10, "an idle client costs {leaf} bytes");
    assert!(chain < leaf + (6 << 10), "three CAs add {} bytes", chain.saturating_sub(leaf));
}

/// Clients that stay from one reload to the next do not keep what was in force when they came.
#[test]
fn settings_of_the_past_are_not_kept_by_those_who_came_under_them() {
    const LISTED: u64 = 20_000;
    const RELOADS: u64 = 24;
    let root = Ca::root("CN=Root,O=Acme");
    let serials: Vec<u64> = (1_000_000..1_000_000 + LISTED).collect();
    let list = || root.crl(&serials, now() + 9 * DAY);
    let mut plan = app_and_ops(&root.pem(), "crl = \"root.crl\"");
    plan.files.push(("root.crl", list()));
    let world = World::with(plan);
    let identity = root.leaf("CN=app,O=Acme", as_is).identity;
    let mut clients = Vec::new();
    let mut round = || {
        let mut client = world.client_as(&identity).expect("let in");
        client.talk(&[("PING", "+PONG")]);
        clients.push(client);
        std::fs::write(world.path("root.crl"), list()).expect("writable");
        world.reload();
    };
    (0..4).for_each(|_| round());
    let before = world.gateway.resident();
    (0..RELOADS).for_each(|_| round());
    let grown = world.gateway.resident().saturating_sub(before);
    eprintln!("{RELOADS} reloads of {LISTED} revocations: grown by {grown} bytes");
    assert!(grown < 16 << 20, "grown by {grown} bytes");
}
