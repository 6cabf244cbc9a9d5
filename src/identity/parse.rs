//! The grammar of a `certificate_subject_line`: RFC 4514, with the spaces and
//! quotes of its predecessors. It knows nothing of certificates. Whatever it is
//! not sure about is an error: a line that is misread lets in somebody else.

use super::attribute;
use super::der;
use super::line_error::LineError;
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

/// Reads a line: the name it means, and the types as it writes them, in its order.
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
    debug_assert!(cursor.peek().is_none(), "an RDN ends at a comma or at the end");
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
