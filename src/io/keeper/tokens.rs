//! Passwords that programs yield: each asked at start and every so often, again soon if it fails;
//! meanwhile the last one stays in use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use tokio::task::JoinSet;

use super::command::{NoPassword, PasswordCommand};
use crate::identity::Keeping;
use crate::io::clock;
use crate::io::control::Shared;
use crate::observe::metrics::Registry;
use crate::secret::Secret;

/// After the first failure; doubles up to a minute.
const RETRY: Duration = Duration::from_secs(1);

/// Doublings of it.
const RETRIES: u32 = 6;

/// What is counted.
pub(super) struct Meters {
    failures: Counter,
    failing: Gauge,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Self {
        let (failures, failing) =
            ("Runs of password commands that failed.", "Password commands whose last run failed.");
        Self {
            failures: registry.counter("respgate_password_commands_failed_total", failures, &[]),
            failing: registry.gauge("respgate_password_commands_failing", failing, &[]),
        }
    }
}

/// One program.
struct Token {
    command: PasswordCommand,
    /// When its last run ended, if there was one.
    ended_at: Option<Instant>,
    is_running: bool,
    /// Since it worked last.
    failures: u32,
}

impl Token {
    /// When it is to be run again. A reload may have changed how often.
    fn due(&self, now: Instant) -> Instant {
        let refresh = self.command.refresh;
        let wait = match self.failures.checked_sub(1) {
            None => refresh,
            Some(more) => (RETRY * 2u32.pow(more.min(RETRIES))).min(refresh),
        };
        self.ended_at.map_or(now, |at| at + wait)
    }
}

/// A run and what it gave.
type Run = (Keeping, Result<Secret, NoPassword>);

/// Looks after them for as long as it is let. `first` is called when all have been asked once.
pub(super) async fn keep(shared: Arc<Shared>, meters: Meters, first: impl FnOnce()) {
    let (mut tokens, mut runs) = (BTreeMap::new(), JoinSet::new());
    let mut wake = shared.keep.wake.subscribe();
    let mut first = Some(first);
    loop {
        let live = shared.live.load_full();
        follow(&mut tokens, &live.settings.password_commands, &shared);
        let timeout = Duration::from_millis(live.settings.limits.password_command_timeout_ms);
        begin(&mut tokens, &mut runs, timeout);
        meters.failing.set(tokens.values().filter(|token| token.failures > 0).count() as f64);
        if runs.is_empty()
            && let Some(first) = first.take()
        {
            first();
        }
        let now = clock::now();
        let due = tokens.values().filter(|token| !token.is_running).map(|token| token.due(now)).min();
        tokio::select! {
            _ = wake.changed() => {}
            Some(run) = runs.join_next() => {
                // A run that panics is a bug, and told by the panic's own line.
                if let Ok(run) = run {
                    note(&mut tokens, run, &shared, &meters);
                }
            }
            () = until(due) => {}
        }
    }
}

/// Which programs there are by the settings. The token of one that has gone is held by the workers
/// for as long as they speak by it.
fn follow(tokens: &mut BTreeMap<Keeping, Token>, commands: &[PasswordCommand], shared: &Shared) {
    let is_wanted = |keeping: &Keeping| commands.iter().any(|command| command.keeping == *keeping);
    let gone: Vec<Keeping> = tokens.keys().filter(|keeping| !is_wanted(keeping)).cloned().collect();
    if !gone.is_empty() {
        tokens.retain(|keeping, _| is_wanted(keeping));
        shared.keep.put(|kept| kept.retain(|keeping, _| !gone.contains(keeping)));
    }
    for command in commands {
        let token = || Token { command: command.clone(), ended_at: None, is_running: false, failures: 0 };
        let token = tokens.entry(command.keeping.clone()).or_insert_with(token);
        token.command.refresh = command.refresh;
    }
}

/// Runs those that are due.
fn begin(tokens: &mut BTreeMap<Keeping, Token>, runs: &mut JoinSet<Run>, timeout: Duration) {
    let now = clock::now();
    for token in tokens.values_mut().filter(|token| !token.is_running && token.due(now) <= now) {
        token.is_running = true;
        let command = token.command.clone();
        runs.spawn_local(async move { (command.keeping.clone(), command.run(timeout).await) });
    }
}

fn note(tokens: &mut BTreeMap<Keeping, Token>, (keeping, result): Run, shared: &Shared, meters: &Meters) {
    let Some(token) = tokens.get_mut(&keeping) else { return };
    (token.is_running, token.ended_at) = (false, Some(clock::now()));
    let program = token.command.program.display();
    match result {
        Ok(secret) => {
            if token.failures > 0 {
                tracing::info!(%program, "the password command works again");
            }
            token.failures = 0;
            shared.keep.put(|kept| drop(kept.insert(keeping.clone(), secret.clone())));
        }
        Err(why) => {
            let has_last = shared.keep.kept().contains_key(&keeping);
            let meanwhile = if has_last { "the last one stays in use" } else { "there is none" };
            tracing::error!(%program, %why, "no password from its command: {meanwhile}");
            meters.failures.increment(1);
            token.failures = token.failures.saturating_add(1);
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
