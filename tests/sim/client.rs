//! One client: what it sends, and for each request what it wants to hear.

use std::collections::VecDeque;

use super::dice::Dice;
use super::frame::{bulk, command};
use super::ledger::Tag;
use super::listener::{Lengths, Listener, Name};

/// What is published to; in most runs to the first two of them.
const CHANNELS: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

/// What a request's reply is held to.
#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// What the backend answered to this tag.
    Ledger,
    /// This, from the gateway.
    Here(Vec<u8>),
    /// This, from a backend.
    There(&'static [u8]),
    Unwatch,
    WhoAmI,
    Id,
    Info,
    Select(u32),
    Hello(u8),
    Multi,
    /// SELECT inside of a transaction.
    LaterSelect(u32),
    /// CLIENT ID inside of a transaction.
    LaterId,
    /// A command that the gateway refuses, inside of a transaction or not.
    Refused,
    Exec,
    Discard,
    /// A confirmation of each, or a refusal.
    Subscribe(Vec<Name>),
    /// A confirmation of this.
    Unsubscribe(Name),
    /// As many confirmations as there are channels, or patterns, or one.
    UnsubscribeAll(bool),
    /// This argument, in the form that the client's mode asks for.
    Ping(Vec<u8>),
    /// As `Ledger`, and EXEC has to follow on the same connection.
    Watch,
    /// Whatever the gateway says.
    Any,
    /// An error that is the last of the connection.
    LastError,
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) want: Want,
    pub(crate) tag: Option<Tag>,
    pub(crate) at: usize,
    /// What had been published by then.
    pub(crate) published: Lengths,
}

/// What the client knows of its transaction.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    pub(crate) queued: Vec<Tag>,
    pub(crate) select: Option<u32>,
    pub(crate) refused: bool,
    /// One of its commands was lost.
    pub(crate) lost: bool,
}

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) user: usize,
    pub(crate) client_id: u64,
    seq: usize,
    pub(crate) to_send: Vec<u8>,
    pub(crate) asked: VecDeque<Asked>,
    /// Frames of the front request that have come.
    pub(crate) frames: Vec<u8>,
    pub(crate) frames_seen: usize,
    pub(crate) received: Vec<u8>,
    // What it has learnt from replies.
    pub(crate) proto: u8,
    pub(crate) db: u32,
    pub(crate) tx: Option<Tx>,
    /// MULTI was lost, and the EXEC behind it has not been answered.
    pub(crate) multi_lost: bool,
    /// A link with state of it was lost.
    pub(crate) must_end: bool,
    /// The connection that watches.
    pub(crate) watches_on: Option<usize>,
    pub(crate) listener: Listener,
    // What it plans with.
    subscribed: usize,
    /// It subscribes, publishes and starts over more than anything else.
    pub(crate) listens: bool,
    /// What has been published so far.
    pub(crate) published: Lengths,
    mute: bool,
    skip: bool,
    pub(crate) is_done: bool,
    /// It has sent MONITOR, and looks at nothing any more.
    pub(crate) monitors: bool,
    /// There is a reason why the gateway may close it.
    pub(crate) excused: bool,
    pub(crate) stopped_reading: bool,
    pub(crate) has_stopped: bool,
}

impl Client {
    pub(crate) fn new(number: usize, user: usize, client_id: u64) -> Self {
        Self {
            number,
            user,
            client_id,
            seq: 0,
            to_send: Vec::new(),
            asked: VecDeque::new(),
            frames: Vec::new(),
            frames_seen: 0,
            received: Vec::new(),
            proto: 2,
            db: 0,
            tx: None,
            multi_lost: false,
            must_end: false,
            watches_on: None,
            listener: Listener::default(),
            published: Lengths::new(),
            subscribed: 0,
            listens: false,
            mute: false,
            skip: false,
            is_done: false,
            monitors: false,
            excused: false,
            stopped_reading: false,
            has_stopped: false,
        }
    }

    fn tag(&mut self) -> Tag {
        self.seq += 1;
        Tag { client: self.number, seq: self.seq }
    }

    fn send(&mut self, words: &[impl AsRef<[u8]>], want: Want, tag: Option<Tag>, at: usize) {
        self.to_send.extend_from_slice(&command(words));
        self.await_reply(want, tag, at);
    }

