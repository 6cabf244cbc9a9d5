//! A small reader of RESP2 and RESP3 for the tests. It owns its own notion of a
//! reply and shares nothing with the gateway's scanner, so that a mistake there
//! is not repeated here.

use std::fmt;

/// One value as a server sends it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Self>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    /// An attribute as well, which comes before what it is about.
    Map(Vec<(Self, Self)>),
    /// `,` `#` `(` and `=`: kept as written, type character included.
    Other(String),
}

/// What stands in the way of reading a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// More bytes are needed.
    Short,
    /// These bytes are not RESP.
    Garbage(String),
}

impl Value {
    /// The value as text, whatever its type; empty for what has none.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Other(text) => text.as_bytes(),
            Self::Bulk(bytes) => bytes,
            _ => &[],
        }
    }

    /// All text in it, however deep, one after the other.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut all = self.bytes().to_vec();
        for item in self.items() {
            all.extend_from_slice(&item.to_bytes());
            all.push(b' ');
        }
        all
    }

    /// The elements of an aggregate; those of a map flattened.
    pub(crate) fn items(&self) -> Vec<Self> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items.clone(),
            Self::Map(pairs) => pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect(),
            _ => Vec::new(),
        }
    }

    /// The value that follows this key in a map, or in an array read as one.
    pub(crate) fn field(&self, key: &str) -> Option<Self> {
        let items = self.items();
        items.chunks(2).find(|pair| pair[0].bytes() == key.as_bytes()).and_then(|pair| pair.get(1).cloned())
    }
}

/// `+OK`, `-ERR no`, `:1`, `$text`, `nil`, `[a, b]`, `>[a, b]`, `~[a, b]`, `{k: v}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) if bytes.len() > 4096 => write!(f, "${} bytes", bytes.len()),
            Self::Bulk(bytes) => write!(f, "${}", String::from_utf8_lossy(bytes)),
            Self::Nil => write!(f, "nil"),
            Self::Array(items) => write!(f, "[{}]", join(items)),
            Self::Set(items) => write!(f, "~[{}]", join(items)),
            Self::Push(items) => write!(f, ">[{}]", join(items)),
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                write!(f, "{{{}}}", pairs.join(", "))
            }
            Self::Other(text) => write!(f, "{text}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn join(items: &[Value]) -> String {
    items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

/// Reads one value from the front of `bytes`, and says how many bytes it took.
pub(crate) fn read(bytes: &[u8]) -> Result<(Value, usize), Stop> {
    let line_end = bytes.windows(2).position(|two| two == b"\r\n").ok_or(Stop::Short)?;
    let line = String::from_utf8_lossy(&bytes[..line_end]).into_owned();
    let rest = line_end + 2;
    let kind = *bytes.first().ok_or(Stop::Short)?;
    let text = line.get(1..).unwrap_or_default().to_owned();
    let number = || text.parse::<i64>().map_err(|_| Stop::Garbage(line.clone()));
    match kind {
        b'+' => Ok((Value::Simple(text), rest)),
        b'-' => Ok((Value::Error(text), rest)),
        b':' => Ok((Value::Int(number()?), rest)),
        b'_' => Ok((Value::Nil, rest)),
        b',' | b'#' | b'(' => Ok((Value::Other(line), rest)),
        b'$' | b'=' | b'!' => read_bulk(kind, number()?, bytes, rest),
        b'*' | b'~' | b'>' | b'%' | b'|' => read_items(kind, number()?, bytes, rest),
        _ => Err(Stop::Garbage(line)),
    }
}

fn read_bulk(kind: u8, length: i64, bytes: &[u8], start: usize) -> Result<(Value, usize), Stop> {
    let Ok(length) = usize::try_from(length) else { return Ok((Value::Nil, start)) };
    let end = start + length;
    let Some(framed) = bytes.get(start..end + 2) else { return Err(Stop::Short) };
    if &framed[length..] != b"\r\n" {
        return Err(Stop::Garbage("a bulk without its CR LF".to_owned()));
    }
    let content = framed[..length].to_vec();
    let value = match kind {
        b'$' => Value::Bulk(content),
        b'!' => Value::Error(String::from_utf8_lossy(&content).into_owned()),
        _ => Value::Other(format!("={}", String::from_utf8_lossy(&content))),
    };
    Ok((value, end + 2))
}

fn read_items(kind: u8, count: i64, bytes: &[u8], start: usize) -> Result<(Value, usize), Stop> {
    let Ok(count) = usize::try_from(count) else { return Ok((Value::Nil, start)) };
    let wanted = if matches!(kind, b'%' | b'|') { count * 2 } else { count };
    let mut items = Vec::new();
    let mut at = start;
    while items.len() < wanted {
        let (item, took) = read(&bytes[at..])?;
        items.push(item);
        at += took;
    }
    let value = match kind {
        b'*' => Value::Array(items),
        b'~' => Value::Set(items),
        b'>' => Value::Push(items),
        _ => Value::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()),
    };
    Ok((value, at))
}

/// A request as an array of bulks.
pub(crate) fn request<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The same for a command written with spaces, as one would type it.
pub(crate) fn typed(command: &str) -> Vec<u8> {
    request(&command.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn the_tests_own_reader_reads_every_type_and_asks_for_more_when_it_is_short() {
    let bytes = b"*5\r\n+a\r\n$2\r\nb\n\r\n%1\r\n:1\r\n_\r\n>1\r\n-E x\r\n*-1\r\n";
    let (value, took) = read(bytes).expect("complete");
    assert_eq!((value.to_string().as_str(), took), ("[+a, $b\n, {:1: nil}, >[-E x], nil]", bytes.len()));
    assert!((0..bytes.len()).all(|cut| read(&bytes[..cut]) == Err(Stop::Short)));
    assert!(matches!(read(b"hello\r\n"), Err(Stop::Garbage(_))));
}
