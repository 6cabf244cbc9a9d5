//! Why somebody is not let in: one word from a closed list for logs, metrics and
//! audit, and a sentence for the operator. The client sees neither.

use std::fmt;

use crate::fault::Blame;

macro_rules! reasons {
    ($($(#[doc = $doc:expr])+ $name:ident = $word:literal, $blame:ident;)+) => {
        /// The word for why somebody was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, for registering a metric for each.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in logs, audit records and metric labels.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// Who has to act.
            #[must_use]
            pub fn blame(self) -> Blame {
                match self {
                    $(Self::$name => Blame::$blame,)+
                }
            }
        }
    };
}

reasons! {
    /// The client sent something else than TLS.
    NotTls = "not_tls", Client;
    /// The client did not finish its TLS handshake in time.
    HandshakeTimeout = "handshake_timeout", Client;
    /// The TLS handshake failed for another reason than those below.
    HandshakeFailed = "handshake_failed", Client;
    /// There are as many clients as there may be.
    TooManyClients = "too_many_clients", Operator;
    /// The listener that the client came to is no longer in the configuration.
    ListenerRemoved = "listener_removed", Operator;
    /// The listener leads to no database by the server name that the client asked for.
    UnknownServerName = "unknown_server_name", Client;
    /// The client's listener leads to another database now.
    DatabaseChanged = "database_changed", Operator;
    /// The client showed no certificate.
    NoClientCertificate = "no_client_certificate", Client;
    /// The certificate is malformed, too old a version, or wrongly signed.
    BadCertificate = "bad_certificate", Client;
    /// No configured CA has signed the certificate.
    UntrustedIssuer = "untrusted_issuer", Client;
    /// The certificate's time is over.
    Expired = "expired", Client;
    /// The certificate's time has not come.
    NotYetValid = "not_yet_valid", Client;
    /// The certificate, or a CA of its chain, is in a revocation list.
    Revoked = "revoked", Client;
    /// The revocation list of the certificate's issuer is out of date.
    CrlStale = "crl_stale", Operator;
    /// There is no believable revocation list of the certificate's issuer.
    RevocationUnknown = "revocation_unknown", Operator;
    /// The certificate's extended key usage does not allow it to be a client's.
    Eku = "eku", Client;
    /// The certificate has no subject alternative name, and the listener asks for one.
    SanMissing = "san_missing", Client;
    /// The certificate is a CA's.
    LeafIsCa = "leaf_is_ca", Client;
    /// The certificate's subject contains a control character.
    SubjectControlChar = "subject_control_char", Client;
    /// One of the certificate's alternative names contains a control character or is malformed.
    SanControlChar = "san_control_char", Client;
    /// The certificate has a SPIFFE ID and another URI.
    SpiffeMultipleUri = "spiffe_multiple_uri", Client;
    /// The certificate's SPIFFE ID is not that of a workload.
    SpiffeInvalid = "spiffe_invalid", Client;
    /// The listener asks for another common name or DNS name.
    GateCn = "gate_cn", Client;
    /// The listener asks for another subject.
    GateSubject = "gate_subject", Client;
    /// The certificate lacks the attribute that would say who it is.
    IdentityAttributeMissing = "identity_attribute_missing", Client;
    /// The certificate is two users', or says twice who it is.
    AmbiguousIdentity = "ambiguous_identity", Operator;
    /// What the certificate says cannot be a user's name.
    UnusableName = "unusable_name", Client;
    /// A user has this certificate, but only under another CA.
    IssuerScope = "issuer_scope", Client;
    /// No user has this subject.
    NoMapping = "no_mapping", Client;
    /// A user has this subject in reverse order.
    RdnOrder = "rdn_order", Operator;
    /// A user has this subject in other case or with other spaces.
    CaseOnly = "case_only", Operator;
    /// The user has no role, or none that the database has a Redis user for.
    NoRole = "no_role", Operator;
    /// The user would have a role if it came from another address.
    HostScope = "host_scope", Client;
    /// The user may not come in at present.
    UserDisabled = "user_disabled", Operator;
    /// The user's role, or the Redis user of it, is another one now.
    RoleChanged = "role_changed", Operator;
    /// The client came without the password that it needs.
    NoPassword = "no_password", Client;
    /// The password is not the user's.
    WrongPassword = "wrong_password", Client;
    /// There is no user of the name that AUTH gave.
    UnknownUser = "unknown_user", Client;
    /// The user comes in by a certificate alone.
    PasswordNotAccepted = "password_not_accepted", Client;
    /// AUTH named another user than the client is.
    AuthDiffers = "auth_differs", Client;
    /// No realm of the listener checks the user's password.
    RealmInactive = "realm_inactive", Operator;
    /// Passwords have been wrong too often.
    TooManyAttempts = "too_many_attempts", Client;
    /// The password could not be checked.
    PasswordUnchecked = "password_unchecked", Operator;
    /// Redis did not accept the credential of the client's user.
    BackendAuthFailed = "backend_auth_failed", Operator;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// That somebody is not let in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    detail: String,
}

impl Refusal {
    /// A refusal with a sentence for the operator. What it quotes must be
    /// escaped: it may have come from a stranger.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: shortened(detail.into()) }
    }

    /// The word from the closed list.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence for the log and the audit record; never for the client.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// The most that log and audit repeat of a text that a client may have chosen.
const TEXT_BYTES_MAX: usize = 1024;

/// What takes the place of the rest.
const MARK: &str = "[...]";

/// A text for log and audit, of at most a kilobyte, and marked where it was longer.
#[must_use]
pub fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX - MARK.len()));
        text.push_str(MARK);
    }
    text
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_marked() {
        let whole = "a".repeat(TEXT_BYTES_MAX);
        assert_eq!(shortened(whole.clone()), whole);
        let long = Refusal::new(Reason::NoMapping, "\u{1f511}".repeat(TEXT_BYTES_MAX));
        let kept = long.detail().strip_suffix(MARK).expect("marked");
        assert!(kept.chars().all(|char| char == '\u{1f511}'), "{kept}");
        assert!((TEXT_BYTES_MAX - 4..=TEXT_BYTES_MAX).contains(&long.detail().len()));
    }

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
