//! What can be wrong with a node, a word for each cause, and since when.

use std::time::Instant;

macro_rules! causes {
    ($($(#[doc = $doc:expr])+ $name:ident = $word:literal;)+) => {
        /// The word for what has failed between the gateway and a node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Cause {
            /// Every cause, for registering a metric for each.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in logs, metrics and `/readyz`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

causes! {
    /// Nobody has said where it is: the sentinels have yet to.
    NoMaster = "no_master";
    /// No connection could be made.
    Connect = "connect";
    /// No TLS could be spoken, or the certificate is not what it has to be.
    Tls = "tls";
    /// It was not connected and greeted in time.
    Timeout = "timeout";
    /// The connection was closed or failed.
    Closed = "closed";
    /// There was no reply in time.
    NoReply = "no_reply";
    /// It refused the Redis user or its password.
    Auth = "auth";
    /// The password of the Redis user is not known yet.
    NoPassword = "no_password";
    /// It answered the greeting with something else.
    Greeting = "greeting";
    /// It is not what it has to be, the master or a replica.
    Role = "role";
    /// It is loading its data.
    Loading = "loading";
    /// It is a replica that has lost its master, and may not answer meanwhile.
    MasterDown = "masterdown";
    /// It runs a script that takes long.
    Busy = "busy";
    /// Its replies were not what they have to be: a fence did not come back, or worse.
    OutOfStep = "out_of_step";
    /// The gateway has no more files or ports.
    Resources = "resources";
}

impl Cause {
    /// The cause in the words of a server that would answer at another time.
    pub(crate) fn of_error(text: &str) -> Option<Self> {
        let word = text.split(' ').next()?;
        [("LOADING", Self::Loading), ("MASTERDOWN", Self::MasterDown), ("BUSY", Self::Busy)]
            .into_iter()
            .find_map(|(name, cause)| (name == word).then_some(cause))
    }
}

/// What is wrong, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The word for it.
    pub cause: Cause,
    /// What was said of it last.
    pub text: String,
    /// When it began.
    pub since: Instant,
}

impl Trouble {
    /// Notes the same trouble again, or another one in its place, which goes on since the first.
    pub(crate) fn note(place: &mut Option<Self>, cause: Cause, text: String, now: Instant) {
        let since = place.as_ref().map_or(now, |before| before.since);
        *place = Some(Self { cause, text, since });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_why_it_does_not_answer_now() {
        for (text, cause) in [
            ("LOADING Redis is loading the dataset in memory", Some(Cause::Loading)),
            ("MASTERDOWN Link with MASTER is down", Some(Cause::MasterDown)),
            ("BUSY Redis is busy running a script", Some(Cause::Busy)),
            ("BUSYKEY no such thing", None),
            ("NOPERM no", None),
        ] {
            assert_eq!(Cause::of_error(text), cause, "{text}");
        }
    }

    #[test]
    fn every_cause_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(words.len(), Cause::ALL.len());
    }
}
