//! What the gateway does with a command: the classes of the table.

/// How a command travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// One reply, nothing left behind in the connection: any link of the lane.
    Share,
    /// As `Share`, but what it is given can put bytes into the reply stream: a fence follows.
    /// Scripts and functions on servers with CVE-2025-67733; and on every one FUNCTION LOAD, whose
    /// error repeats what the code says (so FUNCTION RESTORE and SCRIPT LOAD, too), on Redis 8.2
    /// and Valkey 9.1 FUNCTION LIST, whose error repeats an argument.
    Script,
    /// Must not queue behind what it is to stop: a link of its own.
    Control,
    /// The state, or the wait, lives in the connection.
    Pin(Why),
    /// `Share`, unless it has a BLOCK option; then pinned.
    BlockOption,
    /// WAIT and WAITAOF, which ask about the writes of their own connection.
    Wait,
    /// Opens, closes or guards a transaction.
    Transaction(Tx),
    /// Adds subscriptions.
    Subscribe(Topic),
    /// Ends subscriptions.
    Unsubscribe(Topic),
    /// The gateway answers.
    Answer(Answer),
    /// Decided by the second argument.
    Container,
    /// The signature of a cross-protocol attack: a silent close, as in Redis.
    Abuse,
}

/// Why a command needs a link of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It waits: for data, or for work elsewhere.
    Block,
    /// Endless or foreign output follows (MONITOR, SYNC).
    Stream,
    /// Not one reply, or not only a reply (DEBUG).
    Answers,
    /// It leaves state in the connection for good.
    Connection,
    /// The table does not know it.
    Unknown,
}

/// The commands of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of its name")]
pub enum Tx {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
    /// SSUBSCRIBE.
    Shard,
}

/// The commands that the gateway answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of its name")]
pub enum Answer {
    Hello,
    Auth,
    Select,
    Reset,
    Quit,
    ClientSetName,
    ClientGetName,
    ClientSetInfo,
    ClientId,
    ClientInfo,
    ClientNoEvict,
    ClientNoTouch,
    ClientTrackingInfo,
    ClientGetRedir,
    ClientReply,
    ClientMaintNotifications,
    Respgate,
    /// READONLY, READWRITE and ASKING.
    NotClustered,
}
