//! A whole worker without sockets and without Redis, for benches: clients that send a batch each,
//! and backends that answer at once from a fixed text. It measures nothing.
#![allow(dead_code, reason = "each bench uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "a worker without waits needs some instant to begin at")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use respgate::identity::{Certificate, Credential, Entry, Evidence, Permit, SubjectLine, User, UserMap};
use respgate::limits::Limits;
use respgate::resp::{Found, RequestLimits, RequestScanner, write};
use respgate::secret::Secret;
use respgate::session::SessionId;
use respgate::upstream::cluster::{Endpoint, Map, Part, Topology};
use respgate::upstream::{Database, DatabaseId, LinkId, NodeId};
use respgate::worker::{Seed, Step, Worker};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const SUBJECT: &str = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";

/// A link is read in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What a backend says of itself, after the first byte and the count.
const SERVER: &[u8] = b"$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n\
    $5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
    $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

/// What each client sends in a round, and how backends answer it.
pub(crate) struct Exchange {
    batch: Vec<u8>,
    /// So many bytes of requests have one answer.
    unit: usize,
    answer: usize,
    /// Many answers, one behind the other.
    answers: Vec<u8>,
}

impl Exchange {
    /// Batches of this unit, so often, each of which is answered by these bytes.
    pub(crate) fn of(unit: &[u8], answer: &[u8], depth: usize, clients: usize) -> Self {
        Self::mixed(&vec![unit.to_vec(); depth], answer, clients)
    }

    /// A batch of units of the same length.
    pub(crate) fn mixed(units: &[Vec<u8>], answer: &[u8], clients: usize) -> Self {
        assert!(units.iter().all(|unit| unit.len() == units[0].len()), "units differ in length");
        let answers = answer.repeat(units.len() * clients);
        Self { batch: units.concat(), unit: units[0].len(), answer: answer.len(), answers }
    }

    /// Bytes that all clients together are given in a round.
    pub(crate) fn given(&self) -> usize {
        self.answers.len()
    }
}

/// A worker, its clients, and its links, which are greeted.
pub(crate) struct Stage {
    worker: Worker,
    now: Instant,
    clients: Vec<SessionId>,
    links: Vec<LinkId>,
    steps: Vec<Step>,
}

impl Stage {
    /// Clients of one Redis.
    pub(crate) fn new(clients: usize) -> Self {
        Self::with(clients, Database::new(NodeId(0), true))
    }

    /// Clients of a cluster whose slots are spread over so many nodes.
    pub(crate) fn of_cluster(clients: usize, nodes: u16) -> Self {
        let share = 16_384 / nodes;
        let parts = (0..nodes).map(|node| Part {
            first: node * share,
            last: if node + 1 == nodes { 16_383 } else { (node + 1) * share - 1 },
            master: Endpoint::new("127.0.0.1", 7000 + node),
            replicas: vec![],
        });
        let map = Map { parts: parts.collect(), ..Map::default() };
        let topology = Topology::of(&map, |endpoint| NodeId(endpoint.port.into()));
        let cluster = Some(Arc::new(topology));
        Self::with(clients, Database { cluster, ..Database::new(NodeId(7000), true) })
    }

    fn with(clients: usize, database: Database) -> Self {
        // Fences would come in some rounds and not in others.
        let limits = Limits { fence_commands: u64::MAX, fence_ms: u64::MAX, ..Limits::default() };
        let seed = Seed { random: [7; 32], number: 0, workers: 1 };
        let mut worker = Worker::new(Arc::new(limits), &seed);
        let (now, permit) = (Instant::now(), permit());
        worker.set_databases(BTreeMap::from([(DatabaseId(0), database)]), now);
        let address = || ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        let mut open = || worker.client_opened(permit.clone(), DatabaseId(0), address(), now);
        let clients = (0..clients).map(|_| open().expect("there is such a database")).collect();
        Self { worker, now, clients, links: Vec::new(), steps: Vec::new() }
    }

    /// Each client says this, and the backends answer as a Redis does. How many bytes
    /// the last client was given.
    pub(crate) fn prepare(&mut self, request: &[u8]) -> usize {
        let mut given = 0;
        for at in 0..self.clients.len() {
            self.worker.client_input(self.clients[at], request, self.now);
            self.answer_as_redis();
            given = self.take_replies(at);
        }
        given
    }

    /// Each client sends its batch, each link is written once and read in pieces, each client's
    /// output is written. Bytes that the clients were given.
    pub(crate) fn round(&mut self, exchange: &Exchange) -> usize {
        self.all_send(exchange);
        self.all_answer(exchange, &exchange.answers, exchange.answer);
        self.all_take_replies()
    }

    /// The same, but the nodes refuse everything in these words, and answer when they are asked again.
    pub(crate) fn round_refused(&mut self, exchange: &Exchange, refusal: &[u8]) -> usize {
        self.refuse(exchange, refusal);
        self.now += Duration::from_millis(100);
        self.worker.tick(self.now, 0);
        self.all_answer(exchange, &exchange.answers, exchange.answer);
        self.all_take_replies()
    }

