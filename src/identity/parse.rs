//! The grammar of a `certificate_subject_line`: RFC 4514, with the spaces and
//! quotes of its predecessors. It knows nothing of certificates. Whatever it is
//! not sure about is an error: a line that is misread lets in somebody else.

use thiserror::Error;

use super::attribute;
use super::der;
use super::name::{Attribute, Name, Rdn};
use super::oid::Oid;
use super::oneline;
use super::value::Value;

/// The longest line that is read, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 4096;
/// The most RDNs in a line.
pub(super) const RDNS_MAX: usize = 64;
/// The most attributes in one RDN.
pub(super) const ATTRIBUTES_MAX: usize = 16;
/// The longest value, in bytes and after unescaping.
pub(super) const VALUE_BYTES_MAX: usize = 1024;

/// Why a `certificate_subject_line` is refused. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineError {
    /// Nothing there.
    #[error("the line is empty, expected a certificate's subject such as CN=app,O=Acme")]
    Empty,
    /// More text than any subject needs.
    #[error("the line has {0} bytes, expected at most {LINE_BYTES_MAX}")]
    TooLong(usize),
    /// More RDNs than any subject has.
    #[error("the line has more than {RDNS_MAX} parts between commas")]
    TooManyRdns,
    /// More attributes in one RDN than any has.
    #[error("the part at character {at} has more than {ATTRIBUTES_MAX} attributes joined by '+'")]
    TooManyAttributes {
        /// Where the part begins.
        at: usize,
    },
    /// A value that is too long.
    #[error("the value at character {at} has more than {VALUE_BYTES_MAX} bytes")]
    ValueTooLong {
        /// Where the value begins.
        at: usize,
    },
    /// A control character as itself.
    #[error("character {at} is the control character U+{:04X}, expected none: remove it", u32::from(*got))]
    Control {
        /// Where it is.
        at: usize,
        /// Which it is.
        got: char,
    },
    /// A NUL, however it is written.
    #[error("the value at character {at} contains a NUL, which no certificate that is let in has")]
    Nul {
        /// Where the value begins.
        at: usize,
    },
    /// OpenSSL's one-line form.
    #[error(
        "the line starts with '/': this is OpenSSL's one-line form, which does not show where a value ends; {}",
        oneline_way_out(.suggestion.as_deref())
    )]
    OneLine {
        /// The same in RFC 4514, if it can be told.
        suggestion: Option<String>,
    },
    /// Two separators with nothing between them, or one at an end.
    #[error("nothing stands at character {at}, expected TYPE=value: remove the surplus ',' or '+'")]
    Missing {
        /// Where something should be.
        at: usize,
    },
    /// A part without `=`.
    #[error(
        "{got:?} at character {at} has no '=', expected TYPE=value: if it continues the value before it, \
         write the separator as \\, or \\+"
    )]
    NoEquals {
        /// What is there.
        got: String,
        /// Where it begins.
        at: usize,
    },
    /// Nothing before `=`.
    #[error("no type stands before the '=' at character {at}, expected one such as CN or a dotted OID")]
    EmptyType {
        /// Where the `=` is.
        at: usize,
    },
    /// Nothing after `=`.
    #[error("{name} at character {at} has no value, expected some text after its '='")]
    EmptyValue {
        /// The type, as written.
        name: String,
        /// Where it begins.
        at: usize,
    },
    /// A type that has no such name.
    #[error("unknown attribute type {got:?} at character {at}: {}", unknown_way_out(.got, .near))]
    UnknownType {
        /// The type, as written.
        got: String,
        /// Where it begins.
        at: usize,
        /// Names that are similar.
        near: Vec<&'static str>,
    },
    /// A dotted type that is not an object identifier.
    #[error("{got:?} at character {at} is not an object identifier, expected one such as 2.5.4.3")]
    BadOid {
        /// The type, as written.
        got: String,
        /// Where it begins.
        at: usize,
    },
    /// One type twice between two commas.
    #[error(
        "{name} is there twice in one part, at character {at} again: separate them with ',' instead of '+'"
    )]
    DuplicateType {
        /// The type, as written.
        name: String,
        /// Where it is again.
        at: usize,
    },
    /// A character that needs a backslash.
    #[error("{got:?} at character {at} is not escaped: write \\{got} if it belongs to the value{}", separator_hint(*got))]
    Unescaped {
        /// Which it is.
        got: char,
        /// Where it is.
        at: usize,
    },
    /// A backslash before something that is not escaped that way.
    #[error(
        "the backslash at character {at} is not followed by two hex digits or one of space \" # + , ; < = > \\: \
         write \\\\ for a backslash"
    )]
    BadEscape {
        /// Where the backslash is.
        at: usize,
    },
    /// A backslash within quotation marks before something else.
    #[error(
        "the backslash at character {at} is within quotation marks, where only \\\" and \\\\ are escaped"
    )]
    BadEscapeInQuotes {
        /// Where the backslash is.
        at: usize,
    },
    /// Escaped bytes that are not text.
    #[error(
        "the escaped bytes of the value at character {at} are not UTF-8, expected for example \\C5\\81 for \u{141}"
    )]
    NotUtf8 {
        /// Where the value begins.
        at: usize,
    },
    /// A quotation mark that is never closed.
    #[error("the quotation mark at character {at} is never closed")]
    Unclosed {
        /// Where it is.
        at: usize,
    },
    /// Text after a closing quotation mark.
    #[error("{got:?} at character {at} follows a closing quotation mark, expected ',' or '+' or the end")]
    AfterQuote {
        /// What follows.
        got: char,
        /// Where it is.
        at: usize,
    },
    /// A value that starts with `#` and is not hex.
    #[error(
        "the '#' at character {at} is not followed by an even number of hex digits: write \\# if it belongs to the value"
    )]
    BadHex {
        /// Where the `#` is.
        at: usize,
    },
    /// Hex that is not the DER of one value.
    #[error("the hex at character {at} is not the DER of one value: {cause}")]
    BadDer {
        /// Where the `#` is.
        at: usize,
        /// What is wrong with it.
        cause: der::DerError,
    },
}

