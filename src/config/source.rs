//! The text of the configuration file as keys, values and lines. Knows TOML and
//! what kind of value a key wants; not what the values mean.
//!
//! Keys are taken out one by one, so that every problem of a file is found in
//! one go and each has its line; a serde derive would stop at the first, and its
//! messages quote the value, which may be a password.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::cause::Cause;
use super::legacy;
use super::problem::{At, Line, Notes};
use crate::identity::roles::Scalar;

/// Syntax errors that are worth reading; the rest follow from the first ones.
const SYNTAX_ERRORS_MAX: usize = 8;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Written<T> {
    pub(super) at: At,
    pub(super) value: T,
}

/// Where each line begins, to turn a byte offset into a line number.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(index, _)| index).collect())
    }

    fn line(&self, offset: usize) -> Line {
        let before = self.0.partition_point(|&newline| newline < offset);
        let begins = before.checked_sub(1).map_or(0, |last| self.0[last] + 1);
        Line { number: before + 1, column: offset - begins + 1 }
    }
}

/// A parsed file, from which sections are taken.
pub(super) struct Source<'a> {
    root: DeTable<'a>,
    lines: Lines,
}

impl<'a> Source<'a> {
    /// Parses the text. Syntax errors are noted and nothing is returned: the keys
    /// around a slip of the pen are not to be trusted, nor to be printed.
    pub(super) fn parse(text: &'a str, notes: &mut Notes) -> Option<Self> {
        let lines = Lines::of(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let line = error.span().map(|span| lines.line(span.start));
            // Not the error's own Display: that quotes the line.
            notes.error(&At { key: String::new(), line }, Cause::Syntax { why: error.message().to_owned() });
        }
        errors.is_empty().then(|| Self { root: root.into_inner(), lines })
    }

    /// The top level.
    pub(super) fn root(&self) -> Section<'_> {
        Section::new(At::default(), &self.root, &self.lines)
    }
}

/// A table whose keys are taken one by one; what is left over is unknown.
pub(super) struct Section<'a> {
    at: At,
    left: BTreeMap<&'a str, Entry<'a>>,
    known: Vec<&'static str>,
}

/// A key's value, not yet of a kind.
pub(super) struct Entry<'a> {
    pub(super) at: At,
    value: &'a DeValue<'a>,
    lines: &'a Lines,
}

impl<'a> Section<'a> {
    fn new(at: At, table: &'a DeTable<'a>, lines: &'a Lines) -> Self {
        let entries = table.iter().map(|(key, value)| {
            let line = Some(lines.line(key.span().start));
            let name = &**key.get_ref();
            (name, Entry { at: At { key: child(&at.key, name), line }, value: value.get_ref(), lines })
        });
        let left = entries.collect();
        Self { left, known: Vec::new(), at }
    }

    /// Where the section itself stands.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// Takes a key that may be absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// Whether a key is there and has not been taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// All that is left, of a section whose keys are names.
    pub(super) fn entries(self) -> Vec<(String, Entry<'a>)> {
        self.left.into_iter().map(|(key, entry)| (key.to_owned(), entry)).collect()
    }

