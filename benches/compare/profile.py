"""Where the time of a request goes: system calls of the front and of Redis, and the front's processor time by what it
is spent on, of the main workloads, through the gateway and through the floor.

Owns the arguments and what the kernel and the symbols are summed up as. `perf` counts and samples; it needs leave to
look at the kernel (root, or perf_event_paranoid at -1). Handshakes count, and are few. Figures are those of a
watched program: ratios to `compare` are not meant.
"""

import argparse
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import load
import peers
from targets import Broken, Lab

WORKLOADS = ("get-50", "get-500", "get-50-d16", "set-50-d64", "get-16k", "get-1m")
TARGETS = ("respgate", "floor")
SECONDS, SAMPLES_A_SECOND, PERF_SECONDS_MAX = 2.0, 4_000, 60
# By column: the system calls that are counted as one.
CALLS = {
    "reads": ("recvfrom", "read", "readv", "recvmsg"),
    "writes": ("sendto", "write", "writev", "sendmsg"),
    "waits": ("epoll_wait", "epoll_pwait"),
    "gives way": ("sched_yield",),
}
SWITCHES = "context-switches"
# What a sample within the kernel was asked for, by a function in its stack; the first that fits.
KERNEL = (
    ("write", re.compile(r"_sys_(sendto|write|writev|sendmsg)")),
    ("read", re.compile(r"_sys_(recvfrom|read|readv|recvmsg)")),
    ("wait", re.compile(r"_sys_(epoll|sched_yield|futex)")),
)
# What a sample of the program itself is, by the function that it was in; the first that fits.
USER = (
    ("cryptography", re.compile(r"aws_lc|aead_|gcm|aes|sha\d|EVP_|CRYPTO_", re.IGNORECASE)),
    ("TLS", re.compile(r"rustls|io::stream")),
    ("runtime", re.compile(r"tokio|mio::|futures|core::task")),
    ("copies, memory", re.compile(r"mem(move|cpy|set|cmp)|malloc|free|alloc|bytes::")),
    ("the gateway", re.compile(r"respgate|ends::")),
)
REST = "other"


def main():
    """Measures and prints."""
    args = _arguments()
    if shutil.which("perf") is None:
        sys.exit("profile: no program perf; scripts/install-deps perf installs it")
    workdir = pathlib.Path(tempfile.mkdtemp(prefix="respgate-profile-"))
    lab = None
    try:
        lab = Lab(workdir, load.raise_open_files())
        programs = peers.Programs(os.path.abspath(args.respgate_bin), os.path.abspath(args.ends_bin), "")
        redis = lab.start_redis()
        fronts = {name: peers.start(lab, programs, name, redis) for name in TARGETS}
        rows = {}
        for name in WORKLOADS:
            for target, front in fronts.items():
                print(f"profile: {name}, {target}", file=sys.stderr, flush=True)
                rows[name, target] = _measure(lab, front, redis, load.WORKLOADS[name])
    except Broken as cause:
        sys.exit(f"profile: {cause}")
    finally:
        if lab is not None:
            lab.stop_all()
        shutil.rmtree(workdir, ignore_errors=True)
    print(_markdown(rows))


def _measure(lab, front, redis, workload):
    """What is counted, and then what is sampled, each in a run of its own."""
    run = load.BenchRun(lab, front, redis, workload, SECONDS)
    stat = ["stat", "-x,", "-e", _events(), "-p"]
    with (_Perf([*stat, front.process.child.pid], lab.workdir / "front") as of_front,
          _Perf([*stat, redis.processes[0].child.pid], lab.workdir / "redis") as of_redis):
        counted = run.measure()
    data = lab.workdir / "perf.data"
    with _Perf(["record", "-q", "-F", SAMPLES_A_SECOND, "-e", "cpu-clock", "-g", "-o", data,
                "-p", front.process.child.pid], lab.workdir / "record"):
        sampled = run.measure()
    return {
        "front": _calls(of_front.said(), counted.requests),
        "redis": _calls(of_redis.said(), counted.requests) if front.redis is not None else {},
        "us": {what: share * sampled.front_us for what, share in _shares(data).items()},
        "front us": sampled.front_us,
    }


