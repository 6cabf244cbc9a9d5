//! A Redis user as ACL LIST shows it: its name, the hashes of its passwords, and the rest.

use std::collections::BTreeSet;

use crate::resp::elements;

/// A line of ACL LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub(super) name: String,
    pub(super) hashes: BTreeSet<String>,
    /// All the rest of it.
    pub(super) rest: String,
}

impl Shown {
    /// Reads the answer to ACL LIST; nothing if it is none.
    #[must_use]
    pub fn list(reply: &[u8]) -> Option<Vec<Self>> {
        let line = |element: &[u8]| {
            // A bulk string: a length, CR LF, the line, CR LF.
            let start = memchr::memchr(b'\n', element.strip_prefix(b"$")?)? + 2;
            let line = element.get(start..)?.strip_suffix(b"\r\n")?;
            // No user of ours is called by what is not UTF-8.
            Self::parse(&String::from_utf8_lossy(line))
        };
        elements(reply)?.into_iter().map(line).collect()
    }

    /// Reads `user NAME on #.. ~.. +..`; nothing if it is no such line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("user ")?.split(' ');
        let name = words.next()?.to_owned();
        let (hashes, rest): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with('#'));
        let hashes = hashes.into_iter().map(|word| word[1..].to_owned()).collect();
        Some(Self { name, hashes, rest: rest.join(" ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_no_users() {
        for line in ["", "user", "User a on", "-NOPERM"] {
            assert_eq!(Shown::parse(line), None, "{line:?}");
        }
        let one = b"*1\r\n$13\r\nuser a on #ab\r\n";
        let list = Shown::list(one).expect("a list");
        assert_eq!(list.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a"]);
        for reply in [
            &b"+OK\r\n"[..],
            b"$-1\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$2\r\nhi\r\n",
            b"*1\r\n$-1\r\n",
            b"*-1\r\n",
            b"",
        ] {
            assert_eq!(Shown::list(reply), None, "{reply:?}");
        }
    }
}
