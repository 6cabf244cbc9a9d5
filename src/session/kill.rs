//! CLIENT KILL: which sessions it means, and what to ask Redis before.
//!
//! Texts and forms are Redis' (networking.c, `clientCommand`). The filters are read here, since the
//! clients are the gateway's; whether the user may kill and whether the filters make sense is
//! Redis' to say, who is asked with an id that no client has.

use std::time::Instant;

use super::Session;

/// An id that no client ever has: with it a command about a client changes nothing.
pub(crate) const NO_CLIENT: i64 = i64::MAX;

/// Filters that Valkey has and the gateway does not know the answers to.
const FOREIGN: [&str; 8] = ["NAME", "IDLE", "FLAGS", "LIB-NAME", "LIB-VER", "DB", "IP", "CAPA"];

/// The sessions that are meant: those to which all of it applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// One of these.
    pub ids: Vec<u64>,
    peer: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    redis_user: Option<Vec<u8>>,
    is_subscriber: Option<bool>,
    age_min: Option<u64>,
    /// Part of it makes no sense. Redis refuses such a command; nobody is meant if it does not.
    is_odd: bool,
}

/// A CLIENT KILL that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Who is meant.
    pub filter: Filter,
    /// The form with nothing but an address, which is answered OK.
    pub is_old_form: bool,
    /// Whether the client that asks is spared.
    pub skips_self: bool,
}

/// What to do with a CLIENT KILL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask Redis with these words; where it answers no error, go on.
    Ask(Vec<Vec<u8>>, Kill),
    /// Redis refuses it whatever it says.
    Refuse(String),
}

/// Reads the arguments of a CLIENT KILL, its two names included.
pub(crate) fn parse(args: &[&[u8]]) -> Order {
    let mut ask = vec![b"CLIENT".to_vec(), b"KILL".to_vec()];
    let nobody = [b"ID".to_vec(), NO_CLIENT.to_string().into_bytes()];
    let mut kill = Kill { filter: Filter::default(), is_old_form: false, skips_self: true };
    let mut rest = match args {
        [_, _] => {
            // Redis says what is missing.
            return Order::Ask(ask, kill);
        }
        [_, _, address] => {
            kill.filter.peer = Some(address.to_vec());
            (kill.is_old_form, kill.skips_self) = (true, false);
            ask.extend(nobody);
            return Order::Ask(ask, kill);
        }
        [_, _, rest @ ..] => rest,
        _ => return Order::Refuse("ERR syntax error".to_owned()),
    };
    let (mut ids, mut odd) = (0, None);
    while let [name, after @ ..] = rest {
        let Some((value, others)) = after.split_first() else {
            return Order::Refuse("ERR syntax error".to_owned());
        };
        rest = others;
        let filter = &mut kill.filter;
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("ID") {
            // Valkey takes several. Of several options the last counts.
            let more = rest.iter().take_while(|word| number(word).is_some()).count();
            let values = std::iter::once(*value).chain(rest[..more].iter().copied());
            odd = values.clone().find_map(|id| match number(id) {
                None => Some(b"x".to_vec()),
                Some(id) if id <= 0 => Some(b"0".to_vec()),
                Some(_) => None,
            });
            filter.ids = values.filter_map(|id| u64::try_from(number(id)?).ok()).collect();
            filter.is_odd |= odd.is_some();
            (ids, rest) = (1 + more, &rest[more..]);
            continue;
        }
        match () {
            () if is("ADDR") => filter.peer = Some(value.to_vec()),
            () if is("LADDR") => filter.local = Some(value.to_vec()),
            () if is("USER") => filter.redis_user = Some(value.to_vec()),
            () if is("MAXAGE") => {
                filter.age_min = number(value).and_then(|age| u64::try_from(age).ok());
                filter.is_odd |= filter.age_min.is_none();
            }
            () if is("SKIPME") => kill.skips_self = !value.eq_ignore_ascii_case(b"no"),
            () if is("TYPE") => match subscribers(value) {
                Ok(which) => {
                    filter.is_subscriber = which;
                    filter.is_odd |= which.is_none();
                }
                Err(text) => return Order::Refuse(text),
            },
            () if FOREIGN.iter().any(|word| is(word)) || name.to_ascii_uppercase().starts_with(b"NOT-") => {
                let name = String::from_utf8_lossy(name).to_uppercase();
                return Order::Refuse(format!("ERR respgate: CLIENT KILL {name} is not supported"));
            }
            () => return Order::Refuse("ERR syntax error".to_owned()),
        }
        ask.extend([name.to_vec(), value.to_vec()]);
    }
    if let Some(odd) = odd {
        // Redis says what is wrong with it. No id of a client's is ever told to it.
        ask.extend([b"ID".to_vec(), odd]);
    }
    // Last, so that nothing behind it is taken for another id.
    ask.extend(nobody.clone());
    ask.extend((1..ids).map(|_| nobody[1].clone()));
    Order::Ask(ask, kill)
}

