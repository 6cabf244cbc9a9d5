//! One seed's run: rounds of chance and faults, each followed by a calm in which
//! everything that was asked has to be answered; then everybody leaves.

use std::sync::Arc;
use std::time::Instant;

use respgate::limits::Limits;
use respgate::upstream::LinkId;

use super::client::Client;
use super::dice::Dice;
use super::listener::lengths;
use super::single::Single;
use super::world::{Socket, World};

/// Virtual time within which a calm world has answered everything.
const CALM_MS: u64 = 20_000;

/// Bounds that are met often, and waits that fit a run.
fn limits(dice: &mut Dice) -> Limits {
    let soft = dice.pick(&[100, 3_000, 1 << 20]);
    Limits {
        client_in_flight_max: dice.pick(&[1, 2, 5, 40, 1_024]),
        link_in_flight_max: dice.pick(&[1, 3, 20, 4_096]),
        fail_fast_commands: dice.pick(&[1, 10, 1_024]),
        link_queue_bytes_max: dice.pick(&[100, 2_000, 1 << 22]),
        client_output_soft_bytes: soft,
        client_output_hard_bytes: dice.pick(&[150_000, 400_000, 1 << 26]).max(2 * soft),
        large_reply_bytes: dice.pick(&[17_000, 30_000, 1 << 20]),
        shared_request_bytes_max: dice.pick(&[300, 5_000, 1 << 20]),
        shared_links_max: dice.between(1, 3),
        pinned_links_max: dice.pick(&[0, 0, 0, 2]),
        pinned_links_per_user_max: dice.pick(&[0, 0, 0, 1]),
        pinned_links_wait_ms: dice.pick(&[1, 50, 1_000]),
        pinned_links_spare: dice.pick(&[0, 2]),
        fence_commands: dice.pick(&[1, 7, 1_024]),
        fence_ms: dice.pick(&[20, 1_000]),
        op_timeout_ms: 1_500,
        probe_interval_ms: dice.pick(&[100, 5_000]),
        probe_timeout_ms: 500,
        connect_timeout_ms: 400,
        fail_fast_ms: dice.pick(&[20, 250]),
        reconnect_min_ms: 10,
        reconnect_max_ms: 300,
        link_age_max_ms: dice.pick(&[2_000, 3_600_000]),
        link_idle_timeout_ms: 3_000,
        client_output_stall_timeout_ms: dice.pick(&[3_000, 60_000]),
        large_reply_stall_timeout_ms: 1_000,
        ..Limits::default()
    }
}

/// How rough a run is: once in how many steps each fault happens; 0 is never.
struct Weather {
    link_fault: usize,
    client_fault: usize,
    control: usize,
    replicas: usize,
}

/// Runs a seed. Panics where a promise is broken.
pub(crate) fn run(seed: u64, base: Instant, trace: bool) {
    let mut dice = Dice::new(seed ^ 0xabcd);
    let limits = limits(&mut dice);
    let weather = Weather {
        link_fault: dice.pick(&[0, 30, 100, 400]),
        client_fault: dice.pick(&[0, 100, 400]),
        control: dice.pick(&[0, 0, 500]),
        replicas: dice.pick(&[0, 20, 150]),
    };
    let mut world = World::of_one(seed, base, limits, trace);
    if dice.one_in(2) {
        world.share_subscriptions();
    }
    world.trace(|| format!("{:?}, subscriptions shared: {}", world.limits, world.scene.redis.shares));
    // In some runs most are of one user and subscribe to the same few channels.
    world.scene.listens = dice.one_in(4);
    for _ in 0..dice.between(3, 8) {
        let user = if world.scene.listens { 0 } else { dice.below(3) };
        world.open(user);
    }
    // In some there are enough of one user to wait for each other's batches.
    if dice.one_in(4) {
        for _ in 0..dice.between(16, 24) {
            world.open(0);
        }
    }
    for round in 0..3 {
        for _ in 0..dice.between(200, 900) {
            world.at += 1;
            if weather.replicas > 0 && world.dice.one_in(weather.replicas) {
                world.change_replicas();
            }
            world.step(&weather);
        }
        // Now and then they are surprised by the end.
        if round < 2 || !dice.one_in(4) {
            world.calm();
            world.compare_messages();
        }
    }
    world.leave();
}

impl World<Single> {
    fn step(&mut self, weather: &Weather) {
        let links: Vec<LinkId> = self.wires.keys().copied().collect();
        let number = self.dice.below(self.scene.clients.len());
        let link = (!links.is_empty()).then(|| self.dice.pick(&links));
        match self.dice.below(20) {
            0 | 1 => self.plan(number),
            2..5 => self.client_arrives(number, false),
            5..7 if !self.scene.clients[number].stopped_reading => self.client_reads(number, false),
            7..12 => {
                self.poll_one();
            }
            12..18 => {
                if let Some(id) = link {
                    self.link_moves(id);
                }
            }
            18 if self.dice.one_in(3) => {
                let ms = self.dice.pick(&[1, 5, 20, 60]);
                self.pass(ms);
            }
            _ => {}
        }
        let happens = |dice: &mut Dice, once_in: usize| once_in > 0 && dice.one_in(once_in);
        if happens(&mut self.dice, weather.link_fault)
            && let Some(id) = self.worthwhile(link)
            && self.wires.contains_key(&id)
        {
            self.link_fault(id);
        }
        if happens(&mut self.dice, weather.client_fault) {
            self.client_fault(number);
        }
        if happens(&mut self.dice, weather.control) {
            self.control();
        }
    }

