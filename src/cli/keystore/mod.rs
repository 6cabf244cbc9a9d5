//! `respgate keystore`: makes, fills and shows the file of secrets that a
//! configuration takes its passwords from. Owns the arguments, the order in which
//! things are asked for, and exit codes; the file is `config::keystore`'s.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::keystore::{self, DiskError, Held, Keystore, KeystoreError, SECRET_BYTES_MAX};
use crate::secret::Secret;

mod ask;
mod terminal;

use ask::AskError;

/// Keep the secrets of a configuration in one encrypted file
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A configuration names the file at its top, keystore = \"respgate.keystore\", and takes a password from it by
NAME_keystore = \"...\" in the place of NAME_file.

With a password (create -p, or passwd later) the file is encrypted under it. Without one it is only obfuscated:
whoever can read the file can read what is in it, and its mode, 600, is what protects it. The password is read from
the file that RESPGATE_KEYSTORE_PASSWORD_FILE names, or from RESPGATE_KEYSTORE_PASSWORD, or asked for at the terminal.

Examples:
  respgate keystore create
  respgate keystore add app --stdin < app.password
  respgate keystore list"
)]
pub struct Args {
    /// The keystore
    #[arg(long, global = true, value_name = "FILE", default_value = "respgate.keystore")]
    file: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an empty keystore
    Create {
        /// Encrypt it under a password
        #[arg(short, long)]
        password: bool,
        /// Take that password from a file; one newline at its end is dropped
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Replace one that is there, and lose what is in it
        #[arg(long)]
        force: bool,
    },
    /// Put a secret in, asked for at the terminal
    Add {
        /// What the configuration calls it
        name: String,
        /// Read it from standard input instead; one newline at its end is dropped
        #[arg(long)]
        stdin: bool,
        /// Replace one that is there
        #[arg(short, long)]
        force: bool,
    },
    /// Put the bytes of a file in, exactly as they are
    AddFile {
        /// What the configuration calls it
        name: String,
        /// The file
        path: PathBuf,
        /// Replace one that is there
        #[arg(short, long)]
        force: bool,
    },
    /// Print the names of the secrets
    List,
    /// Print a secret
    Show {
        /// Its name
        name: String,
        /// Write it to a new file, for its owner alone, instead
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take secrets out
    Remove {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Give it another password, or its first
    Passwd {
        /// Take the new password from a file; one newline at its end is dropped
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Say whether it has a password: exit code 0 if so, 1 if not, 2 if that cannot be told
    HasPasswd,
}

/// Why nothing was done.
#[derive(Debug, Error)]
enum Error {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{}: {cause}{}", path.display(), hint(cause))]
    Keystore { path: PathBuf, cause: KeystoreError },
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{name} is there already: replace it with --force")]
    NameTaken { name: String },
    #[error("{name} is not in {}", path.display())]
    NoSuchName { name: String, path: PathBuf },
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("standard input: {0}")]
    Input(io::Error),
    #[error("standard output: {0}")]
    Output(io::Error),
    #[error("{name} has bytes that a terminal cannot show: write it to a file with --output")]
    NotText { name: String },
}

fn hint(cause: &KeystoreError) -> String {
    cause.way_out().map(|way_out| format!("; {way_out}")).unwrap_or_default()
}

/// Runs the command; the exit code is 1 if it could not be done.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    let is_question = matches!(args.what, What::HasPasswd);
    match done(&args.file, args.what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("respgate keystore: {error}");
            ExitCode::from(if is_question { 2 } else { 1 })
        }
    }
}

/// Does it; the answer, where it is a question.
fn done(path: &Path, what: What) -> Result<bool, Error> {
    match what {
        What::Create { password, password_file, force } => create(path, password, password_file, force)?,
        What::Add { name, stdin, force } => {
            let value = || if stdin { from_stdin() } else { Ok(ask::for_secret(&name)?) };
            add(path, &name, force, value)?;
        }
        What::AddFile { name, path: from, force } => add(path, &name, force, || from_file(&from))?,
        What::List => {
            let names: String =
                Opened::read(path)?.keystore.names().map(|name| format!("{name}\n")).collect();
            print(names.as_bytes())?;
        }
        What::Show { name, output } => show(path, &name, output.as_deref())?,
        What::Remove { names } => remove(path, &names)?,
        What::Passwd { new_password_file } => {
            let opened = Opened::read(path)?;
            let new = ask::for_new_password(new_password_file.as_deref())?;
            opened.change(path, Some(&new), |_| Ok(()))?;
            say(&format!("{} has a new password", path.display()))?;
        }
        What::HasPasswd => {
            let has = has_password(path, &keystore::read(path)?)?;
            say(&format!("{} has {} password", path.display(), if has { "a" } else { "no" }))?;
            return Ok(has);
        }
    }
    Ok(true)
}

