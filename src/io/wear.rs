//! How much the keys of a client's connection may still write. With AES-GCM that is 2^24 records: TLS 1.3 has
//! other keys then, which rustls sees to; TLS 1.2 has none, and rustls writes close_notify and nothing more.

use rustls::{CommonState, SupportedCipherSuite};

/// With no more records left than this the client is ended at the next moment that suits it: minutes, or many
/// replies, before it has to be.
const LAST_RECORDS: u64 = 1 << 16;

/// What is left.
#[derive(Debug)]
pub(super) struct Wear {
    records: u64,
}

impl Default for Wear {
    fn default() -> Self {
        Self { records: u64::MAX }
    }
}

impl Wear {
    /// Of a connection whose handshake is complete.
    pub(super) fn of(tls: &CommonState) -> Self {
        match tls.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => Self { records: suite.common.confidentiality_limit },
            _ => Self::default(),
        }
    }

    /// A record has been written.
    pub(super) fn wrote_record(&mut self) {
        self.records = self.records.saturating_sub(1);
    }

    /// rustls has refused to write another one.
    pub(super) fn used_up(&mut self) {
        self.records = 0;
    }

    /// Whether the client should be ended.
    pub(super) fn is_near_its_end(&self) -> bool {
        self.records < LAST_RECORDS
    }

    /// Whether nothing more can be written.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.records == 0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::task::Poll;

    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use rustls::{
        CipherSuite, CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
        StreamOwned, Tls12CipherSuite, Tls13CipherSuite,
    };
    use tokio::net::TcpStream;

    use super::super::stream::{ClientStream, SCRATCH_BYTES, Sealed};
    use super::super::turns::Turns;
    use super::*;

    /// A cipher whose keys are for so many records, the first of which may be the handshake's.
    fn short_lived(cipher: CipherSuite, records: u64) -> Arc<CryptoProvider> {
        let all = aws_lc_rs::default_provider();
        let suite = all.cipher_suites.iter().find(|suite| suite.suite() == cipher).expect("it is spoken");
        let less = |common: &CipherSuiteCommon| {
            assert_eq!(common.confidentiality_limit, 1 << 24);
            CipherSuiteCommon { confidentiality_limit: records, ..*common }
        };
        let suite = match *suite {
            SupportedCipherSuite::Tls12(&Tls12CipherSuite {
                ref common,
                prf_provider,
                kx,
                sign,
                aead_alg,
            }) => {
                let suite = Tls12CipherSuite { common: less(common), prf_provider, kx, sign, aead_alg };
                SupportedCipherSuite::Tls12(Box::leak(Box::new(suite)))
            }
            SupportedCipherSuite::Tls13(&Tls13CipherSuite { ref common, hkdf_provider, aead_alg, quic }) => {
                let suite = Tls13CipherSuite { common: less(common), hkdf_provider, aead_alg, quic };
                SupportedCipherSuite::Tls13(Box::leak(Box::new(suite)))
            }
        };
        Arc::new(CryptoProvider { cipher_suites: vec![suite], ..all })
    }

    type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

    /// A connection of this cipher, and what its two ends do with it.
    fn converse<T: Send + 'static>(
        provider: &Arc<CryptoProvider>,
        client: impl FnOnce(Client) -> T + Send + 'static,
        server: impl AsyncFnOnce(ClientStream),
    ) -> T {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key);
        let certificate = certificate.unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let versions = rustls::ALL_VERSIONS;
        let versions: Vec<_> =
            versions.iter().filter(|it| ***it == *provider.cipher_suites[0].version()).copied().collect();
        let of_server = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.serialize_der().try_into().unwrap())
            .unwrap();
        let of_client = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let tls = ClientConnection::new(Arc::new(of_client), "localhost".try_into().unwrap()).unwrap();
        let client = std::thread::spawn(move || client(StreamOwned::new(tls, socket)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, _) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let (socket, turns) = (TcpStream::from_std(socket).unwrap(), Turns::new(1));
            let turn = turns.begin().await.unwrap();
            server(*ClientStream::accept(socket, Arc::new(of_server), turn).await.unwrap()).await;
        });
        client.join().unwrap()
    }

    #[test]
    fn all_that_the_keys_of_tls_1_2_may_write_arrives_and_then_the_end() {
        let provider = short_lived(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 9);
        let read = |mut client: Client| {
            let mut got = String::new();
            client.read_to_string(&mut got).map(|_| got)
        };
        let got = converse(&provider, read, async |mut stream: ClientStream| {
            assert!(stream.wear().is_near_its_end(), "within the last of them");
            let mut sealed = Sealed::default();
            for _ in 0..8 {
                assert_eq!(stream.encrypt(b"reply ", &mut sealed).unwrap(), 6);
            }
            assert!(!stream.wear().is_at_its_end());
            assert!(stream.encrypt(b"reply ", &mut sealed).is_err());
            assert!(stream.wear().is_at_its_end());
            poll_fn(|cx| Poll::Ready(stream.send(cx, &mut sealed))).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        // Without close_notify this is an error.
        assert_eq!(got.unwrap(), "reply ".repeat(8));
    }

    #[test]
    fn the_keys_of_tls_1_3_are_renewed_both_ways() {
        const ROUNDS: usize = 50;
        let provider = short_lived(CipherSuite::TLS13_AES_256_GCM_SHA384, 8);
        let ask = |mut client: Client| {
            for _ in 0..ROUNDS {
                client.write_all(b"ask").unwrap();
                client.read_exact(&mut [0; 5]).unwrap();
            }
        };
        converse(&provider, ask, async |mut stream: ClientStream| {
            let scratch = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
            for _ in 0..ROUNDS {
                assert_eq!(stream.read(&scratch).await.unwrap().as_slice(), b"ask");
                stream.write_all(b"reply").await.unwrap();
            }
            assert!(!stream.wear().is_near_its_end());
        });
    }
}