    fn plan(&mut self, number: usize) {
        let (client, socket) = (&mut self.scene.clients[number], &self.sockets[number]);
        if !socket.ended && client.to_send.len() < 100_000 && client.asked.len() < 300 && !socket.fin {
            client.published = lengths(&self.scene.redis.ledger.published);
            client.plan(&mut self.dice, self.at);
        }
    }

    fn link_moves(&mut self, id: LinkId) {
        if !self.wires[&id].connected {
            if self.dice.one_in(3) {
                self.connect(id, true);
            }
        } else if self.dice.one_in(2) {
            self.arrive_at_backend(id, false);
        } else {
            self.arrive_from_backend(id, false);
        }
    }

    /// A link in the middle of a long reply is worth more trouble than others.
    fn worthwhile(&mut self, link: Option<LinkId>) -> Option<LinkId> {
        let long = self.wires.iter().find(|(_, wire)| {
            let ahead = self.scene.redis.conns.get(&wire.conn).map_or(0, |conn| conn.output.len());
            wire.connected && wire.from_backend.len() + ahead > 20_000
        });
        let long = long.map(|(&id, _)| id);
        if self.dice.one_in(2) { long.or(link) } else { link }
    }

    fn link_fault(&mut self, id: LinkId) {
        let kind = self.dice.below(11);
        self.trace(|| format!("fault {kind} on {id:?}"));
        let wire = self.wires.get_mut(&id).expect("listed");
        if !wire.connected {
            if kind < 5 {
                self.connect(id, false);
            }
            return;
        }
        let conn = wire.conn;
        match kind {
            0..4 => self.cut(id),
            4 => wire.hung = true,
            5 => wire.hung = false,
            6 => {
                // No reply begins so; it stands where one would.
                self.scene.alarms_allowed += 1;
                let conn = self.scene.redis.conns.get_mut(&conn).expect("connected");
                conn.tainted = true;
                conn.output.extend_from_slice(b"garbage\r\n");
            }
            7 => self.surplus(id),
            10 => {
                // It says OK to what it has not been told whole.
                let conn = self.scene.redis.conns.get_mut(&conn).expect("connected");
                if !conn.is_greeted() && !wire.eof {
                    self.scene.alarms_allowed += 1;
                    conn.tainted = true;
                    wire.from_backend.extend_from_slice(b"+OK\r\n");
                }
            }
            8 => {
                self.scene.alarms_allowed += 1;
                self.scene.redis.refuses_auth = !self.scene.redis.refuses_auth;
            }
            _ => {
                let at = self.at;
                let number = self.dice.below(self.scene.clients.len());
                if self.scene.redis.no_echo.as_deref()
                    != Some(self.scene.users[self.scene.clients[number].user][0].as_str())
                {
                    self.scene.alarms_allowed += 1;
                    self.scene.clients[number].inject(&mut self.dice, at);
                }
            }
        }
    }

    /// A reply that nobody asked for, on a link that waits for nothing, or too early
    /// in its greeting.
    fn surplus(&mut self, id: LinkId) {
        let wire = self.wires.get_mut(&id).expect("listed");
        let conn = self.scene.redis.conns.get_mut(&wire.conn).expect("connected");
        let unwritten = self.worker.link_output(id).is_none_or(|out| !out.is_empty());
        let quiet = conn.is_idle() && wire.from_backend.is_empty() && wire.to_backend.is_empty() && !wire.eof;
        if quiet && conn.is_greeted() && !unwritten && self.worker.link_wants_read(id) == Some(true) {
            self.scene.alarms_allowed += 1;
            wire.from_backend.extend_from_slice(b"+surplus\r\n");
            wire.hung = false;
            self.poll_link(id);
            let kept = self.wires.contains_key(&id) && self.worker.link_wants_read(id) == Some(true);
            assert!(!kept, "{id:?} goes on after a reply that nobody asked for");
        }
    }

    fn client_fault(&mut self, number: usize) {
        let kind = self.dice.below(8);
        self.trace(|| format!("fault {kind} on client {number}"));
        let (client, socket) = (&mut self.scene.clients[number], &mut self.sockets[number]);
        match kind {
            0 => {
                socket.reset = true;
                client.is_done = true;
            }
            1 | 2 => {
                client.is_done = true;
                client.to_send.clear();
                socket.fin = true;
            }
            3 | 4 => {
                client.stopped_reading = true;
                client.has_stopped = true;
            }
            _ => {}
        }
        if self.sockets.len() < 30 && self.sockets.iter().filter(|socket| !socket.ended).count() < 9 {
            let user = self.dice.below(3);
            self.open(user);
        }
    }

