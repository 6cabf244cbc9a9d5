//! What a request costs in a whole worker, without sockets and without Redis: clients
//! that send a batch each, and a backend that answers at once from a fixed text.
#![allow(clippy::disallowed_methods, reason = "a worker without waits needs some instant to begin at")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use respgate::identity::{Certificate, Credential, Entry, Evidence, Permit, SubjectLine, User, UserMap};
use respgate::limits::Limits;
use respgate::resp::{ReplyScanner, write};
use respgate::secret::Secret;
use respgate::session::SessionId;
use respgate::upstream::{Database, DatabaseId, LinkId, NodeId};
use respgate::worker::{Seed, Step, Worker};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const SUBJECT: &str = "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA";

const HELLO: &[u8] = b"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n\
    $5\r\nproto\r\n:2\r\n$2\r\nid\r\n:3\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
    $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";

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

/// A worker with clients and a greeted link.
struct Bench {
    worker: Worker,
    now: Instant,
    clients: Vec<SessionId>,
    link: LinkId,
    steps: Vec<Step>,
    /// What the link was last given to write, where it is short.
    written: Vec<u8>,
}

impl Bench {
    fn new(clients: usize) -> Self {
        let limits = Limits { fence_commands: u64::MAX, fence_ms: u64::MAX, ..Limits::default() };
        let seed = Seed { random: [7; 32], number: 0, workers: 1 };
        let mut worker = Worker::new(Arc::new(limits), &seed);
        let (now, permit) = (Instant::now(), permit());
        let address = || ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        let database = Database::new(NodeId(0), false);
        worker.set_databases(BTreeMap::from([(DatabaseId(0), database)]), now);
        let mut open = || worker.client_opened(permit.clone(), DatabaseId(0), address(), now);
        let clients: Vec<SessionId> = (0..clients).filter_map(|_| open()).collect();
        worker.client_input(clients[0], &write::command(&[b"PING"]), now);
        let mut steps = Vec::new();
        worker.steps(&mut steps);
        let link = steps.iter().find_map(|step| match step {
            Step::Connect(link) => Some(*link),
            _ => None,
        });
        let link = link.expect("the first request opens a link");
        let mut bench = Self { worker, now, clients, link, steps, written: Vec::new() };
        bench.greet();
        bench
    }

    fn greet(&mut self) {
        self.worker.link_connected(self.link, self.now);
        for reply in [b"+OK\r\n", HELLO, b"+OK\r\n"] {
            self.take_requests();
            self.answer(reply);
        }
        self.take_requests();
        let token =
            self.written.rsplitn(3, |&byte| byte == b'\n').nth(1).expect("ECHO and its token").to_vec();
        self.answer(&write::bulk(token.strip_suffix(b"\r").expect("a line")));
        self.take_requests();
        self.answer(b"+PONG\r\n");
        let client = self.clients[0];
        assert_eq!(self.take_replies(client), b"+PONG\r\n".len());
    }

    /// The link's socket takes everything.
    fn take_requests(&mut self) -> usize {
        self.written.clear();
        let mut total = 0;
        while let Some(out) = self.worker.link_output(self.link).filter(|out| !out.is_empty()) {
            let front = out.front();
            let count = front.len();
            if count < 1024 {
                self.written.extend_from_slice(front);
            }
            self.worker.link_wrote(self.link, count, self.now);
            total += count;
        }
        total
    }

    fn answer(&mut self, replies: &[u8]) {
        let buffer = self.worker.link_buffer(self.link).expect("the link is there");
        buffer.extend_from_slice(replies);
        self.worker.link_filled(self.link, self.now);
    }

    /// The client's socket takes everything.
    fn take_replies(&mut self, client: SessionId) -> usize {
        let mut total = 0;
        while let Some(out) = self.worker.client_output(client).filter(|out| !out.is_empty()) {
            let count = out.front().len();
            self.worker.client_wrote(client, count, self.now);
            total += count;
        }
        total
    }

    /// Each client sends its batch, the link is written once and read in pieces of
    /// 64 KiB, each client's output is written.
    fn round(&mut self, batch: &[u8], replies: &[u8]) -> usize {
        for at in 0..self.clients.len() {
            self.worker.client_input(self.clients[at], batch, self.now);
        }
        self.take_requests();
        for piece in replies.chunks(64 * 1024) {
            self.answer(piece);
        }
        let mut given = 0;
        for at in 0..self.clients.len() {
            given += self.take_replies(self.clients[at]);
        }
        self.worker.steps(&mut self.steps);
        self.steps.clear();
        given
    }
}

fn worker(criterion: &mut Criterion) {
    let get = write::command(&[b"GET", b"key:000000000042"]);
    let bulk = write::bulk(b"value:000000000042");
    assert_eq!(ReplyScanner::new(1).scan(&bulk), Ok(Some(bulk.len())));
    let large = write::command(&[b"SET", b"key:000000000042", &[b'x'; 16 * 1024]]);
    let mut group = criterion.benchmark_group("worker");
    for (name, clients, depth, request, reply) in [
        ("GET, 1 client, depth 1", 1, 1, &get, &bulk[..]),
        ("GET, 50 clients, depth 1", 50, 1, &get, &bulk),
        ("GET, 50 clients, depth 16", 50, 16, &get, &bulk),
        ("GET, 500 clients, depth 1", 500, 1, &get, &bulk),
        ("SET of 16 KiB, 50 clients, depth 1", 50, 1, &large, b"+OK\r\n"),
    ] {
        let (batch, replies) = (request.repeat(depth), reply.repeat(depth * clients));
        let mut bench = Bench::new(clients);
        assert_eq!(bench.round(&batch, &replies), replies.len(), "{name}");
        group.throughput(Throughput::Elements((clients * depth) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| bench.round(&batch, &replies));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = worker
}
criterion_main!(benches);
