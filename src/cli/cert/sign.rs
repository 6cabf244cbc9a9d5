//! Puts exact names into a certificate. rcgen's names hold each attribute type
//! once and one attribute in an RDN, which `DC=acme,DC=com` and
//! `CN=a+UID=1,O=b` do not fit; so a certificate is made with rcgen, its two
//! names are replaced by their DER, and what results is signed.

use rcgen::{CertificateParams, Issuer, KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use yasna::{ASN1Error, ASN1Result};

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// rcgen or the cryptographic library refused.
    #[error("{0}")]
    Refused(#[from] rcgen::Error),
    /// rcgen's certificate has another shape than RFC 5280's.
    #[error("the unsigned certificate cannot be taken apart: {0}")]
    Shape(#[from] ASN1Error),
}

/// The names of a certificate, in DER.
pub(super) struct Names<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
}

/// Makes a certificate of `params` for the holder of `key`, signed by `issuer`,
/// with these names instead of those in `params` and `issuer`.
pub(super) fn signed(
    params: &CertificateParams,
    key: &KeyPair,
    issuer: &Issuer<'_, &KeyPair>,
    names: &Names<'_>,
) -> Result<CertificateDer<'static>, SignError> {
    let draft = params.signed_by(key, issuer)?;
    let mut fields = fields_of(draft.der())?;
    // TBSCertificate (RFC 5280 section 4.1): version, serialNumber, signature,
    // issuer, validity, subject, subjectPublicKeyInfo, extensions.
    fields[3] = names.issuer.to_vec();
    fields[5] = names.subject.to_vec();
    let algorithm = fields[2].clone();
    let unsigned = sequence(&fields);
    let signature = issuer.key().sign(&unsigned)?;
    let signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(&signature, signature.len() * 8));
    Ok(sequence(&[unsigned, algorithm, signature]).into())
}

/// The eight fields of the part that is signed.
fn fields_of(certificate: &[u8]) -> ASN1Result<[Vec<u8>; 8]> {
    yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|outer| {
            let fields = outer.next().read_sequence(|inner| {
                let mut fields: [Vec<u8>; 8] = Default::default();
                for field in &mut fields {
                    *field = inner.next().read_der()?;
                }
                Ok(fields)
            })?;
            let _algorithm = outer.next().read_der()?;
            let _signature = outer.next().read_der()?;
            Ok(fields)
        })
    })
}

fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| fields.iter().for_each(|field| writer.next().write_der(field)));
    })
}
