//! The register of an authority's revocations: a text file beside its
//! certificate, one line a certificate, and the revocation list made from it.
//!
//! ```text
//! number 3
//! 4A01..FF 2026-11-22T09:04:38Z key_compromise CN=app,O=Acme
//! ```
//!
//! A line that cannot be read is an error: a list that leaves one out would let
//! a revoked certificate in again.

use std::fmt::Write as _;

use clap::ValueEnum;
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, RevocationReason, RevokedCertParams};
use thiserror::Error;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::issue::{Authority, BACKDATED, IssueError, pem_text};
use super::sign;

/// Octets that a serial number may have (RFC 5280 section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

const NOTE: &str =
    "# The revocations of this authority, kept by `respgate cert revoke`: serial, time, reason, subject.\n";

/// Why a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Why {
    /// Nobody says.
    #[default]
    Unspecified,
    /// Somebody else may have its key.
    KeyCompromise,
    /// Somebody else may have its authority's key.
    CaCompromise,
    /// Its holder has left, or is called something else.
    AffiliationChanged,
    /// It has been replaced.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// Its holder may not do any more what it says.
    PrivilegeWithdrawn,
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revoked {
    /// Big-endian, without leading zeros.
    pub(super) serial: Vec<u8>,
    pub(super) at: OffsetDateTime,
    pub(super) why: Why,
    /// For the reader: only the serial number decides.
    pub(super) subject: String,
}

/// All of an authority's revocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Register {
    /// The number of the last list; 0 if there was none.
    number: u64,
    revoked: Vec<Revoked>,
}

/// A line of a register that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: expected {expected}")]
pub(super) struct RegisterError {
    line: usize,
    expected: &'static str,
}

impl Register {
    pub(super) fn parse(text: &str) -> Result<Self, RegisterError> {
        let mut register = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let error = |expected| RegisterError { line, expected };
            let mut words = text.splitn(4, ' ');
            match words.next() {
                None | Some("") => {}
                Some(word) if word.starts_with('#') => {}
                Some("number") => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    register.number = number.ok_or_else(|| error("the number of the last list"))?;
                }
                Some(word) => {
                    let serial = serial(word).ok_or_else(|| error("a serial number in hex"))?;
                    let at = words.next().and_then(|word| OffsetDateTime::parse(word, &Rfc3339).ok());
                    let at = at.ok_or_else(|| error("a time such as 2026-11-22T09:04:38Z"))?;
                    let why = words.next().and_then(|word| Why::from_str(word, false).ok());
                    let why = why.ok_or_else(|| error("a reason such as key_compromise"))?;
                    let subject = words.next().unwrap_or_default().to_owned();
                    register.revoked.push(Revoked { serial, at, why, subject });
                }
            }
        }
        Ok(register)
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{NOTE}number {}\n", self.number);
        for Revoked { serial, at, why, subject } in &self.revoked {
            let at = at.format(&Rfc3339).unwrap_or_default();
            // A String takes whatever is written to it.
            let _ = writeln!(text, "{} {at} {} {}", hex(serial), why.word(), subject.trim_end());
        }
        text
    }

    /// Adds a revocation; the earlier one if there is one already.
    pub(super) fn add(&mut self, revoked: Revoked) -> Option<&Revoked> {
        match self.revoked.iter().position(|earlier| earlier.serial == revoked.serial) {
            Some(place) => self.revoked.get(place),
            None => {
                self.revoked.push(revoked);
                None
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.revoked.len()
    }

    /// The number of the last list.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next list, in PEM, and when it ends. It has the next number.
    pub(super) fn list(
        &mut self,
        authority: &Authority,
        lasts: Duration,
        now: OffsetDateTime,
    ) -> Result<(String, OffsetDateTime), IssueError> {
        if !authority.may_sign_lists {
            return Err(IssueError::NoLists);
        }
        self.number += 1;
        let next_update = now.checked_add(lasts).ok_or(IssueError::TooLong(lasts))?;
        let revoked = self.revoked.iter().map(|revoked| RevokedCertParams {
            serial_number: revoked.serial.clone().into(),
            revocation_time: revoked.at,
            reason_code: Some(revoked.why.code()),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now - BACKDATED,
            next_update,
            crl_number: self.number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(authority.key_id.clone()),
        };
        let issuer = authority.issuer_params();
        let draft = params.signed_by(&Issuer::from_params(&issuer, &authority.key));
        let draft = draft.map_err(sign::SignError::from)?;
        // TBSCertList (RFC 5280 section 5.1): version, signature, issuer, ..
        let list = sign::resigned(draft.der(), &[(2, &authority.subject)], &authority.key)?;
        Ok((pem_text("X509 CRL", &list), next_update))
    }
}

impl Why {
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn code(self) -> RevocationReason {
        match self {
            Self::Unspecified => RevocationReason::Unspecified,
            Self::KeyCompromise => RevocationReason::KeyCompromise,
            Self::CaCompromise => RevocationReason::CaCompromise,
            Self::AffiliationChanged => RevocationReason::AffiliationChanged,
            Self::Superseded => RevocationReason::Superseded,
            Self::CessationOfOperation => RevocationReason::CessationOfOperation,
            Self::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        }
    }
}

/// A serial number from its hex, as OpenSSL and the audit print it, or with colons.
pub(super) fn serial(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let mut digits = digits.filter(|digits| !digits.is_empty())?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count().min(bytes.len() - 1);
    (bytes.len() - zeros <= SERIAL_BYTES_MAX).then(|| bytes[zeros..].to_vec())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let at = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let mut register = Register { number: 7, revoked: Vec::new() };
        for (serial, why, subject) in
            [(vec![1, 0xab], Why::KeyCompromise, "CN=a b,O=c"), (vec![2], Why::Unspecified, "")]
        {
            let revoked = Revoked { serial, at, why, subject: subject.to_owned() };
            assert_eq!(register.add(revoked.clone()), None);
            assert_eq!(register.add(revoked.clone()), Some(&revoked));
        }
        assert_eq!(Register::parse(&register.text()), Ok(register.clone()), "{}", register.text());
        assert_eq!(Register::parse(""), Ok(Register::default()));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error_and_not_left_out() {
        for (text, line) in [
            ("number x", 1),
            ("number 1\n# fine\n\nxyz 2026-11-22T09:04:38Z superseded CN=a", 4),
            ("01 yesterday superseded CN=a", 1),
            ("01 2026-11-22T09:04:38Z nonsense CN=a", 1),
            ("01", 1),
        ] {
            assert_eq!(Register::parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn a_serial_number_is_read_in_every_usual_form() {
        for text in ["1AB", "01ab", "01:AB", "0001AB"] {
            assert_eq!(serial(text), Some(vec![1, 0xab]), "{text}");
        }
        assert_eq!(serial("00"), Some(vec![0]));
        for text in ["", "0x1", "ab cd", ":"] {
            assert_eq!(serial(text), None, "{text}");
        }
        assert_eq!(serial(&"1".repeat(41)), None);
    }
}
