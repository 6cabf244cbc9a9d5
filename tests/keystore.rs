//! `respgate keystore`, the real binary: what it writes, prints and exits with,
//! and that no secret goes where it does not belong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use respgate::config::keystore::Keystore;

/// A directory with a keystore in it, and what the environment says.
struct Place {
    directory: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

/// What a command did.
struct Outcome {
    code: Option<i32>,
    output: Vec<u8>,
    error: String,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// A place with a keystore, under this password if there is one.
    fn with_keystore(password: Option<&str>) -> Self {
        let mut place = Self::new();
        if let Some(password) = password {
            place.know(password);
        }
        place.ok(if password.is_some() { "create -p" } else { "create" });
        place
    }

    /// Lets the environment name a file with this password.
    fn know(&mut self, password: &str) {
        fs::write(self.path("password"), format!("{password}\n")).unwrap();
        let path = self.path("password").display().to_string();
        self.environment = vec![("RESPGATE_KEYSTORE_PASSWORD_FILE", path)];
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("respgate.keystore")
    }

    fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        // Without a terminal, so that nothing can be asked for.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_respgate")).arg("keystore").args(words);
        command
            .current_dir(self.directory.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, line: &str) -> Outcome {
        self.run_with(line, b"")
    }

    /// Runs a line of plain words, with this on its standard input.
    fn run_with(&self, line: &str, input: &[u8]) -> Outcome {
        let mut child = self.command(line.split_whitespace()).stdin(Stdio::piped()).spawn().unwrap();
        // Whoever does not read it closes it.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("canary-") && !error.contains("panicked"), "{error}");
        Outcome { code: output.status.code(), output: output.stdout, error }
    }

    /// Runs what must succeed; what it printed.
    fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!((outcome.code, outcome.error.as_str()), (Some(0), ""), "{line}");
        String::from_utf8(outcome.output).unwrap()
    }

    fn add(&self, name: &str, value: &[u8]) {
        let outcome = self.run_with(&format!("add {name} --stdin"), value);
        assert_eq!((outcome.code, outcome.error.as_str()), (Some(0), ""));
    }

    /// Runs what must fail; what it said.
    fn refused(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(
            (outcome.code, outcome.output.as_slice()),
            (Some(1), b"".as_slice()),
            "{line}: {}",
            outcome.error
        );
        outcome.error
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// ES-04
#[test]
fn secrets_go_in_are_listed_shown_replaced_and_removed() {
    for password in [None, Some("canary-open")] {
        let place = Place::with_keystore(password);
        assert_eq!(mode(&place.file()), 0o600);
        assert_eq!(place.ok("list"), "");
        place.add("ops", b"canary-ops\n");
        place.add("app", b"canary-app");
        assert_eq!(place.ok("list"), "app\nops\n");
        assert_eq!(place.ok("show ops"), "canary-ops", "without the newline, and without one of ours");
        assert!(place.refused("add app --stdin").contains("app is there already: replace it with --force"));
        let replaced = place.run_with("add app --stdin -f", b"canary-new");
        assert_eq!((replaced.code, place.ok("show app").as_str()), (Some(0), "canary-new"));
        place.ok("remove app");
        assert_eq!(place.ok("list"), "ops\n");
        assert!(place.refused("remove app").contains("app is not in respgate.keystore"));
        assert!(place.refused("show app").contains("app is not in respgate.keystore"));
        assert_eq!(mode(&place.file()), 0o600);
        assert_eq!(
            fs::read_dir(place.path("")).unwrap().count(),
            1 + usize::from(password.is_some()),
            "left over"
        );
    }
}

/// ES-04
#[test]
fn a_file_goes_in_and_comes_out_byte_for_byte_for_its_owner_alone() {
    let place = Place::with_keystore(None);
    let bytes: Vec<u8> = (0..=255).chain([10, 10]).collect();
    fs::write(place.path("in"), &bytes).unwrap();
    place.ok("add-file key in");
    place.ok("show key -o out");
    assert_eq!((fs::read(place.path("out")).unwrap(), mode(&place.path("out"))), (bytes, 0o600));
    assert!(place.refused("show key -o out").contains("out: File exists"));
    assert!(place.refused("add-file key in").contains("replace it with --force"));
    place.ok("add-file key in --force");
    assert!(place.refused("add-file other nowhere").contains("nowhere: No such file"));
}

/// ES-04
#[test]
fn has_passwd_answers_with_its_exit_code() {
    let place = Place::with_keystore(Some("canary-open"));
    assert_eq!(place.run("has-passwd").code, Some(0));
    let place = Place::with_keystore(None);
    assert_eq!(place.run("has-passwd").code, Some(1));
    fs::write(place.file(), "something else").unwrap();
    let outcome = place.run("has-passwd");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.error.contains("respgate.keystore: it is not a keystore"), "{}", outcome.error);
    assert_eq!(place.run("has-passwd --file nowhere").code, Some(2));
}

/// ES-04
#[test]
fn passwd_gives_it_a_first_password_and_another() {
    let mut place = Place::with_keystore(None);
    place.add("app", b"canary-app");
    fs::write(place.path("first"), "canary-first\n").unwrap();
    fs::write(place.path("second"), "canary-second\n").unwrap();
    place.ok("passwd --new-password-file first");
    assert!(place.refused("list").contains("there is no terminal to ask for the keystore's password"));
    place.know("canary-first");
    assert_eq!(place.ok("list"), "app\n");
    place.ok("passwd --new-password-file second");
    assert!(place.refused("list").contains("the password is wrong, or the file was changed"));
    place.know("canary-second");
    assert_eq!(place.ok("show app"), "canary-app");
    fs::write(place.path("first"), "\n").unwrap();
    assert!(place.refused("passwd --new-password-file first").contains("the new password is empty"));
}

/// ES-04
#[test]
fn create_replaces_nothing_unless_told_to() {
    let place = Place::with_keystore(None);
    place.add("app", b"canary-app");
    assert!(place.refused("create").contains("respgate.keystore exists: replace it with --force"));
    assert_eq!(place.ok("list"), "app\n");
    assert!(
        place
            .ok("create --force")
            .contains("without a password: whoever can read the file can read what is in it")
    );
    assert_eq!(place.ok("list"), "");
    assert!(
        place.refused("add app --file nowhere/x.keystore").contains("make it with respgate keystore create")
    );
    assert!(place.refused("create -p --file other.keystore").contains("there is no terminal"));
}

#[test]
fn what_cannot_be_a_name_or_a_secret_is_refused_and_changes_nothing() {
    let place = Place::with_keystore(None);
    let before = fs::read(place.file()).unwrap();
    let refused = |line: &str, input: &[u8]| {
        let outcome = place.run_with(line, input);
        assert_eq!(outcome.code, Some(1));
        outcome.error
    };
    assert!(refused("add a:b;c --stdin", b"x").contains("expected a name of 1 to 128 of"));
    assert!(refused("add empty --stdin", b"\n").contains("the secret is empty"));
    assert!(refused("add large --stdin", &[b'x'; (64 << 10) + 1]).contains("larger than 65536 bytes"));
    assert_eq!(fs::read(place.file()).unwrap(), before);
    assert_eq!(place.run_with("add most --stdin", &[b'x'; 64 << 10]).code, Some(0));
}

#[test]
fn a_change_replaces_the_file_whole_behind_a_link_too() {
    let place = Place::with_keystore(None);
    fs::create_dir(place.path("real")).unwrap();
    fs::rename(place.file(), place.path("real/keystore")).unwrap();
    std::os::unix::fs::symlink("real/keystore", place.file()).unwrap();
    let inode = fs::metadata(place.file()).unwrap().ino();
    place.add("app", b"canary-app");
    assert!(place.file().is_symlink());
    assert_ne!(fs::metadata(place.file()).unwrap().ino(), inode, "written in place");
    assert_eq!(place.ok("list"), "app\n");
}

#[test]
fn changes_at_the_same_time_do_not_undo_each_other() {
    let place = Place::with_keystore(None);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || place.add(&format!("n{n}"), b"x"));
        }
    });
    assert_eq!(place.ok("list"), "n0\nn1\nn2\nn3\nn4\nn5\nn6\nn7\n");
}