    fn await_reply(&mut self, want: Want, tag: Option<Tag>, at: usize) {
        if !self.mute && !std::mem::take(&mut self.skip) {
            let published = self.published.clone();
            self.asked.push_back(Asked { want, tag, at, published });
        }
    }

    /// A request whose argument `{}` is made its own by a tag.
    fn tagged(&mut self, words: &[&str], at: usize) {
        let tag = self.tag();
        let text = tag.text();
        let words: Vec<String> = words.iter().map(|word| word.replace("{}", &text)).collect();
        self.send(&words, Want::Ledger, Some(tag), at);
    }

    /// Plans something to do and puts its bytes behind what it sends.
    pub(crate) fn plan(&mut self, dice: &mut Dice, at: usize) {
        if self.is_done {
            return;
        }
        if self.subscribed > 0 {
            return self.plan_subscribed(dice, at);
        }
        if self.mute || self.skip {
            return self.plan_mute(dice, at);
        }
        if self.listens && dice.one_in(2) {
            return match dice.below(6) {
                0 | 1 => self.publish(dice, at),
                2 => self.send_reset(at),
                _ => self.subscribe(dice, at),
            };
        }
        match dice.below(40) {
            0..12 => {
                for _ in 0..dice.between(1, 6) {
                    self.plain(dice, at);
                }
            }
            12..15 => self.local(dice, at),
            15..17 => self.tagged(&["EVAL", "return ARGV[1]", "0", "v{}"], at),
            17..21 => self.transaction(dice, at),
            21 | 22 => {
                let tag = self.tag();
                let words = ["WATCH".to_owned(), format!("{}{}", dice.pick(&["s0", "n1"]), tag.text())];
                self.send(&words, Want::Watch, Some(tag), at);
                match dice.below(4) {
                    0 => self.send(&["UNWATCH"], Want::Unwatch, None, at),
                    1 => self.plain(dice, at),
                    _ => self.transaction(dice, at),
                }
            }
            23..26 => {
                let (list, timeout) = (dice.pick(&["l0{}", "l1{}"]), dice.pick(&["0.01", "0.1", "0.6"]));
                self.tagged(&[dice.pick(&["BLPOP", "BLPOP", "Take"]), list, timeout], at);
            }
            26..28 => self.subscribe(dice, at),
            28..30 => {
                let db = dice.pick(&[0, 0, 1, 1, 3, 99]);
                self.send(&["SELECT".to_owned(), db.to_string()], Want::Select(db), None, at);
            }
            30..32 => {
                let proto = dice.pick(&[2, 3]);
                self.send(&["HELLO".to_owned(), proto.to_string()], Want::Hello(proto), None, at);
            }
            32 => self.tagged(&["WAIT", "0", "0{}"], at),
            33 => {
                self.large(dice, at);
                if dice.one_in(3) {
                    let db = dice.pick(&[0, 1]);
                    self.send(&["SELECT".to_owned(), db.to_string()], Want::Select(db), None, at);
                    self.large(dice, at);
                }
            }
            34 => {
                self.to_send.extend_from_slice(&command(&["CLIENT", "REPLY", dice.pick(&["SKIP", "OFF"])]));
                if self.to_send.ends_with(b"OFF\r\n") {
                    self.mute = true;
                } else {
                    self.skip = true;
                }
            }
            35 => {
                let tag = self.tag();
                let line = format!("set s1{} \"{}\"\r\n", tag.text(), tag.text());
                self.to_send.extend_from_slice(line.as_bytes());
                self.await_reply(Want::Ledger, Some(tag), at);
            }
            36 => self.send(&["DEBUG", "SLEEP"], self.refusal(), None, at),
            37 => self.publish(dice, at),
            38 if dice.one_in(6) => self.last_words(dice, at),
            38 if dice.one_in(4) => self.send_reset(at),
            38 if self.user == 1 && dice.one_in(8) => {
                self.to_send.extend_from_slice(&command(&["MONITOR"]));
                self.is_done = true;
                self.monitors = true;
            }
            _ => {
                for _ in 0..dice.between(1, 30) {
                    self.plain(dice, at);
                }
            }
        }
    }

    fn refusal(&self) -> Want {
        if self.user == 1 { Want::There(b"+OK\r\n") } else { Want::Refused }
    }

