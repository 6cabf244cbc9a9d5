//! The users: certificates of the test vectors, and the Redis users they map to.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use respgate::command::Profile;
use respgate::identity::{
    Certificate, Credential, Entry, Evidence, Permit, ReadFrom, Refusal, SubjectLine, User, UserMap,
};
use respgate::secret::Secret;
use respgate::upstream::Credentials;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The Redis user that may not ECHO.
pub(crate) const MUTE_USER: usize = 2;

const LINES: [(&str, &str); 3] = [
    ("v01_plain.pem", "CN=CLIENT1,OU=UNIT,O=ORG,L=ONTARIO,ST=TORONTO,C=CA"),
    ("v02_reversed_der.pem", "C=CA,ST=TORONTO,L=ONTARIO,O=ORG,OU=UNIT,CN=CLIENT1"),
    ("v21_case.pem", ""),
];

/// Certificates, and what the map says of them at present.
pub(crate) struct People {
    certificates: Vec<Arc<Certificate>>,
    /// Each user's Redis user and password; `None` is removed from the map.
    pub(crate) accounts: Vec<Option<(String, String)>>,
}

impl People {
    pub(crate) fn new() -> Self {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
        let read = |(file, _): &(&str, &str)| {
            let der = CertificateDer::from_pem_file(vectors.join(file)).expect("a PEM file");
            Arc::new(Certificate::from_der(&der).expect("a certificate"))
        };
        let accounts = (0..3).map(|number| Some((format!("redis{number}"), "first".to_owned())));
        Self { certificates: LINES.iter().map(read).collect(), accounts: accounts.collect() }
    }

    /// A time at which every certificate holds.
    pub(crate) fn unix_now(&self) -> i64 {
        self.certificates.iter().map(|certificate| certificate.not_after()).min().expect("three") - 1_000_000
    }

    pub(crate) fn map(&self) -> UserMap {
        let mut users = Vec::new();
        for (number, account) in self.accounts.iter().enumerate() {
            let Some((redis_user, password)) = account else { continue };
            let subject = match LINES[number].1 {
                "" => self.certificates[number].subject().to_string(),
                line => line.to_owned(),
            };
            let line: SubjectLine = subject.parse().expect("a subject line");
            let password = Secret::new(password.as_bytes().to_vec());
            let credential = Credential::new(redis_user.as_str(), password);
            users.push(User {
                entries: vec![Entry::from(line)],
                // Where there are replicas.
                read_from: if number == 1 { ReadFrom::Master } else { ReadFrom::PreferReplica },
                commands: if number == 1 { Profile::All } else { Profile::Default },
                ..User::new(format!("user{number}"), credential)
            });
        }
        UserMap::build(users).expect("a sound map")
    }

    /// As whom they speak to Redis.
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        let map = self.map();
        let all = map.users().iter().filter_map(|user| user.credential.as_ref());
        Arc::new(all.map(|it| (it.redis_user.clone(), Arc::clone(it))).collect())
    }

    pub(crate) fn permit(&self, user: usize) -> Result<Permit, Refusal> {
        let certificate = Arc::clone(&self.certificates[user]);
        self.map().permit(&Evidence::new(Some(certificate), [], Ipv4Addr::LOCALHOST.into(), "default"))
    }
}
