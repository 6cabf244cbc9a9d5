//! What comes back to a client, held against what the backend did and said.

use super::client::{Asked, Client, Tx, Want};
use super::frame::{array, bulk, frame_len, show};
use super::ledger::{Ledger, Tag};
use super::people::MUTE_USER;
use super::redis::{DENIED, NO_CHANNEL};

const NOT_SENT: &[u8] = b"-ERR respgate: backend unavailable, command not sent\r\n";
const UNKNOWN: &[u8] = b"-ERR respgate: connection to the backend was lost, outcome unknown\r\n";
const NO_ROOM: &[u8] = b"-ERR respgate: too many pinned connections, command not sent\r\n";

/// What a client's checks may ask about the rest of the world.
pub(crate) struct Facts<'a> {
    pub(crate) ledger: &'a mut Ledger,
    /// The Redis users that the client may be, the present one first.
    pub(crate) users: &'a [String],
    /// The step in which a link of the client's user was last lost.
    pub(crate) lost_at: Option<usize>,
    /// Connections that are over.
    pub(crate) is_dead: &'a dyn Fn(usize) -> bool,
}

impl Client {
    /// Looks at every whole frame that has been received.
    pub(crate) fn check(&mut self, facts: &mut Facts<'_>) {
        if self.monitors {
            self.received.clear();
            return;
        }
        while let Some(len) = (!self.received.is_empty()).then(|| frame_len(&self.received)).flatten() {
            let frame: Vec<u8> = self.received.drain(..len).collect();
            if is_message(&frame) {
                self.listener.hears(self.proto, &frame, &facts.ledger.published);
                continue;
            }
            let Some(front) = self.asked.front() else {
                panic!("client {} is told {} and asked nothing", self.number, show(&frame));
            };
            self.frames.extend_from_slice(&frame);
            self.frames_seen += 1;
            let wanted = match front.want {
                Want::Subscribe(ref names) => names.len(),
                Want::UnsubscribeAll(is_pattern) => self.listener.count(is_pattern).max(1),
                _ => 1,
            };
            if frame[0] != b'-' && self.frames_seen < wanted {
                continue;
            }
            let asked = self.asked.pop_front().expect("looked at above");
            let mut reply = std::mem::take(&mut self.frames);
            if self.frames_seen > 1 && frame == UNKNOWN {
                // Some of its confirmations came, and the link of them is lost.
                self.must_end = true;
                reply = frame;
            }
            self.frames_seen = 0;
            self.reply(&asked, &reply, facts);
        }
    }