    /// One request of class Share.
    fn plain(&mut self, dice: &mut Dice, at: usize) {
        let (text, counter) = (dice.pick(&["s0{}", "s1{}", "s2{}"]), dice.pick(&["n0{}", "n1{}"]));
        let list = dice.pick(&["l0{}", "l1{}"]);
        match dice.below(11) {
            0 | 1 => self.tagged(&[dice.pick(&["GET", "GET", "GET", "fetch"]), text], at),
            2 => self.tagged(&["SET", text, "v{}"], at),
            3 => self.tagged(&["INCR", counter], at),
            4 => self.tagged(&["GETSET", text, "v{}"], at),
            5 => self.tagged(&["APPEND", text, "v{}"], at),
            6 => self.tagged(&["LPUSH", list, "v{}"], at),
            7 => self.tagged(&["LRANGE", list, "0", "-1"], at),
            8 => self.tagged(&["ping", "p{}"], at),
            9 => self.tagged(&["Get", counter], at),
            _ => self.send(&["ACL", "WHOAMI"], Want::WhoAmI, None, at),
        }
    }

    fn local(&mut self, dice: &mut Dice, at: usize) {
        let name = dice.pick(&["alice", "bob"]);
        match dice.below(6) {
            0 | 1 => self.send(&["CLIENT", "ID"], Want::Id, None, at),
            2 => {
                self.send(&["CLIENT", "SETNAME", name], Want::Here(b"+OK\r\n".to_vec()), None, at);
                self.send(&["CLIENT", "GETNAME"], Want::Here(bulk(name.as_bytes())), None, at);
            }
            3 => self.tagged(&["NOSUCH", "x{}"], at),
            4 => self.send(&["CLIENT", "INFO"], Want::Info, None, at),
            _ => {
                let most = dice.pick(&[10, 60, 3_000]);
                for _ in 0..dice.between(1, most) {
                    self.send(&["CLIENT", "INFO"], Want::Info, None, at);
                }
            }
        }
    }

    fn transaction(&mut self, dice: &mut Dice, at: usize) {
        self.send(&["MULTI"], Want::Multi, None, at);
        for _ in 0..dice.between(0, 5) {
            match dice.below(24) {
                0 => {
                    let db = dice.pick(&[0, 1, 3, 99]);
                    self.send(&["SELECT".to_owned(), db.to_string()], Want::LaterSelect(db), None, at);
                }
                1 => self.send(&["CLIENT", "ID"], Want::LaterId, None, at),
                2 => self.tagged(&["EVAL", "return ARGV[1]", "0", "v{}"], at),
                3 => self.tagged(&["BLPOP", "l0{}", "1"], at),
                4 => self.tagged(&["PUBLISH", "c0", "m{}"], at),
                5 if dice.one_in(2) => self.set_large(dice, at),
                _ => self.tagged(
                    &dice.pick(&[["INCR", "n0{}", ""], ["SET", "s0{}", "v{}"], ["GET", "s1{}", ""]]),
                    at,
                ),
            }
        }
        if dice.one_in(30) {
            self.send_reset(at);
        } else if dice.one_in(8) {
            self.send(&["DISCARD"], Want::Discard, None, at);
        } else {
            self.send(&["EXEC"], Want::Exec, None, at);
        }
    }

    fn send_reset(&mut self, at: usize) {
        self.subscribed = 0;
        self.send(&["RESET"], Want::Here(b"+RESET\r\n".to_vec()), None, at);
    }

    fn publish(&mut self, dice: &mut Dice, at: usize) {
        let tag = self.tag();
        let payload = [tag.text().as_bytes(), &vec![b'm'; dice.pick(&[5, 18_000, 40_000])]].concat();
        let words: [&[u8]; 3] = [
            b"PUBLISH",
            dice.pick(if self.listens { &CHANNELS } else { &CHANNELS[..2] }).as_bytes(),
            &payload,
        ];
        self.send(&words, Want::Ledger, Some(tag), at);
    }

    fn set_large(&mut self, dice: &mut Dice, at: usize) {
        let tag = self.tag();
        let (name, value) = (format!("s2{}", tag.text()), vec![b'x'; dice.between(500, 60_000)]);
        let words: [&[u8]; 3] = [b"SET", name.as_bytes(), &value];
        self.send(&words, Want::Ledger, Some(tag), at);
    }