/// A number in the one spelling that Redis takes.
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.to_string().as_bytes() == text).then_some(value)
}

/// Whether a type means subscribers or the others; a type that Redis does not know is Redis' to refuse.
fn subscribers(kind: &[u8]) -> Result<Option<bool>, String> {
    let is = |word: &str| kind.eq_ignore_ascii_case(word.as_bytes());
    match () {
        () if is("normal") => Ok(Some(false)),
        () if is("pubsub") => Ok(Some(true)),
        () if is("master") || is("primary") || is("slave") || is("replica") => {
            let kind = String::from_utf8_lossy(kind).to_lowercase();
            Err(format!(
                "ERR respgate: CLIENT KILL TYPE {kind} is not supported: no client of the gateway is one"
            ))
        }
        () => Ok(None),
    }
}

impl Filter {
    /// Whether this session is meant.
    #[must_use]
    pub fn means(&self, session: &Session, now: Instant) -> bool {
        let is = |wanted: &Option<Vec<u8>>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_slice() == text.as_bytes())
        };
        let (peer, local) = &session.addresses;
        !self.is_odd
            && (self.ids.is_empty() || self.ids.contains(&session.client_id))
            && is(&self.peer, peer)
            && is(&self.local, local)
            && is(&self.redis_user, &session.permit.credential().redis_user)
            && self.is_subscriber.is_none_or(|is| is == (session.subscriptions().total() > 0))
            && self
                .age_min
                .is_none_or(|age| now.saturating_duration_since(session.opened_at).as_secs() >= age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> (String, Kill) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        match parse(&words) {
            Order::Ask(words, kill) => (
                String::from_utf8(words.join(&b' ')).expect("text").replace("9223372036854775807", "N"),
                kill,
            ),
            Order::Refuse(text) => panic!("{line}: {text}"),
        }
    }

    #[test]
    fn redis_is_asked_about_nobody() {
        for (line, question) in [
            ("CLIENT KILL", "CLIENT KILL"),
            ("client kill 1.2.3.4:5", "CLIENT KILL ID N"),
            ("CLIENT KILL ID 5", "CLIENT KILL ID N"),
            ("CLIENT KILL ID 5 id 6", "CLIENT KILL ID N"),
            ("CLIENT KILL ID 5 6 7 USER app", "CLIENT KILL USER app ID N N N"),
            ("CLIENT KILL ID 0 SKIPME no", "CLIENT KILL SKIPME no ID 0 ID N"),
            ("CLIENT KILL ID +5 TYPE x", "CLIENT KILL TYPE x ID x ID N"),
            ("CLIENT KILL USER ID MAXAGE 5", "CLIENT KILL USER ID MAXAGE 5 ID N"),
        ] {
            assert_eq!(asked(line).0, question, "{line}");
        }
    }

    #[test]
    fn the_forms_differ_in_who_is_spared() {
        let (_, old) = asked("CLIENT KILL 1.2.3.4:5");
        assert_eq!((old.is_old_form, old.skips_self), (true, false));
        let (_, new) = asked("CLIENT KILL ADDR 1.2.3.4:5 ID 7");
        assert_eq!((new.is_old_form, new.skips_self, new.filter.ids), (false, true, vec![7]));
        assert!(!asked("CLIENT KILL ID 7 SKIPME no").1.skips_self);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        for line in [
            "CLIENT KILL 5 6",
            "CLIENT KILL ID 5 USER",
            "CLIENT KILL NAME x",
            "CLIENT KILL not-id 5",
            "CLIENT KILL TYPE replica",
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            assert!(matches!(parse(&words), Order::Refuse(_)), "{line} is {:?}", parse(&words));
        }
    }
}
