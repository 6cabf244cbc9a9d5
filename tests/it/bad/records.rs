//! TLS records in any pieces, with more or less in them than a client library writes, and with a byte
//! that is another on the way.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion};

use super::certificates::unharmed;
use crate::dice::Dice;
use crate::pki::{client_config_for, pki};
use crate::trust::hierarchy::{Ca, as_is};
use crate::trust::{BOTH, app_and_ops};
use crate::wire::PATIENCE;
use crate::world::World;

/// Attempts of each version whose bytes are changed.
const CHANGED: u64 = 250;

/// What each of them then asks for.
const PINGS: usize = 2_000;

/// A client whose records are in the hands of the test.
struct Wire {
    socket: TcpStream,
    tls: ClientConnection,
    dice: Dice,
    /// Places in its stream at which one bit is another.
    changes: Vec<usize>,
    written: usize,
}

impl Wire {
    fn new(world: &World, config: &Arc<ClientConfig>, seed: u64) -> Self {
        let socket = TcpStream::connect_timeout(&world.gateway.address, PATIENCE).expect("it listens");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).expect("a good configuration");
        tls.set_buffer_limit(None);
        Self { socket, tls, dice: Dice::new(seed), changes: Vec::new(), written: 0 }
    }

    /// Everything that there is to write, in pieces.
    fn say(&mut self) -> io::Result<()> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight)?;
        }
        for &place in &self.changes {
            if let Some(byte) = place.checked_sub(self.written).and_then(|at| flight.get_mut(at)) {
                *byte ^= 1 << (place % 8);
            }
        }
        self.written += flight.len();
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.dice.magnitude(rest.len() as u64) as usize);
            self.socket.write_all(piece)?;
            rest = behind;
        }
        Ok(())
    }

    /// Reads once; false at the end.
    fn hear(&mut self) -> io::Result<bool> {
        let count = self.tls.read_tls(&mut self.socket)?;
        self.tls.process_new_packets().map_err(io::Error::other)?;
        Ok(count > 0)
    }

    fn shake(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            if self.tls.wants_write() {
                self.say()?;
            } else if !self.hear()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// What is answered until the end, or until it is this much.
    fn answer(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while answer.len() < bytes {
            match self.tls.reader().read(&mut piece) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.hear()? {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }
}

/// A world and a client's chain of three CAs, longer than what is read at a time.
fn world() -> (World, impl Fn(usize) -> Arc<ClientConfig>) {
    let root = Ca::root("CN=Root,O=Acme");
    let world = World::with(app_and_ops(&(root.pem() + &pki().trusted.certificate), ""));
    world.announce("subject_not_issuer_bound");
    let long = "a".repeat(1500);
    let lowest = (0..3).fold(None::<Ca>, |above, number| {
        let subject = format!("CN=CA {number} {long},O=Acme");
        Some(above.as_ref().unwrap_or(&root).below(&subject, as_is))
    });
    let leaf = lowest.expect("there are three").leaf("CN=app,O=Acme", as_is).identity;
    (world, move |version: usize| client_config_for(Some(&leaf), &[BOTH[version]]))
}

#[test]
fn records_in_any_pieces_are_the_same_requests() {
    let (world, config) = world();
    for version in [0, 1] {
        for seed in 0..20 {
            let mut wire = Wire::new(&world, &config(version), seed);
            wire.shake().expect("the handshake succeeds in any pieces");
            for round in 0..10 {
                let value = vec![b'v'; wire.dice.magnitude(40_000) as usize];
                let set = crate::resp::request(&[b"SET".as_slice(), b"key", &value]);
                let get = crate::resp::request(&["GET", "key"]);
                let expected = [b"+OK\r\n".as_slice(), &resp_bulk(&value)].concat();
                wire.tls.writer().write_all(&[set, get].concat()).expect("no bound");
                wire.say().expect("it reads");
                if version == 1 && round % 3 == 0 {
                    // New keys, which the gateway has to take, and answer with new ones of its own.
                    wire.tls.refresh_traffic_keys().expect("as TLS 1.3 can");
                }
                let answer = wire.answer(expected.len()).expect("it answers");
                assert!(answer == expected, "seed {seed}, round {round}: {} bytes", answer.len());
            }
        }
    }
}

fn resp_bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

#[test]
fn a_request_and_the_end_in_the_flight_that_ends_the_handshake_are_answered() {
    let (world, config) = world();
    for version in [0, 1] {
        for seed in 0..8 {
            let mut wire = Wire::new(&world, &config(version), seed);
            wire.shake().expect("the handshake succeeds");
            wire.tls.writer().write_all(b"PING\r\nPING\r\n").expect("no bound");
            wire.tls.send_close_notify();
            wire.say().expect("it reads");
            let answer = wire.answer(usize::MAX).expect("it ends as it should");
            assert_eq!(String::from_utf8_lossy(&answer), "+PONG\r\n+PONG\r\n");
        }
    }
}

#[test]
fn a_changed_byte_anywhere_ends_that_client_alone() {
    let (world, config) = world();
    let (mut refused, mut let_in) = (0, 0);
    unharmed(&world, || {
        for version in [0, 1] {
            for seed in 0..CHANGED {
                let mut wire = Wire::new(&world, &config(version), seed);
                // One that is made to wait for more than there is gives up.
                wire.socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a positive time");
                wire.changes = (0..2).map(|_| wire.dice.below(30_000) as usize).collect();
                let talked = wire.shake().and_then(|()| {
                    wire.tls.writer().write_all(&b"PING\r\n".repeat(PINGS))?;
                    wire.say()?;
                    wire.answer(PINGS * 7)
                });
                match talked {
                    // Nothing that the change could have made of a request is ever answered.
                    Ok(answer) => {
                        assert!(b"+PONG\r\n".repeat(PINGS).starts_with(&answer), "{version}, seed {seed}");
                        let_in += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    });
    eprintln!("of clients with changed bytes {refused} were refused, {let_in} were not touched or ended");
    assert!(refused > CHANGED && let_in > 0, "{refused} refused, {let_in} not");
}

/// Whether the gateway has ended this connection, waiting for that.
fn ends(socket: &mut TcpStream) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let mut piece = [0; 4096];
    while Instant::now() < deadline {
        match socket.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
    false
}

#[test]
fn records_that_do_not_end_are_held_with_the_rest_and_waited_for_as_requests_are() {
    const CLIENTS: usize = 20;
    let world = World::start();
    let mut idle = world.client("app");
    idle.talk(&[("PING", "+PONG")]);
    let mut wires: Vec<Wire> = (0..CLIENTS)
        .map(|seed| {
            let mut wire = Wire::new(&world, &world.tls("app"), seed as u64);
            wire.shake().expect("the handshake succeeds");
            wire.tls.writer().write_all(&[b'x'; 16 * 1024]).expect("no bound");
            let mut record = Vec::new();
            while wire.tls.wants_write() {
                wire.tls.write_tls(&mut record).expect("room for it");
            }
            wire.socket.write_all(&record[..record.len() - 1]).expect("open");
            wire
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    let held = || world.gateway.metric("respgate_buffers_bytes", "") as usize;
    while held() < CLIENTS * 16 * 1024 {
        assert!(Instant::now() < deadline, "only {} bytes are counted", held());
        std::thread::sleep(Duration::from_millis(50));
    }
    world.write_again(|setup| setup.limits = "request_stall_timeout_ms = 200");
    world.reload();
    assert!(wires.iter_mut().all(|wire| ends(&mut wire.socket)), "nobody waits for ever");
    while held() > 0 {
        assert!(Instant::now() < deadline, "{} bytes are still counted", held());
        std::thread::sleep(Duration::from_millis(50));
    }
    let closed = world.gateway.metric("respgate_clients_closed_total", "reason=\"request_stalled\"");
    assert_eq!(closed, CLIENTS as f64);
    idle.talk(&[("PING", "+PONG")]);
}

#[test]
fn whoever_is_in_has_no_long_message_of_tls_to_send() {
    let world = World::start();
    let mut config = (*world.tls("app")).clone();
    config.enable_secret_extraction = true;
    let mut wire = Wire::new(&world, &Arc::new(config), 0);
    wire.shake().and_then(|()| wire.say()).expect("the handshake succeeds");
    // A change of keys (RFC 8446, 4.6.3) that announces to be as long as rustls would take.
    let long = [&[24, 0, 0xef, 0xc0][..], &[0; 58_000]].concat();
    let secrets = wire.tls.dangerous_extract_secrets().expect("they may be had");
    let (mut number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
        panic!("another cipher than usual")
    };
    let suite = TLS13_AES_256_GCM_SHA384.tls13().expect("a suite of TLS 1.3");
    let mut sealer: Box<dyn MessageEncrypter> = suite.aead_alg.encrypter(key, iv);
    for piece in long.chunks(16 * 1024) {
        let plain = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(piece),
        };
        let record = sealer.encrypt(plain, number).expect("keys that are not used up").encode();
        number += 1;
        // It may have been closed by now.
        let _ = wire.socket.write_all(&record);
    }
    assert!(ends(&mut wire.socket), "it is closed");
    world.client("app").talk(&[("PING", "+PONG")]);
}
