//! A problem with the configuration, where it is, and how it is shown. What can
//! be wrong is in `cause`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::cause::Cause;

/// Whether the configuration can run all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look at it.
    Warning,
}

impl Severity {
    /// The word that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct At {
    /// The path of the key, such as `user[1].redis_user`; empty is the whole file.
    pub key: String,
    /// The line, unless the problem is with the whole file.
    pub line: Option<Line>,
}

/// A line of the configuration file, and where on it. Its `Display` is the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// Bytes from the line's beginning, counted from 1.
    pub column: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

/// A certificate that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file it is in.
    pub path: PathBuf,
    /// Its place among the file's certificates, from 1.
    pub number: usize,
    /// What it is there for, as the key is called: `certificate` or `client_ca`.
    pub role: &'static str,
    /// The certificate.
    pub der: Vec<u8>,
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can run all the same.
    pub severity: Severity,
    /// Where it is.
    pub at: At,
    /// What it is.
    pub cause: Cause,
}

/// Everything that was found in one configuration file, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// The configuration file.
    pub file: PathBuf,
    /// The problems.
    pub list: Vec<Problem>,
    /// It and the files that it names, as far as it could be read.
    pub files: Vec<PathBuf>,
    /// Every certificate that was read on the way.
    pub certificates: Vec<Listed>,
}

impl Problems {
    /// Whether the configuration cannot run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// One problem as a person reads it, with the file and line in the form that editors follow.
    #[must_use]
    pub fn describe(&self, problem: &Problem) -> String {
        let mut text = self.file.display().to_string();
        if let Some(line) = problem.at.line {
            text.push_str(&format!(":{line}"));
        }
        text.push_str(&format!(": {}[{}]: ", problem.severity.as_str(), problem.cause.id()));
        if !problem.at.key.is_empty() {
            text.push_str(&format!("{}: ", problem.at.key));
        }
        text.push_str(&problem.cause.to_string());
        if let Some(way_out) = problem.cause.way_out() {
            text.push_str(&format!("\n    {way_out}"));
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.describe(problem))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: Vec<Problem>,
    files: Vec<PathBuf>,
    certificates: Vec<Listed>,
}

impl Notes {
    pub(super) fn error(&mut self, at: &At, cause: Cause) {
        self.problems.push(Problem { severity: Severity::Error, at: at.clone(), cause });
    }

    pub(super) fn warn(&mut self, at: &At, cause: Cause) {
        self.problems.push(Problem { severity: Severity::Warning, at: at.clone(), cause });
    }

    /// The value, or nothing and a note of why.
    pub(super) fn ok<T>(&mut self, at: &At, result: Result<T, Cause>) -> Option<T> {
        result.map_err(|cause| self.error(at, cause)).ok()
    }

    /// Remembers which files what is noted depends on.
    pub(super) fn depends_on<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        self.files.extend(files.map(Path::to_owned));
    }

    /// Takes a certificate into the inventory.
    pub(super) fn list(&mut self, listed: Listed) {
        if !self.certificates.contains(&listed) {
            self.certificates.push(listed);
        }
    }

    pub(super) fn into_problems(mut self, file: &Path) -> Problems {
        self.problems.sort_by_key(|problem| problem.at.line.map(|line| line.number));
        self.files.push(file.to_owned());
        let Self { problems: list, certificates, files, .. } = self;
        Problems { file: file.to_owned(), list, certificates, files }
    }
}
