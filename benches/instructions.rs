//! How many instructions a request takes in a whole worker, and whether that is as it was: `make instructions`.
//!
//! Time says little on a machine that others use as well; valgrind counts the same each time. Each
//! scenario runs twice, the second time for more rounds, and the difference is what the rounds took.
//! What they should take is in `instructions.toml` beside this file. It knows no sockets and no TLS.

mod scenarios;
mod stage;

use std::path::Path;
use std::process::{Command, ExitCode};

use scenarios::{Scenario, scenarios};

/// By how much a count may differ from what is written down.
const TOLERANCE: f64 = 0.03;

/// The same where the compiler, the C library, valgrind or the processor is another.
const TOLERANCE_ELSEWHERE: f64 = 0.15;

/// Rounds that both runs have; buffers have grown to their size by then.
const ROUNDS_FIRST: usize = 10;

/// Requests, or so, that only the second run has.
const REQUESTS_MORE: usize = 20_000;

/// The one of the two runs that this process is, if it is one.
const SCENARIO: &str = "--scenario";

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == SCENARIO) {
        return run(&args[at + 1..]);
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Inside of valgrind: so many rounds of one scenario.
fn run(args: &[String]) -> ExitCode {
    let found = args.first().and_then(|name| scenarios().into_iter().find(|it| it.name == name));
    let rounds = args.get(1).and_then(|rounds| rounds.parse::<usize>().ok());
    let (Some(mut scenario), Some(rounds)) = (found, rounds) else { return ExitCode::FAILURE };
    (0..rounds).for_each(|_| (scenario.round)());
    ExitCode::SUCCESS
}

/// Whether all scenarios take what is written down, or that has just been written.
fn compare() -> Result<bool, String> {
    let machine = machine()?;
    let counted =
        scenarios().iter().map(|it| Ok((it.name, count(it)?))).collect::<Result<Vec<_>, String>>()?;
    if std::env::var_os("RESPGATE_BLESS").is_some() {
        std::fs::write(BASELINE, baseline(&machine, &counted))
            .map_err(|error| format!("{BASELINE}: {error}"))?;
    }
    let text = std::fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let known: toml::Table = text.parse().map_err(|error| format!("{BASELINE}: {error}"))?;
    let made_on = known.get("machine").and_then(toml::Value::as_str).unwrap_or_default();
    let tolerance = if made_on == machine { TOLERANCE } else { TOLERANCE_ELSEWHERE };
    let expected = known.get("instructions").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let mut is_sound = true;
    println!("{:<44} {:>9} {:>9} {:>8}", "instructions for each", "were", "are", "");
    for (name, count) in &counted {
        let Some(was) = expected.get(*name).and_then(toml::Value::as_float) else {
            println!("{name:<44} {:>9} {count:>9.1}  not written down", "-");
            is_sound = false;
            continue;
        };
        let change = count / was - 1.0;
        let is_off = change.abs() > tolerance;
        is_sound &= !is_off;
        let verdict = if is_off { "  outside of the tolerance" } else { "" };
        println!("{name:<44} {was:>9.1} {count:>9.1} {:>+7.1}%{verdict}", change * 100.0);
    }
    for gone in expected.keys().filter(|name| counted.iter().all(|(it, _)| it != name)) {
        println!("{gone:<44} is written down and not measured");
        is_sound = false;
    }
    println!(
        "tolerance {:.0} %: {}",
        tolerance * 100.0,
        match made_on == machine {
            true => format!("they were counted with the same tools ({machine})"),
            false => format!("they were counted with {made_on}, and are with {machine}"),
        }
    );
    if !is_sound {
        println!(
            "If that is meant: `RESPGATE_BLESS=1 make instructions` writes them down; say why in the commit."
        );
    }
    Ok(is_sound)
}

/// Instructions of one scenario for each of what it counts.
fn count(scenario: &Scenario) -> Result<f64, String> {
    let more = REQUESTS_MORE.div_ceil(scenario.each).max(8);
    let first = refs(scenario.name, ROUNDS_FIRST)?;
    let second = refs(scenario.name, ROUNDS_FIRST + more)?;
    Ok((second - first) / (more * scenario.each) as f64)
}

/// Instructions of a process that runs so many rounds.
fn refs(name: &str, rounds: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    // What is in the environment would be counted as well.
    valgrind.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let run = valgrind.arg(program).args([SCENARIO, name, &rounds.to_string()]).output();
    let run =
        run.map_err(|error| format!("valgrind: {error} (scripts/install-deps valgrind installs it)"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    if !run.status.success() {
        return Err(format!("{name}: valgrind ended with {}:\n{said}", run.status));
    }
    let line =
        said.lines().find_map(|line| line.split_once("I   refs:").or_else(|| line.split_once("I refs:")));
    let digits = line.map(|(_, count)| count.trim().replace(',', ""));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{name}: valgrind did not say a count:\n{said}"))
}

/// What counts depend on besides the source.
fn machine() -> Result<String, String> {
    let said = |program: &str, args: &[&str]| {
        let output =
            Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let libc = said("getconf", &["GNU_LIBC_VERSION"])?;
    let cpu = if avx2() { " with AVX2" } else { "" };
    let arch = std::env::consts::ARCH;
    Ok(format!(
        "{}, {libc}, {}, {arch}{cpu}",
        said(&rustc, &["--version"])?,
        said("valgrind", &["--version"])?
    ))
}

/// memchr and the C library look for it, in the processor that valgrind plays.
fn avx2() -> bool {
    let info = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    info.split_whitespace().any(|flag| flag == "avx2")
}

fn baseline(machine: &str, counted: &[(&str, f64)]) -> String {
    let lines = counted.iter().map(|(name, count)| format!("\"{name}\" = {count:.1}\n"));
    format!(
        "# Written by RESPGATE_BLESS=1 make instructions, which compares with it otherwise.\n\
         machine = \"{machine}\"\n\n[instructions]\n{}",
        lines.collect::<String>()
    )
}
