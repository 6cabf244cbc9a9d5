//! A directory to work in, and programs run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory of the test's own, in which programs run.
pub(crate) struct Bench {
    directory: TempDir,
}

/// What a program said, and whether it was content.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bench {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A directory with an authority in it: ca.crt and ca.key.
    pub(crate) fn with_authority() -> Self {
        let bench = Self::new();
        bench.fine("cert ca --subject CN=ca,O=Acme");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs `respgate` with these words.
    pub(crate) fn respgate(&self, words: &[&str]) -> Said {
        self.run(env!("CARGO_BIN_EXE_respgate"), words)
    }

    /// Runs `respgate` with a line of plain words, which has to succeed; what it printed.
    pub(crate) fn fine(&self, line: &str) -> String {
        let said = self.respgate(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.code, Some(0), "respgate {line}: {}{}", said.out, said.err);
        said.out
    }

    /// Runs `respgate` with a line of plain words, which has to fail with this exit
    /// code; what it said about it.
    pub(crate) fn refused(&self, code: i32, line: &str) -> String {
        let said = self.respgate(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.code, Some(code), "respgate {line}: {}{}", said.out, said.err);
        said.out + &said.err
    }

    /// Runs OpenSSL with a line of plain words; everything that it said, if it was content.
    pub(crate) fn openssl(&self, line: &str) -> Result<String, String> {
        let said = self.run("openssl", &line.split_whitespace().collect::<Vec<_>>());
        let text = said.out + &said.err;
        if said.code == Some(0) { Ok(text) } else { Err(text) }
    }

    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Said {
        let output = Command::new(program)
            .args(words)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output();
        Said::of(output.unwrap_or_else(|cause| panic!("{program} cannot be run ({cause}): run make test")))
    }
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
