//! The echo beside something else, which says when replies may be lost.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::thread::JoinHandle;
use std::time::Instant;

use super::faults::wait_for_recovery;
use super::kinds::Diet;
use super::terms::{Explains, Losses, Terms};
use super::totals::{Phase, Totals};
use super::{USERS, spawn, wait_for_replies};
use crate::world::{Setup, World};

/// Few, since they are not alone.
const CLIENTS: u32 = 8;

/// Replies in peace, before a fault and after it.
const CALM: u64 = 500;

pub(crate) struct Vigil {
    totals: Arc<Totals>,
    clients: JoinHandle<()>,
}

impl Vigil {
    /// The same world with the echo's users.
    pub(crate) fn users(setup: Setup) -> Setup {
        Setup { users: USERS.to_vec(), ..setup }
    }

    /// `explains` says whether there was a fault that nobody inflicted, for what began then.
    pub(crate) fn begin(world: &World, explains: impl Fn(Instant) -> bool + Send + Sync + 'static) -> Self {
        Self::on(world, CLIENTS, (Losses::Meanwhile, Diet::Plain), Some(Box::new(explains)))
    }

    /// Before a cluster, with keys in many slots.
    pub(crate) fn before_cluster(world: &World, losses: Losses) -> Self {
        Self::on(world, 2 * CLIENTS, (losses, Diet::Cluster), None)
    }

    fn on(world: &World, clients: u32, (losses, diet): (Losses, Diet), accidents: Option<Explains>) -> Self {
        let totals = Arc::<Totals>::default();
        let terms = Arc::new(Terms {
            port: AtomicU16::new(world.gateway.address.port()),
            losses,
            // HELLO, with which some begin, needs the backend.
            may_be_refused: losses == Losses::Meanwhile,
            habit: None,
            habit_one_in: 1,
            diet,
            deeds: None,
            accidents,
        });
        let clients = spawn(clients, world, &terms, &totals);
        wait_for_replies(&totals, CALM);
        Self { totals, clients }
    }

    /// From now on replies may be lost.
    pub(crate) fn faults(&self) {
        self.totals.enter(Phase::Faults);
    }

    /// Replies so far.
    pub(crate) fn replies(&self) -> u64 {
        self.totals.replies()
    }

    /// As soon as everybody is answered again, they may not any more.
    pub(crate) fn peace(&self, world: &World) {
        wait_for_recovery(world);
        self.totals.enter(Phase::Peace);
        wait_for_replies(&self.totals, self.totals.replies() + CALM);
    }

    /// What they have seen, if none of it was wrong.
    pub(crate) fn end(self) -> String {
        self.totals.enter(Phase::End);
        self.clients.join().expect("no client panicked");
        assert!(self.totals.is_flawless(), "{}\n{}", self.totals, self.totals.findings());
        assert!(self.totals.whoami() > 0, "WHOAMI was not asked: {}", self.totals);
        self.totals.to_string()
    }
}
