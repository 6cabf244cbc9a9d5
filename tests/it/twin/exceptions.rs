//! The published exceptions: what a session may see through the gateway that it would not see
//! on a direct connection, and why. The comparison excuses these and nothing else;
//! docs/compatibility.md tells them to readers under the same ids.

use super::compare::{Compare, alike};
use crate::backend::Version;

/// One line of the list.
pub(crate) struct Exception {
    pub(crate) id: &'static str,
    pub(crate) differs: &'static str,
    pub(crate) why: &'static str,
}

/// All of them, in the order of ids.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        id: "auth-failure",
        differs: "An AUTH that fails is always answered; Redis 8.2 says nothing to one that comes close behind another command.",
        why: "Each request gets a reply: without one, a client takes the next for it.",
    },
    Exception {
        id: "auth-one-argument",
        differs: "AUTH with a password alone is answered OK, whatever the password.",
        why: "The certificate has decided who the client is; a password left over in a client's settings does no harm.",
    },
    Exception {
        id: "bulk-line-end",
        differs: "A bulk that is not followed by CR LF is a protocol error; Redis skips these two bytes unread.",
        why: "The gateway and Redis must never disagree about where a request ends.",
    },
    Exception {
        id: "client-ids",
        differs: "CLIENT ID and HELLO tell the gateway's id of the client, not one of Redis.",
        why: "The client has no connection of its own at Redis, or changes it while it goes on.",
    },
    Exception {
        id: "client-info",
        differs: "CLIENT INFO tells the fields that the gateway knows, of the client's connection to it.",
        why: "What Redis would tell is a connection that other clients use as well.",
    },
    Exception {
        id: "client-list",
        differs: "CLIENT LIST shows the gateway's connections to Redis, with Redis' ids.",
        why: "Redis answers it, and knows no others.",
    },
    Exception {
        id: "client-names",
        differs: "CLIENT SETNAME and CLIENT SETINFO refuse whatever has a byte outside of ! to ~; Redis 8.2 and Valkey 9.1 look no further than a NUL.",
        why: "It is the rule of Redis 7.0 and the documentation, and the backend may be any of them.",
    },
    Exception {
        id: "guarded",
        differs: "Commands that reach other tenants or the host are refused (NOPERM), whatever their arguments, unless the user's `commands` allow them.",
        why: "The ACL of the Redis user may be wider than what its clients should reach.",
    },
    Exception {
        id: "injected-replies",
        differs: "Where a server lets a client put replies of its own making between the others (FUNCTION LIST with line ends in an argument, scripts), the gateway passes none of them on, closes its connection to the server, and what was behind is answered `outcome unknown`.",
        why: "They could be taken for replies to another client.",
    },
    Exception {
        id: "inside-multi",
        differs: "In a transaction these are refused, and EXEC then fails: (P|S)SUBSCRIBE and their ends, MONITOR, REPLCONF, WAIT and WAITAOF, CLIENT REPLY, CLIENT KILL, UNBLOCK and TRACKING by a client's id, and HELLO with another protocol version.",
        why: "Redis would queue them, and what they do at EXEC is not Redis' to do alone, or not one reply.",
    },
    Exception {
        id: "invalidation-after-reset",
        differs: "When tracking is switched on again after RESET, there are no invalidations of what was read before it.",
        why: "RESET ends the client's own connection to Redis, and what Redis remembered of it.",
    },
    Exception {
        id: "invalidation-order",
        differs: "Among the replies to a pipeline, invalidations (BCAST) may come earlier than from Redis, and one by one where Redis puts several keys into one; where the pipeline ends the tracking or changes the protocol version, it can decide otherwise whether they come at all.",
        why: "Redis keeps them until it has read all that there is; what the gateway answers itself waits for all that Redis has to say first.",
    },
    Exception {
        id: "monitor-lines",
        differs: "MONITOR shows the gateway's own commands too, and the gateway's addresses.",
        why: "It shows what Redis is asked, and the gateway asks for all of its clients.",
    },
    Exception {
        id: "reset-user",
        differs: "After RESET the client is still the user of its certificate; on a direct connection it is the default user.",
        why: "Who a client is comes from its certificate, which has not changed.",
    },
    Exception {
        id: "wait-marked",
        differs: "WAIT and WAITAOF are answered NOPERM where the Redis user may not SPUBLISH on `respgate:wait`.",
        why: "They ask about the writes of their own connection, and the client's were made on others: the mark puts this one behind them.",
    },
];

/// How far an exception reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excuse {
    /// This reply.
    Reply(&'static str),
    /// This reply, and all that follows from it in the session.
    Session(&'static str),
}

/// The exception that allows the gateway this reply where the twin gave that one.
pub(crate) fn excuse(version: Version, compare: Compare, gateway: &[u8], twin: &[u8]) -> Option<Excuse> {
    if welcomed(twin).is_some_and(|twin| alike(compare, gateway, &twin)) {
        return Some(Excuse::Reply("auth-one-argument"));
    }
    if version == Version::Redis8 && gateway.starts_with(b"-WRONGPASS ") {
        return Some(Excuse::Session("auth-failure"));
    }
    if gateway.starts_with(b"-NOPERM respgate: WAIT") {
        return Some(Excuse::Reply("wait-marked"));
    }
    // A command that is not there, or has wrong arguments: Redis may find fault with that first.
    if gateway.starts_with(b"-NOPERM ") && twin[0] == b'-' && !twin.starts_with(b"-NOPERM ") {
        return Some(Excuse::Reply("guarded"));
    }
    if version != Version::System
        && gateway.starts_with(b"-ERR Client names cannot contain ")
        && twin[0] == b'+'
    {
        return Some(Excuse::Session("client-names"));
    }
    if gateway == b"-ERR respgate: command not supported inside MULTI\r\n" {
        return Some(Excuse::Session("inside-multi"));
    }
    None
}

/// The reply, with OK wherever the twin has found a password alone too little; nothing, if it has not.
fn welcomed(twin: &[u8]) -> Option<Vec<u8>> {
    const TOO_LITTLE: &[u8] = b"-ERR AUTH <password> called without any password configured for the default \
        user. Are you sure your configuration is correct?\r\n";
    let at = twin.windows(TOO_LITTLE.len()).position(|window| window == TOO_LITTLE)?;
    let rest = &twin[at + TOO_LITTLE.len()..];
    Some([&twin[..at], b"+OK\r\n", &welcomed(rest).unwrap_or_else(|| rest.to_vec())].concat())
}

#[test]
fn exceptions_are_in_order_and_say_why() {
    for pair in EXCEPTIONS.windows(2) {
        assert!(pair[0].id < pair[1].id, "{} {}", pair[0].id, pair[1].id);
    }
    for Exception { id, differs, why } in EXCEPTIONS {
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{id}");
        assert!(differs.ends_with('.') && why.ends_with('.'), "{id}: sentences");
    }
}
