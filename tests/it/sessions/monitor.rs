//! MONITOR, for a user whose profile allows it, and how it ends.

use crate::resp::request;
use crate::wire::Client;
use crate::world::at_both_doors;

/// Reads lines until one has this in it; all of them are MONITOR's.
fn sees(monitor: &mut Client, part: &str) {
    loop {
        let line = monitor.read().to_string();
        assert!(line.starts_with("+1") && line.contains(" ["), "{line}");
        if line.contains(part) {
            return;
        }
    }
}

#[test]
fn a_monitor_sees_the_commands_of_others_and_ends_as_in_redis() {
    at_both_doors(|door| {
        let mut other = door.client("app");
        let large = "v".repeat(100_000);
        for end in ["RESET", "QUIT"] {
            let mut monitor = door.client("root");
            monitor.talk(&[("SELECT 1", "+OK"), ("MONITOR", "+OK")]);
            for round in 0..20 {
                other.talk(&[(&format!("SET k {round}"), "+OK")]);
                sees(&mut monitor, &format!("\"SET\" \"k\" \"{round}\""));
            }
            other.call(&["SET", "large", &large]);
            sees(&mut monitor, "\"large\"");
            // In the middle of what it has not read, which Redis does not keep for whom RESET makes a stranger.
            for round in 0..if door.is_gateway() { 20 } else { 0 } {
                other.call(&["SET", "large", &large]);
                other.talk(&[(&format!("SET k {round}"), "+OK")]);
            }
            monitor.send(end);
            let last = loop {
                match monitor.read().to_string() {
                    line if line.starts_with("+1") => {}
                    last => break last,
                }
            };
            if end == "QUIT" {
                assert_eq!(last, "+OK");
                monitor.expect_end();
            } else {
                assert_eq!(last, "+RESET");
                other.talk(&[("SET k unseen", "+OK")]);
                monitor.talk(&[
                    ("AUTH root canary-root", "+OK"),
                    ("GET k", "$unseen"),
                    ("CLIENT GETNAME", "nil"),
                ]);
            }
        }
    });
}

/// The first line that is not MONITOR's.
fn answer(monitor: &mut Client) -> String {
    let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
    loop {
        match monitor.read().to_string() {
            line if line.starts_with("+1") && line.contains(" [") => {
                assert!(std::time::Instant::now() < deadline, "no answer among the lines");
            }
            other => return other,
        }
    }
}

#[test]
fn a_monitor_that_asks_is_answered_to_the_end() {
    at_both_doors(|door| {
        let large = "v".repeat(1_200_000);
        for proto in ["2", "3"] {
            let mut monitor = door.client("root");
            monitor.ask(&format!("HELLO {proto}"));
            if proto == "3" {
                monitor.talk(&[("CLIENT TRACKING ON", "+OK")]);
            }
            // What comes at once with it is looked at when it is known whether it monitors.
            monitor.write(&[request(&["MONITOR"]), request(&["ECHO", &large])].concat());
            assert_eq!(monitor.read().to_string(), "+OK");
            assert_eq!(answer(&mut monitor), "$1200000 bytes");
            for (command, told) in [("SELECT 1", "+OK"), ("SELECT x", "-ERR "), ("PING", "+PONG")] {
                monitor.send(command);
                let got = answer(&mut monitor);
                assert!(got.starts_with(told), "{command}: {got}");
            }
            monitor.write(&request(&["ECHO", &large]));
            assert_eq!(answer(&mut monitor), "$1200000 bytes");
            for command in ["CLIENT TRACKINGINFO", if proto == "2" { "HELLO 3" } else { "HELLO 2" }] {
                monitor.send(command);
                let got = answer(&mut monitor);
                if door.is_gateway() && (command != "CLIENT TRACKINGINFO" || proto == "3") {
                    assert_eq!(got, "-ERR respgate: command not supported while monitoring");
                }
            }
            monitor.send("CLIENT GETNAME");
            assert!(answer(&mut monitor).starts_with("nil"));
            monitor.send("QUIT");
            assert_eq!(answer(&mut monitor), "+OK");
            monitor.expect_end();
        }
    });
}

#[test]
fn a_monitor_ends_with_its_client() {
    at_both_doors(|door| {
        let mut direct = door.client("root");
        for _ in 0..3 {
            let mut monitor = door.client("root");
            monitor.talk(&[("MONITOR", "+OK")]);
            monitor.finish_writing();
            monitor.read_to_end();
        }
        let deadline = std::time::Instant::now() + crate::wire::PATIENCE;
        while direct.ask("CLIENT LIST").contains("cmd=monitor") {
            assert!(std::time::Instant::now() < deadline, "a monitor is left");
        }
    });
}
