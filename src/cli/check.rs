//! `respgate check`: says everything that is wrong with a configuration file,
//! without opening a socket (unless it is to ask Redis, with --connect), and lists every certificate
//! that it names.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value as Json, json};

use super::{connect, facts};
use crate::config::{self, Listed, Loaded, Problem, Problems, Severity};
use crate::identity::Certificate;

/// Check a configuration file and everything it names.
///
/// Exits with 0 if the gateway can run, perhaps with warnings, with 1 if it cannot
/// (with --strict also if there is a warning, with --connect if Redis cannot be asked or refuses), and with 2 if the arguments make no
/// sense.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits with 0 if the gateway can run, 1 if it cannot (with --strict also if there is a warning), 2 if the arguments
make no sense. Each problem has a name in brackets that stays the same from version to version, for scripts.

Examples:
  respgate check --config respgate.toml
  respgate check --config respgate.toml --strict
  respgate check --config respgate.toml --certificates
  respgate check --config respgate.toml --connect
  respgate check --config respgate.toml --json"
)]
pub struct Args {
    /// The configuration file
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON object: errors, warnings and certificates
    #[arg(long)]
    pub json: bool,
    /// A warning counts as an error
    #[arg(long)]
    pub strict: bool,
    /// Ask Redis what the gateway would make of its users ([database.provisioning]); nothing is changed
    #[arg(long, conflicts_with = "json")]
    pub connect: bool,
    /// List every certificate that the configuration names, with its dates
    #[arg(long, conflicts_with = "json")]
    pub certificates: bool,
}

/// Checks, prints to standard output and returns the exit code.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let result = config::load(&args.config);
    let problems = problems(&result);
    let fails_strictly = args.strict && problems.count(Severity::Warning) > 0;
    let mut text = if args.json { as_json(&result) } else { as_text(&result) };
    if args.certificates {
        text = format!("{}{text}", problems.certificates.iter().map(described).collect::<String>());
    }
    if fails_strictly && result.is_ok() && !args.json {
        text += &format!("\n{}: refused by --strict, which takes no warning", args.config.display());
    }
    let mut would_be_made = true;
    if let (true, Ok(loaded)) = (args.connect, &result) {
        let (said, is_good) = connect::as_text(&loaded.settings);
        text += &said;
        would_be_made = is_good;
    }
    // The exit code is the answer for whoever has closed our output.
    let _ = writeln!(io::stdout(), "{text}");
    if result.is_ok() && !fails_strictly && would_be_made { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn problems(result: &Result<Loaded, Problems>) -> &Problems {
    match result {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    }
}

/// The result for a person: each problem, then a summary.
#[must_use]
pub fn as_text(result: &Result<Loaded, Problems>) -> String {
    let problems = problems(result);
    let mut lines: Vec<_> = problems.list.iter().map(|problem| problems.describe(problem)).collect();
    let file = problems.file.display();
    let (errors, warnings) = (count(problems, Severity::Error), count(problems, Severity::Warning));
    lines.push(match result {
        Err(_) => format!("{file}: cannot run, {errors}, {warnings}"),
        Ok(Loaded { settings, .. }) => {
            let users = plural(settings.users.users().len(), "user");
            let addresses: Vec<_> =
                settings.listeners.iter().map(|listener| listener.address.to_string()).collect();
            let databases: Vec<_> =
                settings.databases.iter().map(|database| database.location.to_string()).collect();
            let (from, to) = (addresses.join(" and "), databases.join(" and "));
            format!("{file}: can run, {warnings}: {users}, {from} to {to}")
        }
    });
    lines.join("\n")
}

/// The result for a program.
#[must_use]
pub fn as_json(result: &Result<Loaded, Problems>) -> String {
    let problems = problems(result);
    let of = |severity: Severity| -> Vec<Json> {
        let list = problems.list.iter().filter(|problem| problem.severity == severity);
        list.map(|problem| problem_json(problems, problem)).collect()
    };
    json!({
        "file": problems.file.display().to_string(),
        "can_run": result.is_ok(),
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
        "certificates": problems.certificates.iter().map(listed_json).collect::<Vec<_>>(),
    })
    .to_string()
}

fn problem_json(problems: &Problems, problem: &Problem) -> Json {
    json!({
        "id": problem.cause.id(),
        "file": problems.file.display().to_string(),
        "key": problem.at.key,
        "line": problem.at.line.map(|line| line.number),
        "column": problem.at.line.map(|line| line.column),
        "message": problem.cause.to_string(),
        "fix": problem.cause.way_out(),
    })
}

/// The server's own certificate comes first in its file, and has a key.
fn has_key(listed: &Listed) -> bool {
    listed.role == "certificate" && listed.number == 1
}

fn listed_json(listed: &Listed) -> Json {
    let mut all = match Certificate::from_der(&listed.der) {
        Ok(certificate) => facts::as_json(&certificate),
        Err(error) => json!({ "unreadable": error.to_string() }),
    };
    all["file"] = json!(listed.path.display().to_string());
    all["number"] = json!(listed.number);
    all["role"] = json!(listed.role);
    all["has_private_key"] = json!(has_key(listed));
    all
}

fn described(listed: &Listed) -> String {
    let facts = match Certificate::from_der(&listed.der) {
        Ok(certificate) => facts::as_text(&certificate),
        Err(error) => format!("{error}\n"),
    };
    let key = if has_key(listed) { ", with its key" } else { "" };
    format!("{}, certificate {} ({}{key})\n{facts}\n", listed.path.display(), listed.number, listed.role)
}

fn count(problems: &Problems, severity: Severity) -> String {
    plural(problems.count(severity), severity.as_str())
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
