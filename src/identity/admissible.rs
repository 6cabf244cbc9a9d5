//! Which certificates no rule may recognise, whoever they name.

use std::collections::BTreeSet;

use super::alternative::{is_spiffe, spiffe};
use super::mismatch::cut;
use super::{Certificate, Reason, Refusal, San, SanKind};

/// Refuses what nobody may come in with. `used` are the types of alternative
/// names that some rule asks for: those of other types are not looked at.
pub(super) fn check(certificate: &Certificate, used: &BTreeSet<SanKind>) -> Result<(), Refusal> {
    if certificate.version() != 3 {
        let detail = format!("the certificate is X.509 version {}, expected 3", certificate.version());
        return Err(Refusal::new(Reason::BadCertificate, detail));
    }
    if certificate.signs_certificates() {
        let detail = "the certificate is a CA's (CA:TRUE or keyCertSign), expected a client's";
        return Err(Refusal::new(Reason::LeafIsCa, detail));
    }
    if !certificate.is_for_clients() {
        return Err(Refusal::new(Reason::Eku, purpose(certificate)));
    }
    if certificate.subject().has_control() {
        let detail = "the certificate's subject contains a control character";
        return Err(Refusal::new(Reason::SubjectControlChar, detail));
    }
    used.iter().try_for_each(|&kind| names_are_fit(certificate, kind))?;
    if used.contains(&SanKind::Uri) { one_spiffe_id(certificate) } else { Ok(()) }
}

/// What a certificate that is for something else is told to have.
fn purpose(certificate: &Certificate) -> String {
    const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    let purposes = certificate.purposes().unwrap_or_default();
    let hint = if purposes.iter().any(|purpose| purpose == SERVER_AUTH) {
        ": it is a server's, ask the CA for one with clientAuth"
    } else {
        ""
    };
    let purposes = purposes.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    format!("the certificate's extended key usage is {purposes}, expected clientAuth{hint}")
}

/// Refuses a certificate that has an alternative name of this type which is cut
/// short by a control character, or is no text or address at all.
pub(super) fn names_are_fit(certificate: &Certificate, kind: SanKind) -> Result<(), Refusal> {
    if !certificate.has_unfit_san(kind) {
        return Ok(());
    }
    let detail = format!(
        "the certificate has an alternative name of type {kind} that is malformed or contains a control character"
    );
    Err(Refusal::new(Reason::SanControlChar, detail))
}

/// X509-SVID 2: a certificate with a SPIFFE ID has no other URI.
fn one_spiffe_id(certificate: &Certificate) -> Result<(), Refusal> {
    let uris: Vec<&str> = certificate
        .sans()
        .iter()
        .filter_map(|san| if let San::Uri(uri) = san { Some(uri.as_str()) } else { None })
        .collect();
    let Some(id) = uris.iter().find(|uri| is_spiffe(uri)) else { return Ok(()) };
    if uris.len() > 1 {
        let detail =
            format!("the certificate has a SPIFFE ID and {} other URIs, expected none", uris.len() - 1);
        return Err(Refusal::new(Reason::SpiffeMultipleUri, detail));
    }
    spiffe(id).map_err(|why| {
        let id = cut((*id).to_owned());
        Refusal::new(Reason::SpiffeInvalid, format!("{id:?} is not the SPIFFE ID of a workload: {why}"))
    })
}
