"""The workloads, and one measurement of one workload through one front.

Knows redis-benchmark and the clients of `ends`, and how to tell a sound run from a broken one.
Knows nothing of how fronts are started, of rounds or of ratios.
"""

import csv
import dataclasses
import io
import json
import resource
import selectors
import statistics
import subprocess
import time

import targets
from targets import Broken

RUN_SECONDS_MAX = 120
CONNECT_SECONDS_MAX = 180
SUBSCRIBERS_MAX = 1_000
# How often it is measured what it costs to open a workload's clients.
OPENINGS = 3


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is asked for. Who cannot take part is in `not_for`; if `only_for` is given, nobody else does."""

    title: str
    not_for: tuple[str, ...] = ("respgate-shared", *targets.MASTERS)
    only_for: tuple[str, ...] = ()

    def is_for(self, target):
        """Whether a target can do it."""
        return target in self.only_for if self.only_for else target not in self.not_for


@dataclasses.dataclass(frozen=True)
class Bench(Workload):
    """One redis-benchmark command line. `trial` requests are enough to guess the speed."""

    clients: int = 50
    depth: int = 1
    command: tuple[str, ...] = ()
    trial: int = 10_000
    keep: bool = True
    # A client's first request waits for its handshake. Those must stay well under one in a
    # hundred, or p99 is the time of a handshake.
    requests_min: int = 0
    # Each new connection leaves a port in TIME_WAIT, and the kernel has 28 000 of them.
    requests_max: int = 5_000_000


@dataclasses.dataclass(frozen=True)
class Held(Workload):
    """Clients of `ends`, connected once and then given orders."""

    verb: tuple[str, ...] = ()
    what: str = targets.SMALL_KEY


GET = ("GET", targets.SMALL_KEY)
SET = ("SET", "bench:set", "x" * targets.SMALL_SIZE)
RANDOM = ("GET", "key:__rand_int__")
ONE_OR_MANY = ("respgate", *targets.MASTERS)
SPECIAL = Workload("").not_for
WORKLOADS = {
    "get-50": Bench("GET, 50 clients, depth 1", command=GET),
    "set-50": Bench("SET, 50 clients, depth 1", command=SET),
    "get-500": Bench("GET, 500 clients, depth 1", clients=500, command=GET, trial=10_000, requests_min=100_000),
    "get-50-d16": Bench("GET, 50 clients, depth 16", depth=16, command=GET, trial=50_000),
    "set-50-d64": Bench("SET, 50 clients, depth 64", depth=64, command=SET, trial=50_000),
    "get-16k": Bench("GET 16 KiB, 50 clients", command=("GET", "bench:16k"), trial=3_000),
    "get-1m": Bench("GET 1 MiB, 8 clients", clients=8, command=("GET", "bench:1m"), trial=120),
    "reconnect": Bench("a new connection each, 50 at a time", command=GET, trial=200, keep=False,
                       requests_max=8_000),
    "mixed": Held("mixed commands, 50 clients, depth 1", (*SPECIAL, "floor"),
                  verb=("load", "--clients", 50, "--preload"), what="mixed"),
    "fan-out": Held("messages to {subscribers:,} subscribers", (*targets.MASTERS, "floor", "envoy-redis"),
                    verb=("fan-out",)),
    "cluster": Bench("GET of random keys, 50 clients, depth 1", only_for=ONE_OR_MANY, command=RANDOM),
    "cluster-d16": Bench("GET of random keys, 50 clients, depth 16", only_for=ONE_OR_MANY, depth=16, command=RANDOM,
                         trial=50_000),
}
# Not workloads of rounds: see the files of these names.
CROWD, CURVE = "crowd", "curve"


@dataclasses.dataclass(frozen=True)
class Account:
    """What was used so far, in microseconds: time, and processor time of the three ends."""

    wall_us: float
    front_us: float
    redis_us: float
    client_us: float

    def since(self, before):
        """The difference."""
        return Account(*(now - then for now, then in zip(dataclasses.astuple(self), dataclasses.astuple(before))))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sound run. Processor time is in microseconds a request, latency in milliseconds."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    front_us: float
    redis_us: float
    client_us: float


def raise_open_files():
    """Lifts the soft limit on open files to the hard one; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def account(front, redis, client_us):
    """Where the accounts stand now."""
    return Account(time.monotonic() * 1e6, front.cpu_us(), redis.cpu_us(), client_us)


