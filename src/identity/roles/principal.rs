//! Somebody as rules see them: plain values, so that rules depend neither on how
//! certificates are read nor on how a user was found.

use core::net::IpAddr;

use crate::identity::Name;

/// Who somebody is and where they come from. What is not known is absent, and
/// matches nothing but a rule that asks for absence.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The user's name.
    pub username: String,
    /// The subject of the certificate, if one was shown.
    pub dn: Option<Name>,
    /// What OpenSearch calls backend roles and Elasticsearch groups, such as the
    /// values of `roles_attribute`.
    pub groups: Vec<String>,
    /// The address that the connection comes from.
    pub peer: IpAddr,
    /// The realm that recognised the user.
    pub realm: String,
    /// The listener that the connection came in by.
    pub listener: String,
    /// What else the certificate says.
    pub metadata: Metadata,
}

/// A certificate's further facts; all empty without one.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// DNS alternative names. Compared without regard to case.
    pub san_dns: Vec<String>,
    /// URI alternative names.
    pub san_uri: Vec<String>,
    /// Email alternative names. Their domains are compared without regard to case.
    pub san_email: Vec<String>,
    /// IP alternative names.
    pub san_ip: Vec<IpAddr>,
    /// The issuer's name: a further condition, never a proof of which CA it was.
    pub issuer: Option<Name>,
    /// SHA-256 of the certificate and of its public key, and the serial number,
    /// in hex digits without separators.
    pub certificate_sha256: Option<String>,
    /// See `certificate_sha256`.
    pub spki_sha256: Option<String>,
    /// See `certificate_sha256`.
    pub serial: Option<String>,
}
