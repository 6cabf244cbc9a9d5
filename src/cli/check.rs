//! `respgate check`: says everything that is wrong with a configuration file,
//! without opening a socket.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{self, Loaded, Problems, Severity};

/// Check a configuration file and everything it names.
///
/// Exits with 0 if the gateway can run, perhaps with warnings, and with 1 if it cannot.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Checks, prints to standard output and returns the exit code.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let result = config::load(&args.config);
    let is_fine = result.is_ok();
    let text = if args.json { as_json(&result) } else { as_text(&result) };
    // The exit code is the answer for whoever has closed our output.
    let _ = writeln!(io::stdout(), "{text}");
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
            let (from, to) = (addresses.join(" and "), &settings.database.address);
            format!("{file}: can run, {warnings}: {users}, {from} to {to}")
        }
    });
    lines.join("\n")
}

/// The result for a program.
#[must_use]
pub fn as_json(result: &Result<Loaded, Problems>) -> String {
    let problems = problems(result);
    let list: Vec<_> = problems
        .list
        .iter()
        .map(|problem| {
            json!({
                "severity": problem.severity.as_str(),
                "id": problem.cause.id(),
                "key": problem.at.key,
                "line": problem.at.line,
                "message": problem.cause.to_string(),
                "way_out": problem.cause.way_out(),
            })
        })
        .collect();
    json!({
        "file": problems.file.display().to_string(),
        "can_run": result.is_ok(),
        "errors": problems.count(Severity::Error),
        "warnings": problems.count(Severity::Warning),
        "problems": list,
    })
    .to_string()
}

fn count(problems: &Problems, severity: Severity) -> String {
    plural(problems.count(severity), severity.as_str())
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