    /// Takes a key that must be there.
    pub(super) fn need(
        &mut self,
        key: &'static str,
        like: &'static str,
        notes: &mut Notes,
    ) -> Option<Entry<'a>> {
        let entry = self.take(key);
        if entry.is_none() {
            let at = At { key: child(&self.at.key, key), line: self.at.line };
            notes.error(&at, Cause::Missing { like });
        }
        entry
    }

    /// Notes every key that nobody took.
    pub(super) fn finish(self, notes: &mut Notes) {
        for (key, entry) in self.left {
            let legacy = entry.legacy(key);
            if !legacy.is_empty() {
                legacy.into_iter().for_each(|(at, instead)| notes.error(&at, Cause::LegacyKey { instead }));
                continue;
            }
            notes.error(
                &entry.at,
                Cause::UnknownKey { near: near(key, &self.known), known: self.known.clone() },
            );
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn text(self, notes: &mut Notes) -> Option<Written<String>> {
        match self.value {
            DeValue::String(text) => Some(Written { value: text.to_string(), at: self.at }),
            _ => self.wrong("a string", notes),
        }
    }

    /// One string or a list of them; an item of another kind is noted and left out.
    pub(super) fn texts(self, notes: &mut Notes) -> Option<Vec<Written<String>>> {
        let DeValue::Array(items) = self.value else {
            return match self.value {
                DeValue::String(_) => self.text(notes).map(|text| vec![text]),
                _ => self.wrong("a string or a list of strings", notes),
            };
        };
        Some(items.iter().enumerate().filter_map(|(i, item)| self.item(i, item).text(notes)).collect())
    }

    /// As `texts`, but at least one.
    pub(super) fn filled_texts(self, notes: &mut Notes) -> Option<Vec<Written<String>>> {
        if matches!(self.value, DeValue::Array(items) if items.is_empty()) {
            notes.error(&self.at, Cause::EmptyList);
            return None;
        }
        self.texts(notes)
    }

    /// Each item of a list, or the value itself.
    pub(super) fn items(self) -> Vec<Self> {
        match self.value {
            DeValue::Array(items) => items.iter().enumerate().map(|(i, item)| self.item(i, item)).collect(),
            _ => vec![self],
        }
    }

    /// Whether the value is a section.
    pub(super) fn is_section(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Whether the value is a list without items.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.value, DeValue::Array(items) if items.is_empty())
    }

    /// A text or a whole number, as a rule compares with.
    pub(super) fn scalar(self, notes: &mut Notes) -> Option<Written<Scalar>> {
        let value = match self.value {
            DeValue::String(text) => Some(Scalar::Text(text.to_string())),
            DeValue::Integer(digits) => {
                i64::from_str_radix(digits.as_str(), digits.radix()).ok().map(Scalar::Number)
            }
            _ => None,
        };
        match value {
            Some(value) => Some(Written { value, at: self.at }),
            None => self.wrong("a string, a whole number or { absent = true }", notes),
        }
    }

    /// The keys of other products in it, and what stands for each here.
    fn legacy(&self, path: &str) -> Vec<(At, &'static str)> {
        const DEPTH_MAX: usize = 8;
        let mut found = Vec::new();
        let mut sections = vec![(self.at.clone(), path.to_owned(), self.value, 0)];
        while let Some((at, path, value, depth)) = sections.pop() {
            match (legacy::instead(&path), value) {
                (Some(instead), _) => found.push((at, instead)),
                (None, DeValue::Table(table)) if depth < DEPTH_MAX => {
                    sections.extend(table.iter().map(|(key, value)| {
                        let name = &**key.get_ref();
                        let line = Some(self.lines.line(key.span().start));
                        let at = At { key: child(&at.key, name), line };
                        (at, format!("{path}.{name}"), value.get_ref(), depth + 1)
                    }));
                }
                (None, _) => {}
            }
        }
        found
    }

    /// Whether the value is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn flag(self, notes: &mut Notes) -> Option<Written<bool>> {
        match self.value {
            DeValue::Boolean(flag) => Some(Written { value: *flag, at: self.at }),
            _ => self.wrong("true or false", notes),
        }
    }

    /// A whole number that fits what TOML promises, and is not negative.
    pub(super) fn number(self, notes: &mut Notes) -> Option<Written<u64>> {
        let number = match self.value {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => return self.wrong("a whole number", notes),
        };
        match number.and_then(|number| u64::try_from(number).ok()) {
            Some(value) => Some(Written { value, at: self.at }),
            None => {
                notes.error(&self.at, Cause::NotNatural);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(self, words: &[(&'static str, T)], notes: &mut Notes) -> Option<T> {
        let written = self.text(notes)?;
        let known = words.iter().find(|(word, _)| *word == written.value);
        if known.is_none() {
            let expected = words.iter().map(|&(word, _)| word).collect();
            notes.error(&written.at, Cause::NotOneOf { found: written.value, expected });
        }
        known.map(|&(_, value)| value)
    }

    pub(super) fn section(self, notes: &mut Notes) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.at, table, self.lines)),
            _ => self.wrong("a section", notes),
        }
    }

    /// A section that may be there several times, as `[[name]]`. One that is not
    /// a section is noted and left out, so that the others are still read.
    pub(super) fn sections(self, notes: &mut Notes) -> Option<Vec<Section<'a>>> {
        match self.value {
            DeValue::Array(items) => Some(
                items.iter().enumerate().filter_map(|(i, item)| self.item(i, item).section(notes)).collect(),
            ),
            _ => self.wrong("a section in double brackets, as in [[user]]", notes),
        }
    }

    /// A section that may be written once, as `[name]`, or several times, as `[[name]]`.
    pub(super) fn section_or_sections(self, notes: &mut Notes) -> Option<Vec<Section<'a>>> {
        if self.is_list() { self.sections(notes) } else { self.section(notes).map(|section| vec![section]) }
    }

    fn item(&self, index: usize, item: &'a Spanned<DeValue<'a>>) -> Self {
        let mut key = self.at.key.clone();
        let _ = write!(key, "[{index}]");
        let line = Some(self.lines.line(item.span().start));
        Self { at: At { key, line }, value: item.get_ref(), lines: self.lines }
    }

    fn wrong<T>(self, expected: &'static str, notes: &mut Notes) -> Option<T> {
        notes.error(&self.at, Cause::WrongKind { found: kind(self.value), expected });
        None
    }
}

/// The value's kind, and never the value.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fractional number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// The path of a key within a section; a key that is not plain is quoted, and cut.
fn child(section: &str, key: &str) -> String {
    const KEY_CHARS_MAX: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let shown: String = if !key.is_empty() && key.chars().all(plain) {
        key.chars().take(KEY_CHARS_MAX).collect()
    } else {
        format!("{:?}", key.chars().take(KEY_CHARS_MAX).collect::<String>())
    };
    if section.is_empty() { shown } else { format!("{section}.{shown}") }
}

/// The known keys that look like the one that was written, best first.
pub(super) fn near<'n>(key: &str, known: &[&'n str]) -> Vec<&'n str> {
    const LIKENESS_MIN: f64 = 0.75;
    let key: String = key.chars().take(64).collect();
    let mut alike: Vec<_> = known.iter().map(|name| (strsim::jaro_winkler(&key, name), *name)).collect();
    alike.retain(|&(likeness, _)| likeness >= LIKENESS_MIN);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.truncate(3);
    alike.into_iter().map(|(_, name)| name).collect()
}