class BenchRun:
    """One front under one redis-benchmark workload."""

    def __init__(self, lab, front, redis, workload, seconds):
        """Warms up, and finds out what opening the clients costs and how many requests take so long."""
        self.lab, self.front, self.redis, self.workload = lab, front, redis, workload
        self.first, self.opening = 0, Account(0, 0, 0, 0)
        few = max(2 * workload.clients * workload.depth, int(workload.trial * min(1, seconds)))
        trial = self._run(few)
        if workload.keep:
            # One turn of each client: the handshakes, and little else.
            self.first = workload.clients * workload.depth
            openings = [self._account_of(self.first)[0] for _ in range(OPENINGS)]
            self.opening = Account(*map(statistics.median, zip(*map(dataclasses.astuple, openings))))
            trial = self._run(few)
        enough = max(few, workload.requests_min, int(trial.rps * seconds))
        self.requests = min(enough, workload.requests_max)

    def measure(self):
        """One sample."""
        return self._run(self.requests)

    def close(self):
        """Nothing is kept."""

    def _run(self, requests):
        """A sample without what it took to open the clients."""
        used, (p50, p99) = self._account_of(requests)
        steady, requests = used.since(self.opening), requests - self.first
        # Of a run of a moment little may be left.
        wall_us = max(steady.wall_us, used.wall_us / 10)
        shares = (max(0.0, part) / requests for part in (steady.front_us, steady.redis_us, steady.client_us))
        return Sample(requests, requests / wall_us * 1e6, p50, p99, *shares)

    def _account_of(self, requests):
        served = Served(self.redis, self.front)
        before = account(self.front, self.redis, _children_us())
        rps, p50, p99 = _redis_benchmark(self.lab, self.front, self.workload, requests)
        used = account(self.front, self.redis, _children_us()).since(before)
        served.require(requests, all_found=self.workload.command[0] == "GET")
        # Its own clock leaves out how long the program takes to start.
        return dataclasses.replace(used, wall_us=requests / rps * 1e6), (p50, p99)


class HeldRun:
    """One front with clients of `ends` before it."""

    def __init__(self, lab, ends, front, redis, workload, seconds, subscribers):
        """Connects the clients and warms up."""
        words = list(workload.verb)
        if workload.verb[0] == "fan-out":
            words += ["--publish-port", redis.port, "--channel", front.name, "--clients", subscribers]
        self.crew = Crew(lab, ends, front, words)
        # What is published once is delivered often.
        self.crew.replies_a_command = subscribers if workload.verb[0] == "fan-out" else 1
        self.front, self.redis, self.order = front, redis, f"go {workload.what} {seconds}"
        self.crew.do(f"go {workload.what} {min(seconds, 0.5)}")

    def measure(self):
        """One sample."""
        return measure_crew(self.crew, self.front, self.redis, self.order)

    def close(self):
        """Lets the clients go."""
        self.crew.close()