fn oneline_way_out(suggestion: Option<&str>) -> String {
    match suggestion {
        Some(line) => format!("if that is the subject, write {line}"),
        None => "print the subject with openssl x509 -noout -subject -nameopt RFC2253".to_owned(),
    }
}

fn unknown_way_out(got: &str, near: &[&str]) -> String {
    if got.eq_ignore_ascii_case("subject") || got.eq_ignore_ascii_case("issuer") {
        return format!("leave out the leading {got}=, which openssl prints before the name");
    }
    match near {
        [] => "write its dotted OID instead, for example 2.5.4.3 for CN".to_owned(),
        near => format!(
            "did you mean {}? a type that is not known by name is written as its dotted OID",
            near.join(" or ")
        ),
    }
}

fn separator_hint(got: char) -> &'static str {
    if got == ';' { ", or ',' if it separates two parts" } else { "" }
}

/// Reads a line. The second value is whether, and as what, an ambiguous name of
/// a type was used: the letters as they are in the line.
pub(super) fn parse(line: &str) -> Result<(Name, Vec<String>), LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong(line.len()));
    }
    if let Some((at, got)) = line.chars().enumerate().find(|(_, c)| c.is_control()) {
        return Err(LineError::Control { at: at + 1, got });
    }
    let mut cursor = Cursor { chars: line.chars().collect(), at: 0, written: Vec::new() };
    cursor.skip_spaces();
    match cursor.peek() {
        None => return Err(LineError::Empty),
        Some('/') => return Err(LineError::OneLine { suggestion: oneline::suggestion(line.trim()) }),
        Some(_) => {}
    }
    let mut rdns = vec![cursor.rdn()?];
    while cursor.take(',') {
        if rdns.len() == RDNS_MAX {
            return Err(LineError::TooManyRdns);
        }
        rdns.push(cursor.rdn()?);
    }
    // The line begins with the most specific RDN, the certificate with the most general.
    rdns.reverse();
    Ok((Name::from_rdns(rdns), cursor.written))
}

/// A place in the line. Every method leaves it behind what it has read.
struct Cursor {
    chars: Vec<char>,
    at: usize,
    /// The types by the names used for them.
    written: Vec<String>,
}

