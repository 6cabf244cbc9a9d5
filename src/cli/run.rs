//! `respgate run`: the gateway, from its configuration to its last client. Owns the
//! signals: SIGHUP reloads, SIGTERM and SIGINT drain, a second one stops at once.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::harden;
use super::landlock::{self, Domain};
use super::service;
use crate::admin::{self, Admin, Health, NotReady};
use crate::config::{self, Loaded, Problems, Severity};
use crate::io::{Control, Handles, Rehearsal, Settings, StartError, rehearse, start};
use crate::observe::audit::{self, AuditError};
use crate::observe::log::{self, LogError};
use crate::observe::metrics::{Flow, Registry};

use super::watch::Watcher;

/// How often health and slow metrics are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Run the gateway
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "SIGHUP reloads the configuration, wholly or not at all. SIGTERM lets clients finish and ends; a second one ends
at once. RESPGATE_KEYSTORE_PASSWORD_FILE names the file with the keystore's password, if it has one.

Example:
  respgate run --config respgate.toml"
)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Why the gateway could not run.
#[derive(Debug, Error)]
enum RunError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("admin.address {address}: cannot listen: {cause}")]
    Admin { address: std::net::SocketAddr, cause: io::Error },
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Runs until a signal ends it.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match gateway(&args.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("respgate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn gateway(path: &Path) -> Result<(), RunError> {
    // Before the first key is read.
    let hardened = harden::harden();
    let Loaded { settings, warnings } = config::load(path).map_err(|problems| refusal(&problems))?;
    log::start(&settings.log)?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug: one task has ended")));
    warn_of(&warnings);
    if let Err(error) = hardened {
        tracing::warn!(%error, "core dumps or tracing could not be switched off: keys in memory are less protected");
    }
    debug_assert!(is_single_threaded(), "a thread that runs already keeps its rights");
    let domain = landlock::restrict(&settings);
    let (audit, writer) = audit::start((&settings.audit).into())?;
    let registry = Arc::new(Registry::new()?);
    let (admin, is_watching) = (settings.admin, settings.watch);
    let databases: Vec<_> =
        settings.databases.iter().map(|it| (it.name.clone(), it.location.to_string())).collect();
    let handles = Handles { audit: audit.clone(), registry: Arc::clone(&registry) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let control = start(settings, handles)?;
    for (listener, address) in control.addresses() {
        tracing::info!(%address, listener, version = env!("CARGO_PKG_VERSION"), "listening");
    }
    for (database, address) in databases {
        tracing::info!(database, address, "commands go to");
    }
    let result = runtime.block_on(async {
        let health = Health::starting();
        let (stop, stopped) = watch::channel(false);
        if let Some(admin) = admin {
            serve_admin(admin.address, &health, &registry, stopped).await?;
        }
        health.look_at(control.backends());
        health.clear(NotReady::Starting);
        service::serves();
        let lost = registry.counter("respgate_audit_lost_total", "Audit records lost.", &[]);
        let mut files = Files { watcher: is_watching.then(|| Watcher::new(&warnings.files)) };
        let watch = Watch {
            path,
            control: &control,
            audit: &audit,
            domain: &domain,
            health: &health,
            registry: &registry,
        };
        watch.until_stopped(Flow::new(lost), &mut files).await?;
        let _ = stop.send(true);
        Ok(())
    });
    control.stop();
    writer.finish();
    // Without waiting for a reload that still reads.
    runtime.shutdown_background();
    tracing::info!("stopped");
    result
}

/// Opens the admin listener and serves it beside everything else.
async fn serve_admin(
    address: std::net::SocketAddr,
    health: &Health,
    registry: &Arc<Registry>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let cannot = |cause| RunError::Admin { address, cause };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(cannot)?;
    tracing::info!(address = %listener.local_addr().map_err(cannot)?, "admin listening");
    let admin = Admin { health: health.clone(), metrics: Arc::clone(registry) };
    tokio::spawn(admin::serve(listener, admin, async move {
        // An error means that the gateway is being dropped.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }));
    Ok(())
}

/// What is looked after while the gateway runs.
struct Watch<'a> {
    path: &'a Path,
    control: &'a Control,
    audit: &'a audit::Audit,
    domain: &'a Domain,
    health: &'a Health,
    registry: &'a Registry,
}

impl Watch<'_> {
    async fn until_stopped(&self, mut lost: Flow, files: &mut Files) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = hangup.recv() => files.look(),
                () = files.changed() => tracing::info!("a file of the configuration has changed"),
                () = either(&mut terminate, &mut interrupt) => break,
                _ = look.tick() => {
                    self.health.look_at(self.control.backends());
                    self.registry.upkeep();
                    lost.flush(self.audit.lost_total());
                    continue;
                }
            }
            service::reloads();
            // Until it is in force, a reload that is given up has changed nothing.
            tokio::select! {
                depends = self.reload() => {
                    files.follow(&depends);
                    service::reloaded(depends.watch.is_some());
                }
                () = either(&mut terminate, &mut interrupt) => break,
            }
        }
        self.health.raise(NotReady::Draining);
        let clients = self.control.clients();
        tracing::info!(clients, "draining; a second signal stops at once");
        service::drains(clients, self.control.drain_timeout());
        tokio::select! {
            () = self.control.drain() => {}
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopped before all clients had ended"),
        }
        Ok(())
    }

    /// Reads and checks everything, then swaps it; if any of it is wrong, nothing changes.
    async fn reload(&self) -> Depends {
        self.audit.reopen();
        let path = self.path.to_owned();
        // A file, and its whole file system, may keep its reader waiting.
        let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await;
        let loaded = loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        let Loaded { settings, warnings } = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                for problem in &problems.list {
                    let told = problems.describe(problem);
                    match problem.severity {
                        Severity::Error => tracing::error!(problem = told, "reload refused"),
                        Severity::Warning => {
                            tracing::warn!(problem = told, "in the configuration that is refused")
                        }
                    }
                }
                tracing::error!("nothing was reloaded: the configuration in force stays");
                return Depends { files: problems.files, watch: None };
            }
        };
        warn_of(&warnings);
        if self.is_forbidden(&settings) || is_refused(&settings).await {
            tracing::error!("nothing was reloaded: the configuration in force stays");
            return Depends { files: warnings.files, watch: None };
        }
        let (users, is_watching) = (settings.users.users().len(), settings.watch);
        match self.control.reload(settings) {
            Ok(unchanged) => {
                for key in unchanged {
                    tracing::warn!(key, "this change needs a restart");
                }
                tracing::info!(users, "reloaded");
                Depends { files: warnings.files, watch: Some(is_watching) }
            }
            Err(error) => {
                tracing::error!(%error, "nothing was reloaded: the configuration in force stays");
                Depends { files: warnings.files, watch: None }
            }
        }
    }

    /// Whether they need what the process has given up. In force they would never have the password.
    fn is_forbidden(&self, settings: &Settings) -> bool {
        let is_forbidden = self.domain.forbids(settings);
        if is_forbidden {
            tracing::error!(
                key = "redis_password_command",
                "reload refused: this change needs a restart: the gateway has started without such a program, and by \
                 process.landlock it runs none"
            );
        }
        is_forbidden
    }
}

