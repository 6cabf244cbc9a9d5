//! One client: a socket or the TLS over it, requests out, replies in. Errors are errors: a figure
//! for requests that were refused would mean nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use respgate::resp::{ReplyScanner, write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const DEPTH_MAX: usize = 16;
const READ_BYTES: usize = 16 * 1024;

/// Where to connect, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Whither {
    /// The port, on the loopback address.
    #[arg(long)]
    port: u16,
    /// The directory with ca.crt, client.crt and client.key; without one, no TLS.
    #[arg(long)]
    certificates: Option<PathBuf>,
}

impl Whither {
    /// Redis itself.
    pub(crate) fn plain(port: u16) -> Self {
        Self { port, certificates: None }
    }
}

/// What makes clients.
pub(crate) struct Clients {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    replies: ReplyScanner,
}

impl Clients {
    /// Reads the certificates.
    pub(crate) fn new(whither: &Whither) -> io::Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, whither.port).into();
        let tls = whither.certificates.as_deref().map(connector).transpose()?;
        Ok(Self { address, tls })
    }

    /// Connects one.
    pub(crate) async fn connect(&self) -> io::Result<Client> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                Box::new(tls.connect(name, socket).await?)
            }
        };
        Ok(Client { stream, input: Vec::new(), replies: ReplyScanner::new(DEPTH_MAX) })
    }
}

/// As redis-benchmark connects: TLS 1.3, a client certificate, no resumption.
fn connector(folder: &Path) -> io::Result<TlsConnector> {
    let certificates = |name: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_file_iter(folder.join(name)).map_err(io::Error::other)?;
        found.map(|one| one.map_err(io::Error::other)).collect()
    };
    let mut roots = RootCertStore::empty();
    for ca in certificates("ca.crt")? {
        roots.add(ca).map_err(io::Error::other)?;
    }
    let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("client.crt")?, key)
        .map_err(io::Error::other)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Client {
    /// Makes one request and waits for its reply.
    pub(crate) async fn ask(&mut self, words: &[&[u8]]) -> io::Result<()> {
        self.pipeline(&write::command(words), 1).await
    }

    /// Sends these bytes and waits for as many replies, none of them an error or nothing.
    pub(crate) async fn pipeline(&mut self, requests: &[u8], replies: usize) -> io::Result<()> {
        self.stream.write_all(requests).await?;
        self.stream.flush().await?;
        let (mut left, mut start) = (replies, 0);
        while left > 0 {
            match self.replies.scan(&self.input[start..]).map_err(io::Error::other)? {
                Some(length) => {
                    sound(&self.input[start..start + length])?;
                    start += length;
                    left -= 1;
                }
                None => {
                    self.input.drain(..start);
                    start = 0;
                    self.input.reserve(READ_BYTES);
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        self.input.drain(..start);
        if self.input.is_empty() { Ok(()) } else { Err(io::Error::other("a reply too many")) }
    }

    /// Reads so many bytes, whatever they are, in pieces that are told to `each`.
    pub(crate) async fn skip(&mut self, mut bytes: usize, mut each: impl FnMut(usize)) -> io::Result<()> {
        let mut piece = [0; READ_BYTES];
        while bytes > 0 {
            let most = bytes.min(piece.len());
            match self.stream.read(&mut piece[..most]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    bytes -= read;
                    each(read);
                }
            }
        }
        Ok(())
    }
}

fn sound(reply: &[u8]) -> io::Result<()> {
    if reply.starts_with(b"-") || reply.starts_with(b"$-1") || reply.starts_with(b"_") {
        let line = String::from_utf8_lossy(reply).trim_end().to_owned();
        return Err(io::Error::other(format!("the reply is {line:?}")));
    }
    Ok(())
}