impl Cursor {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// The position as errors count it.
    fn position(&self) -> usize {
        self.at + 1
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn skip_spaces(&mut self) {
        while self.take(' ') {}
    }

    /// Whether the value being read ends here.
    fn at_separator(&self) -> bool {
        matches!(self.peek(), None | Some(',' | '+'))
    }

    /// Reads up to a `,` or the end, neither of which it takes.
    fn rdn(&mut self) -> Result<Rdn, LineError> {
        let start = self.position();
        let mut attributes = vec![self.attribute()?];
        while self.take('+') {
            if attributes.len() == ATTRIBUTES_MAX {
                return Err(LineError::TooManyAttributes { at: start });
            }
            self.skip_spaces();
            let at = self.position();
            let next = self.attribute()?;
            if attributes.iter().any(|attribute| attribute.oid == next.oid) {
                let name = self.written.last().cloned().unwrap_or_default();
                return Err(LineError::DuplicateType { name, at });
            }
            attributes.push(next);
        }
        Rdn::new(attributes).ok_or(LineError::Missing { at: start })
    }

    fn attribute(&mut self) -> Result<Attribute, LineError> {
        self.skip_spaces();
        let at = self.position();
        if self.at_separator() {
            return Err(LineError::Missing { at });
        }
        let (name, oid) = self.attribute_type()?;
        self.skip_spaces();
        let start = self.position();
        let value = match self.peek() {
            None | Some(',' | '+') => None,
            Some('"') => Some(Value::Text(self.quoted()?.into())),
            Some('#') => Some(self.hex()?),
            Some(_) => Some(Value::Text(self.plain()?.into())),
        };
        self.skip_spaces();
        let value = match value {
            Some(Value::Text(text)) if text.contains('\0') => return Err(LineError::Nul { at: start }),
            Some(Value::Text(text)) if text.is_empty() => None,
            value => value,
        };
        let Some(value) = value else { return Err(LineError::EmptyValue { name, at }) };
        self.written.push(name);
        Ok(Attribute { oid, value })
    }

    /// Reads a type and the `=` after it.
    fn attribute_type(&mut self) -> Result<(String, Oid), LineError> {
        let at = self.position();
        let rest = &self.chars[self.at..];
        let ends = |c: &char| matches!(c, '=' | ',' | '+' | ';' | '<' | '>' | '"' | '\\');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let got = rest[..length].iter().collect::<String>().trim_end_matches(' ').to_owned();
        self.at += length;
        match self.peek() {
            Some('=') if got.is_empty() => return Err(LineError::EmptyType { at }),
            Some('=') => self.at += 1,
            None | Some(',' | '+') => return Err(LineError::NoEquals { got, at }),
            Some(got) => return Err(LineError::Unescaped { got, at: self.position() }),
        }
        match attribute::type_of(&got) {
            Some(oid) => Ok((got, oid)),
            None if got.contains('.') || got.starts_with(|first: char| first.is_ascii_digit()) => {
                Err(LineError::BadOid { got, at })
            }
            None => Err(LineError::UnknownType { near: attribute::near_misses(&got), got, at }),
        }
    }

    /// Reads a value with backslashes. Spaces at its end count if escaped.
    fn plain(&mut self) -> Result<String, LineError> {
        let start = self.position();
        let mut bytes = Vec::new();
        let mut end = 0;
        while !self.at_separator() {
            let at = self.position();
            let Some(c) = self.peek() else { break };
            self.at += 1;
            match c {
                '\\' => self.escaped(at, &mut bytes)?,
                '"' | ';' | '<' | '>' => return Err(LineError::Unescaped { got: c, at }),
                c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
            if c != ' ' {
                end = bytes.len();
            }
            if end > VALUE_BYTES_MAX {
                return Err(LineError::ValueTooLong { at: start });
            }
        }
        bytes.truncate(end);
        String::from_utf8(bytes).map_err(|_| LineError::NotUtf8 { at: start })
    }

    /// Reads what follows the backslash that was at `at`.
    fn escaped(&mut self, at: usize, bytes: &mut Vec<u8>) -> Result<(), LineError> {
        let digit = |place: usize| self.chars.get(place).and_then(|c| c.to_digit(16));
        match (self.peek(), digit(self.at), digit(self.at + 1)) {
            (Some(c @ (' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\')), ..) => {
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                self.at += 1;
            }
            (_, Some(high), Some(low)) => {
                // Two hex digits make a number below 256.
                bytes.push((high << 4 | low) as u8);
                self.at += 2;
            }
            _ => return Err(LineError::BadEscape { at }),
        }
        Ok(())
    }

    /// Reads a value in quotation marks, where only they and the backslash are escaped.
    fn quoted(&mut self) -> Result<String, LineError> {
        let start = self.position();
        self.at += 1;
        let mut text = String::new();
        loop {
            let at = self.position();
            let Some(c) = self.peek() else { return Err(LineError::Unclosed { at: start }) };
            self.at += 1;
            match (c, self.peek()) {
                ('"', _) => break,
                ('\\', Some(c @ ('"' | '\\'))) => {
                    text.push(c);
                    self.at += 1;
                }
                ('\\', _) => return Err(LineError::BadEscapeInQuotes { at }),
                (c, _) => text.push(c),
            }
            if text.len() > VALUE_BYTES_MAX {
                return Err(LineError::ValueTooLong { at: start });
            }
        }
        self.skip_spaces();
        match self.peek() {
            None | Some(',' | '+') => Ok(text),
            Some(got) => Err(LineError::AfterQuote { got, at: self.position() }),
        }
    }

    /// Reads `#` and the hex of a DER value.
    fn hex(&mut self) -> Result<Value, LineError> {
        let at = self.position();
        self.at += 1;
        let mut digits = Vec::new();
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) {
            digits.push(digit as u8);
            self.at += 1;
        }
        self.skip_spaces();
        let (pairs, odd) = digits.as_chunks::<2>();
        if !self.at_separator() || !odd.is_empty() || pairs.is_empty() {
            return Err(LineError::BadHex { at });
        }
        if pairs.len() > VALUE_BYTES_MAX {
            return Err(LineError::ValueTooLong { at });
        }
        let raw: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        der::single(&raw).map(Value::from_der).map_err(|cause| LineError::BadDer { at, cause })
    }
}
