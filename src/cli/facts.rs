//! What a certificate says, for a person and for a program: the same words in
//! every command that shows one.

use serde_json::{Value as Json, json};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

use crate::identity::{Certificate, Reason, San, SubjectLine};

/// Purposes that have a name.
const PURPOSES: [(&str, &str); 7] = [
    ("1.3.6.1.5.5.7.3.1", "serverAuth"),
    ("1.3.6.1.5.5.7.3.2", "clientAuth"),
    ("1.3.6.1.5.5.7.3.3", "codeSigning"),
    ("1.3.6.1.5.5.7.3.4", "emailProtection"),
    ("1.3.6.1.5.5.7.3.8", "timeStamping"),
    ("1.3.6.1.5.5.7.3.9", "OCSPSigning"),
    ("2.5.29.37.0", "anyExtendedKeyUsage"),
];

/// A moment, as RFC 3339 writes it.
pub(super) fn moment(seconds: i64) -> String {
    let moment = UtcDateTime::from_unix_timestamp(seconds).ok();
    moment
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{seconds} s since 1970"))
}

/// The line that means a certificate's subject, if there is one: a subject that
/// is empty or has a control character is nobody's.
pub(super) fn line(certificate: &Certificate) -> Option<String> {
    let text = certificate.subject().to_string();
    let line: SubjectLine = text.parse().ok()?;
    (!certificate.subject().has_control() && line.matches(certificate.subject())).then_some(text)
}

/// Purposes by name where they have one, by number otherwise.
pub(super) fn purposes(certificate: &Certificate) -> Vec<String> {
    let named = |oid: &String| {
        let name = PURPOSES.iter().find(|(known, _)| known == oid);
        name.map_or_else(|| oid.clone(), |(_, name)| (*name).to_owned())
    };
    certificate.purposes().unwrap_or_default().iter().map(named).collect()
}

/// Why nobody can log in with it, whatever the configuration says of users.
pub(super) fn unfit(certificate: &Certificate, now: i64) -> Vec<Reason> {
    [
        (certificate.version() != 3, Reason::BadCertificate),
        (certificate.signs_certificates(), Reason::LeafIsCa),
        (certificate.subject().has_control(), Reason::SubjectControlChar),
        (!certificate.is_for_clients(), Reason::Eku),
        (certificate.not_before() > now, Reason::NotYetValid),
        (certificate.not_after() < now, Reason::Expired),
    ]
    .into_iter()
    .filter_map(|(holds, reason)| holds.then_some(reason))
    .collect()
}

/// Everything about a certificate, each from its own field.
pub(super) fn as_json(certificate: &Certificate) -> Json {
    let san = |san: &San| match san {
        San::Unfit { kind, shown } => json!({ "type": kind.as_str(), "unfit": shown }),
        San::Other { oid, text } => json!({ "type": "other", "oid": oid, "value": text }),
        san => json!({ "type": san.kind().as_str(), "value": san.text() }),
    };
    json!({
        "subject": certificate.subject().to_string(),
        "issuer": certificate.issuer().to_string(),
        "sans": certificate.sans().iter().map(san).collect::<Vec<_>>(),
        "serial": certificate.serial(),
        "not_before": moment(certificate.not_before()),
        "not_after": moment(certificate.not_after()),
        "version": certificate.version(),
        "ca": certificate.signs_certificates(),
        "purposes": purposes(certificate),
        "certificate_sha256": certificate.fingerprint().to_string(),
        "spki_sha256": certificate.key().to_string(),
    })
}

/// The same for a person, one fact a line.
pub(super) fn as_text(certificate: &Certificate) -> String {
    let name = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text };
    let sans: Vec<String> = certificate.sans().iter().map(ToString::to_string).collect();
    let purposes = purposes(certificate);
    let facts = [
        ("subject", name(certificate.subject().to_string())),
        ("issuer", name(certificate.issuer().to_string())),
        ("sans", if sans.is_empty() { "none".to_owned() } else { sans.join(", ") }),
        ("serial", certificate.serial().to_owned()),
        ("not before", moment(certificate.not_before())),
        ("not after", moment(certificate.not_after())),
        ("purposes", if purposes.is_empty() { "not limited".to_owned() } else { purposes.join(", ") }),
        ("sha256", certificate.fingerprint().to_string()),
        ("spki sha256", certificate.key().to_string()),
    ];
    facts.iter().map(|(name, fact)| format!("{name:<12} {fact}\n")).collect()
}
