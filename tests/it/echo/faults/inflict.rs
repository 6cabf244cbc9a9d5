//! What is done to the world for each fault, until its time is over. Each leaves the
//! world as it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::ClientConfig;

use super::Stage;
use crate::backend::password;
use crate::echo::USERS;
use crate::pki::write_secret;
use crate::proxy::Mood;
use crate::resp::{Value, request};
use crate::rogue::Rogue;
use crate::wire::Client;
use crate::world::{APP, User};

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// The clients do it all.
pub(super) fn nothing(stage: &mut Stage) {
    while stage.rest(Duration::from_secs(1)) {}
}

pub(super) fn kill(stage: &mut Stage) {
    let mut pause = ms(500);
    while stage.rest(pause) {
        stage.world.redis.kill();
        std::thread::sleep(ms(stage.dice.magnitude(1_000)));
        stage.world.redis.resume();
        stage.done += 1;
        pause = ms(3_000);
    }
}

pub(super) fn stop(stage: &mut Stage) {
    while stage.rest(ms(400)) {
        stage.world.redis.signal(Signal::STOP);
        let time = ms(500 + stage.dice.below(7_500));
        stage.rest(time);
        stage.world.redis.signal(Signal::CONT);
        stage.done += 1;
    }
}

pub(super) fn slow(stage: &mut Stage) {
    stage.proxy.set(Mood::Slow(ms(2_000)));
    nothing(stage);
    stage.proxy.set(Mood::Honest);
    let deeds = &stage.proxy.deeds;
    stage.done = deeds.delays.load(Relaxed).min(deeds.slices.load(Relaxed));
}

pub(super) fn cut(stage: &mut Stage) {
    stage.proxy.set(Mood::Cut(1 << 20));
    nothing(stage);
    stage.proxy.set(Mood::Honest);
    // Those that are still to be cut are cut now.
    stage.proxy.cut_all();
    stage.done = stage.proxy.deeds.resets.load(Relaxed);
}

pub(super) fn rogue(stage: &mut Stage) {
    misbehave(stage, Rogue::Anything);
}

/// Scripts of other clients inject replies; where the server does not let them, the proxy does.
pub(super) fn after_scripts(stage: &mut Stage) {
    let (address, until) = (stage.world.gateway.address, stage.until);
    let attackers: Vec<_> = USERS
        .iter()
        .map(|user| {
            let tls = stage.world.tls(user.name);
            std::thread::spawn(move || attack(address, &tls, until))
        })
        .collect();
    misbehave(stage, Rogue::AfterScripts);
    let hits: u64 = attackers.into_iter().map(|attacker| attacker.join().expect("no panic")).sum();
    assert!(hits > 0, "no script got through");
    stage.done += hits;
}

/// Raises errors with line ends in them, and in these whole replies, until the time is over. How
/// many errors came back as the script meant them to begin: the server lets it.
fn attack(address: SocketAddr, tls: &Arc<ClientConfig>, until: Instant) -> u64 {
    let fake = "TKNffffffff000000000000000000000000";
    let text = format!("ERR raised\r\n$35\r\n{fake}\r\n+{fake}");
    let script = request(&["EVAL", "error({err=ARGV[1]})", "0", &text]);
    let mut hits = 0;
    while Instant::now() < until {
        let mut client = Client::tls(address, Arc::clone(tls)).expect("let in");
        // Whatever it reads is its own doing, also what follows on a link of its own.
        for _ in 0..3 {
            if client.try_write(&script).is_err() {
                break;
            }
            match client.try_read() {
                Ok(reply) => hits += u64::from(reply == Value::Error("ERR raised".to_owned())),
                Err(_) => break,
            }
        }
        std::thread::sleep(ms(20));
    }
    hits
}

fn misbehave(stage: &mut Stage, rogue: Rogue) {
    stage.proxy.set(Mood::Rogue(rogue));
    nothing(stage);
    stage.proxy.set(Mood::Honest);
    stage.done = stage.proxy.deeds.tainted.lock().expect("not poisoned").count();
}

/// Valid changes, and nobody whose mapping stays may notice any.
pub(super) fn reload(stage: &mut Stage) {
    let late = User { name: "late", subject: "CN=late,O=Acme", redis_user: "late", ..APP };
    while stage.rest(ms(20)) {
        let mut users = USERS.to_vec();
        match stage.done % 4 {
            0 => users.push(late.clone()),
            1 => users.reverse(),
            2 => users.insert(0, User { redis_user: "root", commands: "\"all\"", ..late.clone() }),
            _ => {}
        }
        stage.world.write_users(&users);
        stage.world.reload();
        stage.done += 1;
    }
}

/// A Redis user's password changes, in Redis and for the gateway, or the user is gone for a while.
pub(super) fn change_users(stage: &mut Stage) {
    let mut root = stage.world.redis.client("root");
    let mut passwords = USERS.map(|user| password(user.redis_user));
    while stage.rest(ms(100)) {
        let number = stage.dice.below(USERS.len() as u64) as usize;
        let user = USERS[number].redis_user;
        stage.done += 1;
        if stage.dice.is_one_in(2) {
            root.talk(&[(&format!("ACL DELUSER {user}"), ":1")]);
            std::thread::sleep(ms(stage.dice.magnitude(300)));
            let again = format!("ACL SETUSER {user} on >{} ~* &* +@all", passwords[number]);
            root.talk(&[(&again, "+OK")]);
            continue;
        }
        let new = format!("{}-{}", password(user), stage.done);
        root.talk(&[(&format!("ACL SETUSER {user} >{new}"), "+OK")]);
        write_secret(&stage.world.path(&format!("{user}.password")), &format!("{new}\n"));
        // Now and then Redis forgets the old one before the gateway knows the new.
        let forget = format!("ACL SETUSER {user} <{}", passwords[number]);
        let is_early = stage.dice.is_one_in(3);
        if is_early {
            root.talk(&[(&forget, "+OK")]);
            root.ask(&format!("CLIENT KILL USER {user}"));
        }
        stage.world.reload();
        if !is_early {
            root.talk(&[(&forget, "+OK")]);
        }
        passwords[number] = new;
    }
}

/// Small bounds, large values and late readers: who holds most is closed, and nobody else.
pub(super) fn squeeze(stage: &mut Stage) {
    nothing(stage);
    let closed = stage.world.gateway.metric("respgate_clients_closed_total", "buffers_full");
    stage.done = closed as u64;
}

pub(super) fn restart(stage: &mut Stage) {
    while stage.rest(ms(1_000)) {
        let signal = if stage.done.is_multiple_of(2) { Signal::KILL } else { Signal::TERM };
        stage.world.restart(signal);
        stage.terms.port.store(stage.world.gateway.address.port(), Relaxed);
        stage.done += 1;
    }
}
