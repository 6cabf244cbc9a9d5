//! Roles: who has them (`[roles_mapping.NAME]`, `[[role_rule]]`, `[[user]]
//! roles`, and a file of the former two), and which Redis user each leads to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::cause::Cause;
use super::database::RoleFile;
use super::file::File;
use super::login::Logins;
use super::material::Files;
use super::problem::{At, Notes, Severity};
use super::role_cause::{Elsewhere, RoleCause};
use super::source::{Entry, Section, Source, Written};
use super::{rules, users};
use crate::identity::roles::{
    Condition, DatabaseRoles, Group, Mapping, RoleMap, RoleRule, SubjectPatternError, Who,
};

/// A rule and where it is written.
pub(super) struct Placed {
    at: At,
    /// If that is not in the configuration: the file, and where that is named.
    file: Option<(PathBuf, At)>,
    rule: RoleRule,
}

/// Takes the rules out of the top level of a file.
pub(super) fn read(root: &mut Section<'_>, notes: &mut Notes) -> Vec<Placed> {
    let mappings = root.take("roles_mapping").and_then(|entry| entry.section(notes));
    let mappings = mappings.map(Section::entries).unwrap_or_default();
    let role_rules = root.take("role_rule").and_then(|entry| entry.sections(notes)).unwrap_or_default();
    let mut placed = Vec::new();
    for (role, entry) in mappings {
        let at = entry.at.clone();
        let role = name(&Written { at: at.clone(), value: role }, notes);
        let mapping = entry.section(notes).map(|section| mapping(section, notes));
        if let (Some(role), Some(mapping)) = (role, mapping) {
            placed.push(Placed::new(at, vec![role], true, Condition::Mapping(mapping)));
        }
    }
    placed.extend(role_rules.into_iter().filter_map(|section| role_rule(section, notes)));
    placed
}

impl Placed {
    fn new(at: At, roles: Vec<String>, enabled: bool, condition: Condition) -> Self {
        let rule = RoleRule { place: at.key.as_str().into(), roles, enabled, condition };
        Self { at, file: None, rule }
    }

    fn warn(&self, cause: RoleCause, notes: &mut Notes) {
        let cause = Cause::Role(cause);
        match &self.file {
            None => notes.warn(&self.at, cause),
            Some((path, named_at)) => notes.warn(named_at, elsewhere(path, self.at.clone(), cause)),
        }
    }
}

fn elsewhere(path: &Path, At { key, line }: At, cause: Cause) -> Cause {
    Cause::Elsewhere(Box::new(Elsewhere { path: path.to_owned(), line, key, cause }))
}

/// A role's name, if it is one.
fn name(written: &Written<String>, notes: &mut Notes) -> Option<String> {
    let found = &written.value;
    let cause = || RoleCause::BadName { found: found.chars().take(100).collect() }.into();
    notes.ok(&written.at, users::is_name(found).then(|| found.clone()).ok_or_else(cause))
}

fn mapping(mut section: Section<'_>, notes: &mut Notes) -> Mapping {
    let at = section.at().clone();
    let who = |text: &str| Who::parse(text).map_err(|error| RoleCause::Pattern(error).into());
    let host = |text: &str| text.parse().map_err(|error| RoleCause::Host(error).into());
    let group = |text: &str| -> Result<Group, Cause> {
        Group::parse(text).map_err(|error: SubjectPatternError| RoleCause::Pattern(error).into())
    };
    let keys = ["users", "hosts", "backend_roles", "and_backend_roles"];
    let [users, hosts, any, all] = keys.map(|key| section.take(key));
    let is_written =
        [&users, &hosts, &any, &all].iter().any(|entry| entry.as_ref().is_some_and(|it| !it.is_empty()));
    let mapping = Mapping {
        users: elements(users, who, notes),
        hosts: elements(hosts, host, notes),
        backend_roles: elements(any, group, notes),
        and_backend_roles: elements(all, group, notes),
    };
    section.finish(notes);
    if !is_written {
        notes.warn(&at, RoleCause::NamesNobody.into());
    }
    let everybody = mapping.users.iter().filter(|who| who.is_everything()).map(ToString::to_string);
    let everywhere = mapping.hosts.iter().filter(|host| host.is_everything()).map(ToString::to_string);
    for pattern in everybody.chain(everywhere) {
        notes.warn(&at, RoleCause::NamesEverybody { pattern }.into());
    }
    mapping
}

/// The elements of a list that can be read.
fn elements<T>(
    entry: Option<Entry<'_>>,
    parse: impl Fn(&str) -> Result<T, Cause>,
    notes: &mut Notes,
) -> Vec<T> {
    let texts = entry.and_then(|entry| entry.texts(notes)).unwrap_or_default();
    texts.iter().filter_map(|text| notes.ok(&text.at, parse(&text.value))).collect()
}