/// Whether this is the only thread. Where that cannot be seen it is taken to be.
fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |threads| threads.count() == 1)
}

/// Whether Redis refuses rules of users that the gateway is to make. Where it cannot be asked they are
/// taken, and made when it can.
async fn is_refused(settings: &Settings) -> bool {
    // An error is told by whoever brings the settings into force.
    let Ok(rehearsals) = rehearse(settings).await else { return false };
    let mut is_refused = false;
    for Rehearsal { node, refused, .. } in rehearsals {
        for (redis_user, why) in refused {
            is_refused = true;
            tracing::error!(node, redis_user, why, "reload refused: Redis refuses the acl of this user");
        }
    }
    is_refused
}

/// What a configuration depends on, and whether that is to be watched; `None` is as before, since it is not in force.
struct Depends {
    files: Vec<PathBuf>,
    watch: Option<bool>,
}

/// The files of the configuration, watched or not.
struct Files {
    watcher: Option<Watcher>,
}

impl Files {
    /// Returns when one of them has changed; never, if they are not watched.
    async fn changed(&mut self) {
        match &mut self.watcher {
            Some(watcher) => watcher.changed().await,
            None => std::future::pending().await,
        }
    }

    /// To be called before they are read: what changes later is noticed.
    fn look(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.look();
        }
    }

    fn follow(&mut self, depends: &Depends) {
        match (&mut self.watcher, depends.watch) {
            (watcher, Some(false)) => *watcher = None,
            (Some(watcher), _) => watcher.follow(&depends.files),
            (watcher @ None, Some(true)) => *watcher = Some(Watcher::new(&depends.files)),
            (None, None) => {}
        }
    }
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}

fn refusal(problems: &Problems) -> RunError {
    let lines: Vec<String> = problems.list.iter().map(|problem| problems.describe(problem)).collect();
    RunError::Config(format!("the configuration cannot be used\n{}", lines.join("\n")))
}

fn warn_of(warnings: &Problems) {
    for problem in &warnings.list {
        tracing::warn!(problem = warnings.describe(problem), "configuration");
    }
}
