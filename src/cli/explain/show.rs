//! What `respgate explain` has found, as text and as JSON.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::Findings;
use crate::cli::facts;
use crate::identity::roles;
use crate::identity::{Admission, Asked, Permit, Refusal, Tried, Verdict};

impl Findings {
    pub(super) fn as_json(&self) -> Json {
        let rules = self.tried.iter().map(|tried| {
            json!({
                "user": tried.user,
                "enabled": tried.enabled,
                "rule": tried.rule.to_string(),
                "text": tried.text,
                "matches": tried.outcome.is_ok(),
                "difference": tried.outcome.as_ref().err().map(ToString::to_string),
            })
        });
        let trust = match &self.trust {
            Ok(()) => json!({ "trusted": true }),
            Err(refusal) => refused(json!({ "trusted": false }), refusal),
        };
        let gate = match &self.account.gate {
            None => json!({ "taken": true }),
            Some(refusal) => refused(json!({ "taken": false }), refusal),
        };
        let decision = match &self.account.admission {
            Admission::Permit(permit) => json!({
                "admitted": true,
                "user": permit.user().name,
                "realm": **permit.realm(),
                "rule": permit.rule().to_string(),
                "groups": permit.groups(),
                "roles": permit.roles().names().collect::<Vec<_>>(),
                "role": permit.role(),
                "redis_user": permit.credential().redis_user,
            }),
            Admission::Unproven(claim) => {
                refused(json!({ "admitted": false, "asks_password": true }), &claim.missing())
            }
            Admission::Refused(refusal) => refused(json!({ "admitted": false }), refusal),
        };
        json!({
            "certificate": facts::as_json(&self.certificate),
            "listener": self.listener,
            "from": self.peer.to_string(),
            "trust": trust,
            "rules": rules.collect::<Vec<_>>(),
            "gate": gate,
            "realms": self.account.realms.iter().map(realm_as_json).collect::<Vec<_>>(),
            "role_rules": self.account.roles.iter().map(role_rule_as_json).collect::<Vec<_>>(),
            "decision": decision,
        })
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = facts::as_text(&self.certificate);
        let Self { listener, peer, account, .. } = self;
        text += &match &self.trust {
            Ok(()) => format!("\nlistener {listener}, from {peer}: the chain is trusted\n"),
            Err(refusal) => {
                format!("\nlistener {listener}, from {peer}: the chain is not trusted: {}\n", why(refusal))
            }
        };
        for Tried { user, enabled, rule, text: written, outcome } in &self.tried {
            let disabled = if *enabled { "" } else { " (not enabled)" };
            let outcome = match outcome {
                Ok(()) => "matches".to_owned(),
                Err(difference) => difference.to_string(),
            };
            text += &format!("user {user}{disabled}, {rule} {written:?}: {outcome}\n");
        }
        if let Some(refusal) = &account.gate {
            text += &format!("gate: {}\n", why(refusal));
        }
        account.realms.iter().for_each(|asked| text += &realm_as_text(asked));
        account.roles.iter().for_each(|tried| text += &role_rule_as_text(tried));
        text + &match &account.admission {
            Admission::Permit(permit) => admitted(permit),
            Admission::Unproven(claim) => match claim.user() {
                Some(user) => format!("\nasked for the password of user {}\n", user.name),
                None => "\nasked for a name and a password: the certificate is no user's\n".to_owned(),
            },
            Admission::Refused(refusal) => format!("\nrefused: {}\n", why(refusal)),
        }
    }
}

fn admitted(permit: &Permit) -> String {
    let Some(role) = permit.role() else {
        return format!(
            "\nadmitted as user {} by {}, to Redis as {}\n",
            permit.user().name,
            permit.rule(),
            permit.credential().redis_user
        );
    };
    format!(
        "\nadmitted as user {} by {}, to Redis as {} by the role {role}\n",
        permit.user().name,
        permit.rule(),
        permit.credential().redis_user
    )
}

fn realm_as_json(Asked { realm, verdict }: &Asked) -> Json {
    let about = |word: &str| json!({ "realm": **realm, "verdict": word });
    match verdict {
        Verdict::User { name, rule, groups } => {
            let mut about = about("user");
            about["user"] = json!(name);
            about["rule"] = json!(rule.to_string());
            about["groups"] = json!(groups);
            about
        }
        Verdict::Left(refusal) => refused(about("left"), refusal),
        Verdict::Refused(refusal) => refused(about("refused"), refusal),
        Verdict::Password => about("password"),
        Verdict::NotAsked => about("not_asked"),
    }
}

fn realm_as_text(Asked { realm, verdict }: &Asked) -> String {
    let verdict = match verdict {
        Verdict::User { name, rule, groups } if groups.is_empty() => format!("user {name} by {rule}"),
        Verdict::User { name, rule, groups } => {
            format!("user {name} by {rule}, in the groups {}", groups.join(", ").escape_debug())
        }
        Verdict::Left(refusal) => format!("left to the next realm: {}", why(refusal)),
        Verdict::Refused(refusal) => why(refusal),
        Verdict::Password => "asks for a password".to_owned(),
        Verdict::NotAsked => "not asked".to_owned(),
    };
    format!("realm {realm}: {verdict}\n")
}

fn role_rule_as_json(tried: &roles::Tried) -> Json {
    let misses = tried.misses.iter().map(|it| json!({ "reason": it.word.as_str(), "detail": it.detail }));
    json!({
        "rule": *tried.rule,
        "roles": tried.roles,
        "granted": tried.is_granted,
        "misses": misses.collect::<Vec<_>>(),
    })
}

/// One line, and one for each reason why not.
fn role_rule_as_text(tried: &roles::Tried) -> String {
    let roles = tried.roles.join(", ");
    if tried.is_granted {
        return format!("{}: grants {roles}\n", tried.rule);
    }
    let mut text = format!("{}: does not grant {roles}\n", tried.rule);
    for miss in &tried.misses {
        // Writing to a text does not fail.
        let _ = writeln!(text, "    {miss}");
    }
    text
}

fn why(refusal: &Refusal) -> String {
    format!("{}: {}", refusal.reason().as_str(), refusal.detail())
}

fn refused(mut about: Json, refusal: &Refusal) -> Json {
    about["reason"] = json!(refusal.reason().as_str());
    about["detail"] = json!(refusal.detail());
    about
}
