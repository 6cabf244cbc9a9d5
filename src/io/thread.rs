//! One worker's thread: its runtime, its clients and links, its clock.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::control::{Live, Shared, Stage};
use super::hub::Hub;
use super::listen::Accepted;
use super::peers::{Inbox, Peers};
use super::tally::Meters;
use super::{client, clock, guests};
use crate::identity::Kept;
use crate::worker::{Seed, Worker};

/// How often the machine looks at its deadlines.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How often totals are handed on.
const TICKS_A_FLUSH: u32 = 20;

/// What a worker's thread is given.
pub(super) struct Post {
    pub(super) number: usize,
    pub(super) seed: Seed,
    pub(super) shared: Arc<Shared>,
    pub(super) clients: mpsc::Receiver<Accepted>,
    pub(super) peers: Peers,
    pub(super) inbox: Inbox,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) meters: Meters,
}

/// Runs a worker until the gateway stops.
pub(super) fn run(runtime: &tokio::runtime::Runtime, post: Post) {
    let local = LocalSet::new();
    local.block_on(runtime, work(post));
}

async fn work(post: Post) {
    let Post { number, seed, shared, mut clients, peers, mut inbox, mut stage, mut meters } = post;
    let mut live = shared.live.load_full();
    let mut machine = Worker::new(Arc::new(live.settings.limits.clone()), &seed);
    machine.set_answers_respgate(live.settings.whoami);
    let mut kept = shared.keep.kept();
    machine.set_kept(Arc::clone(&kept), clock::now());
    let hub = Hub::new(machine, peers);
    hub.move_to(&live.reach);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    loop {
        tokio::select! {
            Some(accepted) = clients.recv() => {
                tokio::task::spawn_local(client::serve(Rc::clone(&hub), Arc::clone(&shared), accepted));
            }
            Some(message) = inbox.recv() => hub.with(|machine, now| machine.told(message, now)),
            changed = stage.changed() => {
                let stage = *stage.borrow_and_update();
                if changed.is_err() || stage == Stage::Stopped {
                    break;
                }
                if stage == Stage::Draining {
                    hub.with(|machine, _| machine.drain());
                }
            },
            _ = ticks.tick() => {
                reload(&hub, &shared, &mut live);
                take_over_kept(&hub, &shared, &mut kept);
                // Before the machine, which would end an expired session without a record.
                guests::look(&hub, &shared, &live);
                hub.with(|machine, now| machine.tick(now, clock::unix_now()));
                shared.note_needless_auths(&hub);
                let wanted = hub.wanted_maps.take();
                if !wanted.is_empty() {
                    shared.want_maps(&wanted);
                }
                shared.note_refused_users(&hub);
                shared.budget.told(number, hub.peek(|machine| machine.held_bytes()));
                shared.health.told(number, hub.peek(|machine| machine.troubles()));
                count += 1;
                if count % TICKS_A_FLUSH == 0 {
                    meters.flush(&hub);
                }
            },
        }
    }
    meters.flush(&hub);
}

/// Takes over the passwords that are known, and has a login that was refused looked into.
fn take_over_kept(hub: &Rc<Hub>, shared: &Shared, kept: &mut Arc<Kept>) {
    let now = shared.keep.kept();
    if !Arc::ptr_eq(&now, kept) {
        *kept = Arc::clone(&now);
        hub.with(|machine, at| machine.set_kept(now, at));
    }
    if hub.is_login_refused.take() {
        shared.keep.wake();
    }
}

/// Takes over what has been put in force.
fn reload(hub: &Rc<Hub>, shared: &Shared, live: &mut Arc<Live>) {
    let now = shared.live.load();
    if Arc::ptr_eq(&now, live) {
        return;
    }
    let before = std::mem::replace(live, Arc::clone(&now));
    if Arc::ptr_eq(&before.settings, &live.settings) {
        hub.move_to(&live.reach);
        return;
    }
    let ended = hub.peek(|machine| {
        machine.set_limits(Arc::new(live.settings.limits.clone()));
        machine.set_answers_respgate(live.settings.whoami);
        machine.recheck(&|permit| live.again(permit))
    });
    for (id, refusal) in ended {
        guests::shown_out(hub, shared, id, &refusal);
    }
    // Only now is anything done with the new passwords, and at the new addresses.
    hub.move_to(&live.reach);
    hub.guests.borrow_mut().all_due();
}
