//! One thread's machine and the wakers of the tasks that serve it. Whoever calls
//! the machine does so through [`Hub::with`] or [`Hub::at`], which then carries out its steps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::familiar::Familiar;
use super::guests::Guests;
use super::losses::Losses;
use super::node::Node;
use super::peers::Peers;
use super::places::Places;
use super::reach::Reach;
use super::stream::{SCRATCH_BYTES, Sealed};
use super::{backend, clock};
use crate::session::SessionId;
use crate::upstream::{Cause, DatabaseId, GreetError, LinkId, NodeId};
use crate::worker::{Loss, NeedlessAuth, Report, Step, Worker};

/// What the tasks of one thread share.
pub(super) struct Hub {
    machine: RefCell<Worker>,
    steps: RefCell<Vec<Step>>,
    clients: RefCell<Wakers>,
    links: RefCell<Wakers>,
    /// Read into, decrypted in, and handed to the machine, without a task switch in between.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Encrypted into, and written from, in the same way.
    pub(super) sealed: RefCell<Sealed>,
    /// Where links are made to, as the machine has been told.
    reach: RefCell<Arc<Reach>>,
    /// What those nodes are called, and the last ones before.
    places: RefCell<Places>,
    peers: Peers,
    /// Who is in, and by which certificates.
    pub(super) guests: RefCell<Guests>,
    /// What their certificates say.
    pub(super) familiar: RefCell<Familiar>,
    /// Clients that the gateway has closed, for the metric.
    pub(super) closed: RefCell<HashMap<&'static str, u64>>,
    /// Clients let in, not let in, and in no longer, by listener, for the metrics.
    pub(super) accepted: RefCell<HashMap<usize, u64>>,
    pub(super) refused: RefCell<HashMap<(usize, &'static str), u64>>,
    pub(super) ended: RefCell<HashMap<(usize, &'static str), u64>>,
    pub(super) panics: Cell<u64>,
    /// Redis has refused a login since the last look.
    pub(super) is_login_refused: Cell<bool>,
    /// Passwords that were refused, for the metric.
    pub(super) passwords: RefCell<HashMap<(usize, &'static str), u64>>,
    /// Clusters whose map is to be read again.
    pub(super) wanted_maps: RefCell<BTreeSet<DatabaseId>>,
    /// Connections to backends that were lost, and nodes that lead elsewhere.
    pub(super) losses: RefCell<Losses>,
    /// What has still to be written down; at most two a session.
    pub(super) needless_auths: RefCell<Vec<(usize, NeedlessAuth)>>,
}

/// The waker of each slot's present tenant.
#[derive(Default)]
struct Wakers(Vec<Option<(u32, Waker)>>);

impl Wakers {
    fn set(&mut self, index: u32, generation: u32, cx: &Context<'_>) {
        let index = index as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        match &mut self.0[index] {
            Some((tenant, waker)) if *tenant == generation => waker.clone_from(cx.waker()),
            slot => *slot = Some((generation, cx.waker().clone())),
        }
    }

    fn wake(&self, index: u32, generation: u32) {
        if let Some(Some((tenant, waker))) = self.0.get(index as usize)
            && *tenant == generation
        {
            waker.wake_by_ref();
        }
    }

    fn remove(&mut self, index: u32, generation: u32) {
        if let Some(slot) = self.0.get_mut(index as usize)
            && slot.as_ref().is_some_and(|(tenant, _)| *tenant == generation)
        {
            *slot = None;
        }
    }
}

impl Hub {
    pub(super) fn new(machine: Worker, peers: Peers) -> Rc<Self> {
        Rc::new(Self {
            machine: RefCell::new(machine),
            steps: RefCell::default(),
            clients: RefCell::default(),
            links: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            sealed: RefCell::default(),
            reach: RefCell::default(),
            places: RefCell::default(),
            peers,
            guests: RefCell::default(),
            familiar: RefCell::default(),
            closed: RefCell::default(),
            accepted: RefCell::default(),
            refused: RefCell::default(),
            ended: RefCell::default(),
            panics: Cell::new(0),
            is_login_refused: Cell::new(false),
            passwords: RefCell::default(),
            wanted_maps: RefCell::default(),
            losses: RefCell::default(),
            needless_auths: RefCell::default(),
        })
    }

    /// Calls the machine with the present time and carries out what it asks for.
    pub(super) fn with<T>(self: &Rc<Self>, call: impl FnOnce(&mut Worker, Instant) -> T) -> T {
        let now = clock::now();
        self.at(|machine| call(machine, now))
    }

    /// As [`Hub::with`], for callers that know the time: a task reads the clock once a turn.
    pub(super) fn at<T>(self: &Rc<Self>, call: impl FnOnce(&mut Worker) -> T) -> T {
        let mut steps = self.steps.take();
        let result = {
            let mut machine = self.machine.borrow_mut();
            let result = call(&mut machine);
            machine.steps(&mut steps);
            result
        };
        for step in steps.drain(..) {
            self.carry_out(step);
        }
        self.steps.replace(steps);
        result
    }

    /// Calls the machine where it can ask for nothing and needs no time.
    pub(super) fn peek<T>(&self, call: impl FnOnce(&mut Worker) -> T) -> T {
        call(&mut self.machine.borrow_mut())
    }

    /// Where a link is made to, unless no database is there any more.
    pub(super) fn node(&self, link: LinkId) -> Option<Arc<Node>> {
        let id = self.peek(|machine| machine.link_node(link))?;
        self.reach.borrow().node(id).map(Arc::clone)
    }

    /// Whether the machine has been told of this, and with it of the settings that it belongs to.
    pub(super) fn has_taken_over(&self, reach: &Arc<Reach>) -> bool {
        Arc::ptr_eq(&self.reach.borrow(), reach)
    }

    /// Takes over where the databases are.
    pub(super) fn move_to(self: &Rc<Self>, reach: &Arc<Reach>) {
        self.reach.replace(Arc::clone(reach));
        self.places.borrow_mut().follow(reach);
        self.with(|machine, now| machine.set_databases(reach.databases.clone(), now));
    }

    pub(super) fn client_waits(&self, id: SessionId, cx: &Context<'_>) {
        self.clients.borrow_mut().set(id.index, id.generation, cx);
    }

    pub(super) fn link_waits(&self, id: LinkId, cx: &Context<'_>) {
        self.links.borrow_mut().set(id.index, id.generation, cx);
    }

    pub(super) fn client_ended(&self, id: SessionId) {
        self.clients.borrow_mut().remove(id.index, id.generation);
        self.guests.borrow_mut().leave(id);
    }

    pub(super) fn link_ended(&self, id: LinkId) {
        self.links.borrow_mut().remove(id.index, id.generation);
    }

    fn carry_out(self: &Rc<Self>, step: Step) {
        match step {
            Step::WakeClient(id) => self.clients.borrow().wake(id.index, id.generation),
            Step::WakeLink(id) => self.links.borrow().wake(id.index, id.generation),
            Step::Connect(id) => {
                tokio::task::spawn_local(backend::serve(Rc::clone(self), id));
            }
            Step::Tell { worker, message } => self.peers.tell(worker, message),
            Step::WantMap(database) => {
                self.wanted_maps.borrow_mut().insert(database);
            }
            Step::RouseAt(at) => {
                let hub = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    tokio::time::sleep_until(at.into()).await;
                    hub.with(|machine, now| machine.roused(now));
                });
            }
            Step::Report(report) => self.report(report),
        }
    }

    fn report(&self, report: Report) {
        match report {
            Report::LinkLost { node, redis_user, loss, in_flight } => {
                self.report_loss(node, &redis_user, &loss, in_flight);
            }
            Report::ClientClosed { client_id, user, why } => {
                *self.closed.borrow_mut().entry(why.as_str()).or_default() += 1;
                tracing::info!(client = client_id, user, why = why.as_str(), "client closed");
            }
            Report::NoFences { redis_user } => {
                tracing::info!(
                    redis_user,
                    "this Redis user may not ECHO: its connections cannot be proved in step, and its scripts run \
                     on connections of their own"
                );
            }
            Report::PasswordRefused { redis_user } => {
                tracing::error!(
                    redis_user,
                    "Redis refuses the changed password of this user: connections that speak by the old one stay in \
                     use, and the new one is tried again"
                );
            }
            Report::PasswordTaken { redis_user } => {
                tracing::info!(
                    redis_user,
                    "the changed password of this user is in use: the one before may go"
                );
            }
            Report::NeedlessAuth(id, auth) => {
                if let Some(door) = self.guests.borrow().door(id) {
                    self.needless_auths.borrow_mut().push((door, auth));
                }
            }
            Report::RedirectRefused { node, to } => {
                if let Some(repeated) = self.losses.borrow_mut().led_elsewhere(node, clock::now()) {
                    let (database, node) = self.place(node);
                    tracing::warn!(
                        database,
                        node,
                        to,
                        repeated,
                        "a node of the cluster names another that its map does not have: not followed"
                    );
                }
            }
            Report::NodeBack { node, after } => {
                self.losses.borrow_mut().is_back(node);
                let (database, node) = self.place(node);
                tracing::info!(database, node, after_ms = after.as_millis(), "the backend answers again");
            }
            Report::UserBack { node, redis_user } => {
                self.losses.borrow_mut().user_is_back(node, redis_user.clone());
                let (database, node) = self.place(node);
                tracing::info!(database, node, redis_user, "the backend accepts this Redis user again");
            }
        }
    }

    fn report_loss(&self, node: NodeId, redis_user: &str, loss: &Loss, in_flight: usize) {
        if matches!(loss, Loss::Greeting(GreetError::Auth(_))) {
            self.is_login_refused.set(true);
        }
        let said = self.losses.borrow_mut().lost(node, redis_user, loss, clock::now());
        let (database, node) = self.place(node);
        let cause = loss.cause().map(Cause::as_str);
        match said {
            Some(repeated) if loss.is_alarm() => {
                tracing::error!(database, node, redis_user, in_flight, cause, %loss, repeated, "backend connection lost");
            }
            Some(repeated) => {
                tracing::warn!(database, node, redis_user, in_flight, cause, %loss, repeated, "backend connection lost");
            }
            None => {
                tracing::debug!(database, node, redis_user, in_flight, cause, %loss, "backend connection lost")
            }
        }
    }

    /// The database and the address of a node, for people.
    pub(super) fn place(&self, id: NodeId) -> (String, String) {
        self.places.borrow().of(id)
    }
}