    fn large(&mut self, dice: &mut Dice, at: usize) {
        self.set_large(dice, at);
        for _ in 0..dice.between(1, 4) {
            self.tagged(&["GET", "s2{}"], at);
        }
    }

    fn subscribe(&mut self, dice: &mut Dice, at: usize) {
        let lists = [&["c0"][..], &["c1"], &["c0", "c1"], &["c2", "c0", "c1"], &["c0", "c0"], &["c2", "c9"]];
        let channels = if self.listens { &[dice.pick(&CHANNELS)] } else { dice.pick(&lists) };
        let is_pattern = dice.one_in(2);
        let mut words = vec![if is_pattern { "PSUBSCRIBE" } else { "SUBSCRIBE" }];
        words.extend(channels);
        let name = |text: &&str| Name { is_pattern, text: text.as_bytes().to_vec() };
        self.send(&words, Want::Subscribe(channels.iter().map(name).collect()), None, at);
        self.subscribed += channels.len();
    }

    fn plan_subscribed(&mut self, dice: &mut Dice, at: usize) {
        match dice.below(9) {
            0 => self.subscribe(dice, at),
            1 => {
                let argument = format!("p{}", self.seq);
                let want = Want::Ping(argument.as_bytes().to_vec());
                self.send(&["PING", &argument], want, None, at);
            }
            2 => self.tagged(&["GET", "s0{}"], at),
            3 => {
                let text = if self.listens { dice.pick(&CHANNELS) } else { "c1" };
                let name = Name { is_pattern: dice.one_in(2), text: text.as_bytes().to_vec() };
                let word = if name.is_pattern { "PUNSUBSCRIBE" } else { "UNSUBSCRIBE" };
                self.send(&[word, text], Want::Unsubscribe(name), None, at);
            }
            4 => self.publish(dice, at),
            5 if dice.one_in(3) => self.last_words(dice, at),
            6 if dice.one_in(if self.listens { 1 } else { 6 }) => self.send_reset(at),
            _ => {
                self.send(&["UNSUBSCRIBE"], Want::UnsubscribeAll(false), None, at);
                self.send(&["PUNSUBSCRIBE"], Want::UnsubscribeAll(true), None, at);
                self.subscribed = 0;
            }
        }
    }

    fn plan_mute(&mut self, dice: &mut Dice, at: usize) {
        if dice.one_in(3) {
            self.mute = false;
            self.skip = false;
            self.send(&["CLIENT", "REPLY", "ON"], Want::Here(b"+OK\r\n".to_vec()), None, at);
            return;
        }
        match dice.below(4) {
            0 => self.tagged(&["BLPOP", "l1{}", "0.05"], at),
            1 => self.tagged(&["EVAL", "return ARGV[1]", "0", "v{}"], at),
            _ => self.plain(dice, at),
        }
    }

    /// What makes the gateway end the connection.
    fn last_words(&mut self, dice: &mut Dice, at: usize) {
        self.is_done = true;
        self.excused = true;
        match dice.below(5) {
            3 => {
                let name = "n".repeat(dice.between(10, 50_000));
                self.send(&["CLIENT", "SETNAME", &name], Want::Any, None, at);
            }
            0 => self.send(&["QUIT"], Want::Here(b"+OK\r\n".to_vec()), None, at),
            1 => {
                self.to_send.extend_from_slice(b"*1\r\n:4\r\n");
                self.await_reply(Want::LastError, None, at);
            }
            _ => {
                self.to_send.extend_from_slice(b"*x\r\nmore\r\n");
                self.await_reply(Want::LastError, None, at);
            }
        }
    }

    /// An EVAL that puts a reply of its own making behind its reply.
    pub(crate) fn inject(&mut self, dice: &mut Dice, at: usize) {
        if self.subscribed > 0 || self.mute || self.skip || self.is_done {
            return;
        }
        let whole = dice.one_in(2);
        if whole {
            self.send(&["MULTI"], Want::Multi, None, at);
        }
        self.tagged(&["EVAL", "inject", "0", "v{}"], at);
        if whole {
            self.send(&["EXEC"], Want::Exec, None, at);
        }
    }
}
