//! The rules of a `[[role_rule]]`: Elasticsearch's JSON as TOML tables. What
//! JSON writes as `null` is `{ absent = true }`, since TOML has no null.

use super::problem::Notes;
use super::role_cause::RoleCause;
use super::source::{Entry, Section, Written};
use crate::identity::roles::{Clause, Expression, ExpressionError, Field, Scalar, Test};

/// Tables within tables that are read; `Expression` allows no more than 16.
const DEPTH_MAX: usize = 20;

/// Reads `rules`. Everything that is wrong with it is noted.
pub(super) fn expression(entry: Entry<'_>, notes: &mut Notes) -> Option<Expression> {
    let section = entry.section(notes)?;
    part(section, 0, notes)
}

fn part(mut section: Section<'_>, depth: usize, notes: &mut Notes) -> Option<Expression> {
    let at = section.at().clone();
    if depth == DEPTH_MAX {
        notes.error(&at, RoleCause::Bounds(ExpressionError::TooDeep).into());
        return None;
    }
    let [any, all, field] = ["any", "all", "field"].map(|key| section.take(key));
    if let Some(except) = section.take("except") {
        notes.error(&except.at, RoleCause::StrayExcept.into());
        return None;
    }
    section.finish(notes);
    let made = match (any, all, field) {
        (Some(any), None, None) => {
            let parts = any.sections(notes)?.into_iter().map(|section| part(section, depth + 1, notes));
            Expression::any(complete(parts)?)
        }
        (None, Some(all), None) => {
            let parts = all.sections(notes)?.into_iter().map(|section| clause(section, depth + 1, notes));
            Expression::all(complete(parts)?)
        }
        (None, None, Some(field)) => return test(field, notes).map(Expression::field),
        (any, all, field) => {
            let found = [any, all, field].iter().filter(|entry| entry.is_some()).count();
            notes.error(&at, RoleCause::NotOneRule { found }.into());
            return None;
        }
    };
    notes.ok(&at, made.map_err(|error| RoleCause::Bounds(error).into()))
}

/// All of them, each read whatever is wrong with the others.
fn complete<T>(parts: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let parts: Vec<_> = parts.collect();
    parts.into_iter().collect()
}

/// A part of `all`.
fn clause(mut section: Section<'_>, depth: usize, notes: &mut Notes) -> Option<Clause> {
    if !section.has("except") {
        return part(section, depth, notes).map(Clause::Is);
    }
    let except = section.take("except")?.section(notes);
    section.finish(notes);
    part(except?, depth + 1, notes).map(Clause::Except)
}

/// `field = { NAME = value }`, in which `metadata.x` and `realm.name` may also be
/// tables within the table.
fn test(entry: Entry<'_>, notes: &mut Notes) -> Option<Test> {
    let at = entry.at.clone();
    let (name, entry) = only(entry.section(notes)?, notes)?;
    let (name, entry) = match name.as_str() {
        "metadata" | "realm" if entry.is_section() => {
            let (inner, entry) = only(entry.section(notes)?, notes)?;
            (format!("{name}.{inner}"), entry)
        }
        _ => (name, entry),
    };
    let field_at = entry.at.clone();
    let field = notes.ok(&field_at, Field::parse(&name).map_err(|error| RoleCause::Field(error).into()));
    let values = complete(entry.items().into_iter().map(|item| scalar(item, notes)))?;
    let field = field?;
    // One by one first, so that each that does not fit is told with its place.
    let mut fits = true;
    for value in &values {
        let one = Test::new(field, std::slice::from_ref(&value.value));
        let one = notes.ok(&value.at, one.map_err(|error| RoleCause::Field(error).into()));
        fits &= one.is_some();
        if one.is_some_and(|test| test.has_subject_regex()) {
            notes.warn(&value.at, RoleCause::SubjectRegex.into());
        }
    }
    let values: Vec<_> = values.into_iter().map(|value| value.value).collect();
    let test = fits.then(|| Test::new(field, &values))?;
    notes.ok(&at, test.map_err(|error| RoleCause::Field(error).into()))
}

/// The only key of a section.
fn only<'a>(section: Section<'a>, notes: &mut Notes) -> Option<(String, Entry<'a>)> {
    let at = section.at().clone();
    let mut entries = section.entries();
    match entries.len() {
        1 => entries.pop(),
        found => {
            notes.error(&at, RoleCause::NotOneField { found }.into());
            None
        }
    }
}

fn scalar(entry: Entry<'_>, notes: &mut Notes) -> Option<Written<Scalar>> {
    if !entry.is_section() {
        return entry.scalar(notes);
    }
    let at = entry.at.clone();
    let mut section = entry.section(notes)?;
    let absent = section.need("absent", "{ absent = true }", notes).and_then(|entry| entry.flag(notes));
    section.finish(notes);
    let absent = absent?;
    if !absent.value {
        notes.error(&absent.at, RoleCause::NotAbsent.into());
        return None;
    }
    Some(Written { at, value: Scalar::Null })
}
