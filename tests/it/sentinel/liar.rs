//! A sentinel that says what it is told to: an old address, a replica's, or none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::resp::{self, Stop, Value, request};

/// One that lies until it is dropped, and to whoever is connected even then.
pub(super) struct Liar {
    pub(super) port: u16,
    says: Arc<Mutex<u16>>,
    listeners: Arc<Mutex<Vec<TcpStream>>>,
}

impl Liar {
    /// Says that the master is at this port.
    pub(super) fn start(says: u16) -> Self {
        Self::start_at(0, says)
    }

    /// The same, at this port of its own.
    pub(super) fn start_at(port: u16, says: u16) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let liar = Self { port, says: Arc::new(Mutex::new(says)), listeners: Arc::default() };
        let (says, listeners) = (Arc::clone(&liar.says), Arc::clone(&liar.listeners));
        std::thread::spawn(move || {
            for (number, client) in socket.incoming().flatten().enumerate() {
                let (says, listeners) = (Arc::clone(&says), Arc::clone(&listeners));
                std::thread::spawn(move || serve(client, port, number, &says, &listeners));
            }
        });
        liar
    }

    /// Announces a switch to this port, and says so from now on.
    pub(super) fn switch(&self, to: u16) {
        let from = std::mem::replace(&mut *self.says.lock().expect("not poisoned"), to);
        let text = format!("{} 127.0.0.1 {from} 127.0.0.1 {to}", super::group::NAME);
        let push = push(&["message", "+switch-master", &text]);
        for listener in self.listeners.lock().expect("not poisoned").iter_mut() {
            let _ = listener.write_all(&push);
        }
    }
}

fn push(words: &[&str]) -> Vec<u8> {
    let mut bytes = request(words);
    bytes[0] = b'>';
    bytes
}

/// Every connection has another id, as if each were another sentinel's.
fn serve(
    mut client: TcpStream,
    port: u16,
    number: usize,
    says: &Mutex<u16>,
    listeners: &Mutex<Vec<TcpStream>>,
) {
    let (mut unread, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = client.read(&mut piece) {
        unread.extend_from_slice(&piece[..count]);
        loop {
            let value = match resp::read(&unread) {
                Ok((value, took)) => {
                    unread.drain(..took);
                    value
                }
                Err(Stop::Short) => break,
                Err(Stop::Garbage(line)) => panic!("not RESP: {line:?}"),
            };
            let Value::Array(words) = value else { panic!("no command") };
            let words: Vec<String> = words.iter().map(|it| it.to_string().replacen('$', "", 1)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = match words.as_slice() {
                ["HELLO", ..] => b"%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n".to_vec(),
                ["SENTINEL", "MYID"] => format!("+liar-{port}-{number}\r\n").into_bytes(),
                ["SUBSCRIBE", channel] => {
                    listeners.lock().expect("not poisoned").push(client.try_clone().expect("open"));
                    let mut confirmation = push(&["subscribe", channel, "1"]);
                    confirmation.truncate(confirmation.len() - b"$1\r\n1\r\n".len());
                    [&confirmation[..], b":1\r\n"].concat()
                }
                ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", _] => {
                    request(&["127.0.0.1", &says.lock().expect("not poisoned").to_string()])
                }
                other => panic!("not expected of a gateway: {other:?}"),
            };
            if client.write_all(&answer).is_err() {
                return;
            }
        }
    }
}
