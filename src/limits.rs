//! Every bound and every wait, by name, with its default and its reason.
//!
//! The struct is read straight from `[limits]` of the configuration: a second
//! type with the same forty fields would say nothing more. `config::check`
//! refuses values that make no sense.

use serde::Deserialize;

macro_rules! limits {
    ($($(#[doc = $doc:expr])+ $name:ident: $kind:ty = $default:expr,)+) => {
        /// Bounds and waits. Durations are milliseconds, sizes are bytes.
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// Each setting's name and value, in the order of this file.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name as u64),)+]
            }
        }
    };
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A worker keeps no more pinned links ready ahead of their use, of all its lanes.
pub const SPARE_LINKS_MAX: usize = 64;

/// What `buffers_bytes_max` is by default where there is memory enough, or none knows how much.
pub const BUFFERS_BYTES_DEFAULT: usize = 1024 * MIB;

impl Limits {
    /// `buffers_bytes_max` as written; without that, a quarter of the memory that there is, if
    /// that is known, and no more than its default.
    #[must_use]
    pub fn buffers_bytes(&self, memory: Option<u64>) -> usize {
        let quarter = memory.map_or(usize::MAX, |bytes| usize::try_from(bytes / 4).unwrap_or(usize::MAX));
        match self.buffers_bytes_max {
            0 => quarter.clamp(1, BUFFERS_BYTES_DEFAULT),
            written => written,
        }
    }
}

limits! {
    /// A client that has not finished its TLS handshake by then is closed.
    handshake_timeout_ms: u64 = 5_000,
    /// Handshakes under way at a time; further ones wait their turn, so that a
    /// flood of new clients cannot starve those already in. Who does not answer within a
    /// tenth of a second lets others go on, and keeps nobody waiting. What such handshakes
    /// hold is bounded at 64 MiB; past that the one that began first is closed.
    handshakes_max: usize = 256,
    /// Clients of one network (an IPv4 address, an IPv6 /64) whose handshake has not ended,
    /// silent ones included; further ones are closed at once, since waiting they would take
    /// places of `clients_max` from other networks. 0 is no bound: many clients behind one
    /// address are normal.
    handshakes_per_network_max: usize = 0,
    /// Clients at a time; lowered at start to what the open-file limit allows, of which 64 are kept
    /// for other things, and a quarter for pinned links where these may be as many.
    clients_max: usize = 10_000,
    /// Clients of one user at a time, so that one service cannot lock out the rest.
    clients_per_user_max: usize = 5_000,
    /// Connections the kernel may hold before they are accepted.
    listen_backlog: u32 = 1_024,
    /// Idle time after which TCP keepalive probes a peer.
    keepalive_ms: u64 = 60_000,
    /// How long sent bytes may stay unacknowledged before a peer is given up.
    tcp_user_timeout_ms: u64 = 30_000,
    /// A client that may come in by a password and has not done so by then is closed.
    authentication_timeout_ms: u64 = 60_000,
    /// Clients at a time that have yet to say who they are, so that strangers cannot
    /// take all places.
    unproven_clients_max: usize = 1_000,
    /// Wrong passwords after which a connection is closed.
    auth_failures_max: u32 = 3,
    /// Wrong passwords of one network (an IPv4 address, an IPv6 /64) for one user
    /// within `auth_failures_window_ms`, after which further ones are refused unread;
    /// 0 is no bound. Clients behind one address with a wrong password do not lock out
    /// other users there.
    auth_failures_per_network_max: u32 = 10,
    /// How long wrong passwords are counted.
    auth_failures_window_ms: u64 = 60_000,
    /// Password hashes computed at a time, each on a thread of its own.
    password_hashes_max: usize = 2,
    /// Connections at a time on which Redis is asked about a password.
    password_connections_max: usize = 32,
    /// Passwords that are being checked or wait for it; more are told to try again.
    password_checks_max: usize = 256,
    /// A client in the middle of a request, or of a TLS record, that makes no progress for this long
    /// is closed.
    request_stall_timeout_ms: u64 = 30_000,
    /// A client that sends nothing for this long is closed; 0 is never, since
    /// long-lived subscribers and pools are normal.
    client_idle_timeout_ms: u64 = 0,
    /// A client with keys that it watches or a transaction that it has not ended, which sends
    /// nothing for this long, is closed: meanwhile it has a link to itself. 0 is never, as in Redis.
    transaction_idle_timeout_ms: u64 = 0,
    /// The longest a client may stay connected; 0 is until its certificate ends.
    session_age_max_ms: u64 = 0,
    /// Arguments of one command.
    request_args_max: usize = 1_048_576,
    /// One argument; Redis' proto-max-bulk-len.
    bulk_bytes_max: usize = 512 * MIB,
    /// A larger request travels on a link of its own, where it can be aborted
    /// without harm to others.
    shared_request_bytes_max: usize = MIB,
    /// Requests of one client awaiting replies; past that it is not read.
    client_in_flight_max: usize = 1_024,
    /// Unread output past which a client's requests are not read.
    client_output_soft_bytes: usize = MIB,
    /// Unread output past which a client is closed.
    client_output_hard_bytes: usize = 64 * MIB,
    /// Names that one client listens to over a connection that it shares, each with
    /// 200 bytes more; past that its SUBSCRIBE is refused.
    subscriptions_bytes_max: usize = 32 * MIB,
    /// Input and output held for all clients together; past that the client that
    /// holds most is closed. Each worker has its share. At 95 % of it new clients are
    /// closed before their handshake. Requests are never refused for it: clients that leave
    /// their replies unread are not read from and the largest is closed, while refusing would
    /// let one that stays below its end make everybody else's requests fail. 0 is a quarter of
    /// the memory that the process may use, [`BUFFERS_BYTES_DEFAULT`] at most.
    buffers_bytes_max: usize = 0,
    /// A client with unread output that reads nothing for this long is closed.
    client_output_stall_timeout_ms: u64 = 60_000,
    /// As above, while others wait behind a very large reply of its.
    large_reply_stall_timeout_ms: u64 = 10_000,
    /// A reply larger than this takes its shared link for itself.
    large_reply_bytes: usize = MIB,
    /// Connecting to a backend and greeting it, all together.
    connect_timeout_ms: u64 = 2_000,
    /// A reply that has not begun so long after its request was written ends its
    /// link. Blocking commands are not subject to it.
    op_timeout_ms: u64 = 60_000,
    /// How long a request may wait while no link of its lane is healthy.
    fail_fast_ms: u64 = 250,
    /// How long a request to a cluster may wait for somebody to serve its hash slot: the time in
    /// which a replica takes over, which is a little more than the cluster's `cluster-node-timeout`.
    cluster_wait_ms: u64 = 5_000,
    /// The map of a cluster is read this often, within a tenth, besides whenever a node says that
    /// it has changed.
    cluster_refresh_ms: u64 = 60_000,
    /// How many requests may wait for a link of their lane to be ready.
    fail_fast_commands: usize = 1_024,
    /// Shared links of one lane in one worker; fewer links make larger batches.
    shared_links_max: usize = 1,
    /// Requests in flight on one shared link.
    link_in_flight_max: usize = 4_096,
    /// Request bytes waiting to be written on one link.
    link_queue_bytes_max: usize = 4 * MIB,
    /// Commands after which a shared link proves that it is still in step.
    fence_commands: u64 = 1_024,
    /// Time in use after which a shared link proves that it is still in step.
    fence_ms: u64 = 1_000,
    /// Pinned links in total, of which each worker has its share, at least one; 0 is
    /// as many as `clients_max`. Lowered to what clients leave of the open-file limit.
    pinned_links_max: usize = 0,
    /// The same of one user, so that one service cannot take them all; 0 is no bound.
    pinned_links_per_user_max: usize = 0,
    /// How long a request waits for a pinned link while there are as many as may be, and all
    /// are in use.
    pinned_links_wait_ms: u64 = 1_000,
    /// Links that are kept connected and greeted where sessions have lately wanted pinned ones, in
    /// each lane of a worker: the next need not wait for that. None where a node's role is asked for.
    pinned_links_spare: usize = 2,
    /// A shared link is drained and replaced at this age, within a tenth.
    link_age_max_ms: u64 = 3_600_000,
    /// A link unused for this long is closed.
    link_idle_timeout_ms: u64 = 600_000,
    /// The first wait after a failed connection; doubles, with full jitter.
    reconnect_min_ms: u64 = 50,
    /// The longest wait between two attempts; a node that is back is used within a second.
    reconnect_max_ms: u64 = 500,
    /// Connections that a failing node may see a second, from all workers together.
    reconnects_per_second_max: u32 = 10,
    /// Links of a node that are connected and greeted at a time, so that very many that
    /// come back at once take turns instead of all being late.
    connecting_links_max: usize = 256,
    /// An idle shared link is probed with PING this often.
    probe_interval_ms: u64 = 5_000,
    /// A probe unanswered for this long ends its link.
    probe_timeout_ms: u64 = 2_000,
    /// Each sentinel is asked this often where the master is, beside hearing of switches.
    sentinel_poll_interval_ms: u64 = 10_000,
    /// The same for as long as a poll interval after one has told of a switch, or while the
    /// master is not to be reached or is none.
    sentinel_urgent_interval_ms: u64 = 250,
    /// Connecting to a sentinel, or an answer of one; past that its word no longer counts.
    sentinel_timeout_ms: u64 = 2_000,
    /// Where users read from replicas, the master is asked this often how far those are; an answer takes as
    /// long at most.
    replica_check_ms: u64 = 1_000,
    /// How often the users that the gateway makes are held against what Redis shows of
    /// them. A login that Redis refuses has it look at once.
    provisioning_check_ms: u64 = 5_000,
    /// A program that a password comes from is killed if it has not ended by then.
    password_command_timeout_ms: u64 = 10_000,
    /// How long a client that asks about others (CLIENT KILL, CLIENT UNBLOCK, the REDIRECT of
    /// CLIENT TRACKING) waits for the workers that serve them.
    peer_timeout_ms: u64 = 2_000,
    /// After SIGTERM, how long clients may take to finish.
    drain_timeout_ms: u64 = 30_000,
    /// After SIGTERM, a client that has sent nothing for this long is closed; one that works
    /// is closed together with a reply, so that it knows before it sends again.
    drain_quiet_ms: u64 = 1_000,
    /// How long a refused client is answered that it is refused; and after a last error line, how
    /// long a client may take to read it.
    linger_timeout_ms: u64 = 2_000,
    /// After a last error line, how much more of a client's input is discarded.
    linger_bytes_max: usize = MIB,
    /// Arrays within arrays in a reply.
    reply_depth_max: usize = 128,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_take_a_quarter_of_the_memory_unless_it_is_written_how_much() {
        let gib = 1024 * MIB as u64;
        let of = |written, memory| {
            Limits { buffers_bytes_max: written, ..Limits::default() }.buffers_bytes(memory)
        };
        assert_eq!(of(0, Some(2 * gib)), 512 * MIB);
        assert_eq!(of(0, Some(64 * gib)), BUFFERS_BYTES_DEFAULT);
        assert_eq!(of(0, None), BUFFERS_BYTES_DEFAULT);
        assert_eq!(of(0, Some(0)), 1, "never none at all");
        assert_eq!(of(4096 * MIB, Some(2 * gib)), 4096 * MIB);
    }
}
