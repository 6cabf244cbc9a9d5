//! What a worker finds out about Redis, and tells, when nobody asks it for anything.

use respgate::limits::Limits;
use respgate::worker::Loss;

use super::{GET, World, world};
use crate::frame::command;

impl World {
    /// The client closes its connection.
    fn leaves(&mut self, number: usize) {
        self.sockets[number].fin = true;
        self.sockets[number].runnable = true;
        self.carry();
        assert!(self.sockets[number].ended, "it is gone");
    }

    /// Nobody asks for anything; each attempt to connect ends so.
    fn wait_alone(&mut self, ms: u64, succeeds: bool) {
        for _ in 0..ms / 50 {
            self.pass(50);
            for id in self.wires.keys().copied().collect::<Vec<_>>() {
                if !succeeds {
                    self.lose(id, Loss::Connect("refused".into()));
                }
            }
            self.carry();
        }
    }

    /// Of which Redis users something is wrong, or of everybody.
    fn troubled(&self) -> Vec<Option<String>> {
        self.worker.troubles().into_iter().map(|it| it.redis_user).collect()
    }
}

#[test]
fn a_node_that_fails_is_tried_until_it_is_back_when_nobody_is_left() {
    let mut world = world(Limits::default(), 1);
    world.says(0, &["SELECT", "1"]);
    world.says(0, GET);
    world.lose(world.newest_link(), Loss::Closed);
    world.sockets[0].inbound.extend(command(GET));
    world.poll_client(0);
    world.lose(world.newest_link(), Loss::Connect("refused".into()));
    world.leaves(0);
    world.wait_alone(20_000, false);
    assert_eq!(world.troubled(), [None]);
    // Who is tried for it is a user of the configuration, also when that is another one.
    world.becomes("other", "third");
    world.wait_alone(20_000, true);
    assert_eq!(world.troubled(), []);
    assert_eq!(world.worker.population(), (0, 1), "one connection has tried it");
}

#[test]
fn whether_redis_is_there_is_seen_by_one_connection_of_one_user_where_nobody_asks() {
    let mut world = world(Limits::default(), 0);
    world.wait_alone(20_000, true);
    assert_eq!((world.worker.population(), world.worker.tally().links_opened), ((0, 1), 1));
    // It goes while nothing is under way.
    world.lose(world.newest_link(), Loss::Closed);
    world.wait_alone(2_000, false);
    assert_eq!(world.troubled(), [None]);
    world.wait_alone(20_000, true);
    assert_eq!((world.troubled(), world.worker.population()), (vec![], (0, 1)));
    // Who is refused has the next one tried neither in its place nor beside it.
    world.scene.alarms_allowed = usize::MAX;
    world.scene.redis.accounts.clear();
    world.lose(world.newest_link(), Loss::Closed);
    world.wait_alone(20_000, true);
    assert_eq!(world.troubled().len(), 1);
}

#[test]
fn a_redis_user_that_is_refused_is_told_of_and_tried_when_nobody_is_left() {
    for in_redis in [true, false] {
        let mut world = world(Limits::default(), 1);
        world.scene.alarms_allowed = 1;
        let account = world.people.accounts[0].clone().expect("a user");
        world.scene.redis.accounts.clear();
        // Where the user is refused as such, it is no matter of a database or a protocol version.
        world.says(0, &["SELECT", "999"]);
        world.says(0, &["HELLO", "3"]);
        world.says(0, GET);
        world.leaves(0);
        world.wait_alone(20_000, true);
        let user = Some(account.0.clone());
        assert_eq!(world.troubled(), [user], "it is told of, once");
        match in_redis {
            true => assert!(world.scene.redis.accounts.insert(account)),
            false => world.becomes(&account.0, "right"),
        }
        world.wait_alone(20_000, true);
        assert_eq!(world.troubled(), []);
        let before = world.worker.tally().links_opened;
        world.wait_alone(20_000, true);
        assert_eq!(world.worker.tally().links_opened, before, "what is accepted is tried no more");
    }
}

#[test]
fn a_redis_user_that_is_configured_no_more_is_tried_no_more() {
    let mut world = world(Limits::default(), 1);
    world.scene.alarms_allowed = 1;
    let account = world.people.accounts[0].clone().expect("a user");
    assert!(world.scene.redis.accounts.remove(&account));
    world.says(0, GET);
    world.leaves(0);
    assert_eq!(world.troubled().len(), 1);
    world.people.accounts[0] = None;
    world.recheck();
    // Whether Redis is there is seen by somebody else.
    world.wait_alone(2_000, true);
    let before = world.worker.tally().links_opened;
    world.wait_alone(20_000, true);
    assert_eq!((world.troubled(), world.worker.tally().links_opened), (vec![], before));
}
