"""The workloads, and one measurement of one workload through one front.

Knows redis-benchmark and how to tell a sound run from a broken one. Knows nothing of how
fronts are started, of rounds or of ratios.
"""

import csv
import dataclasses
import io
import resource
import socket
import subprocess
import time

import targets
from targets import Broken

RUN_SECONDS_MAX = 120
# Redis shrinks an idle client's buffers after two seconds; memory is read after that.
SETTLE_SECONDS = 4


@dataclasses.dataclass(frozen=True)
class Workload:
    """One redis-benchmark command line. `trial` requests are enough to guess the speed."""

    title: str
    clients: int
    depth: int
    command: tuple[str, ...]
    trial: int
    keep: bool = True
    # A client's first request waits for its handshake. Those must stay well under one in a
    # hundred, or p99 is the time of a handshake.
    requests_min: int = 0
    # Each new connection leaves a port in TIME_WAIT, and the kernel has 28 000 of them.
    requests_max: int = 5_000_000


GET = ("GET", targets.SMALL_KEY)
SET = ("SET", "bench:set", "x" * targets.SMALL_SIZE)
WORKLOADS = {
    "get-50": Workload("GET, 50 clients, depth 1", 50, 1, GET, 5_000),
    "set-50": Workload("SET, 50 clients, depth 1", 50, 1, SET, 5_000),
    "get-500": Workload("GET, 500 clients, depth 1", 500, 1, GET, 5_000,
                        requests_min=100_000),
    "get-50-d16": Workload("GET, 50 clients, depth 16", 50, 16, GET, 50_000),
    "set-50-d64": Workload("SET, 50 clients, depth 64", 50, 64, SET, 50_000),
    "get-16k": Workload("GET 16 KiB, 50 clients", 50, 1, ("GET", "bench:16k"), 3_000),
    "get-1m": Workload("GET 1 MiB, 8 clients", 8, 1, ("GET", "bench:1m"), 120),
    "reconnect": Workload("new connection per request, 50 at a time", 50, 1, GET, 200,
                          keep=False, requests_max=8_000),
}
IDLE = "idle"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sound run. Processor time is in microseconds a request, latency in milliseconds."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    front_us: float
    redis_us: float

    @property
    def sum_us(self):
        """What a request costs whoever runs both ends."""
        return self.front_us + self.redis_us


@dataclasses.dataclass(frozen=True)
class IdleSample:
    """What `clients` idle clients cost: bytes for each, and the price of a request beside them."""

    clients: int
    front_bytes: float
    redis_bytes: float
    sum_us_beside: float
    sum_us_alone: float


def raise_open_files():
    """Lifts the soft limit on open files to the hard one; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def requests_for(workload, rps, seconds):
    """How many requests take about `seconds` at `rps`."""
    enough = max(workload.trial, workload.requests_min, int(rps * seconds))
    return min(enough, workload.requests_max)


def measure(lab, front, redis, workload, requests):
    """Runs the workload once; raises Broken unless every request had its reply from Redis."""
    name = workload.command[0].lower()
    before = redis.info()
    front_before, redis_before = front.cpu_us(), redis.process.cpu_us()
    rps, p50, p99 = _redis_benchmark(lab, front, workload, requests)
    front_after, redis_after = front.cpu_us(), redis.process.cpu_us()
    _require_served(before, redis.info(), name, requests)
    return Sample(requests, rps, p50, p99, (front_after - front_before) / requests,
                  (redis_after - redis_before) / requests)


def measure_idle(lab, front, redis, workload, clients, requests):
    """Memory of `clients` that made one request and then wait, and a request's price beside them.

    Both processes must be new: memory that earlier load left free would be used again.
    """
    front_before, redis_before = front.rss_bytes(), redis.process.rss_bytes()
    held = []
    try:
        for _ in range(clients):
            held.append(_idle_client(lab, front))
        time.sleep(SETTLE_SECONDS)
        front_bytes = (front.rss_bytes() - front_before) / clients
        redis_bytes = (redis.process.rss_bytes() - redis_before) / clients
        beside = measure(lab, front, redis, workload, requests)
    finally:
        for plain in held:
            plain.close()
    time.sleep(SETTLE_SECONDS)
    alone = measure(lab, front, redis, workload, requests)
    return IdleSample(clients, front_bytes, redis_bytes, beside.sum_us, alone.sum_us)


def _idle_client(lab, front):
    """A socket whose TLS end has been thrown away: it stays open and costs this program little."""
    link = lab.connect(front)
    targets.ask(link, *GET)
    # detach() gives up the descriptor without closing it or saying goodbye.
    return socket.socket(fileno=link.detach())


def _redis_benchmark(lab, front, workload, requests):
    """Requests a second and the latencies p50 and p99 in ms, as redis-benchmark saw them."""
    argv = ["redis-benchmark", "-h", targets.HOST, "-p", str(front.port), "--csv", "--precision", "3",
            "-c", str(workload.clients), "-P", str(workload.depth), "-n", str(requests),
            "-k", "1" if workload.keep else "0"]
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


def _require_served(before, after, command, requests):
    """Asks Redis what it ran: redis-benchmark takes any reply for an answer, a nil too."""
    then, now = _commandstat(before, command), _commandstat(after, command)
    ran, failed = (now[field] - then[field] for field in ("calls", "failed_calls"))
    refused = now["rejected_calls"] - then["rejected_calls"]
    if failed or refused:
        raise Broken(f"Redis failed {failed} and refused {refused} of {requests} {command}")
    if ran < requests:
        raise Broken(f"Redis ran {ran} of {requests} {command}: the front answered the others")
    if command == "get":
        hits = int(after["keyspace_hits"]) - int(before["keyspace_hits"])
        if hits < requests:
            raise Broken(f"only {hits} of {requests} GETs found their key")


def _commandstat(info, command):
    fields = info.get(f"cmdstat_{command}", "calls=0,rejected_calls=0,failed_calls=0")
    return {name: int(float(number)) for name, number in
            (field.split("=") for field in fields.split(","))}
