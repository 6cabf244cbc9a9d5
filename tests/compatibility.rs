//! docs/compatibility.md holds the command table as it is, and a list of exceptions that has
//! every id that the differential test excuses.

#[path = "commands/facts.rs"]
mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use facts::{Fact, all};
use respgate::command::{Class, Row, Tx, Why, rows};

const BEGIN: &str = "<!-- Written by RESPGATE_BLESS=1 cargo test --test compatibility. -->\n";
const END: &str = "<!-- End of what is written. -->\n";

/// Groups, and what makes a command one of them: an ACL category, a container, its name. The
/// first that fits decides.
const GROUPS: [(&str, &str); 20] = [
    ("users", "acl|"),
    ("cluster", "cluster|"),
    ("connection", "client|"),
    ("keys", "sort sort_ro"),
    ("transactions", "@transaction"),
    ("publishing", "@pubsub"),
    ("scripts", "@scripting"),
    ("bitmaps", "@bitmap"),
    ("geography", "@geo"),
    ("hyperloglog", "@hyperloglog"),
    ("streams", "@stream"),
    ("sorted sets", "@sortedset"),
    ("sets", "@set"),
    ("lists", "@list"),
    ("hashes", "@hash"),
    ("arrays", "@array"),
    ("strings", "@string"),
    ("connection", "@connection"),
    ("keys", "@keyspace"),
    ("vector sets", "module"),
];

/// How requests of a class travel, in the words that the page explains.
fn way(row: &Row) -> &'static str {
    match row.class {
        Class::Share => "shared",
        Class::Script => "shared, fenced",
        Class::BlockOption => "shared; own with BLOCK",
        Class::Control => "control",
        Class::Pin(Why::Block | Why::Answers | Why::Unknown) | Class::Wait => "own",
        Class::Pin(Why::Connection | Why::Stream) => "own from then on",
        Class::Transaction(Tx::Watch) | Class::Subscribe(_) | Class::Unsubscribe(_) => "own until it ends",
        Class::Transaction(_) => "shared if whole, else own",
        Class::Answer(_) => "answered here",
        Class::Container => "by subcommand",
        Class::Abuse => "closed",
    }
}

fn group(row: &Row, facts: &BTreeMap<&str, Fact<'_>>) -> &'static str {
    let fits = |marks: &str| {
        let is = |fact: &Fact<'_>| {
            let fits = |mark: &str| {
                mark == row.name || fact.is(mark) || (mark.ends_with('|') && row.name.starts_with(mark))
            };
            marks.split(' ').any(fits)
        };
        facts.get(row.name).is_some_and(is)
    };
    let server = if facts.contains_key(row.name) || row.name == "command|" { "server" } else { "elsewhere" };
    GROUPS.iter().find(|(_, marks)| fits(marks)).map_or(server, |(name, _)| name)
}

/// The rows of the table: a group, a way, and its commands as one types them.
fn table() -> String {
    let facts: BTreeMap<&str, Fact<'_>> = all().map(|fact| (fact.name, fact)).collect();
    let mut cells: BTreeMap<(&str, bool, &str), Vec<String>> = BTreeMap::new();
    for row in rows().filter(|row| row.class != Class::Container) {
        let name = row.name.to_uppercase().replace('|', " ");
        cells
            .entry((group(row, &facts), row.guarded, way(row)))
            .or_default()
            .push(name.trim_end().to_owned());
    }
    let mut text = "| group | travels | commands |\n|---|---|---|\n".to_owned();
    for ((group, guarded, way), mut names) in cells {
        names.sort();
        let guarded = if guarded { "guarded, " } else { "" };
        text += &format!("| {group} | {guarded}{way} | {} |\n", names.join(", "));
    }
    text
}

fn page() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let text = fs::read_to_string(&path).expect("the page is there");
    (path, text)
}

/// The words in backticks at the beginning of a row.
fn ids(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn the_page_has_the_table_as_it_is() {
    let (path, page) = page();
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (written, after) = rest.split_once(END).expect("where the table ends");
    if std::env::var_os("RESPGATE_BLESS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).expect("writable");
        return;
    }
    assert!(written == table(), "RESPGATE_BLESS=1 cargo test --test compatibility renews it");
}

#[test]
fn every_way_of_the_table_is_explained() {
    let (_, page) = page();
    let ways: BTreeSet<&str> = rows().map(way).filter(|way| *way != "by subcommand").collect();
    for way in ways {
        assert!(page.contains(&format!("\n- **{way}**")), "{way}");
    }
}

#[test]
fn exceptions_have_ids_of_their_own_and_reasons() {
    let (_, page) = page();
    let ids = ids(&page);
    assert!(ids.len() > 10, "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, differs, why] = cells[..] else { panic!("three cells: {line}") };
        let id = id.trim_matches('`');
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{id}");
        assert!(differs.ends_with('.') && why.ends_with('.'), "{id}: sentences");
    }
}

/// The differential test excuses nothing that readers are not told.
#[test]
fn every_exception_that_the_differential_test_excuses_is_on_the_page() {
    let (_, page) = page();
    let ids = ids(&page);
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/twin/exceptions.rs");
    let source = fs::read_to_string(list).expect("its list of exceptions");
    let excused: Vec<&str> =
        source.lines().filter_map(|line| line.trim().strip_prefix("id: \"")?.split('"').next()).collect();
    assert!(!excused.is_empty(), "an exception begins with its id");
    for id in excused {
        assert!(ids.contains(&id), "{id} is not on the page");
    }
}
