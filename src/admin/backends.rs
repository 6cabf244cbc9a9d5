//! What is said of the backends: lines of `/readyz` for a person, metrics for a graph.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::io::{BackendTrouble, Backends};
use crate::observe::log;

/// A line for each trouble: where, whom it concerns, the word for it, since when, and what was said.
pub(super) fn lines(backends: &Backends) -> String {
    backends.troubles.iter().map(line).collect()
}

fn line(trouble: &BackendTrouble) -> String {
    let BackendTrouble { database, node, redis_user, cause, text, since } = trouble;
    let user = redis_user.as_ref().map_or_else(String::new, |user| format!(", Redis user {user}"));
    // Fails only for years outside 0..=9999.
    let since = OffsetDateTime::from_unix_timestamp(*since)
        .ok()
        .and_then(|since| since.format(&Rfc3339).ok())
        .unwrap_or_else(|| "?".to_owned());
    let text = log::one_line(text);
    format!("database {database} at {node}{user}: {} since {since}: {text}\n", cause.as_str())
}

/// The same as gauges, of what is there at present.
pub(super) fn metrics(backends: &Backends) -> String {
    let mut text = "# HELP respgate_backend_up Whether a node can be used.\n\
                    # TYPE respgate_backend_up gauge\n"
        .to_owned();
    for (database, node, is_up) in &backends.nodes {
        let labels = format!("database=\"{}\",node=\"{}\"", escaped(database), escaped(node));
        text.push_str(&format!("respgate_backend_up{{{labels}}} {}\n", u8::from(*is_up)));
    }
    text.push_str(
        "# HELP respgate_backend_trouble What is wrong with a node; without redis_user it concerns everybody.\n\
         # TYPE respgate_backend_trouble gauge\n",
    );
    for BackendTrouble { database, node, redis_user, cause, .. } in &backends.troubles {
        let user = redis_user.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "respgate_backend_trouble{{database=\"{}\",node=\"{}\",redis_user=\"{}\",cause=\"{}\"}} 1\n",
            escaped(database),
            escaped(node),
            escaped(user),
            cause.as_str()
        ));
    }
    text
}

/// As a label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Cause;

    fn refused(user: Option<&str>, text: &str) -> Backends {
        let trouble = BackendTrouble {
            database: "orders".into(),
            node: "10.0.0.1:6379".into(),
            redis_user: user.map(str::to_owned),
            cause: Cause::Auth,
            text: text.into(),
            since: 60,
        };
        let nodes = vec![("orders".into(), "10.0.0.1:6379".into(), true)];
        Backends { nodes, troubles: vec![trouble], can_serve: true }
    }

    #[test]
    fn a_line_says_where_whom_what_and_since_when() {
        assert_eq!(
            lines(&refused(Some("app"), "WRONGPASS\r\nready")),
            "database orders at 10.0.0.1:6379, Redis user app: auth since 1970-01-01T00:01:00Z: WRONGPASS  ready\n"
        );
    }

    #[test]
    fn a_label_cannot_end_itself() {
        let text = metrics(&refused(Some("a\"b\\c\nd"), ""));
        assert!(text.contains("redis_user=\"a\\\"b\\\\c\\nd\",cause=\"auth\"} 1\n"), "{text}");
        assert!(
            text.contains("respgate_backend_up{database=\"orders\",node=\"10.0.0.1:6379\"} 1\n"),
            "{text}"
        );
    }
}
