//! The shape of the source, held by a test: layers, headers, sizes, and words
//! that must not stay. Each check is a function of a file's text, tried here on a
//! text that breaks it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer. Each uses only its own layer and those above it.
const LAYERS: [(&str, &[&str]); 4] = [
    ("values", &["identity", "resp", "command", "secret", "fault", "limits"]),
    ("machines", &["session", "upstream", "worker"]),
    ("shell", &["io", "observe"]),
    ("surfaces", &["config", "admin", "cli"]),
];

/// What values and machines do not touch: time and bytes are given to them.
const OUTSIDE: [&str; 17] = [
    "tokio",
    "tokio_rustls",
    "Instant::now",
    "SystemTime",
    "OffsetDateTime",
    "tracing",
    "metrics",
    "std::fs",
    "std::env",
    "std::net",
    "io::Read",
    "io::Write",
    "std::thread",
    "std::process",
    "getrandom",
    "from_os_rng",
    "thread_rng",
];

const LINES_MAX: usize = 500;

/// Spelled in halves, so that this file does not contain them.
const LEFT_OVER: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("dbg", "!("),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

/// A file, its path relative to the project.
struct Source {
    path: PathBuf,
    text: String,
}

fn sources(under: &[&str]) -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    under.iter().map(|dir| root.join(dir)).filter(|dir| dir.exists()).for_each(|dir| walk(&dir, &mut found));
    found.sort();
    found
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root).unwrap().to_owned(),
        })
        .collect()
}

/// Fails with every breach of every file.
fn check(under: &[&str], breaches: impl Fn(&Source) -> Vec<String>) {
    let sources = sources(under);
    assert!(sources.len() > 1, "no sources found under {under:?}");
    let show = |source: &Source| {
        let name = source.path.display().to_string();
        breaches(source).into_iter().map(move |breach| format!("{name}: {breach}")).collect::<Vec<_>>()
    };
    let all: Vec<String> = sources.iter().flat_map(show).collect();
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

/// The code of a file: without comments, and without what only its tests use.
fn code(source: &Source) -> String {
    let is_tests =
        source.path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
    if is_tests {
        return String::new();
    }
    let (code, _) = source.text.split_once("#[cfg(test)]\nmod ").unwrap_or((&source.text, ""));
    code.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The module under `src/` that a file belongs to, `None` for `lib.rs` and `main.rs`.
fn module(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?.as_os_str().to_str()?.to_owned();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    (name != "lib" && name != "main").then_some(name)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

/// Where `word` stands in `text` and is not a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// The modules that a text names by `crate::name` or `crate::{name, other::..}`.
fn crate_modules(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut modules = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.push(word(rest));
            continue;
        };
        let (mut depth, mut at_start) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                c if at_start && !c.is_whitespace() => {
                    modules.push(word(&group[at..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    modules
}

fn layer_breaches(source: &Source) -> Vec<String> {
    let Some(module) = module(&source.path) else { return Vec::new() };
    let Some(own) = layer(&module) else {
        return vec![format!("module {module} is in no layer: give it one here and in ARCHITECTURE.md")];
    };
    let code = code(source);
    let mut breaches: Vec<String> = crate_modules(&code)
        .into_iter()
        .filter(|used| layer(used).is_some_and(|layer| layer > own))
        .map(|used| format!("{} use {used}, which is of a layer below", LAYERS[own].0))
        .collect();
    if own < 2 {
        let outside = OUTSIDE.iter().filter(|word| has_word(&code, word));
        breaches.extend(outside.map(|word| format!("{} touch {word}", LAYERS[own].0)));
    }
    breaches
}

fn header_breaches(source: &Source) -> Vec<String> {
    let has_header = source.text.starts_with("//! ");
    if has_header { Vec::new() } else { vec!["does not begin with `//!` and what it owns".to_owned()] }
}

fn size_breaches(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= LINES_MAX { Vec::new() } else { vec![format!("{lines} lines; {LINES_MAX} are the end")] }
}

fn left_over_breaches(source: &Source) -> Vec<String> {
    let found = LEFT_OVER.iter().filter(|word| source.text.contains(**word));
    found.map(|word| format!("contains {word}")).collect()
}

fn allow_breaches(source: &Source) -> Vec<String> {
    let attributes = source.text.match_indices("[allow(").chain(source.text.match_indices("[expect("));
    let without = attributes.filter_map(|(at, _)| {
        let attribute = source.text[at..].split(")]").next().unwrap_or_default();
        (!attribute.contains("reason = ")).then(|| format!("{attribute})] has no reason"))
    });
    // This file names the attributes without using them.
    if source.path.ends_with("tidy.rs") { Vec::new() } else { without.collect() }
}

#[test]
fn each_layer_uses_only_those_above_it_and_the_upper_two_touch_nothing_outside() {
    check(&["src"], layer_breaches);
}

#[test]
fn every_file_begins_with_what_it_owns() {
    check(&["src", "tests", "benches"], header_breaches);
}

#[test]
fn no_file_is_longer_than_its_bound() {
    check(&["src", "tests", "benches"], size_breaches);
}

#[test]
fn nothing_unfinished_is_left() {
    check(&["src", "tests", "benches"], left_over_breaches);
}

#[test]
fn every_exception_from_a_lint_has_a_reason() {
    check(&["src", "tests", "benches"], allow_breaches);
}

#[test]
fn the_checks_find_what_they_look_for() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
    let breaches = |text| layer_breaches(&source("src/session/order.rs", text));
    assert_eq!(breaches("use crate::io::Control;"), ["machines use io, which is of a layer below"]);
    assert_eq!(
        breaches("use crate::{\n    resp::{self, io},\n    observe::log,\n    worker,\n};"),
        ["machines use observe, which is of a layer below"]
    );
    assert_eq!(breaches("let now = std::time::Instant::now();"), ["machines touch Instant::now"]);
    assert_eq!(breaches("use std::time::Instant; // tokio has another\nfn metrics_of() {}"), [""; 0]);
    assert_eq!(breaches("fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }"), [""; 0]);
    assert_eq!(
        layer_breaches(&source("src/io/accept.rs", "use tokio::net; use crate::session::Session;")),
        [""; 0]
    );
    assert_eq!(layer_breaches(&source("src/util.rs", "")).len(), 1);
    assert_eq!(header_breaches(&source("a.rs", "// not a header")).len(), 1);
    assert_eq!(size_breaches(&source("a.rs", &"\n".repeat(501))), ["501 lines; 500 are the end"]);
    assert_eq!(left_over_breaches(&source("a.rs", &format!("// {}: later", LEFT_OVER[0]))).len(), 1);
    assert_eq!(allow_breaches(&source("a.rs", "#[allow(dead_code)]")), ["[allow(dead_code)] has no reason"]);
    assert_eq!(allow_breaches(&source("a.rs", "#[allow(\n    dead_code,\n    reason = \"x\"\n)]")), [""; 0]);
}
