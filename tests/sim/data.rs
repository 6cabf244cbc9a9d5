//! The model's data and the commands on it: each takes its arguments and gives
//! one reply, or nothing when it would block.

use std::collections::{HashMap, VecDeque};

use super::frame::{array, bulk, null};
use super::ledger::key;

#[derive(Debug, Clone)]
enum Value {
    Text(Vec<u8>),
    List(VecDeque<Vec<u8>>),
}

type Key = (u32, Vec<u8>);

#[derive(Debug, Default)]
pub(crate) struct Data {
    values: HashMap<Key, Value>,
    /// Changes of each key, for WATCH.
    versions: HashMap<Key, u64>,
}

/// As whom a command runs.
#[derive(Debug, Clone)]
pub(crate) struct As {
    pub(crate) user: String,
    pub(crate) db: u32,
    pub(crate) proto: u8,
}

impl Data {
    pub(crate) fn version(&self, key: &Key) -> u64 {
        self.versions.get(key).copied().unwrap_or_default()
    }

    fn text(&self, key: &Key) -> Vec<u8> {
        match self.values.get(key) {
            Some(Value::Text(text)) => text.clone(),
            _ => Vec::new(),
        }
    }

    fn set(&mut self, key: Key, value: Value) {
        *self.versions.entry(key.clone()).or_default() += 1;
        self.values.insert(key, value);
    }

    /// Takes the first element of a list.
    pub(crate) fn pop(&mut self, key: &Key) -> Option<Vec<u8>> {
        let Some(Value::List(list)) = self.values.get_mut(key) else { return None };
        let element = list.pop_front()?;
        *self.versions.entry(key.clone()).or_default() += 1;
        Some(element)
    }

    /// Runs a command that neither blocks nor changes its connection.
    pub(crate) fn run(&mut self, who: &As, args: &[Vec<u8>]) -> Vec<u8> {
        let name = args[0].to_ascii_uppercase();
        let arg = |n: usize| args.get(n).cloned().unwrap_or_default();
        let at = (who.db, key(&arg(1)).to_vec());
        match name.as_slice() {
            b"PING" if args.len() == 1 => b"+PONG\r\n".to_vec(),
            b"PING" | b"ECHO" => bulk(&arg(1)),
            // GET and BLPOP by names that the gateway's table does not know.
            b"GET" | b"FETCH" => match self.values.get(&at) {
                Some(Value::Text(text)) => bulk(text),
                Some(Value::List(_)) => b"-WRONGTYPE\r\n".to_vec(),
                None => null(who.proto),
            },
            b"SET" => {
                self.set(at, Value::Text(arg(2)));
                b"+OK\r\n".to_vec()
            }
            b"GETSET" => {
                let reply = self.run(who, &[b"GET".to_vec(), arg(1)]);
                self.set(at, Value::Text(arg(2)));
                reply
            }
            b"APPEND" => {
                let mut text = self.text(&at);
                if text.len() > 60_000 {
                    text.clear();
                }
                text.extend_from_slice(&arg(2));
                let reply = format!(":{}\r\n", text.len());
                self.set(at, Value::Text(text));
                reply.into_bytes()
            }
            b"INCR" => {
                let number = String::from_utf8(self.text(&at)).expect("a counter");
                let number = number.parse::<u64>().unwrap_or_default() + 1;
                self.set(at, Value::Text(number.to_string().into_bytes()));
                format!(":{number}\r\n").into_bytes()
            }
            b"LPUSH" => {
                let mut list = match self.values.remove(&at) {
                    Some(Value::List(list)) => list,
                    _ => VecDeque::new(),
                };
                list.push_front(arg(2));
                list.truncate(12);
                let reply = format!(":{}\r\n", list.len());
                self.set(at, Value::List(list));
                reply.into_bytes()
            }
            b"LRANGE" => {
                let elements = match self.values.get(&at) {
                    Some(Value::List(list)) => list.iter().map(|element| bulk(element)).collect(),
                    _ => Vec::new(),
                };
                array(&elements)
            }
            b"BLPOP" | b"TAKE" => match self.pop(&at) {
                Some(element) => array(&[bulk(&at.1), bulk(&element)]),
                None => super::frame::null_array(who.proto),
            },
            b"EVAL" => bulk(&arg(3)),
            b"WAIT" | b"SPUBLISH" => b":0\r\n".to_vec(),
            b"ACL" => bulk(who.user.as_bytes()),
            b"COMMAND" => command_info(&arg(2)),
            b"DEBUG" => b"+OK\r\n".to_vec(),
            name => format!("-ERR unknown command '{}'\r\n", name.escape_ascii()).into_bytes(),
        }
    }
}

/// COMMAND INFO, as far as the gateway reads it.
fn command_info(name: &[u8]) -> Vec<u8> {
    let flags: &[u8] = match name {
        b"fetch" => b"*2\r\n+readonly\r\n+fast\r\n",
        b"take" => b"*2\r\n+write\r\n+blocking\r\n",
        _ => return b"*1\r\n*-1\r\n".to_vec(),
    };
    let key_and_rest = b":1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
    [b"*1\r\n*10\r\n", &bulk(name)[..], b":-2\r\n", flags, key_and_rest].concat()
}
