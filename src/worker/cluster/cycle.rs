//! Links of one cluster that write together. Where nodes are near and clients many, a link's next batch
//! waits for the replies to its last one (`upstream/batch`). If it waited for its own node alone, the links
//! would fall out of step, and each reply would call for a batch of the few that it has let go on. So all
//! wait until no node of the cluster has something to answer, and then write. Nobody waits long for a
//! node that is at work on something.

use std::time::Instant;

use super::super::Worker;
use super::PATIENCE;
use crate::upstream::{DatabaseId, LinkId};

/// What links have written together.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    /// Which.
    number: u64,
    /// Links that await replies to what they have written in it.
    owed: usize,
    /// When the first of them wrote.
    begun_at: Option<Instant>,
    /// Links that wait for those replies before they write.
    held: Vec<LinkId>,
}

impl Cycle {
    fn end(&mut self) -> Vec<LinkId> {
        self.number += 1;
        self.owed = 0;
        std::mem::take(&mut self.held)
    }
}

impl Worker {
    /// Whether a link's output waits for what other nodes of its cluster are about to answer.
    pub(in super::super) fn waits_for_others(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get(id) else { return false };
        let cycle = link.cluster.and_then(|database| self.clusters.cycles.get_mut(&database));
        let Some(cycle) = cycle.filter(|cycle| cycle.owed > 0) else { return false };
        let is_part = link.cycle.is_some_and(|(_, number)| number == cycle.number);
        let waits = !is_part && link.may_wait();
        if waits && !cycle.held.contains(&id) {
            cycle.held.push(id);
        }
        waits
    }

