//! The certificate that a TLS server shows, whoever it is: the handshake's
//! signature is checked, nothing else. What is shown is printed, never trusted.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use thiserror::Error;

/// How long connecting, and then the handshake, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a server shows no certificate.
#[derive(Debug, Error)]
pub(in crate::cli) enum HostError {
    #[error("no address: {0}")]
    Resolve(io::Error),
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("not a name that TLS can ask for")]
    Name,
    #[error("TLS cannot begin: {0}")]
    Tls(#[from] rustls::Error),
    #[error("it showed no certificate: {0}")]
    Nothing(io::Error),
}

/// Host and port, the host of an IPv6 address without its brackets.
pub(super) fn split(what: &str) -> Option<(&str, u16)> {
    let (host, port) = what.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.is_empty() && !host.contains('/')).then_some((host, port))
}

/// The leaf certificate that is shown.
pub(super) fn shown(host: &str, port: u16) -> Result<CertificateDer<'static>, HostError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| HostError::Name)?;
    let mut socket = connect(host, port)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness { provider: Arc::clone(&provider), seen: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), name)?;
    let result = shake(&mut tls, &mut socket);
    // A server that wants a client certificate has shown its own by then.
    let seen = witness.seen.lock().ok().and_then(|mut seen| seen.take());
    let nothing = || io::Error::other("the handshake ended without one");
    seen.ok_or_else(|| HostError::Nothing(result.err().unwrap_or_else(nothing)))
}

fn connect(host: &str, port: u16) -> Result<TcpStream, HostError> {
    let addresses = (host, port).to_socket_addrs().map_err(HostError::Resolve)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(HostError::Connect(last))
}

#[allow(clippy::disallowed_methods, reason = "a server that sends a byte now and then is not waited for")]
fn shake(tls: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while tls.is_handshaking() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))?;
        while tls.wants_write() {
            tls.write_tls(&mut *socket as &mut dyn Write)?;
        }
        if tls.is_handshaking() {
            if tls.read_tls(&mut *socket as &mut dyn Read)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Notes what is shown and accepts it.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = Some(leaf.clone().into_owned());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
