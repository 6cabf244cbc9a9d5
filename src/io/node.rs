//! A backend node: how a connection to it is made. Knows nothing of links or of
//! what is said on them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::clock;
use super::listen;
use super::settings::Address;
use super::tls::{self, BackendTls, TlsError};

/// Where a backend is and how it is spoken to.
pub(super) struct Node {
    /// Nothing, as long as nobody has said where it is.
    address: Option<Address>,
    /// Since when it is known of, in seconds since 1970.
    since: i64,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("nowhere"),
        }
    }
}

impl Node {
    /// # Errors
    /// If TLS cannot be spoken by these settings.
    pub(super) fn at(address: Address, tls: Option<&BackendTls>) -> Result<Self, TlsError> {
        let tls = match tls {
            None => None,
            Some(tls) => {
                let connector = TlsConnector::from(tls::client_config(tls)?);
                Some((connector, server_name(tls, &address)?))
            }
        };
        Ok(Self { address: Some(address), since: clock::unix_now(), tls })
    }

    /// A node that has yet to be found.
    pub(super) fn nowhere() -> Self {
        Self { address: None, since: clock::unix_now(), tls: None }
    }

    /// Since when there has been nobody to say where it is, in seconds since 1970.
    pub(super) fn lost_since(&self) -> Option<i64> {
        self.address.is_none().then_some(self.since)
    }

    /// Where it is, as far as is known.
    pub(super) fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Opens a connection, with these times in milliseconds for keepalive and for what is
    /// unacknowledged. A host is looked up each time.
    pub(super) async fn open(&self, (keepalive, user_timeout): (u64, u64)) -> io::Result<Socket> {
        let (host, port) = match &self.address {
            Some(Address::Tcp { host, port }) => (host.as_str(), *port),
            Some(Address::Unix(path)) => return UnixStream::connect(path).await.map(Socket::Unix),
            None => return Err(io::Error::other("the sentinels have not said where the master is")),
        };
        let socket = TcpStream::connect((host, port)).await?;
        listen::tune(&socket, keepalive, user_timeout)?;
        let Some((connector, name)) = &self.tls else { return Ok(Socket::Tcp(socket)) };
        let encrypted = connector.connect(name.clone(), socket).await;
        let encrypted = encrypted.map_err(|error| io::Error::new(error.kind(), NoTls(error)))?;
        Ok(Socket::Tls(Box::new(encrypted)))
    }
}

/// The connection was made, and no TLS could be spoken on it.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub(super) struct NoTls(io::Error);

/// The name to verify: as configured, or else the host that is connected to.
fn server_name(tls: &BackendTls, address: &Address) -> Result<ServerName<'static>, TlsError> {
    let host = match (&tls.server_name, address) {
        (Some(name), _) => return Ok(name.clone()),
        (None, Address::Tcp { host, .. }) => host.clone(),
        (None, Address::Unix(path)) => path.display().to_string(),
    };
    ServerName::try_from(host.clone()).map_err(|_error| TlsError::ServerName { host })
}

/// A connection to a backend.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Nothing is held back.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