    /// A link has written: others wait for the replies.
    pub(in super::super) fn join_cycle(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.gathers() && link.is_owed()) else {
            return;
        };
        let Some(database) = link.cluster else { return };
        let cycle = self.clusters.cycles.entry(database).or_default();
        let of = Some((database, cycle.number));
        if std::mem::replace(&mut link.cycle, of) == of {
            return;
        }
        cycle.owed += 1;
        if cycle.owed == 1 {
            cycle.begun_at = Some(now);
            self.rouse_at(now + PATIENCE, now);
        }
    }

    /// A link of this cycle has been answered all that it wrote, or is gone.
    pub(in super::super) fn leave_cycle(&mut self, of: Option<(DatabaseId, u64)>) {
        let Some((database, number)) = of else { return };
        let cycle = self.clusters.cycles.get_mut(&database);
        let Some(cycle) = cycle.filter(|cycle| cycle.number == number) else { return };
        cycle.owed -= 1;
        if cycle.owed == 0 {
            for held in cycle.end() {
                self.wake_link(held);
            }
        }
    }

    /// Lets links write that have waited long enough for others.
    pub(in super::super) fn tick_cycles(&mut self, now: Instant) {
        let mut released = Vec::new();
        let mut next: Option<Instant> = None;
        for cycle in self.clusters.cycles.values_mut().filter(|cycle| cycle.owed > 0) {
            let end = cycle.begun_at.map_or(now, |begun_at| begun_at + PATIENCE);
            if end <= now {
                released.append(&mut cycle.end());
            } else {
                next = Some(next.map_or(end, |next| next.min(end)));
            }
        }
        for id in released {
            self.wake_link(id);
        }
        if let Some(next) = next {
            self.rouse_at(next, now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests need some instant to count from")]

    use std::sync::Arc;
    use std::time::Duration;

    use super::super::super::{Seed, Step};
    use super::*;
    use crate::identity::Credential;
    use crate::limits::Limits;
    use crate::resp::Proto;
    use crate::secret::Secret;
    use crate::session::SessionId;
    use crate::upstream::{LaneKey, Link, LinkRole, NodeId, Phase};

    const CLUSTER: DatabaseId = DatabaseId(0);
    const NEAR: Duration = Duration::from_micros(20);

    /// Two nodes of a cluster that answer at once, and are asked by many clients.
    struct Stage {
        worker: Worker,
        links: [LinkId; 2],
        now: Instant,
    }

    impl Stage {
        fn new() -> Self {
            let seed = Seed { random: [1; 32], number: 0, workers: 1 };
            let mut worker = Worker::new(Arc::new(Limits::default()), &seed);
            let now = Instant::now();
            let links = [0, 1].map(|node| {
                let credential = Arc::new(Credential::new("app", Secret::new(b"pass".to_vec())));
                let lane =
                    worker.lane(LaneKey { node: NodeId(node), credential, proto: Proto::Resp2, db: 0 });
                worker.lanes[lane].links = 1;
                let mut link = Link::new(lane, LinkRole::Shared, 1, now);
                link.phase = Phase::Ready;
                worker.links.insert(link)
            });
            let mut stage = Self { worker, links, now };
            for client in (0..16).cycle().take(64) {
                for node in 0..2 {
                    stage.ask(node, client);
                    assert!(stage.writes(node), "nobody owes anything");
                    stage.answer(node);
                }
            }
            stage
        }

        /// The first has been asked and owes a reply; what the second is to be asked waits for it.
        fn holding() -> Self {
            let mut stage = Self::new();
            stage.ask(0, 1);
            assert!(stage.writes(0));
            stage.ask(1, 2);
            assert!(!stage.writes(1), "the other node is about to answer");
            stage
        }

        fn ask(&mut self, node: usize, client: u32) {
            let session = SessionId { index: client, generation: 1 };
            let link = self.worker.links.get_mut(self.links[node]).expect("a link");
            link.claim_flown(session, (0, CLUSTER), true, self.now);
            link.append(b"*1\r\n$4\r\nPING\r\n");
        }

        /// Writes what is not to wait; whether that is anything.
        fn writes(&mut self, node: usize) -> bool {
            let id = self.links[node];
            let Some(count) = self.worker.link_output(id).map(|out| out.front().len()) else { return false };
            self.worker.link_wrote(id, count, self.now);
            count > 0
        }

        fn answer(&mut self, node: usize) {
            self.now += NEAR;
            let id = self.links[node];
            self.worker.link_buffer(id).expect("a link").extend_from_slice(b"+PONG\r\n");
            self.worker.link_filled(id, self.now);
        }

        fn is_woken(&mut self, node: usize) -> bool {
            let mut steps = Vec::new();
            self.worker.steps(&mut steps);
            steps.iter().any(|step| matches!(step, Step::WakeLink(id) if *id == self.links[node]))
        }
    }

    #[test]
    fn links_write_when_no_node_of_their_cluster_owes_a_reply() {
        let mut stage = Stage::holding();
        assert!(!stage.is_woken(1));
        stage.answer(0);
        assert!(stage.is_woken(1) && stage.writes(1));
        stage.ask(0, 3);
        assert!(!stage.writes(0));
        stage.answer(1);
        assert!(stage.is_woken(0) && stage.writes(0));
    }

    #[test]
    fn a_link_that_is_lost_holds_nobody() {
        let mut stage = Stage::holding();
        stage.worker.remove_link(stage.links[0]);
        assert!(stage.is_woken(1) && stage.writes(1));
    }

    #[test]
    fn nobody_waits_long_for_a_node_that_is_busy() {
        let mut stage = Stage::holding();
        let until = stage.now + PATIENCE;
        while !stage.is_woken(1) {
            let roused_at = stage.worker.clusters.roused_at.expect("it asks to be roused");
            assert!(stage.now < roused_at && roused_at <= until);
            stage.now = roused_at;
            stage.worker.roused(stage.now);
        }
        for client in 0..16 {
            assert!(stage.writes(1), "the busy node is not waited for again");
            stage.answer(1);
            stage.ask(1, client);
        }
        stage.answer(0);
        stage.ask(0, 1);
        assert!(stage.writes(0) && !stage.writes(1), "it has answered");
    }
}
