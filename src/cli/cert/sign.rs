//! Puts exact names into what is signed. rcgen's names hold each attribute type
//! once and one attribute in an RDN, which `DC=acme,DC=com` and
//! `CN=a+UID=1,O=b` do not fit; so a certificate, a request or a revocation list
//! is made with rcgen, its names are replaced by their DER, and what results is
//! signed. Also says whether a signature is a key's.

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::CertificateDer;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result};

/// Why something could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// rcgen or the cryptographic library refused.
    #[error("{0}")]
    Refused(#[from] rcgen::Error),
    /// rcgen's draft has another shape than its RFC's.
    #[error("the draft cannot be taken apart: {0}")]
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
    key: &impl PublicKeyData,
    issuer: &Issuer<'_, &KeyPair>,
    names: &Names<'_>,
) -> Result<CertificateDer<'static>, SignError> {
    let draft = params.signed_by(key, issuer)?;
    // TBSCertificate (RFC 5280 section 4.1): version, serialNumber, signature,
    // issuer, validity, subject, subjectPublicKeyInfo, extensions.
    let replaced = [(3, names.issuer), (5, names.subject)];
    Ok(resigned(draft.der(), &replaced, issuer.key())?.into())
}

/// Replaces fields of the part that is signed by their DER, and signs it anew.
pub(super) fn resigned(
    draft: &[u8],
    replaced: &[(usize, &[u8])],
    key: &KeyPair,
) -> Result<Vec<u8>, SignError> {
    let Parts { body, algorithm, .. } = Parts::of(draft)?;
    let mut fields = fields(&body)?;
    for &(place, der) in replaced {
        *fields.get_mut(place).ok_or_else(|| ASN1Error::new(ASN1ErrorKind::Eof))? = der.to_vec();
    }
    let unsigned = sequence(&fields);
    let signature = key.sign(&unsigned)?;
    let signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(&signature, signature.len() * 8));
    Ok(sequence(&[unsigned, algorithm, signature]))
}

/// Whether a certificate or a request was signed by the key of this
/// SubjectPublicKeyInfo, both in DER.
pub(super) fn is_signed_by(signed: &[u8], key_info: &[u8]) -> bool {
    let Ok(Parts { body, algorithm, signature }) = Parts::of(signed) else { return false };
    let Ok((key_algorithm, key)) = yasna::parse_der(key_info, |reader| {
        reader.read_sequence(|reader| Ok((reader.next().read_der()?, reader.next().read_bitvec_bytes()?.0)))
    }) else {
        return false;
    };
    let known = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    known.iter().any(|known| {
        is_algorithm(&algorithm, &known.signature_alg_id())
            && is_algorithm(&key_algorithm, &known.public_key_alg_id())
            && known.verify_signature(&key, &body, &signature).is_ok()
    })
}

/// An AlgorithmIdentifier in DER beside the content of one.
fn is_algorithm(der: &[u8], content: &[u8]) -> bool {
    u8::try_from(content.len()).is_ok_and(|length| {
        length < 0x80 && der.len() == content.len() + 2 && der[..2] == [0x30, length] && der[2..] == *content
    })
}

/// What certificates, requests and revocation lists are: a body, the algorithm of
/// the signature, and the signature.
struct Parts {
    body: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Parts {
    fn of(der: &[u8]) -> ASN1Result<Self> {
        yasna::parse_der(der, |reader| {
            reader.read_sequence(|reader| {
                let body = reader.next().read_der()?;
                let algorithm = reader.next().read_der()?;
                let (signature, _bits) = reader.next().read_bitvec_bytes()?;
                Ok(Self { body, algorithm, signature })
            })
        })
    }
}

fn fields(sequence: &[u8]) -> ASN1Result<Vec<Vec<u8>>> {
    yasna::parse_der(sequence, |reader| {
        let mut fields = Vec::new();
        reader.read_sequence_of(|field| {
            fields.push(field.read_der()?);
            Ok(())
        })?;
        Ok(fields)
    })
}

fn sequence(fields: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| fields.iter().for_each(|field| writer.next().write_der(field)));
    })
}
