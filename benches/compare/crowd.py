"""Many clients at one front: what they hold in memory, and what a request costs among them.

Each target has its turn with a new Redis and a new front: memory that earlier load left free would
be used again. Its own few and many clients alternate, so that the machine's drift cancels out.
"""

import dataclasses
import time

import load
from load import Crew, Sample
from peers import PAIRED
from targets import SMALL_KEY

FEW = 50
# What a client asks for before its memory is read again.
WORK = "each bench:16k 4"


@dataclasses.dataclass(frozen=True)
class CrowdSample:
    """One target. Memory is bytes for each of `clients`; the samples are rounds of 50 requests in
    flight, of as many clients and of `many`."""

    clients: int
    front_idle: float
    redis_idle: float
    front_worked: float
    redis_worked: float
    many: int
    few_rounds: list[Sample]
    many_rounds: list[Sample]


def measure(lab, ends, front, redis, clients, rounds, seconds, settle):
    """All of it at one front; memory is read `settle` seconds after the last request.

    A proxy with two descriptors for a client may have to do with fewer clients.
    """
    if front.name in PAIRED:
        clients = min(clients, lab.clients_max)
    many = clients // 2
    before = front.rss_bytes(), redis.rss_bytes()
    crew = Crew(lab, ends, front, ["load", "--clients", many])
    few_rounds, many_rounds = _alternate(lab, ends, front, redis, crew, rounds, seconds)
    rest = Crew(lab, ends, front, ["load", "--clients", clients - many])
    front_idle, redis_idle = _held(front, redis, before, clients, settle)
    for each in crew, rest:
        each.do(WORK)
    front_worked, redis_worked = _held(front, redis, before, clients, settle)
    for each in crew, rest:
        each.close()
    return CrowdSample(clients, front_idle, redis_idle, front_worked, redis_worked, many, few_rounds, many_rounds)


def _alternate(lab, ends, front, redis, many, rounds, seconds):
    few = Crew(lab, ends, front, ["load", "--clients", FEW, "--in-flight", FEW])
    samples = [], []
    order = f"go {SMALL_KEY} {seconds}"
    for crew in few, many:
        crew.do(f"go {SMALL_KEY} {min(seconds, 0.5)}")
    for _ in range(rounds):
        for crew, done in zip((few, many), samples):
            done.append(load.measure_crew(crew, front, redis, order))
    few.close()
    return samples


def _held(front, redis, before, clients, settle):
    time.sleep(settle)
    return tuple((end.rss_bytes() - then) / clients for end, then in zip((front, redis), before))
