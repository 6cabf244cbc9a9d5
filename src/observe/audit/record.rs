//! An audit record and the line it becomes. Knows nothing of where lines go.

use std::net::SocketAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What became of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was let in.
    Accepted,
    /// It was not.
    Refused,
    /// It had been let in, and what it had shown no longer holds.
    Ended,
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A client's arrival.
    Connection,
    /// A password that a client gave.
    Authentication,
}

/// One client's arrival. Absent fields are left out of the line; texts that a
/// client chose (its subject) are escaped by JSON itself.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// An arrival, or a password.
    pub event: Event,
    /// Let in or not.
    pub outcome: Outcome,
    /// Why not: a word of the closed vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The cause in words, for whoever has to put it right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the client was told to quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The address that it came to.
    pub listener: SocketAddr,
    /// The name of the listener that it came to.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub listener_name: &'static str,
    /// Whether its certificate was past its end, and that was allowed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// Whether it resumed an earlier TLS session.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// The address that it came from.
    pub peer: SocketAddr,
    /// Its certificate's subject, in RFC 4514; cut and marked where it is of more than a kilobyte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its certificate's serial number, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SHA-256 of its certificate, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The user that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The realm that recognised it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The role that led to its Redis user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// All roles that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The Redis ACL user that its commands run as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis_user: Option<String>,
    /// The database that they go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// The cipher suite's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cipher: Option<String>,
}

impl Record {
    /// A record of the addresses alone; the rest is set as far as it is known.
    #[must_use]
    pub fn new(outcome: Outcome, listener: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            event: Event::Connection,
            outcome,
            reason: None,
            detail: None,
            reference: None,
            listener,
            listener_name: "",
            expired: false,
            resumed: false,
            peer,
            subject: None,
            serial: None,
            fingerprint: None,
            user: None,
            realm: None,
            role: None,
            roles: Vec::new(),
            redis_user: None,
            database: None,
            tls_version: None,
            tls_cipher: None,
        }
    }
}

/// A Redis user that its backend refuses, or accepts again.
#[derive(Debug, Clone, Serialize)]
pub struct BackendRecord {
    /// Refused, or accepted.
    pub outcome: Outcome,
    /// Why not: a word of the closed vocabulary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What the backend said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The database.
    pub database: String,
    /// The address of the backend.
    pub node: String,
    /// The Redis ACL user.
    pub redis_user: String,
}

/// As a record is written, with its newline.
pub(super) fn backend_line(record: &BackendRecord, time: OffsetDateTime) -> Vec<u8> {
    #[derive(Serialize)]
    struct Stamped<'a> {
        time: String,
        event: &'static str,
        #[serde(flatten)]
        record: &'a BackendRecord,
    }
    json_line(&Stamped { time: rfc3339(time), event: "backend", record })
}

/// A record as it is written, with its newline.
pub(super) fn line(record: &Record, time: OffsetDateTime) -> Vec<u8> {
    #[derive(Serialize)]
    struct Stamped<'a> {
        time: String,
        #[serde(flatten)]
        record: &'a Record,
    }
    json_line(&Stamped { time: rfc3339(time), record })
}

/// The line that tells of records that were lost.
pub(super) fn lost_line(count: u64, time: OffsetDateTime) -> Vec<u8> {
    #[derive(Serialize)]
    struct LostLine {
        time: String,
        event: &'static str,
        count: u64,
    }
    json_line(&LostLine { time: rfc3339(time), event: "audit_lost", count })
}

fn rfc3339(time: OffsetDateTime) -> String {
    // Fails only for years outside 0..=9999.
    time.format(&Rfc3339).unwrap_or_else(|_| "unknown".to_owned())
}

fn json_line(value: &impl Serialize) -> Vec<u8> {
    // Fails only for maps with keys that are not texts; there are no maps here.
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|_| b"{\"event\":\"unreadable\"}".to_vec());
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_refusal_says_who_from_where_and_why() {
        let mut record =
            Record::new(Outcome::Refused, "127.0.0.1:6380".parse().unwrap(), "[::1]:50000".parse().unwrap());
        record.reason = Some("no_mapping");
        record.reference = Some("7Q4T".to_owned());
        record.subject = Some("CN=\"a\",O=b\n".to_owned());
        let text = String::from_utf8(line(&record, datetime!(2026-11-22 06:00:00.5 UTC))).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"time":"2026-11-22T06:00:00.5Z","event":"connection","outcome":"refused","reason":"no_mapping","#,
                r#""reference":"7Q4T","listener":"127.0.0.1:6380","peer":"[::1]:50000","subject":"CN=\"a\",O=b\n"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn an_acceptance_has_every_field() {
        let text = || Some("x".to_owned());
        let address = "127.0.0.1:1".parse().unwrap();
        let record = Record {
            reason: None,
            detail: None,
            reference: text(),
            subject: text(),
            serial: text(),
            fingerprint: text(),
            user: text(),
            realm: text(),
            role: text(),
            roles: vec!["x".to_owned()],
            redis_user: text(),
            database: text(),
            tls_version: text(),
            tls_cipher: text(),
            ..Record::new(Outcome::Accepted, address, address)
        };
        let line: serde_json::Value =
            serde_json::from_slice(&line(&record, datetime!(2026-11-22 06:00:00 UTC))).unwrap();
        let names: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        for name in [
            "time",
            "event",
            "outcome",
            "listener",
            "peer",
            "subject",
            "serial",
            "fingerprint",
            "user",
            "realm",
            "role",
            "roles",
            "redis_user",
            "database",
        ] {
            assert!(names.contains(&name), "{name} is missing: {line}");
        }
        assert!(!names.contains(&"reason"), "{line}");
    }
}
