//! A directory with everything a configuration names, for tests to spoil.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use respgate::config::{
    KEYSTORE_PASSWORD_FILE_VARIABLE, KEYSTORE_PASSWORD_VARIABLE, Loaded, Problems, Surroundings, load_in,
};

use crate::pki::{self, Ca, Change};

/// 2027-01-15 08:00 UTC.
pub(crate) const NOW: i64 = 1_800_000_000;

/// A configuration without a problem.
pub(crate) const FINE: &str = r#"[listener]
address = "127.0.0.1:6380"
certificate = "server.crt"
key = "server.key"
client_ca = "ca.crt"

[database]
address = "127.0.0.1:6379"

[[user]]
name = "app"
certificate_subject_line = "CN=app,O=Acme"
redis_user = "app"
redis_password_file = "app.password"
"#;

pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) ca: Ca,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap(), ca: Ca::new("Test CA") };
        world.write("ca.crt", &world.ca.pem());
        world.serve(pki::for_servers);
        world.write("app.password", "s3cret\n");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, content: &str) {
        self.write_bytes(name, content.as_bytes());
    }

    /// The same, of any bytes.
    pub(crate) fn write_bytes(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
        self.mode(name, 0o600);
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Replaces the server's certificate and key.
    pub(crate) fn serve(&self, change: Change) {
        let leaf = self.ca.issue("server", change);
        self.write("server.crt", &leaf.certificate);
        self.write("server.key", &leaf.key);
    }

    /// Loads a configuration of this text, at a known time in a known environment.
    pub(crate) fn load(&self, text: &str) -> Result<Loaded, Problems> {
        self.load_with_mode(text, 0o600)
    }

    /// The same, from a file with this mode.
    pub(crate) fn load_with_mode(&self, text: &str, mode: u32) -> Result<Loaded, Problems> {
        self.write("respgate.toml", text);
        self.mode("respgate.toml", mode);
        let variable = |name: &str| match name {
            "APP_PASSWORD" => Some(OsString::from("from the environment")),
            "EMPTY" => Some(OsString::new()),
            KEYSTORE_PASSWORD_FILE_VARIABLE => {
                let path = self.path("keystore.password");
                path.exists().then(|| path.into_os_string())
            }
            KEYSTORE_PASSWORD_VARIABLE => {
                fs::read_to_string(self.path("keystore.variable")).ok().map(OsString::from)
            }
            _ => None,
        };
        let surroundings = Surroundings { variable: &variable, now: NOW, cores: 4 };
        load_in(&self.path("respgate.toml"), &surroundings)
    }

    /// A text with this directory's name taken out.
    pub(crate) fn without_directory(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}
