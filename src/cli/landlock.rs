//! Landlock: the rights of its user that the running gateway gives up, for its whole life. It runs
//! no program, changes no file but the audit's, listens at no port but those of the configuration,
//! and signals no other process. Knows rights, and nothing of what is done by them.
//!
//! Reading stays: a reload may name certificates and passwords in new directories, and to be refused
//! there at night would be worse than what it protects. Connecting stays, too: the nodes of
//! clusters and the masters of sentinels are found at run time.
//!
//! Programs that passwords come from inherit all of it, and they are other people's: they may keep
//! files and run further programs. Where there are any, only ports and signals are given up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use thiserror::Error;

use crate::io::Settings;

/// What is given up, since which version of the kernel's interface it can be, and whether it is
/// about programs and files.
const PARTS: [(&str, ABI, bool); 6] = [
    ("programs", ABI::V1, true),
    ("files", ABI::V1, true),
    ("truncation", ABI::V3, true),
    ("ports", ABI::V4, false),
    ("devices", ABI::V5, true),
    ("signals", ABI::V6, false),
];

/// What the process may still do, whatever a reload says.
pub(super) struct Domain {
    may_run_programs: bool,
}

/// What the gateway goes on needing.
struct Needs {
    /// Where the audit file is made anew after a rotation.
    directories: Vec<PathBuf>,
    /// 0 stands for any that the system chooses, as it does in a bind.
    ports: BTreeSet<u16>,
    has_programs: bool,
}

/// The names of `PARTS`, sorted by what the kernel has.
#[derive(Debug, PartialEq, Eq)]
struct InForce {
    restricted: Vec<&'static str>,
    lacking: Vec<&'static str>,
}

/// Why nothing is in force.
#[derive(Debug, Error)]
enum Absent {
    #[error("this kernel has none")]
    NotImplemented,
    #[error("this kernel has it switched off (lsm= at boot)")]
    NotEnabled,
    #[error("this kernel has too little of it for a gateway with password commands")]
    TooOld,
    #[error(transparent)]
    Refused(#[from] RulesetError),
}

/// Gives up what these settings do not need, as far as the kernel can, and tells the log how far. It
/// binds the calling thread and those that it starts afterwards.
pub(super) fn restrict(settings: &Settings) -> Domain {
    if !settings.landlock {
        tracing::info!("Landlock is switched off");
        return Domain { may_run_programs: true };
    }
    let needs = Needs::of(settings);
    match needs.restrict() {
        Ok(InForce { restricted, lacking }) => {
            let restricted = restricted.join(", ");
            if lacking.is_empty() {
                tracing::info!(restricted, "Landlock is in force");
            } else {
                tracing::info!(
                    restricted,
                    lacking = lacking.join(", "),
                    "Landlock is in force, as far as this kernel has it"
                );
            }
            Domain { may_run_programs: needs.has_programs }
        }
        Err(why) => {
            tracing::warn!(%why, "Landlock is not in force: the process keeps all rights of its user");
            Domain { may_run_programs: true }
        }
    }
}

impl Domain {
    /// Whether these settings need programs to be run, which nobody can allow any more.
    pub(super) fn forbids(&self, settings: &Settings) -> bool {
        !self.may_run_programs && !settings.password_commands.is_empty()
    }
}

impl Needs {
    fn of(settings: &Settings) -> Self {
        let listeners = settings.listeners.iter().map(|listener| listener.address);
        let admin = settings.admin.map(|admin| admin.address);
        Self {
            directories: settings.audit.file.as_deref().map(directories).unwrap_or_default(),
            ports: listeners.chain(admin).map(|address| address.port()).collect(),
            has_programs: !settings.password_commands.is_empty(),
        }
    }

    fn restrict(&self) -> Result<InForce, Absent> {
        let mut ruleset = Ruleset::default().handle_access(AccessNet::BindTcp)?.scope(Scope::Signal)?;
        if !self.has_programs {
            ruleset = ruleset.handle_access(of_files())?;
        }
        let mut ruleset = ruleset.create()?;
        for &port in &self.ports {
            ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
        }
        if !self.has_programs {
            // One that cannot be opened is left out: whoever opens the file says so.
            let anew = AccessFs::WriteFile | AccessFs::MakeReg;
            ruleset = ruleset.add_rules(path_beneath_rules(&self.directories, anew))?;
        }
        let status = ruleset.restrict_self()?;
        match status.landlock {
            LandlockStatus::NotImplemented => Err(Absent::NotImplemented),
            LandlockStatus::NotEnabled => Err(Absent::NotEnabled),
            LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => {
                Err(Absent::TooOld)
            }
            LandlockStatus::Available { effective_abi, .. } => {
                Ok(InForce::by(effective_abi, self.has_programs))
            }
        }
    }
}

impl InForce {
    fn by(kernel: ABI, has_programs: bool) -> Self {
        let parts = PARTS.into_iter().filter(|&(_, _, is_of_files)| !(is_of_files && has_programs));
        let (restricted, lacking): (Vec<_>, Vec<_>) = parts.partition(|&(_, since, _)| since <= kernel);
        let names = |parts: Vec<(&'static str, ABI, bool)>| parts.into_iter().map(|part| part.0).collect();
        Self { restricted: names(restricted), lacking: names(lacking) }
    }
}

/// Everything but reading. A fixed version: what a later one has is to be tried first.
fn of_files() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V5) | AccessFs::Execute
}