class _Perf:
    """`perf` beside what is measured, until the end of it."""

    def __init__(self, words, log):
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(["perf", *map(str, words)], stdout=out, stderr=out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(PERF_SECONDS_MAX)
        except subprocess.TimeoutExpired as late:
            self.child.kill()
            raise Broken("perf does not end") from late

    def said(self):
        """Its counts by event."""
        counts = {}
        for line in self.log.read_text(errors="replace").splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2].removeprefix("syscalls:sys_enter_")] = int(fields[0])
        if SWITCHES not in counts:
            raise Broken(f"perf counted nothing: {self.log.read_text(errors='replace').strip()[:300]}")
        return counts


def _events():
    calls = [f"syscalls:sys_enter_{call}" for names in CALLS.values() for call in names]
    known = pathlib.Path("/sys/kernel/tracing/events/syscalls")
    if known.is_dir():
        # Not every machine has all of them.
        calls = [call for call in calls if (known / call.split(":")[1]).is_dir()]
    return ",".join([*calls, SWITCHES])


def _calls(counts, requests):
    row = {what: sum(counts.get(name, 0) for name in names) / requests for what, names in CALLS.items()}
    return {**row, "switches": counts[SWITCHES] / requests}


def _shares(data):
    """Of all samples: how many were spent on what."""
    said = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym"], capture_output=True, text=True,
                          errors="replace", timeout=PERF_SECONDS_MAX).stdout
    spent = collections.Counter(_what(stack.splitlines()) for stack in said.split("\n\n") if stack.strip())
    return {what: count / spent.total() for what, count in spent.items()}


def _what(stack):
    """Kernel addresses are in the upper half."""
    frames = [line.split(None, 1) for line in stack if line.strip()]
    if int(frames[0][0], 16) >> 63:
        text = " ".join(frame[1] for frame in frames if len(frame) > 1)
        return "kernel: " + next((what for what, fits in KERNEL if fits.search(text)), REST)
    name = frames[0][1] if len(frames[0]) > 1 else ""
    return next((what for what, fits in USER if fits.search(name)), REST)


def _markdown(rows):
    titles = {name: load.WORKLOADS[name].title for name in WORKLOADS}
    columns = [*CALLS, "switches"]
    out = ["System calls and context switches for a request:", "",
           "| | front | " + " | ".join(columns) + " | Redis: reads | writes | switches |",
           "| --- | --- |" + " ---: |" * (len(columns) + 3)]
    for (name, target), row in rows.items():
        redis = [_figure(row["redis"].get(what)) for what in ("reads", "writes", "switches")]
        out.append("| " + " | ".join([titles[name], target, *(_figure(row["front"][what]) for what in columns),
                                      *redis]) + " |")
    spent = [*(f"kernel: {what}" for what, _ in KERNEL), f"kernel: {REST}", *(what for what, _ in USER), REST]
    out += ["", "Microseconds of the front's processor time for a request:", "",
            "| | front | all | " + " | ".join(spent) + " |", "| --- | --- |" + " ---: |" * (len(spent) + 1)]
    for (name, target), row in rows.items():
        figures = [f"{row['us'].get(what, 0):.2f}" for what in spent]
        out.append("| " + " | ".join([titles[name], target, f"{row['front us']:.2f}", *figures]) + " |")
    return "\n".join(out)


def _figure(value):
    return "" if value is None else f"{value:.3f}"


def _arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/run profile",
                                     description="Where the time of a request goes, by perf.")
    parser.add_argument("--respgate-bin", default="respgate", metavar="PATH",
                        help="look at this binary instead of building one")
    parser.add_argument("--ends-bin", default="ends", metavar="PATH", help="the floor, instead of building it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
