//! A thousand reloads while clients work.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::broken::WAYS;
use super::era::{Eras, Files, TENANT};
use super::traffic::{self, Tally};
use super::{Curtain, Show};
use crate::pki::client_config;
use crate::world::World;

const RELOADS: usize = 1_000;

/// One world, its files and its turns.
struct Stage<'a> {
    world: &'a World,
    eras: &'a Eras,
    sound: [Files; 2],
    installed: Option<Files>,
    /// Which one is in force.
    number: usize,
    took: Vec<Duration>,
}

impl<'a> Stage<'a> {
    fn new(world: &'a World, eras: &'a Eras) -> Self {
        let sound = [0, 1].map(|number| eras.files(number, &world.redis.socket()));
        Self { world, eras, sound, installed: None, number: 1, took: Vec::new() }
    }

    /// Has these files read, and waits for the word that says how it went.
    fn reload(&mut self, files: Files, word: &str) -> Vec<String> {
        let directory = self.world.path("");
        files.install(Path::new(&directory), self.installed.as_ref());
        self.installed = Some(files);
        let log = &self.world.gateway.stderr;
        let before = log.count();
        let start = Instant::now();
        self.world.gateway.signal(Signal::HUP);
        let told = |line: &str| line.contains("\"reloaded\"") || line.contains("nothing was reloaded");
        let line = log.wait_after(before, "of the reload", told);
        self.took.push(start.elapsed());
        let lines = log.after(before);
        assert!(line.contains(word), "{word:?} is not in {line}, but:\n{}", lines.join("\n"));
        lines
    }

    /// The other one comes into force.
    fn turn(&mut self) {
        self.number = 1 - self.number;
        self.reload(self.sound[self.number].clone(), "\"reloaded\"");
    }

    /// The other one, with something broken: it does not.
    fn stumble(&mut self, way: usize) {
        let (breaks, says) = WAYS[way];
        let other = 1 - self.number;
        let mut files = self.sound[other].clone();
        breaks(&mut files, self.eras, other);
        let lines = self.reload(files, "nothing was reloaded");
        assert!(lines.iter().any(|line| line.contains(says)), "{says:?} is not in\n{}", lines.join("\n"));
    }

    /// New clients meet what is in force, all of it and nothing else.
    fn assert_in_force(&self) {
        for (number, era) in self.eras.eras.iter().enumerate() {
            let config = client_config(Some(&era.tenant.identity));
            let is_let_in = traffic::is_let_in(self.world.gateway.address, &config, era);
            assert_eq!(is_let_in, number == self.number, "{} while era {}", era.user, self.number);
        }
    }
}

/// ES-16, OS-24: a third of them are broken, each way again and again; nobody whose mapping holds
/// notices any, and nobody meets a mixture.
#[test]
fn a_thousand_reloads_a_third_of_them_broken() {
    let world = World::start();
    let eras = Eras::new();
    world.announce("reload refused");
    world.announce("in the configuration that is refused");
    // The users are bound to no CA here.
    world.announce("nothing was reloaded");
    let mut stage = Stage::new(&world, &eras);
    stage.turn();
    let (show, tally) = (Show::default(), Tally::default());
    let start = Instant::now();
    std::thread::scope(|scope| {
        let _curtain = Curtain(&show);
        let (show, tally, eras, address) = (&show, &tally, &eras, world.gateway.address);
        for (user, identity) in [("app", &eras.app), ("ops", &eras.ops)] {
            scope.spawn(move || traffic::works(show, address, identity, user, tally));
            scope.spawn(move || traffic::comes_and_goes(show, address, identity, user, tally));
        }
        scope.spawn(move || traffic::trades(show, address, &eras.app, tally));
        scope.spawn(move || traffic::listens(show, address, &eras.ops, tally));
        for era in &eras.eras {
            scope.spawn(move || traffic::tries(show, address, era, tally));
        }
        for round in 0..RELOADS {
            if round % 3 == 2 {
                stage.stumble(round / 3 % WAYS.len());
            } else {
                stage.turn();
            }
            stage.assert_in_force();
        }
    });
    tell(&mut stage.took, start.elapsed(), &tally);
    assert_no_mixture(&world, &eras);
}

fn tell(took: &mut [Duration], all: Duration, tally: &Tally) {
    took.sort_unstable();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (commands, arrivals) = (count(&tally.commands), count(&tally.arrivals));
    let (let_in, turned_away) = (count(&tally.let_in), count(&tally.turned_away));
    eprintln!(
        "{RELOADS} reloads in {all:?}, each {:?} (median) to {:?}; {commands} commands, {arrivals} arrivals, \
         tenants let in {let_in} and turned away {turned_away} times",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    // Each kind of client has been there all along.
    assert!(commands > RELOADS as u64 && arrivals > RELOADS as u64 / 10, "there was no load");
    assert!(let_in > 100 && turned_away > 100, "no tenant met both eras");
}

/// By the gateway's own records: who came with a certificate of one era was that era's user, or
/// nobody because its CA was not trusted.
fn assert_no_mixture(world: &World, eras: &Eras) {
    let mut met = [[0, 0], [0, 0]];
    for record in world.audit() {
        match record["subject"].as_str() {
            Some("CN=app,O=Acme" | "CN=ops,O=Acme") => {
                assert_eq!(record["outcome"], "accepted", "{record:#}");
                continue;
            }
            Some(TENANT) => {}
            _ => continue,
        }
        let serial = record["serial"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
        let number = eras.eras.iter().position(|era| Some(era.tenant.serial) == serial).expect("of an era");
        let era = &eras.eras[number];
        match record["outcome"].as_str() {
            Some("accepted") => {
                let user = (record["user"].as_str(), record["redis_user"].as_str());
                assert_eq!(user, (Some(era.user), Some(era.redis_user)), "a mixture: {record:#}");
                met[number][0] += 1;
            }
            Some("refused") => {
                assert_eq!(record["reason"], "untrusted_issuer", "{record:#}");
                met[number][1] += 1;
            }
            // Users are looked at before CAs.
            Some("ended") => {
                let reason = record["reason"].as_str().expect("it has one");
                assert!(["issuer_scope", "untrusted_issuer"].contains(&reason), "{record:#}");
            }
            _ => panic!("{record:#}"),
        }
    }
    assert!(met.iter().flatten().all(|&count| count > 100), "{met:?}");
}
