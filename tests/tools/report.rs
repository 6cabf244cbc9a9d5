//! The report of `make compare`: its verdicts on a result whose figures are invented, and the
//! comparison itself, run for a moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::Bench;

const PAGE: &str = include_str!("../../docs/performance.md");

fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a script of the comparison, which leaves nothing beside itself.
fn python(bench: &Bench, script: &str, words: &[&str]) -> String {
    let script = project(&format!("benches/compare/{script}"));
    let words = [&["-B", script.to_str().unwrap()], words].concat();
    let said = bench.run("python3", &words);
    assert_eq!(said.code, Some(0), "{script:?}: {}{}", said.out, said.err);
    said.out
}

#[test]
fn the_report_is_as_it_was_agreed() {
    let bench = Bench::new();
    let result = project("tests/tools/report/result.json");
    let words = [result.to_str().unwrap(), "--svg", "chart.svg", "--curve-svg", "curve.svg"];
    let report = python(&bench, "report.py", &words);
    let (chart, curve) = (bench.read("chart.svg"), bench.read("curve.svg"));
    for (name, now) in [("report.md", report), ("chart.svg", chart), ("curve.svg", curve)] {
        let golden = project(&format!("tests/tools/report/{name}"));
        if std::env::var_os("RESPGATE_BLESS").is_some() {
            fs::write(&golden, &now).unwrap();
        }
        let agreed = fs::read_to_string(&golden).unwrap_or_default();
        assert!(now == agreed, "{name} has changed: RESPGATE_BLESS=1 renews it, then look at the difference");
    }
}

#[test]
fn the_page_tells_of_every_workload_and_every_target() {
    let help = python(&Bench::new(), "compare.py", &["--help"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let lists: Vec<&str> = help.split("comma-separated, of: ").skip(1).collect();
    assert_eq!(lists.len(), 2, "{help}");
    for list in lists {
        let names = list.split(" --").next().unwrap().split(", ");
        for name in names {
            assert!(PAGE.contains(&format!("`{name}`")), "docs/performance.md does not tell of {name}");
        }
    }
}

#[test]
fn a_run_of_a_moment_measures_every_kind_of_workload() {
    let ends = Path::new(env!("CARGO_BIN_EXE_respgate")).with_file_name("examples").join("ends");
    assert!(ends.exists(), "{} is missing: cargo build --example ends", ends.display());
    let bench = Bench::new();
    let words = "--quick --seconds 0.1 --crowd 60 --targets direct,redis-tls,respgate,floor \
                 --workloads get-50,reconnect,mixed,fan-out,cluster,crowd,curve --out result.json";
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.extend(["--respgate-bin", env!("CARGO_BIN_EXE_respgate"), "--ends-bin", ends.to_str().unwrap()]);
    let report = python(&bench, "compare.py", &words);
    assert!(report.starts_with("# respgate beside its peers\n"), "{report}");
    let result: serde_json::Value = serde_json::from_str(&bench.read("result.json")).unwrap();
    for (workload, targets) in [
        ("get-50", vec!["direct", "redis-tls", "respgate", "floor"]),
        ("reconnect", vec!["direct", "redis-tls", "respgate", "floor"]),
        ("mixed", vec!["direct", "redis-tls", "respgate"]),
        ("fan-out", vec!["direct", "redis-tls", "respgate", "respgate-shared"]),
        ("cluster", vec!["respgate", "respgate-node", "respgate-cluster-1", "respgate-cluster"]),
    ] {
        let row = result["samples"][workload].as_object().unwrap();
        let measured: BTreeSet<&str> = row.keys().map(String::as_str).collect();
        assert_eq!(measured, targets.into_iter().collect(), "{workload}");
        for (target, rounds) in row {
            let rps = rounds[0]["rps"].as_f64().unwrap_or_default();
            assert!(rps > 0.0 && rounds.as_array().unwrap().len() == 1, "{workload} {target}: {rounds}");
        }
    }
    for target in ["direct", "redis-tls", "respgate", "floor"] {
        let one = &result["crowd"][target];
        assert_eq!((&one["clients"], &one["many"]), (&60.into(), &30.into()), "{target}: {one}");
        assert_eq!(one["many_rounds"].as_array().unwrap().len(), 1, "{target}: {one}");
    }
    for (axis, last) in [("clients", "10"), ("depth", "4"), ("bytes", "256")] {
        for target in ["redis-tls", "respgate", "floor"] {
            let rps = result["curve"][axis][target][last][0]["rps"].as_f64().unwrap_or_default();
            assert!(rps > 0.0, "{axis} {target}: {}", result["curve"]);
        }
    }
    assert_eq!(result["failures"], serde_json::json!([]));
}