    /// What the operator does.
    fn control(&mut self) {
        match self.dice.below(3) {
            0 => {
                let mut changed = limits(&mut self.dice);
                // What has been let in under the old bound may still be there.
                let kept = self.limits.client_output_hard_bytes.max(changed.client_output_hard_bytes);
                self.scene.output_hard_min = self.scene.output_hard_min.min(changed.client_output_hard_bytes);
                self.worker.set_limits(Arc::new(changed.clone()));
                changed.client_output_hard_bytes = kept;
                changed.large_reply_bytes = changed.large_reply_bytes.max(self.limits.large_reply_bytes);
                self.limits = changed;
                self.trace(|| format!("limits change: {:?}", self.limits));
            }
            1 => {
                let user = self.dice.below(3);
                let account = (self.scene.users[user][0].clone(), format!("at {}", self.at));
                if self.dice.one_in(3) {
                    // Redis is told of it later.
                    self.scene.alarms_allowed += 1;
                    self.scene.late_accounts.push(account.clone());
                } else {
                    self.scene.redis.accounts.insert(account.clone());
                }
                self.people.accounts[user] = Some(account);
                self.recheck();
            }
            2 if self.dice.one_in(2) => {
                // The same user is another one of Redis' from here on.
                let account = (format!("redis0 at {}", self.at), "second".to_owned());
                self.scene.redis.accounts.insert(account.clone());
                self.scene.users[0].insert(0, account.0.clone());
                self.people.accounts[0] = Some(account);
                for client in &mut self.scene.clients {
                    client.excused |= client.user == 0;
                }
                self.recheck();
            }
            _ => {
                let user = self.dice.below(3);
                let account = self.people.accounts[user].take();
                for client in &mut self.scene.clients {
                    client.excused |= client.user == user;
                }
                self.recheck();
                self.people.accounts[user] = account;
            }
        }
    }

    pub(super) fn recheck(&mut self) {
        let accounts = self.people.accounts.iter().map(Option::is_some).collect::<Vec<_>>();
        self.trace(|| format!("users change: {accounts:?}"));
        let map = self.people.map();
        self.worker.recheck(&|permit| map.permit(permit.evidence()));
        self.tell_database();
        self.pump();
    }

    fn heal(&mut self) {
        self.scene.redis.refuses_auth = false;
        self.scene.redis.accounts.extend(std::mem::take(&mut self.scene.late_accounts));
        for wire in self.wires.values_mut() {
            wire.hung = false;
        }
        for client in &mut self.scene.clients {
            client.stopped_reading = false;
        }
    }

    /// Everything heals: whatever is under way comes to its end.
    fn calm(&mut self) {
        self.trace(|| "calm".to_owned());
        self.heal();
        self.at += 1;
        let mut waited = 0;
        while !self.is_answered() {
            assert!(waited < CALM_MS, "silence: {}", self.unanswered());
            self.settle();
            self.pass(50);
            waited += 50;
        }
    }

    /// Moves every byte that can be moved.
    fn settle(&mut self) {
        loop {
            let moved = self.carry();
            let unread = self.sockets.iter().any(|socket| !socket.outbound.is_empty());
            for number in 0..self.scene.clients.len() {
                self.client_reads(number, true);
            }
            if !moved && !unread {
                return;
            }
        }
    }

    fn everybody(&self) -> impl Iterator<Item = (&Client, &Socket)> {
        self.scene.clients.iter().zip(&self.sockets)
    }

    fn is_answered(&self) -> bool {
        self.everybody().all(|(client, socket)| {
            socket.ended
                || client.monitors
                || (client.asked.is_empty() && client.to_send.is_empty() && !socket.fin && !socket.reset)
        })
    }

    /// Whoever still listens has heard everything that was published.
    fn compare_messages(&self) {
        for (client, _) in self.everybody().filter(|(client, socket)| !socket.ended && !client.monitors) {
            if let Err(missed) = client.listener.has_heard_all(&self.scene.redis.ledger.published) {
                panic!("client {} misses messages: {missed}", client.number);
            }
        }
    }

    /// Everybody leaves, one way or the other; nothing of them stays.
    fn leave(&mut self) {
        self.heal();
        if self.dice.one_in(3) {
            self.scene.draining = true;
            self.worker.drain();
        } else {
            for socket in &mut self.sockets {
                if self.dice.one_in(2) {
                    socket.reset = true;
                } else {
                    socket.fin = true;
                }
            }
        }
        self.pump();
        let mut waited = 0;
        while self.worker.population().0 > 0 {
            assert!(waited < CALM_MS, "sessions stay: {}", self.unanswered());
            self.settle();
            self.pass(50);
            waited += 50;
        }
        self.settle();
        for wire in self.wires.values() {
            let conn = &self.scene.redis.conns[&wire.conn];
            assert!(conn.dead || !conn.pinned, "a pinned link outlives its session");
        }
        // One shows whether Redis is there, for as long as the gateway runs.
        let most = usize::from(!self.scene.draining);
        let mut waited = 0;
        while self.worker.population().1 > most {
            assert!(waited < CALM_MS, "{:?} links stay", self.worker.population());
            self.settle();
            self.pass(50);
            waited += 50;
        }
    }
}
