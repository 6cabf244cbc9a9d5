//! OpenSSL's one-line form (`/C=CA/O=Acme/CN=app`), to say what it probably
//! means. It is never matched: it does not show where a value ends, so one text
//! stands for several subjects.

use super::attribute;
use super::name::{Attribute, Name, Rdn};
use super::value::Value;

/// The RFC 4514 text of a one-line name, if every part of it can be told.
pub(super) fn suggestion(text: &str) -> Option<String> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for piece in text.strip_prefix('/')?.split('/') {
        let known = piece.split_once('=').filter(|(name, _)| attribute::type_of(name).is_some());
        match (known, parts.last_mut()) {
            (Some((name, value)), _) => parts.push((name, value.to_owned())),
            // A slash within a value.
            (None, Some((_, value))) => {
                value.push('/');
                value.push_str(piece);
            }
            (None, None) => return None,
        }
    }
    let rdn = |(name, value): (&str, String)| {
        let value = Value::Text(unescaped(&value)?.into());
        Rdn::new(vec![Attribute { oid: attribute::type_of(name)?, value }])
    };
    let rdns: Option<Vec<Rdn>> = parts.into_iter().map(rdn).collect();
    Some(Name::from_rdns(rdns?).to_string())
}

/// Reads the `\xHH` that OpenSSL writes for bytes outside ASCII.
fn unescaped(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut pieces = value.split("\\x");
    bytes.extend(pieces.next()?.bytes());
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend(piece[2..].bytes());
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestion_is_reversed_and_escaped() {
        for (text, expected) in [
            ("/C=CA/O=Acme, Inc./CN=app", Some("CN=app,O=Acme\\, Inc.,C=CA")),
            ("/O=Acme/CN=a/b", Some("CN=a/b,O=Acme")),
            ("/O=Za\\xC5\\xBC/emailAddress=a@b", Some("EMAILADDRESS=a@b,O=Zaż")),
            ("/XYZ=a/CN=b", None),
            ("/CN=", None),
            ("/CN=\\xC5", None),
            ("/CN=\\x4", None),
            ("/CN=\\xé", None),
            ("/", None),
        ] {
            assert_eq!(suggestion(text).as_deref(), expected, "{text}");
        }
    }
}
