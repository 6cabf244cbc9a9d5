//! What can be wrong with a `certificate_subject_line`, told so that whoever
//! wrote it can put it right.

use thiserror::Error;

use super::der::DerError;
use super::parse::{ATTRIBUTES_MAX, LINE_BYTES_MAX, RDNS_MAX, VALUE_BYTES_MAX};

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
        cause: DerError,
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
