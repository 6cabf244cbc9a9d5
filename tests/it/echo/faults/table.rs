//! The fourteen faults: what each needs, and what it may cost those whom it hits.

use super::inflict;
use super::{Diet, Habit, LOST, Losses, Stage};
use crate::backend::Version;

/// One fault.
pub(super) struct Fault {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) losses: Losses,
    pub(super) may_be_refused: bool,
    pub(super) habit: Option<Habit>,
    pub(super) habit_one_in: u64,
    pub(super) diet: Diet,
    pub(super) version: Version,
    pub(super) is_rogue: bool,
    /// Lines of `[limits]`.
    pub(super) limits: &'static str,
    /// What the gateway may warn of.
    pub(super) announced: &'static [&'static str],
    pub(super) inflict: fn(&mut Stage),
}

impl Fault {
    pub(super) fn is_called(&self, word: &str) -> bool {
        word == self.name || word == self.number.to_string()
    }
}

/// Where nothing may be lost, a busy machine is not to lose anything either.
macro_rules! patient {
    ($($more:literal)?) => {
        concat!(
            "handshake_timeout_ms = 60000\nconnect_timeout_ms = 30000\nfail_fast_ms = 30000\n",
            "probe_timeout_ms = 30000\n",
            $($more)?
        )
    };
}

/// Redis goes and comes back: that is soon found out, and on a busy machine a connection takes its time.
pub(in crate::echo) const SOON: &str =
    "handshake_timeout_ms = 60000\nconnect_timeout_ms = 30000\nreconnect_max_ms = 200\n";

/// What most have in common: nothing may be lost, and the clients make the fault.
const CALM: Fault = Fault {
    number: 0,
    name: "",
    losses: Losses::Never,
    may_be_refused: false,
    habit: None,
    habit_one_in: 4,
    diet: Diet::Plain,
    version: Version::System,
    is_rogue: false,
    limits: patient!(),
    announced: &[],
    inflict: inflict::nothing,
};

/// The backend goes and comes back; links are made again without much waiting.
const LOSSY: Fault = Fault { losses: Losses::Meanwhile, limits: SOON, announced: &[LOST], ..CALM };

pub(super) const FAULTS: [Fault; 14] = [
    Fault { number: 1, name: "client-reset", habit: Some(Habit::Resets), ..CALM },
    Fault { number: 2, name: "client-fin", habit: Some(Habit::Finishes), ..CALM },
    Fault {
        number: 3,
        name: "client-reads-late",
        habit: Some(Habit::ReadsLate),
        habit_one_in: 20,
        limits: patient!("client_output_stall_timeout_ms = 1000"),
        ..CALM
    },
    Fault { number: 4, name: "client-one-byte", habit: Some(Habit::Drips), ..CALM },
    Fault { number: 5, name: "backend-kill", inflict: inflict::kill, ..LOSSY },
    Fault {
        number: 6,
        name: "backend-stop",
        // On a busy machine a sound backend, too, may take as long as this.
        losses: Losses::Always,
        limits: "handshake_timeout_ms = 60000\nop_timeout_ms = 700\nprobe_timeout_ms = 700\nreconnect_max_ms = 200",
        inflict: inflict::stop,
        ..LOSSY
    },
    Fault { number: 7, name: "backend-slow", inflict: inflict::slow, ..CALM },
    Fault { number: 8, name: "backend-reset", inflict: inflict::cut, ..LOSSY },
    Fault {
        number: 9,
        name: "backend-rogue",
        losses: Losses::Always,
        is_rogue: true,
        limits: "handshake_timeout_ms = 60000\nfence_commands = 64\nfence_ms = 100\nop_timeout_ms = 2000\nreconnect_max_ms = 200",
        inflict: inflict::rogue,
        ..LOSSY
    },
    Fault {
        number: 10,
        name: "script-injection",
        // Redis 8.2 lets an error that a script raises hold line ends.
        losses: Losses::Always,
        version: Version::Redis8,
        inflict: inflict::after_scripts,
        ..LOSSY
    },
    Fault { number: 11, name: "reload-storm", inflict: inflict::reload, ..CALM },
    Fault {
        number: 12,
        name: "redis-user-gone",
        may_be_refused: true,
        // The user may be gone when its new password is tried.
        announced: &[LOST, "Redis refuses the changed password"],
        inflict: inflict::change_users,
        ..LOSSY
    },
    Fault {
        number: 13,
        name: "memory",
        // Large values are too much for so little also when everybody reads, and who comes anew is kept out then.
        losses: Losses::Always,
        may_be_refused: true,
        announced: &["no new clients"],
        diet: Diet::Heavy,
        habit: Some(Habit::ReadsLate),
        habit_one_in: 4,
        limits: "handshake_timeout_ms = 60000\nbuffers_bytes_max = 4000000\nclient_output_soft_bytes = 200000",
        inflict: inflict::squeeze,
        ..LOSSY
    },
    Fault {
        number: 14,
        name: "gateway-kill",
        may_be_refused: true,
        limits: "handshake_timeout_ms = 60000\nconnect_timeout_ms = 30000\ndrain_timeout_ms = 300",
        announced: &[LOST, "drain timeout", "stopped before all clients had ended"],
        inflict: inflict::restart,
        ..LOSSY
    },
];
