//! The keys of a `[[realm]]` that looks at certificates: whose CAs count, which
//! value says who somebody is, and whom it leaves to the next realm.

use std::collections::BTreeMap;

use super::cause::Cause;
use super::file::UserFile;
use super::identity_cause::IdentityCause;
use super::material::Files;
use super::problem::{At, Notes};
use super::source::{Section, Written};
use super::ways;
use crate::identity::{Extract, Extraction, Recognition, Skip, TableError};

type Values = Vec<(String, Written<String>)>;

/// What is written of it.
pub(super) struct RecognitionFile {
    client_ca: Option<Vec<Written<String>>>,
    attribute: Option<Written<String>>,
    /// Values and users.
    values: Option<(At, Values)>,
    user_is_value: Option<Written<bool>>,
    /// Where it is written.
    fallback: Option<At>,
    roles_attribute: Option<Written<String>>,
    skip_users: Vec<Written<String>>,
    /// Whether something that is written could not be read.
    is_broken: bool,
}

/// Takes the keys out of the section.
pub(super) fn read(section: &mut Section<'_>, notes: &mut Notes) -> RecognitionFile {
    let client_ca = section.take("client_ca").map(|entry| entry.filled_texts(notes));
    let attribute = section.take("username_attribute").map(|entry| entry.text(notes));
    let values = section.take("values").map(|entry| {
        let at = entry.at.clone();
        let read = entry.section(notes)?.entries().into_iter();
        let read: Vec<_> = read.map(|(value, user)| Some((value, user.text(notes)?))).collect();
        Some((at, read.into_iter().collect::<Option<Values>>()?))
    });
    let user_is_value = section.take("user_is_value").map(|entry| entry.flag(notes));
    let fallback = section.take("fallback").map(|entry| {
        let at = entry.at.clone();
        entry.word(&[("dn", ())], notes).map(|()| at)
    });
    let roles_attribute = section.take("roles_attribute").map(|entry| entry.text(notes));
    let skip_users = section.take("skip_users").map(|entry| entry.filled_texts(notes));
    let is_broken = matches!(client_ca, Some(None))
        || matches!(attribute, Some(None))
        || matches!(values, Some(None))
        || matches!(user_is_value, Some(None))
        || matches!(fallback, Some(None))
        || matches!(roles_attribute, Some(None))
        || matches!(skip_users, Some(None));
    RecognitionFile {
        client_ca: client_ca.flatten(),
        attribute: attribute.flatten(),
        values: values.flatten(),
        user_is_value: user_is_value.flatten(),
        fallback: fallback.flatten(),
        roles_attribute: roles_attribute.flatten(),
        skip_users: skip_users.flatten().unwrap_or_default(),
        is_broken,
    }
}

impl RecognitionFile {
    /// The users that its table names.
    pub(super) fn users(&self) -> impl Iterator<Item = &Written<String>> {
        self.values.iter().flat_map(|(_, values)| values).map(|(_, user)| user)
    }

    /// Builds what the realm does, or notes why it cannot be built. `has_roles` is
    /// whether the database has a Redis user for some role.
    pub(super) fn build(
        &self,
        has_roles: bool,
        files: &mut Files<'_>,
        notes: &mut Notes,
    ) -> Option<Recognition> {
        // Certificates of CAs are told by themselves: which CAs are trusted is each listener's.
        let scope = self.client_ca.as_ref().map(|it| ways::scope(it, &[], files, notes));
        let skip: Vec<Option<Skip>> = self.skip_users.iter().map(|it| skipped(it, notes)).collect();
        let groups = self.roles_attribute.as_ref().map(|it| extract(it, notes));
        let extraction = self.extraction(has_roles, notes);
        if self.is_broken {
            return None;
        }
        match (scope, groups) {
            (Some(None), _) | (_, Some(None)) => None,
            (scope, groups) => Some(Recognition {
                client_ca: scope.flatten(),
                skip: skip.into_iter().collect::<Option<_>>()?,
                extraction: extraction?.map(Box::new),
                groups: groups.flatten().map(Box::new),
            }),
        }
    }

    /// By which value; nothing within, if by the users' own entries.
    fn extraction(&self, has_roles: bool, notes: &mut Notes) -> Option<Option<Extraction>> {
        let makes_users = self.user_is_value.as_ref().filter(|flag| flag.value);
        let Some(attribute) = &self.attribute else {
            let stray = [
                ("values", self.values.as_ref().map(|(at, _)| at)),
                ("user_is_value", self.user_is_value.as_ref().map(|flag| &flag.at)),
                ("fallback", self.fallback.as_ref()),
            ];
            let stray: Vec<_> = stray.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
            for (key, at) in &stray {
                notes.error(at, IdentityCause::NoAttribute { key }.into());
            }
            return stray.is_empty().then_some(None);
        };
        if self.values.is_none() && makes_users.is_none() && self.fallback.is_none() && !self.is_broken {
            notes.error(&attribute.at, IdentityCause::NoValues.into());
            return None;
        }
        if let Some(flag) = makes_users.filter(|_| !has_roles) {
            notes.error(&flag.at, IdentityCause::DerivedWithoutRoles.into());
            return None;
        }
        let table: BTreeMap<String, String> = self
            .values
            .iter()
            .flat_map(|(_, values)| values)
            .map(|(value, user)| (value.clone(), user.value.clone()))
            .collect();
        match Extraction::new(extract(attribute, notes)?, table) {
            Ok(made) => Some(Some(
                made.with_user_is_value(makes_users.is_some())
                    .with_fallback_to_subject(self.fallback.is_some()),
            )),
            Err(errors) => {
                let at = self.values.as_ref().map_or(&attribute.at, |(at, _)| at);
                for error in errors {
                    notes.error(self.place(&error).unwrap_or(at), IdentityCause::Table(error).into());
                }
                None
            }
        }
    }

    fn place(&self, error: &TableError) -> Option<&At> {
        let (TableError::Line { key, .. } | TableError::Duplicate { key }) = error;
        let (_, values) = self.values.as_ref()?;
        values.iter().find(|(value, _)| value == key).map(|(_, user)| &user.at)
    }

    /// Notes users of the table that are none, or cannot be shown by a certificate.
    pub(super) fn check_users(&self, users: &[UserFile], notes: &mut Notes) -> bool {
        let mut is_whole = true;
        for written in self.users() {
            let of_name =
                |user: &&UserFile| user.name.as_ref().is_some_and(|name| name.value == written.value);
            let name = written.value.clone();
            let cause = match users.iter().find(of_name) {
                None => IdentityCause::UnknownUser { name },
                Some(user) if !user.needs.certificate() => IdentityCause::ValueOfPasswordUser { name },
                Some(_) => continue,
            };
            notes.error(&written.at, cause.into());
            is_whole = false;
        }
        is_whole
    }
}

fn extract(written: &Written<String>, notes: &mut Notes) -> Option<Extract> {
    notes.ok(&written.at, Extract::parse(&written.value).map_err(|error| IdentityCause::from(error).into()))
}

fn skipped(written: &Written<String>, notes: &mut Notes) -> Option<Skip> {
    let read = Skip::parse(&written.value).map_err(|error| Cause::from(IdentityCause::from(error)));
    let skip = notes.ok(&written.at, read)?;
    if skip.is_pattern() {
        notes.warn(&written.at, IdentityCause::SkipPattern.into());
    }
    Some(skip)
}
