//! rustls' side of the choice of a certificate: a listener has one, whatever name
//! is asked for. The name is remembered for who chooses a database by it.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    /// Invariant: holds a name only between a ClientHello on this thread and the call of
    /// `take_asked` by the handshake that it came in.
    static ASKED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The server name in the ClientHello that rustls has just been given on this thread, if that asked
/// for one. rustls' unbuffered interface does not tell it otherwise.
///
/// To be called whenever it has been given some of a handshake, before anything is awaited.
#[must_use]
pub fn take_asked() -> Option<Box<str>> {
    ASKED.with_borrow_mut(Option::take)
}

/// The listener's certificate for everybody.
#[derive(Debug)]
pub(super) struct Only(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(Into::into));
        Some(Arc::clone(&self.0))
    }
}