fn role_rule(mut section: Section<'_>, notes: &mut Notes) -> Option<Placed> {
    let at = section.at().clone();
    let roles = section.need("roles", "roles = [\"reader\"]", notes);
    let roles = roles.and_then(|entry| entry.filled_texts(notes)).unwrap_or_default();
    let roles = roles.iter().filter_map(|role| name(role, notes)).collect();
    let enabled = section.take("enabled").and_then(|entry| entry.flag(notes));
    let rules = section.need("rules", "rules = { field = { username = \"app\" } }", notes);
    let expression = rules.and_then(|entry| rules::expression(entry, notes));
    section.finish(notes);
    let enabled = enabled.is_none_or(|flag| flag.value);
    Some(Placed::new(at, roles, enabled, Condition::Expression(expression?)))
}

/// All rules of a configuration: its users', its own, and those of its file.
pub(super) fn role_map(
    file: &mut File,
    files: &mut Files<'_>,
    database: &[RoleFile],
    notes: &mut Notes,
) -> Option<RoleMap> {
    let mut placed: Vec<_> = file
        .users
        .iter()
        .flatten()
        .filter_map(|user| {
            let roles: Vec<_> = user.roles.iter().filter_map(|role| name(role, notes)).collect();
            let at = At { key: format!("{}.roles", user.at.key), line: user.roles.first()?.at.line };
            let user = user.name.as_ref()?;
            Some(Placed::new(at, roles, true, Condition::User(user.value.clone())))
        })
        .collect();
    placed.append(&mut file.role_rules);
    if let Some(path) = &file.role_mapping_file {
        placed.extend(from_file(path, files, notes));
    }
    compare(&placed, database, notes);
    let at = At { key: "role_rule".to_owned(), line: None };
    let rules = placed.into_iter().map(|placed| placed.rule).collect();
    notes.ok(&at, RoleMap::build(rules).map_err(|error| RoleCause::Map(error).into()))
}

/// Reads the rules of a mapping file. Its problems are told where it is named,
/// each with its line.
fn from_file(written: &Written<String>, files: &mut Files<'_>, notes: &mut Notes) -> Vec<Placed> {
    let Some(content) = files.public(&written.value, &written.at, notes) else { return Vec::new() };
    let mut inner = Notes::default();
    let text = inner.ok(&At::default(), std::str::from_utf8(&content.bytes).map_err(|_error| Cause::NotText));
    let source = text.and_then(|text| Source::parse(text, &mut inner));
    let mut placed = source.as_ref().map_or_else(Vec::new, |source| {
        let mut root = source.root();
        let placed = read(&mut root, &mut inner);
        root.finish(&mut inner);
        placed
    });
    for problem in inner.into_problems(&content.path).list {
        let cause = elsewhere(&content.path, problem.at, problem.cause);
        match problem.severity {
            Severity::Error => notes.error(&written.at, cause),
            Severity::Warning => notes.warn(&written.at, cause),
        }
    }
    for placed in &mut placed {
        placed.rule.place = format!("{}: {}", written.value, placed.rule.place).into();
        placed.file = Some((content.path.clone(), written.at.clone()));
    }
    placed
}

/// Warns of roles that lead nowhere and of those that nobody can have.
fn compare(placed: &[Placed], database: &[RoleFile], notes: &mut Notes) {
    let known: BTreeSet<&str> =
        database.iter().filter_map(|it| it.role.as_ref()).map(|it| it.value.as_str()).collect();
    let granted: BTreeSet<&str> = placed.iter().flat_map(|it| &it.rule.roles).map(String::as_str).collect();
    let mut told = BTreeSet::new();
    for placed in placed {
        for role in placed.rule.roles.iter().filter(|role| !known.contains(role.as_str())) {
            if told.insert(role) {
                placed.warn(RoleCause::NoRedisUser { role: role.clone() }, notes);
            }
        }
    }
    for role in database.iter().filter_map(|it| it.role.as_ref()) {
        if !granted.contains(role.value.as_str()) {
            notes.warn(&role.at, RoleCause::NeverGranted { role: role.value.clone() }.into());
        }
    }
}

/// The Redis users of a database's roles, in order.
pub(super) fn database_roles(
    written: &[RoleFile],
    logins: &Logins,
    files: &mut Files<'_>,
    notes: &mut Notes,
) -> DatabaseRoles {
    let mut seen = BTreeSet::new();
    let mut roles = Vec::new();
    for one in written {
        let role = one.role.as_ref().and_then(|role| name(role, notes));
        if let (Some(role), Some(written)) = (&role, &one.role)
            && !seen.insert(role.clone())
        {
            notes.error(&written.at, RoleCause::Twice { role: role.clone() }.into());
        }
        if let (Some(role), Some(credential)) =
            (&role, one.login.credential("role", role.as_deref(), logins, files, notes))
        {
            roles.push((role.clone(), credential));
        }
    }
    DatabaseRoles::new(roles)
}
