//! Tells the service manager what the gateway is doing, as sd_notify(3) has it. Without one, that is where
//! `NOTIFY_SOCKET` is not set, nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// The time between the last client's end and the process's.
const END: Duration = Duration::from_secs(5);

/// Clients are served.
pub(super) fn serves() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// A reload begins. Until [`reloaded`] the service manager takes nothing for done.
pub(super) fn reloads() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => tracing::warn!(%error, "the service manager was not told of a reload"),
    }
}

/// It has ended, by another configuration in force or the one before.
pub(super) fn reloaded(is_taken: bool) {
    let status = if is_taken {
        "serving"
    } else {
        "serving; the last reload was refused (see the log), the configuration before it stays in force"
    };
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// So many clients may take so long to finish.
pub(super) fn drains(clients: usize, at_most: Duration) {
    let status = format!("draining: {clients} clients may take {} s to finish", at_most.as_secs_f32());
    let micros = u32::try_from((at_most + END).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(&status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager at NOTIFY_SOCKET cannot be told what the gateway does");
    }
}
