"""Measures respgate beside its peers in one interleaved run and prints the report.

Owns the arguments and the order of runs. `targets` starts the programs, `load` measures,
`report` writes. It is a report and not a test: a missed bar is not a failure, but a run
that was not sound is, and it yields no figure.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import load
import report
from targets import CORES, TITLES, Broken, Lab


def main():
    """Parses, runs, prints; the exit status is 1 where any run was broken."""
    args = _arguments()
    if args.needs_respgate:
        return 0 if "respgate" in args.targets and args.respgate_bin is None else 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    open_files = load.raise_open_files()
    workdir = pathlib.Path(tempfile.mkdtemp(prefix="respgate-compare-"))
    results, started, lab = report.Results(), time.monotonic(), None
    try:
        lab = Lab(workdir, os.path.abspath(args.respgate_bin or "respgate"), args.envoy_bin, open_files)
        _run_workloads(lab, args, results)
        _run_idle(lab, args, results)
    except Broken as cause:
        _fail(results, str(cause))
    finally:
        if lab is not None:
            lab.stop_all()
        shutil.rmtree(workdir, ignore_errors=True)
    header = _header(lab, args, time.monotonic() - started) if lab is not None else []
    print("\n".join([*header, report.tables(results), "### Bars", "", report.summary(results)]))
    for failure in results.failures:
        print(f"FAILED: {failure}")
    if args.json:
        args.json.write_text(json.dumps({"header": header, **results.as_json()}, indent=1) + "\n")
    return 1 if results.failures else 0


def _run_workloads(lab, args, results):
    """All throughput workloads, on one Redis with every front running before it."""
    workloads = [name for name in args.workloads if name != load.IDLE]
    if not workloads:
        return
    redis, fronts = lab.start_redis(), {}
    for name in args.targets:
        try:
            fronts[name] = lab.start_front(name, redis)
        except Broken as cause:
            _fail(results, str(cause))
    for workload in workloads:
        results.open(workload, args.targets)
        _run_workload(lab, args, results, workload, fronts, redis)
    lab.stop(*fronts.values(), redis)


def _run_workload(lab, args, results, name, fronts, redis):
    """Every target in every round, each with the same number of requests."""
    workload, warm = load.WORKLOADS[name], {}
    for target, front in fronts.items():
        rate = _measured(lab, results, front, redis, workload, workload.trial)
        if rate is not None:
            warm[target] = rate.rps
    if not warm:
        return
    pace = warm.get(report.REFERENCE) or min(warm.values())
    requests = load.requests_for(workload, pace, args.seconds)
    for round_number in range(args.rounds):
        # Drawn anew, so that no target always runs after the same other one.
        order = random.Random(round_number).sample(list(warm), len(warm))
        for target in order:
            sample = _measured(lab, results, fronts[target], redis, workload, requests)
            results.add(name, target, sample)
            if sample is not None:
                _say(f"{name} round {round_number + 1} {target}: {sample.rps:,.0f} req/s,"
                     f" sum {sample.sum_us:.2f} us")


def _measured(lab, results, front, redis, workload, requests):
    """One sample, or None and a failure in the report."""
    try:
        return load.measure(lab, front, redis, workload, requests)
    except Broken as cause:
        _fail(results, f"{front.name}, {workload.title}: {cause}")
        return None


def _run_idle(lab, args, results):
    """Once for each target: memory hardly varies, and the price is held against its own base."""
    if load.IDLE not in args.workloads:
        return
    workload = load.WORKLOADS["get-50"]
    requests = workload.trial * (2 if args.quick else 20)
    for target in args.targets:
        started = []
        results.idle[target] = None
        try:
            redis = lab.start_redis()
            started.append(redis)
            front = lab.start_front(target, redis)
            started.append(front)
            sample = load.measure_idle(lab, front, redis, workload, args.idle_clients, requests)
            results.idle[target] = sample
            _say(f"idle {target}: {sample.front_bytes:.0f} bytes a client and"
                 f" {sample.redis_bytes:.0f} in Redis")
        except (Broken, OSError) as cause:
            _fail(results, f"{target}, {args.idle_clients} idle clients: {cause}")
        finally:
            lab.stop(*started)


def _fail(results, text):
    results.failures.append(text)
    _say(f"FAILED: {text}")


def _say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def _header(lab, args, took):
    negotiated = {}
    for target, terms in lab.negotiated.items():
        negotiated.setdefault(terms, []).append(TITLES[target])
    terms = "; ".join(f"{terms} ({', '.join(names)})" for terms, names in negotiated.items())
    return [
        "# respgate beside its peers",
        "",
        f"- {CORES} cores ({_cpu_model()}), Linux {platform.release()}, shared with the load; took {took:.0f} s",
        f"- {_versions(args)}",
        f"- rounds: {args.rounds}, interleaved, in a new order each; as many requests for every target,"
        f" {args.seconds:g} s of them at the pace of Redis' own TLS",
        "- figures are medians over rounds; (x) is the ratio to Redis' own TLS, the median of the rounds' ratios",
        "- client: redis-benchmark with one thread and a client certificate; a run includes its clients' handshakes",
        "- TLS 1.3 only, client certificates required, no resumption, one ECDSA P-256 server certificate for all;"
        f" agreed: {terms}",
        f"- {CORES} threads in HAProxy and in Envoy, one a client in stunnel, respgate's default, no I/O threads"
        " in Redis; every proxy reaches Redis over TCP on the loopback address",
        "- front us, redis us: processor time of the TLS end and of Redis for a request, user and system;"
        " sum us: both; Redis' own TLS has no front",
        f"- idle clients: {args.idle_clients:,} that made one GET and wait, before a new Redis and a new front;"
        " bytes are resident memory",
        "",
    ]


def _cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _versions(args):
    commands = {"Redis": ["redis-server", "--version"]}
    if "respgate" in args.targets:
        commands["respgate"] = [os.path.abspath(args.respgate_bin or "respgate"), "--version"]
    if "haproxy" in args.targets:
        commands["HAProxy"] = ["haproxy", "-v"]
    if "stunnel" in args.targets:
        commands["stunnel"] = ["stunnel4", "-version"]
    if {"envoy-tcp", "envoy-redis"} & set(args.targets):
        commands["Envoy"] = [args.envoy_bin, "--version"]
    return ", ".join(f"{name} {_version(argv)}" for name, argv in commands.items())


def _version(argv):
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "(unknown)"
    # Envoy names its own path first, and that may have digits of its own.
    found = re.search(r"\d+\.\d+[\w.+-]*", (said.stdout + said.stderr).replace(argv[0], ""))
    return found.group() if found else "(unknown)"


def _arguments():
    workloads, names = [*load.WORKLOADS, load.IDLE], list(TITLES)
    parser = argparse.ArgumentParser(
        prog="benches/compare/run", description="Measures respgate beside its peers.",
        epilog="The report goes to standard output, progress to standard error. Status 1: a run was broken.")
    parser.add_argument("--workloads", type=_some_of(workloads), default=workloads, metavar="NAMES",
                        help="comma-separated, of: " + ", ".join(workloads))
    parser.add_argument("--targets", type=_some_of(names), default=names, metavar="NAMES",
                        help="comma-separated, of: " + ", ".join(names))
    parser.add_argument("--rounds", type=_positive(int), metavar="N", help="runs of each workload a target (3)")
    parser.add_argument("--seconds", type=_positive(float), metavar="S", help="length of a run (2.5)")
    parser.add_argument("--idle-clients", type=_positive(int), metavar="N", help="how many clients idle (5000)")
    parser.add_argument("--quick", action="store_true",
                        help="1 round of 0.5 s and 200 idle clients: shows that all of it works")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write every sample here")
    parser.add_argument("--respgate-bin", metavar="PATH", help="measure this binary instead of building one")
    parser.add_argument("--envoy-bin", default="envoy", help=argparse.SUPPRESS)
    parser.add_argument("--needs-respgate", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (0.5 if args.quick else 2.5)
    args.idle_clients = args.idle_clients or (200 if args.quick else 5_000)
    return args


def _some_of(known):
    def parse(text):
        asked = text.split(",")
        unknown = [name for name in asked if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return [name for name in known if name in asked]
    return parse


def _positive(kind):
    def parse(text):
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number < 1e6:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
        return number
    return parse


if __name__ == "__main__":
    sys.exit(main())