/// Runs the command at a terminal, and types each line once its prompt is there. Everything
/// that the terminal showed, and whether it went well.
fn at_a_terminal(place: &Place, words: &str, dialogue: &[(&str, &str)]) -> (bool, String) {
    let inner = format!("{} keystore {words}", env!("CARGO_BIN_EXE_respgate"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &inner, "/dev/null"]).current_dir(place.path(""));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = Vec::new();
    for (prompt, line) in dialogue {
        while !String::from_utf8_lossy(&shown).contains(prompt) {
            let mut byte = [0];
            assert_eq!(
                output.read(&mut byte).unwrap(),
                1,
                "no {prompt:?} in {:?}",
                String::from_utf8_lossy(&shown)
            );
            shown.extend_from_slice(&byte);
        }
        writeln!(input, "{line}").unwrap();
    }
    output.read_to_end(&mut shown).unwrap();
    (child.wait().unwrap().success(), String::from_utf8(shown).unwrap())
}

/// What is typed at a terminal is not echoed, and a new password is typed twice.
#[test]
fn passwords_are_asked_for_at_the_terminal_and_not_shown() {
    let place = Place::new();
    let twice = |second| [("New password: ", "canary-open"), ("The same again: ", second)];
    let (made, different) = at_a_terminal(&place, "create -p", &twice("canary-opem"));
    assert!(!made && different.contains("the two passwords are not the same"), "{different}");
    let (made, created) = at_a_terminal(&place, "create -p", &twice("canary-open"));
    assert!(made && created.contains("encrypted under its password"), "{created}");
    let questions = [("Password of respgate.keystore: ", "canary-open"), ("Secret for app: ", "canary-app")];
    let (added, asked) = at_a_terminal(&place, "add app", &questions);
    assert!(added, "{asked}");
    for shown in [different, created, asked] {
        assert!(!shown.contains("canary"), "echoed: {shown}");
    }
    let given_up = [("Password of respgate.keystore: ", "\u{3}")];
    let (listed, shown) = at_a_terminal(&place, "list", &given_up);
    assert!(!listed && shown.contains("nothing was typed"), "{shown}");
    let password = respgate::secret::Secret::new(b"canary-open".to_vec());
    let keystore = Keystore::open(&fs::read(place.file()).unwrap(), Some(&password)).unwrap();
    assert_eq!(keystore.secret("app").unwrap().expose(), b"canary-app");
}

#[test]
fn the_file_holds_nothing_in_the_clear_and_a_change_to_it_is_seen() {
    for password in [None, Some("canary-open")] {
        let place = Place::with_keystore(password);
        place.add("app.name", b"canary-app");
        let mut bytes = fs::read(place.file()).unwrap();
        for clear in ["canary", "app.name"] {
            assert!(memchr::memmem::find(&bytes, clear.as_bytes()).is_none(), "{clear} in the clear");
        }
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(place.file(), bytes).unwrap();
        assert!(place.refused("list").contains("the file was changed"));
    }
}