    fn reply(&mut self, asked: &Asked, reply: &[u8], facts: &mut Facts<'_>) {
        if self.is_loss(asked, reply, facts) {
            return;
        }
        let about = || format!("client {} asked {asked:?} and got {}", self.number, show(reply));
        let is_error = reply[0] == b'-';
        match &asked.want {
            Want::Ledger | Want::Watch => {
                let tag = asked.tag.expect("ledger wants are tagged");
                self.ledger_reply(tag, reply, facts);
                if matches!(asked.want, Want::Watch) && reply == b"+OK\r\n" {
                    self.watches_on = Some(facts.ledger.entries[&tag].conn);
                }
            }
            Want::Unwatch => {
                assert_eq!(reply, b"+OK\r\n", "{}", about());
                self.watches_on = None;
            }
            Want::Here(expected) => {
                let modal = self.listener.is_subscribed() && is_error;
                assert!(reply == expected || modal, "{}", about());
                if reply == b"+RESET\r\n" {
                    self.start_over(facts);
                }
            }
            Want::There(expected) => assert_eq!(reply, *expected, "{}", about()),
            Want::WhoAmI => {
                let known = facts.users.iter().any(|user| reply == bulk(user.as_bytes()));
                assert!(known, "{}, and is {:?}", about(), facts.users);
            }
            Want::Id => assert_eq!(reply, format!(":{}\r\n", self.client_id).as_bytes(), "{}", about()),
            Want::Info => {
                let id = format!("id={} ", self.client_id);
                assert!(reply.windows(id.len()).any(|at| at == id.as_bytes()), "{}", about());
            }
            Want::Select(db) => {
                assert!(reply == b"+OK\r\n" || is_error, "{}", about());
                assert!(*db < 16 || is_error, "{}", about());
                assert!(*db == 99 || !is_error, "{}", about());
                if !is_error {
                    self.db = *db;
                }
            }
            Want::Hello(proto) => {
                let head: &[u8] = if *proto == 3 { b"%7\r\n" } else { b"*14\r\n" };
                let id = format!("\r\n:{}\r\n", self.client_id);
                assert!(reply.starts_with(head), "{}", about());
                assert!(reply.windows(id.len()).any(|at| at == id.as_bytes()), "{}", about());
                self.proto = *proto;
            }
            Want::Multi => {
                assert_eq!(reply, b"+OK\r\n", "{}", about());
                self.tx = Some(Tx::default());
            }
            Want::LaterSelect(db) => match &mut self.tx {
                Some(tx) => {
                    assert_eq!(reply, b"+QUEUED\r\n", "{}", about());
                    if *db < 16 {
                        tx.select = Some(*db);
                    }
                }
                None => {
                    assert!(is_error || *db < 16, "{}", about());
                    self.db = if is_error { self.db } else { *db };
                }
            },
            Want::Refused => assert!(is_error, "{}", about()),
            Want::LaterId => match &mut self.tx {
                Some(tx) => {
                    let may_echo = self.user != MUTE_USER;
                    assert!(if may_echo { reply == b"+QUEUED\r\n" } else { is_error }, "{}", about());
                    tx.refused |= is_error;
                }
                // The MULTI before it may have been lost.
                None => {
                    let id = format!(":{}\r\n", self.client_id);
                    assert!(is_error || reply == id.as_bytes(), "{}", about());
                }
            },
            Want::Exec => self.exec_reply(asked, reply, facts),
            Want::Discard => {
                let tx = self.tx.take();
                if tx.is_some() {
                    self.watches_on = None;
                }
                self.multi_lost = false;
                assert!(is_error == tx.is_none(), "{}", about());
                if let Some(first) = tx.and_then(|tx| tx.queued.first().copied()) {
                    facts.ledger.forbid_exec(first);
                }
            }
            Want::Subscribe(names) if names.iter().any(|name| name.text == DENIED) => {
                assert_eq!(reply, NO_CHANNEL, "{}", about());
            }
            Want::Subscribe(names) => {
                assert!(!self.must_end, "{}, though subscriptions before it had been lost", about());
                let facts = (&asked.published, &facts.ledger.published);
                let expected = self.listener.subscribed(self.proto, names, facts);
                assert_eq!(show(reply), show(&expected), "{asked:?}");
            }
            Want::Unsubscribe(name) => {
                let expected = self.listener.unsubscribed(self.proto, name, &asked.published);
                assert_eq!(show(reply), show(&expected), "{asked:?}");
            }
            Want::UnsubscribeAll(is_pattern) => {
                assert!(!is_error, "{}", about());
                self.listener.all_unsubscribed(self.proto, *is_pattern, reply, &asked.published);
            }
            Want::Ping(argument) if self.is_modal() => {
                assert_eq!(reply, array(&[bulk(b"pong"), bulk(argument)]), "{}", about());
            }
            Want::Ping(argument) => assert_eq!(reply, bulk(argument), "{}", about()),
            Want::Any => {}
            Want::LastError => assert!(is_error, "{}", about()),
        }
    }

    /// What RESET ends.
    fn start_over(&mut self, facts: &mut Facts<'_>) {
        self.proto = 2;
        self.db = 0;
        self.watches_on = None;
        self.multi_lost = false;
        self.listener.start_over();
        if let Some(first) = self.tx.take().and_then(|tx| tx.queued.first().copied()) {
            facts.ledger.forbid_exec(first);
        }
    }

    fn ledger_reply(&mut self, tag: Tag, reply: &[u8], facts: &mut Facts<'_>) {
        if self.is_modal() && reply.starts_with(b"-ERR Can't execute") {
            if !facts.ledger.entries.contains_key(&tag) {
                facts.ledger.forbid(tag);
            }
            return;
        }
        assert!(!self.is_modal(), "{tag:?} is answered {} to a subscriber in RESP2", show(reply));
        let Some(entry) = facts.ledger.entries.get(&tag) else {
            panic!("{tag:?} never reached the backend, and was answered {}", show(reply));
        };
        let expected = entry.reply.as_deref().unwrap_or(b"nothing yet");
        assert_eq!(show(reply), show(expected), "the reply to {tag:?}");
        assert_eq!(reply, expected, "the reply to {tag:?}");
        assert!(facts.users.contains(&entry.user), "{tag:?} ran as {:?}", entry.user);
        assert_eq!((entry.proto, entry.db), (self.proto, self.db), "protocol and database of {tag:?}");
        assert!(!self.must_end, "{tag:?} was answered, though subscriptions before it had been lost");
        assert!(!self.multi_lost, "{tag:?} ran, though the MULTI before it had been lost");
        if reply == b"+QUEUED\r\n" {
            let tx = self.tx.as_mut().unwrap_or_else(|| panic!("{tag:?} was queued without a MULTI"));
            tx.queued.push(tag);
        } else if let Some(tx) = &self.tx {
            assert!(tx.lost, "{tag:?} ran at once inside of a transaction: {}", show(reply));
        }
    }