def measure_crew(crew, front, redis, order):
    """One sample of clients that carry out an order."""
    served = Served(redis, front)
    before = account(front, redis, crew.process.cpu_us())
    said = crew.do(order)
    used = account(front, redis, crew.process.cpu_us()).since(before)
    requests = said["requests"]
    served.require(requests // crew.replies_a_command, all_found=False)
    return Sample(requests, requests / said["seconds"], said["p50_ms"], said["p99_ms"],
                  used.front_us / requests, used.redis_us / requests, used.client_us / requests)


class Crew:
    """A process of `ends`: clients that do what they are told."""

    def __init__(self, lab, ends, front, words):
        whither = ["--port", front.port]
        if front.tls:
            whither += ["--certificates", lab.certificates.folder]
        self.replies_a_command = 1
        name = f"clients-of-{front.name}-{words[0]}-{len(lab.processes)}"
        self.process = lab.start(name, [ends, words[0], *whither, *words[1:]], pipes=True)
        if self._line(CONNECT_SECONDS_MAX) != "ready":
            raise Broken(f"{name} is not ready")

    def do(self, order):
        """Gives an order, waits until it is carried out, and returns the report."""
        self.process.child.stdin.write(order + "\n")
        self.process.child.stdin.flush()
        said = json.loads(self._line(RUN_SECONDS_MAX))
        if not said["requests"]:
            raise Broken(f"{self.process.name} made no request")
        return said

    def close(self):
        """Ends the clients."""
        self.process.stop()

    def _line(self, seconds):
        out = self.process.child.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            if not selector.select(seconds):
                raise Broken(f"{self.process.name} said nothing for {seconds} s")
        line = out.readline()
        if not line:
            self.process.child.wait(targets.STOP_SECONDS)
            raise Broken(f"{self.process.name} ended: {self.process.log_tail()}")
        return line.strip()


class Served:
    """Redis' own word for it: load programs take any reply for an answer, a nil too."""

    COUNTS = ("total_commands_processed", "total_error_replies", "keyspace_hits")

    def __init__(self, redis, front):
        self.redis = redis if front.redis is not None else None
        self.before = redis.counts(*self.COUNTS)

    def require(self, requests, all_found):
        """Raises Broken unless Redis ran as many commands, failed none and, of GETs, found all keys."""
        if self.redis is None:
            return
        after = self.redis.counts(*self.COUNTS)
        ran, failed, found = (after[name] - self.before[name] for name in self.COUNTS)
        if failed:
            raise Broken(f"Redis failed {failed} of {requests} requests")
        if ran < requests:
            raise Broken(f"Redis ran {ran} of {requests} requests: the front answered the others")
        if all_found and found < requests:
            raise Broken(f"only {found} of {requests} GETs found their key")


def _children_us():
    # redis-benchmark is the only child that ends while a run is measured.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def _redis_benchmark(lab, front, workload, requests):
    """Requests a second and the latencies p50 and p99 in ms, as redis-benchmark saw them."""
    argv = ["redis-benchmark", "-h", targets.HOST, "-p", str(front.port), "--csv", "--precision", "3",
            "-c", str(workload.clients), "-P", str(workload.depth), "-n", str(requests),
            "-k", "1" if workload.keep else "0"]
    if workload.command == RANDOM:
        argv += ["-r", str(targets.RANDOM_KEYS)]
    if front.tls:
        certs = lab.certificates
        argv += ["--tls", "--cacert", str(certs.ca), "--cert", str(certs.client),
                 "--key", str(certs.client_key)]
    try:
        run = subprocess.run(argv + list(workload.command), capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired as cause:
        raise Broken(f"redis-benchmark was not done in {RUN_SECONDS_MAX} s") from cause
    complaints = [line for line in (run.stdout + run.stderr).splitlines() if _is_complaint(line)]
    if run.returncode != 0 or complaints:
        said = " | ".join(complaints) or run.stderr.strip()
        raise Broken(f"redis-benchmark ended with status {run.returncode}: {said}")
    rows = [row for row in csv.DictReader(io.StringIO(run.stdout)) if row.get("rps")]
    if len(rows) != 1:
        raise Broken(f"redis-benchmark printed {len(rows)} rows, expected 1: {run.stdout!r}")
    return float(rows[0]["rps"]), float(rows[0]["p50_latency_ms"]), float(rows[0]["p99_latency_ms"])


def _is_complaint(line):
    # It asks for CONFIG first, only to print it; a gateway may well refuse that.
    return "rror" in line and "failed to fetch CONFIG" not in line
