"""Measures respgate beside its peers in one interleaved run, and writes the result file.

Owns the arguments and the order of runs. `peers` starts the programs, `load` and `crowd` measure,
`report` reads what is written here. It is a report and not a test: a missed bar is not a failure,
but a run that was not sound is, and it yields no figure.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import sys
import tempfile
import time

import crowd
import curve
import load
import peers
import report
from targets import CORES, MASTERS, Broken, Lab

# Redis shrinks an idle client's buffers after two seconds; memory is read after that.
SETTLE_SECONDS = 4
CURVE_ROUNDS = 3


def main():
    """Parses, runs, writes; the exit status is 1 where any run was broken."""
    args = _arguments()
    if args.needs:
        return _say_needs(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    open_files = load.raise_open_files()
    workdir = pathlib.Path(tempfile.mkdtemp(prefix="respgate-compare-"))
    run, started = None, time.monotonic()
    try:
        run = Run(Lab(workdir, open_files), args)
        run.workloads()
        run.crowd()
    finally:
        if run is not None:
            run.lab.stop_all()
        shutil.rmtree(workdir, ignore_errors=True)
    result = run.result(time.monotonic() - started)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(report.markdown(result))
    _say(f"the result is in {args.out}: benches/compare/report.py {args.out}")
    return 1 if run.failures else 0


class Run:
    """Everything that is measured in one run, and what went wrong."""

    def __init__(self, lab, args):
        self.lab, self.args = lab, args
        self.programs = peers.Programs(os.path.abspath(args.respgate_bin), os.path.abspath(args.ends_bin),
                                       args.envoy_bin)
        self.samples, self.crowds, self.curves, self.failures = {}, {}, {}, []

    def workloads(self):
        """All workloads of rounds, on one Redis with every front running before it."""
        names = [name for name in self.args.workloads if name in load.WORKLOADS]
        bent = [name for name in self.args.targets if name in curve.TARGETS and load.CURVE in self.args.workloads]
        wanted = self._targets(names)
        wanted += [target for target in bent if target not in wanted]
        if not wanted:
            return
        redis, clusters, fronts = self.lab.start_redis(), {}, {}
        for target in wanted:
            with self._noting(target):
                masters = MASTERS.get(target)
                if masters and masters not in clusters:
                    clusters[masters] = self.lab.start_cluster(masters)
                fronts[target] = peers.start(self.lab, self.programs, target, clusters.get(masters, redis))
        for name in names:
            self._workload(name, fronts, redis)
        self._curve({target: fronts[target] for target in bent if target in fronts}, redis)
        self.lab.stop_all()

    def crowd(self):
        """Every target in its turn, each with a Redis of its own."""
        if load.CROWD not in self.args.workloads:
            return
        rounds, seconds, settle = self.args.rounds, self.args.seconds / 2, 0 if self.args.quick else SETTLE_SECONDS
        for target in self.args.targets:
            with self._noting(f"{target}, {self.args.crowd} clients"):
                redis = self.lab.start_redis()
                front = peers.start(self.lab, self.programs, target, redis)
                one = crowd.measure(self.lab, self.programs.ends, front, redis, self.args.crowd, rounds, seconds,
                                    settle)
                self.crowds[target] = one
                _say(f"crowd {target}: {one.clients:,} idle clients, {one.front_idle:,.0f} bytes each")
            self.lab.stop_all()

    def result(self, took):
        """Everything that was measured and what it was measured with, for `report`."""
        bent = [target for row in self.curves.values() for target in row]
        names = [name for name in peers.TITLES
                 if name in bent or name in self.crowds or name in self._targets(self.samples)]
        negotiated = {peers.TITLES[name]: terms for name, terms in self.lab.negotiated.items()}
        return {
            "made": {
                "date": datetime.date.today().isoformat(), "took_s": round(took),
                "machine": {"cores": CORES, "processor": _processor(), "memory_mib": _memory_mib(),
                            "kernel": platform.release()},
                "versions": peers.versions(self.programs, names),
                "settings": {name: peers.SETTINGS[name] for name in names},
                "negotiated": negotiated,
                "rounds": self.args.rounds, "seconds": self.args.seconds,
            },
            "targets": peers.TITLES,
            "workloads": {name: self._title(name) for name in load.WORKLOADS},
            "samples": {name: {target: [one and dataclasses.asdict(one) for one in rounds]
                               for target, rounds in row.items()} for name, row in self.samples.items()},
            "crowd": {target: dataclasses.asdict(one) for target, one in self.crowds.items()},
            "curve": self.curves,
            "failures": self.failures,
        }

    def _targets(self, workloads):
        """The targets that were asked for, and of their variants those that have something to do."""
        asked = [*self.args.targets, *(peers.VARIANTS if "respgate" in self.args.targets else ())]
        return [target for target in asked if any(load.WORKLOADS[name].is_for(target) for name in workloads)]

    def _title(self, name):
        return load.WORKLOADS[name].title.format(subscribers=self.args.subscribers)

    def _workload(self, name, fronts, redis):
        """Every target in every round, each for as long."""
        title, runs = self._title(name), {}
        row = self.samples[name] = {target: [] for target in self._targets([name])}
        for target in row:
            with self._noting(f"{target}, {title}"):
                if target in fronts:
                    runs[target] = self._begin(fronts[target], redis, load.WORKLOADS[name])
        for number in range(self.args.rounds):
            # Drawn anew, so that no target always runs after the same other one.
            for target in random.Random(number).sample(list(runs), len(runs)):
                row[target].append(None)
                with self._noting(f"{target}, {title}"):
                    row[target][-1] = sample = runs[target].measure()
                    _say(f"{name} round {number + 1} {target}: {sample.rps:,.0f}/s, front {sample.front_us:.2f}"
                         f" redis {sample.redis_us:.2f} client {sample.client_us:.2f} us")
        for run in runs.values():
            run.close()

    def _curve(self, fronts, redis):
        """Every point of the cost curve, where anybody is there to be measured."""
        rounds, seconds = min(self.args.rounds, CURVE_ROUNDS), self.args.seconds / 3
        first = 2 if self.args.quick else None
        for axis, at, words, key in curve.points(self.args.crowd, first) if fronts else ():
            with self._noting(f"the cost curve, {axis} {at}"):
                samples = curve.measure(self.lab, self.programs.ends, fronts, redis, words, key, rounds, seconds)
                for target, done in samples.items():
                    shown = [dataclasses.asdict(sample) for sample in done]
                    self.curves.setdefault(axis, {}).setdefault(target, {})[at] = shown
                _say(f"curve, {axis} {at}")

    def _begin(self, front, redis, workload):
        redis = front.redis or redis
        if isinstance(workload, load.Bench):
            return load.BenchRun(self.lab, front, redis, workload, self.args.seconds)
        return load.HeldRun(self.lab, self.programs.ends, front, redis, workload, self.args.seconds,
                            self.args.subscribers)

    def _noting(self, what):
        return _Noting(self.failures, what)


class _Noting:
    """Notes what breaks a run, and goes on after it."""

    def __init__(self, failures, what):
        self.failures, self.what = failures, what

    def __enter__(self):
        return self

    def __exit__(self, kind, cause, _trace):
        if not isinstance(cause, (Broken, OSError)):
            return False
        self.failures.append(f"{self.what}: {cause}")
        _say(f"FAILED: {self.failures[-1]}")
        return True


def _say(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


def _processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_mib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _say_needs(args):
    """For `run`: what it has to build or to fetch, one word a line."""
    needs = {"respgate": "respgate", "envoy-tcp": "envoy", "envoy-redis": "envoy"}
    print("\n".join(sorted({needs[target] for target in args.targets if target in needs})))
    return 0


def _arguments():
    workloads, names = [*load.WORKLOADS, load.CROWD, load.CURVE], [name for name in peers.TITLES if name not in peers.VARIANTS]
    parser = argparse.ArgumentParser(
        prog="benches/compare/run", description="Measures respgate beside its peers.",
        epilog="The report goes to standard output, progress to standard error. Status 1: a run was broken.")
    parser.add_argument("--workloads", type=_some_of(workloads), default=workloads, metavar="NAMES",
                        help="comma-separated, of: " + ", ".join(workloads))
    parser.add_argument("--targets", type=_some_of(names), default=names, metavar="NAMES",
                        help="comma-separated, of: " + ", ".join(names))
    parser.add_argument("--rounds", type=_positive(int), metavar="N", help="runs of each workload a target (5)")
    parser.add_argument("--seconds", type=_positive(float), metavar="S", help="length of a run (2)")
    parser.add_argument("--crowd", type=_positive(int), metavar="N",
                        help="how many clients are idle; half of them make requests now and then (10000)")
    parser.add_argument("--quick", action="store_true",
                        help="1 round of 0.3 s and 200 clients: shows that all of it works")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE",
                        help="the result file (target/compare/result.json)")
    parser.add_argument("--respgate-bin", default="respgate", metavar="PATH",
                        help="measure this binary instead of building one")
    parser.add_argument("--ends-bin", default="ends", metavar="PATH",
                        help="the floor and the clients, instead of building them")
    parser.add_argument("--envoy-bin", default="envoy", help=argparse.SUPPRESS)
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (0.3 if args.quick else 2.0)
    args.crowd = args.crowd or (200 if args.quick else 10_000)
    args.subscribers = min(load.SUBSCRIBERS_MAX, args.crowd)
    args.out = args.out or pathlib.Path("target/compare/result.json")
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