    /// Whether it may only subscribe, unsubscribe and the like.
    fn is_modal(&self) -> bool {
        self.proto == 2 && self.listener.is_subscribed()
    }

    fn exec_reply(&mut self, asked: &Asked, reply: &[u8], facts: &mut Facts<'_>) {
        let is_error = reply[0] == b'-';
        let about = format!("client {} asked {asked:?} and got {}", self.number, show(reply));
        self.multi_lost = false;
        let Some(tx) = self.tx.take() else {
            assert!(is_error, "{about}, without a transaction");
            return;
        };
        let watched = self.watches_on.take();
        assert!(!tx.lost, "{about}, though a command of it had been lost");
        let first = tx.queued.first().copied();
        if tx.refused {
            assert!(reply.starts_with(b"-EXECABORT"), "{about}, though a command of it had been refused");
            if let Some(first) = first {
                facts.ledger.forbid_exec(first);
            }
            return;
        }
        assert!(!is_error, "{about}, inside of a transaction with {:?}", tx.queued);
        if let Some(first) = first {
            let executed = facts.ledger.executed.get(&first);
            let executed = executed.unwrap_or_else(|| panic!("{about}, and {first:?} did not run"));
            let id = format!(":{}\r\n", self.client_id);
            let expected = executed.parts.join(id.as_bytes());
            assert_eq!(show(reply), show(&expected), "{about}");
            assert_eq!(reply, expected, "{about}");
            assert_eq!(facts.ledger.entries[&first].conn, executed.conn, "{about}, on another connection");
            let here = watched.is_none_or(|watched| watched == executed.conn);
            assert!(here, "{about}, not where it had watched");
        }
        if reply[0] == b'*' && !reply.starts_with(b"*-1") {
            self.db = tx.select.unwrap_or(self.db);
        }
    }

    /// Whether the reply says that the request was lost; whether it may say so.
    fn is_loss(&mut self, asked: &Asked, reply: &[u8], facts: &mut Facts<'_>) -> bool {
        if reply != NOT_SENT && reply != UNKNOWN && reply != NO_ROOM {
            return false;
        }
        let here = matches!(asked.want, Want::Here(_) | Want::Id | Want::Info | Want::LastError);
        assert!(
            !here,
            "client {} asked {asked:?}, which needs no link, and got {}",
            self.number,
            show(reply)
        );
        if reply == UNKNOWN {
            let lost = facts.lost_at.is_some_and(|at| at >= asked.at);
            assert!(lost, "{asked:?} has an unknown outcome, and no link was lost since");
            if let Some(entry) = asked.tag.and_then(|tag| facts.ledger.entries.get(&tag)) {
                assert!((facts.is_dead)(entry.conn), "{asked:?} has an unknown outcome on a live link");
            }
        } else if let Some(tag) = asked.tag {
            facts.ledger.forbid(tag);
        }
        match asked.want {
            Want::Multi => self.multi_lost = reply != NO_ROOM,
            Want::Exec | Want::Discard => self.multi_lost = false,
            _ => {}
        }
        if matches!(asked.want, Want::Unwatch | Want::Exec | Want::Discard) {
            self.watches_on = None;
        }
        match (&asked.want, &mut self.tx) {
            (Want::Exec, Some(tx)) => {
                if let (true, Some(&first)) = (reply == NOT_SENT, tx.queued.first()) {
                    facts.ledger.forbid_exec(first);
                }
                self.tx = None;
            }
            (Want::Discard, Some(_)) => self.tx = None,
            // Its lane could not be asked for, and the transaction will be refused.
            (Want::LaterSelect(_) | Want::LaterId, Some(tx)) if reply == NOT_SENT => tx.refused = true,
            (_, Some(tx)) => tx.lost = true,
            (_, None) => {}
        }
        true
    }
}

/// A published message, in either protocol version.
fn is_message(frame: &[u8]) -> bool {
    let kind = frame.splitn(4, |&byte| byte == b'\n').nth(2).unwrap_or_default();
    matches!(frame[0], b'*' | b'>') && matches!(kind, b"message\r" | b"pmessage\r")
}