fn create(path: &Path, password: bool, password_file: Option<PathBuf>, force: bool) -> Result<(), Error> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(DiskError::Exists(path.to_owned()).into());
    }
    let password = match (password, password_file) {
        (false, None) => None,
        (_, Some(file)) => Some(ask::for_new_password(Some(&file))?),
        (true, None) => Some(ask::from_environment()?.map_or_else(|| ask::for_new_password(None), Ok)?),
    };
    let bytes = sealed(path, &Keystore::default(), password.as_ref())?;
    keystore::create(path, &bytes, force)?;
    say(&match password {
        Some(_) => format!("made {}, encrypted under its password", path.display()),
        None => format!(
            "made {}, without a password: whoever can read the file can read what is in it, and its mode, 600, protects it",
            path.display()
        ),
    })
}

fn add(
    path: &Path,
    name: &str,
    force: bool,
    value: impl FnOnce() -> Result<Secret, Error>,
) -> Result<(), Error> {
    let taken = |keystore: &Keystore| !force && keystore.secret(name).is_some();
    let opened = Opened::read(path)?;
    // Before somebody types it in vain.
    if taken(&opened.keystore) {
        return Err(Error::NameTaken { name: name.to_owned() });
    }
    let value = value()?;
    opened.change(path, None, |keystore| {
        if taken(keystore) {
            return Err(Error::NameTaken { name: name.to_owned() });
        }
        keystore.put(name, value).map_err(|cause| Error::Keystore { path: path.to_owned(), cause })
    })
}

fn remove(path: &Path, names: &[String]) -> Result<(), Error> {
    Opened::read(path)?.change(path, None, |keystore| {
        for name in names {
            if !keystore.remove(name) {
                return Err(Error::NoSuchName { name: name.clone(), path: path.to_owned() });
            }
        }
        Ok(())
    })
}

fn show(path: &Path, name: &str, output: Option<&Path>) -> Result<(), Error> {
    let opened = Opened::read(path)?;
    let secret = opened.keystore.secret(name);
    let secret = secret.ok_or_else(|| Error::NoSuchName { name: name.to_owned(), path: path.to_owned() })?;
    let Some(output) = output else {
        if !io::stdout().is_terminal() {
            return print(secret.expose());
        }
        let text = std::str::from_utf8(secret.expose()).ok();
        let text = text.filter(|text| text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        let text = text.ok_or_else(|| Error::NotText { name: name.to_owned() })?;
        return say(text);
    };
    let failed = |cause| Error::File { path: output.to_owned(), cause };
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(output).map_err(failed)?;
    file.write_all(secret.expose()).map_err(failed)
}

/// A keystore as it was read, and the password that opened it.
struct Opened {
    keystore: Keystore,
    password: Option<Secret>,
}

impl Opened {
    /// Reads it; asks for its password if it has one.
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = keystore::read(path)?;
        let password = match has_password(path, &bytes)? {
            true => Some(ask::for_password(path)?),
            false => None,
        };
        let keystore = opened(path, &bytes, password.as_ref())?;
        Ok(Self { keystore, password })
    }

    /// Changes the file, which somebody else may have changed meanwhile: it is read again,
    /// and held until it is written.
    fn change(
        self,
        path: &Path,
        new_password: Option<&Secret>,
        change: impl FnOnce(&mut Keystore) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let held = Held::take(path)?;
        let mut keystore = opened(path, &keystore::read(path)?, self.password.as_ref())?;
        change(&mut keystore)?;
        held.replace(&sealed(path, &keystore, new_password.or(self.password.as_ref()))?)?;
        Ok(())
    }
}

fn has_password(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    Keystore::has_password(bytes).map_err(|cause| Error::Keystore { path: path.to_owned(), cause })
}

fn opened(path: &Path, bytes: &[u8], password: Option<&Secret>) -> Result<Keystore, Error> {
    Keystore::open(bytes, password).map_err(|cause| Error::Keystore { path: path.to_owned(), cause })
}

fn sealed(path: &Path, keystore: &Keystore, password: Option<&Secret>) -> Result<Vec<u8>, Error> {
    keystore.seal(password).map_err(|cause| Error::Keystore { path: path.to_owned(), cause })
}

fn from_stdin() -> Result<Secret, Error> {
    let bytes = bounded(io::stdin()).map_err(Error::Input)?;
    Ok(Secret::new(ask::without_newline(&bytes).to_vec()))
}

fn from_file(path: &Path) -> Result<Secret, Error> {
    let bytes = fs::File::open(path).and_then(bounded);
    bytes
        .map(|bytes| Secret::new(bytes.to_vec()))
        .map_err(|cause| Error::File { path: path.to_owned(), cause })
}

/// At most one byte and a newline more than a secret may have: `put` refuses the rest.
fn bounded(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = SECRET_BYTES_MAX + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    from.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn say(text: &str) -> Result<(), Error> {
    print(format!("{text}\n").as_bytes())
}

fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(Error::Output)
}