/// Where this file is made: beside its name and, if that is a link, where it leads.
fn directories(file: &Path) -> Vec<PathBuf> {
    let places = [std::path::absolute(file), file.canonicalize()];
    places.into_iter().flatten().filter_map(|place| place.parent().map(Path::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};
    use std::thread;

    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    use super::*;

    /// Restricts a thread of its own and has it try this; not at all where the kernel has no Landlock.
    fn with(needs: Needs, attempt: impl FnOnce(&InForce) + Send + 'static) {
        let thread = thread::spawn(move || match needs.restrict() {
            Ok(in_force) => attempt(&in_force),
            Err(Absent::Refused(why)) => panic!("{why}"),
            Err(why) => eprintln!("skipped: no Landlock: {why}"),
        });
        thread.join().unwrap();
    }

    fn nothing() -> Needs {
        Needs { directories: Vec::new(), ports: BTreeSet::new(), has_programs: false }
    }

    /// A process outside of the domain, ended when this is dropped.
    struct Bystander(Child);

    impl Bystander {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }
    }

    impl Drop for Bystander {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn files_are_read_everywhere_and_changed_only_beside_the_audit() {
        let (audit, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let old = other.path().join("old");
        fs::write(&old, "old").unwrap();
        let file = audit.path().join("audit.log");
        let needs = Needs { directories: directories(&file), ..nothing() };
        with(needs, move |_| {
            let denied =
                |result: std::io::Result<()>| assert_eq!(result.unwrap_err().kind(), PermissionDenied);
            let append = || OpenOptions::new().append(true).create(true).open(&file).map(drop);
            append().unwrap();
            append().unwrap();
            assert_eq!(fs::read_to_string(&old).unwrap(), "old");
            assert!(fs::read_dir(other.path()).unwrap().count() == 1);
            denied(OpenOptions::new().append(true).open(&old).map(drop));
            denied(File::create(other.path().join("new")).map(drop));
            denied(fs::create_dir(other.path().join("new")));
            denied(fs::rename(&old, other.path().join("new")));
            denied(fs::remove_file(&old));
            // What the gateway does not do there either.
            denied(fs::remove_file(&file));
            denied(symlink(&old, audit.path().join("link")));
        });
    }

    #[test]
    fn an_audit_file_that_is_a_link_is_written_where_it_leads() {
        let (audit, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, target) = (audit.path().join("audit.log"), other.path().join("today.log"));
        fs::write(&target, "").unwrap();
        symlink(&target, &file).unwrap();
        with(Needs { directories: directories(&file), ..nothing() }, move |_| {
            OpenOptions::new().append(true).create(true).open(&file).unwrap();
        });
    }

    #[test]
    fn no_program_is_run_unless_passwords_come_from_one() {
        let run = || Command::new("true").status();
        with(nothing(), move |_| assert_eq!(run().unwrap_err().kind(), PermissionDenied));
        let dir = tempfile::tempdir().unwrap();
        with(Needs { has_programs: true, ..nothing() }, move |_| {
            assert!(run().unwrap().success());
            fs::write(dir.path().join("token"), "kept by a program").unwrap();
        });
    }

    #[test]
    fn only_the_ports_of_the_configuration_are_bound_also_by_programs() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let bind = |address: &str| TcpListener::bind(address).map(drop).map_err(|error| error.kind());
        for has_programs in [false, true] {
            let taken = address.to_string();
            with(Needs { has_programs, ..nothing() }, move |in_force| {
                if in_force.restricted.contains(&"ports") {
                    assert_eq!([bind(&taken), bind("127.0.0.1:0")], [Err(PermissionDenied); 2]);
                }
            });
            let taken = address.to_string();
            let ports = BTreeSet::from([address.port()]);
            with(Needs { ports, has_programs, ..nothing() }, move |in_force| {
                if in_force.restricted.contains(&"ports") {
                    assert_eq!([bind(&taken), bind("127.0.0.1:0")], [Err(AddrInUse), Err(PermissionDenied)]);
                }
            });
            let taken = address.to_string();
            with(Needs { ports: BTreeSet::from([0]), has_programs, ..nothing() }, move |in_force| {
                assert_eq!(bind("127.0.0.1:0"), Ok(()));
                if in_force.restricted.contains(&"ports") {
                    assert_eq!(bind(&taken), Err(PermissionDenied));
                }
                std::net::TcpStream::connect(&taken).unwrap();
            });
        }
    }

    #[test]
    fn no_other_process_is_signalled_but_those_that_it_has_started() {
        let bystander = Bystander::start();
        let pid = bystander.pid();
        test_kill_process(pid).unwrap();
        with(Needs { has_programs: true, ..nothing() }, move |in_force| {
            if in_force.restricted.contains(&"signals") {
                assert_eq!(test_kill_process(pid), Err(Errno::PERM));
            }
            test_kill_process(Bystander::start().pid()).unwrap();
        });
    }

    #[test]
    fn what_an_older_kernel_lacks_is_told() {
        let by = |kernel, has_programs| {
            let InForce { restricted, lacking } = InForce::by(kernel, has_programs);
            [restricted, lacking].map(|parts| parts.join(" "))
        };
        assert_eq!(by(ABI::V1, false), ["programs files", "truncation ports devices signals"]);
        assert_eq!(by(ABI::V4, false), ["programs files truncation ports", "devices signals"]);
        assert_eq!(by(ABI::V6, false), ["programs files truncation ports devices signals", ""]);
        assert_eq!(by(ABI::V5, true), ["ports", "signals"]);
        assert_eq!(by(ABI::V6, true), ["ports signals", ""]);
    }
}