    /// Each client sends its batch, and the nodes refuse everything in these words.
    pub(crate) fn refuse(&mut self, exchange: &Exchange, refusal: &[u8]) {
        self.all_send(exchange);
        let refusals = refusal.repeat(exchange.answers.len() / exchange.answer);
        self.all_answer(exchange, &refusals, refusal.len());
    }

    /// The worker is roused, for nobody.
    pub(crate) fn rouse(&mut self) {
        self.worker.roused(self.now);
        self.worker.steps(&mut self.steps);
        self.steps.clear();
    }

    fn all_send(&mut self, exchange: &Exchange) {
        for at in 0..self.clients.len() {
            self.worker.client_input(self.clients[at], &exchange.batch, self.now);
        }
    }

    /// Each link has one answer of this length for each request.
    fn all_answer(&mut self, exchange: &Exchange, answers: &[u8], len: usize) {
        for at in 0..self.links.len() {
            let count = self.take_requests(self.links[at], None) / exchange.unit;
            self.answer(self.links[at], &answers[..count * len]);
        }
    }

    /// A message comes on each link. Bytes that the clients were given.
    pub(crate) fn message(&mut self, message: &[u8]) -> usize {
        for at in 0..self.links.len() {
            self.answer(self.links[at], message);
            if self.worker.link_rests(self.links[at]) {
                self.worker.link_resumed(self.links[at], self.now);
            }
        }
        self.all_take_replies()
    }

    fn all_take_replies(&mut self) -> usize {
        let given = (0..self.clients.len()).map(|at| self.take_replies(at)).sum();
        self.worker.steps(&mut self.steps);
        self.steps.clear();
        given
    }

    /// The client's socket takes everything.
    fn take_replies(&mut self, at: usize) -> usize {
        let (client, mut total) = (self.clients[at], 0);
        while let Some(out) = self.worker.client_output(client).filter(|out| !out.is_empty()) {
            let count = out.front().len();
            self.worker.client_wrote(client, count, self.now);
            total += count;
        }
        total
    }

    /// The link's socket takes everything.
    fn take_requests(&mut self, link: LinkId, mut into: Option<&mut Vec<u8>>) -> usize {
        let mut total = 0;
        while let Some(out) = self.worker.link_output(link).filter(|out| !out.is_empty()) {
            let count = out.front().len();
            if let Some(into) = &mut into {
                into.extend_from_slice(out.front());
            }
            self.worker.link_wrote(link, count, self.now);
            total += count;
        }
        total
    }

    fn answer(&mut self, link: LinkId, replies: &[u8]) {
        for piece in replies.chunks(PIECE) {
            let buffer = self.worker.link_buffer(link).expect("the link is there");
            buffer.extend_from_slice(piece);
            self.worker.link_filled(link, self.now);
        }
    }

    /// Opens and answers links until there is nothing more to answer.
    fn answer_as_redis(&mut self) {
        let mut requests = Vec::new();
        loop {
            self.worker.steps(&mut self.steps);
            for step in self.steps.drain(..) {
                if let Step::Connect(link) = step {
                    self.links.push(link);
                    self.worker.link_connected(link, self.now);
                }
            }
            let mut is_quiet = true;
            for at in 0..self.links.len() {
                requests.clear();
                self.take_requests(self.links[at], Some(&mut requests));
                let replies = as_redis(&requests);
                is_quiet &= replies.is_empty();
                self.answer(self.links[at], &replies);
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// What Redis says to whole requests, as far as it matters here.
fn as_redis(mut requests: &[u8]) -> Vec<u8> {
    let limits = RequestLimits { args_max: 1024, bulk_bytes_max: 1 << 20 };
    let mut replies = Vec::new();
    while let Ok(Found::Request(request)) = RequestScanner::default().scan(requests, limits) {
        let second = &requests[request.second.clone()];
        match &requests[request.name.clone()] {
            b"HELLO" if second == b"3" => replies.extend([b"%7\r\n", SERVER].concat()),
            b"HELLO" => replies.extend([b"*14\r\n", SERVER].concat()),
            b"ECHO" => replies.extend(write::bulk(second)),
            b"PING" => replies.extend(b"+PONG\r\n"),
            b"SUBSCRIBE" => {
                replies.extend(b">3\r\n$9\r\nsubscribe\r\n");
                replies.extend(write::bulk(second));
                replies.extend(b":1\r\n");
            }
            _ => replies.extend(b"+OK\r\n"),
        }
        requests = &requests[request.len..];
    }
    assert!(requests.is_empty(), "a link was given a part of a request");
    replies
}

fn permit() -> Permit {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/v01_plain.pem");
    let der = CertificateDer::from_pem_file(file).expect("a PEM file");
    let certificate = Certificate::from_der(&der).expect("a certificate");
    let credential = Credential::new("app", Secret::new(b"password".to_vec()));
    let entries = vec![Entry::from(SUBJECT.parse::<SubjectLine>().expect("a subject line"))];
    let user = User { entries, ..User::new("app", credential) };
    let map = UserMap::build(vec![user]).expect("a sound map");
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    map.permit(&Evidence::new(Some(Arc::new(certificate)), [], peer, "default"))
        .expect("the certificate of the line")
}
