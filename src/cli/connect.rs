//! `respgate check --connect`: what the gateway would make of the users at its nodes. Asks, and
//! changes nothing.

use crate::io::{Rehearsal, Settings, rehearse};
use crate::upstream::Change;

/// What would be done, line by line, and whether all of it could be.
#[must_use]
pub(super) fn as_text(settings: &Settings) -> (String, bool) {
    let made = settings.databases.iter().filter_map(|database| database.provisioning.as_ref());
    let accounts: Vec<_> = made.clone().flat_map(|wanted| &wanted.accounts).collect();
    if made.count() == 0 {
        return ("\nno [database.provisioning]: the gateway makes no Redis user".to_owned(), true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let rehearsals = match runtime.map(|runtime| runtime.block_on(rehearse(settings))) {
        Ok(Ok(rehearsals)) => rehearsals,
        Ok(Err(error)) => return (format!("\n{error}"), false),
        Err(error) => return (format!("\n{error}"), false),
    };
    let mut text = String::new();
    for rehearsal in &rehearsals {
        let Rehearsal { node, users, refused, admin, error } = rehearsal;
        if let Some(error) = error {
            text += &format!("\n{node}: cannot be asked as {admin:?}: {error}");
            continue;
        }
        for (redis_user, change) in users {
            let account = accounts.iter().find(|account| account.redis_user == *redis_user);
            let rules = account.map(|account| account.rules.to_string()).unwrap_or_default();
            text += &match change {
                Change::Made => format!("\n{node}: would make {redis_user}: {rules}"),
                Change::Removed => format!("\n{node}: would remove {redis_user}"),
                _ => {
                    format!("\n{node}: would change {redis_user}, which is there: another password, {rules}")
                }
            };
        }
        for (redis_user, why) in refused {
            text += &format!("\n{node}: refuses the acl of {redis_user}: {why}");
        }
        if users.is_empty() {
            text += &format!("\n{node}: would change nothing");
        }
    }
    (text, rehearsals.iter().all(Rehearsal::is_good))
}
