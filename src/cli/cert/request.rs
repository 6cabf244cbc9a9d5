//! Certificate requests (PKCS #10): making one, and reading one that is to be
//! signed. What a request asks for is a proposal: its key must be its own, its
//! names are read, and nothing else of it reaches a certificate.

use rcgen::{CertificateParams, SanType, SubjectPublicKeyInfo};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::{self, PemObject};
use thiserror::Error;
use x509_parser::prelude::{FromDer, ParsedExtension, X509CertificationRequest};
use zeroize::Zeroizing;

use super::issue::{IssueError, KeyKind, pem_text, placeholder};
use super::names;
use super::sign;
use crate::identity::{Name, NameError};

/// A request that has been read, and whose signature is its key's.
#[derive(Debug, Clone)]
pub struct Request {
    /// The subject that it asks for.
    pub subject: Name,
    /// The alternative names that it asks for.
    pub names: Vec<SanType>,
    pub(super) key: SubjectPublicKeyInfo,
}

/// Why a request cannot be signed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// There is none.
    #[error("no PEM certificate request: {0}")]
    NoRequest(pem::Error),
    /// It does not parse.
    #[error("not a certificate request: {0}")]
    Unreadable(String),
    /// Its subject is not a name.
    #[error("the request's subject is unreadable: {0}")]
    Subject(NameError),
    /// Whoever made it does not hold the key.
    #[error("the request is not signed by its own key: who made it may not hold that key")]
    Unsigned,
    /// The key is of a kind that is not known.
    #[error("the request's key is not ECDSA, Ed25519 or RSA: {0}")]
    Key(rcgen::Error),
    /// It asks for an alternative name of another kind.
    #[error(
        "the request asks for the alternative name {0}, which is not issued; say which to issue with --dns, --ip, --uri or --email"
    )]
    Name(String),
}

/// A request and its key, as they are written to files.
pub struct Made {
    /// The request, in PEM.
    pub request: String,
    /// The key in PKCS #8, in PEM.
    pub key: Zeroizing<String>,
}

/// Makes a request, and its key.
pub fn make(subject: &Name, names: &[SanType], key: KeyKind) -> Result<Made, IssueError> {
    let key = key.make().map_err(IssueError::KeyGeneration)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = placeholder();
    params.subject_alt_names = names.to_vec();
    let draft = params.serialize_request(&key).map_err(sign::SignError::from)?;
    // CertificationRequestInfo (RFC 2986 section 4.1): version, subject, ..
    let request = sign::resigned(draft.der(), &[(1, &subject.to_der())], &key)?;
    Ok(Made { request: pem_text("CERTIFICATE REQUEST", &request), key: Zeroizing::new(key.serialize_pem()) })
}

impl Request {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// If it is none, or is not signed by its own key. Alternative names of a kind
    /// that is not issued are an error unless others are going to stand in for them.
    pub fn read(text: &[u8], names_are_given: bool) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(text).map_err(RequestError::NoRequest)?;
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|cause| RequestError::Unreadable(cause.to_string()))?;
        if !rest.is_empty() {
            return Err(RequestError::Unreadable(format!("{} bytes after its end", rest.len())));
        }
        let info = &request.certification_request_info;
        if !sign::is_signed_by(&der, info.subject_pki.raw) {
            return Err(RequestError::Unsigned);
        }
        let subject = Name::from_der(info.subject.as_raw()).map_err(RequestError::Subject)?;
        let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(RequestError::Key)?;
        let names = if names_are_given { Vec::new() } else { asked_names(&request)? };
        Ok(Self { subject, names, key })
    }
}

fn asked_names(request: &X509CertificationRequest<'_>) -> Result<Vec<SanType>, RequestError> {
    let mut found = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(list) = extension else { continue };
        for name in &list.general_names {
            found.push(names::requested(name).ok_or_else(|| RequestError::Name(format!("{name:?}")))?);
        }
    }
    Ok(found)
}
