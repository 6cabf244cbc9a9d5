//! Two configurations of one gateway that take turns. They have a CA and two users in
//! common; the other CA, the user of its clients and that user's role and Redis user
//! change together, so that whoever meets one of one and one of the other can tell.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::backend::password;
use crate::pki::{Identity, Leaf, pki};
use crate::trust::hierarchy::{Ca, DAY, Issued, as_is, now};

/// The subject of the tenant of each era.
pub(super) const TENANT: &str = "CN=tenant,O=Acme";

/// One file: what is in it and who may read it.
#[derive(Clone, PartialEq, Eq)]
struct File {
    bytes: Vec<u8>,
    mode: u32,
}

/// A configuration with all of its files, by name.
#[derive(Clone)]
pub(super) struct Files(BTreeMap<&'static str, File>);

impl Files {
    /// Replaces a file or adds one.
    pub(super) fn put(&mut self, name: &'static str, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name, File { bytes: bytes.into(), mode: 0o600 });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name).expect("it was there");
    }

    pub(super) fn mode(&mut self, name: &str, mode: u32) {
        self.0.get_mut(name).expect("it was there").mode = mode;
    }

    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8(self.0[name].bytes.clone()).expect("a text")
    }

    /// Writes another text in the place of this one, which is there.
    pub(super) fn edit(&mut self, name: &'static str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{from:?} is not in {name}");
        self.put(name, text.replacen(from, to, 1));
    }

    /// The same, in the configuration itself.
    pub(super) fn say(&mut self, from: &str, to: &str) {
        self.edit("respgate.toml", from, to);
    }

    /// Makes the directory hold these files in the place of those before.
    pub(super) fn install(&self, directory: &Path, before: Option<&Self>) {
        for (name, file) in &self.0 {
            if before.is_none_or(|before| before.0.get(name) != Some(file)) {
                let path = directory.join(name);
                let _ = fs::remove_file(&path);
                fs::write(&path, &file.bytes).expect("writable");
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)).expect("ours");
            }
        }
        for name in before.into_iter().flat_map(|before| before.0.keys()) {
            if !self.0.contains_key(name) {
                fs::remove_file(directory.join(name)).expect("ours");
            }
        }
    }
}

/// What differs between the two.
pub(super) struct Era {
    /// Its user's name.
    pub(super) user: &'static str,
    /// What its user's commands run as.
    pub(super) redis_user: &'static str,
    /// Who may come in while it lasts.
    pub(super) tenant: Issued,
    ca: Ca,
}

impl Era {
    fn new(user: &'static str, redis_user: &'static str) -> Self {
        // Of one name: told apart by their keys alone.
        let ca = Ca::root("CN=Era,O=Acme");
        Self { user, redis_user, tenant: ca.leaf(TENANT, as_is), ca }
    }

    /// Its CA's revocation list, with nobody on it.
    pub(super) fn crl(&self) -> String {
        self.ca.crl(&[], now() + 9 * DAY)
    }
}

/// Both, and what they have in common.
pub(super) struct Eras {
    pub(super) eras: [Era; 2],
    /// Users of both.
    pub(super) app: Identity,
    pub(super) ops: Identity,
    /// A server's, of other names than the gateway's own.
    pub(super) other_server: Identity,
    shared: Ca,
    shared_crl: String,
}

impl Eras {
    pub(super) fn new() -> Self {
        let shared = Ca::root("CN=Shared,O=Acme");
        Self {
            eras: [Era::new("era-a", "third"), Era::new("era-b", "fourth")],
            app: shared.leaf("CN=app,O=Acme", as_is).identity,
            ops: shared.leaf("CN=ops,O=Acme", as_is).identity,
            other_server: pki().trusted.issue(Leaf::server(&["elsewhere"])),
            shared_crl: shared.crl(&[], now() + 9 * DAY),
            shared,
        }
    }

    /// The files of one of them.
    pub(super) fn files(&self, number: usize, socket: &Path) -> Files {
        let era = &self.eras[number];
        let mut files = Files(BTreeMap::new());
        let user = |name: &str| {
            format!(
                "[[user]]\nname = \"{name}\"\ncertificate_subject_line = \"CN={name},O=Acme\"\nissuer = \"shared.crt\"\n\
                 redis_user = \"{name}\"\nredis_password_file = \"{name}.password\"\n\n"
            )
        };
        let text = format!(
            "workers = 2\nrole_mapping_file = \"roles.toml\"\n\n[listener]\naddress = \"127.0.0.1:0\"\n\
             certificate = \"server.crt\"\nkey = \"server.key\"\nclient_ca = [\"shared.crt\", \"era.crt\"]\n\
             crl = [\"shared.crl\", \"era.crl\"]\nkeep_server_names = true\n\n\
             [database]\naddress = \"unix:{0}\"\n\
             roles = [{{ role = \"tenant\", redis_user = \"{1}\", redis_password_file = \"era.password\" }}]\n\n\
             {2}{3}[[user]]\nname = \"{4}\"\ncertificate_subject_line = \"{TENANT}\"\n\
             issuer = \"era.crt\"\n\n\
             [admin]\naddress = \"127.0.0.1:0\"\n\n[log]\nformat = \"json\"\n\n\
             [audit]\nfile = \"audit.jsonl\"\n\n[limits]\n",
            socket.display(),
            era.redis_user,
            user("app"),
            user("ops"),
            era.user,
        );
        files.put("respgate.toml", text);
        files.put("roles.toml", format!("[roles_mapping.tenant]\nusers = [\"{}\"]\n", era.user));
        files.put("server.crt", pki().server.certificate.clone());
        files.put("server.key", pki().server.key.clone());
        files.put("shared.crt", self.shared.pem());
        files.put("shared.crl", self.shared_crl.clone());
        files.put("era.crt", era.ca.pem());
        files.put("era.crl", era.crl());
        files.put("app.password", password("app"));
        files.put("ops.password", password("ops"));
        files.put("era.password", password(era.redis_user));
        files
    }
}
