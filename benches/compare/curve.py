"""What a request costs by the number of clients, by depth and by the size of its reply.

All of the targets hold their clients at once and take turns at each point, as in the rounds of a workload. The
clients all wait for a reply all of the time, whatever their number.
"""

import load
from load import Crew
from targets import SIZES, SMALL_KEY

TARGETS = ("redis-tls", "respgate", "floor")
CLIENTS, CLIENTS_OF_SIZES = 50, 8
# By axis: what varies.
AXES = {
    "clients": (1, 10, 50, 500, 2_000, 10_000),
    "depth": (1, 4, 16, 64, 256),
    "bytes": SIZES,
}


def points(clients_max, first):
    """Every point, or the `first` of each axis: where it is, how to have clients for it and what they ask for."""
    for axis, ends in AXES.items():
        for at in ends[:first]:
            if axis == "clients" and at <= clients_max:
                yield axis, at, _crew(at, 1), SMALL_KEY
            elif axis == "depth":
                yield axis, at, _crew(CLIENTS, at), SMALL_KEY
            elif axis == "bytes":
                yield axis, at, _crew(CLIENTS_OF_SIZES, 1), f"bench:{at}"


def measure(lab, ends, fronts, redis, words, key, rounds, seconds):
    """The samples of one point by target."""
    crews = {target: Crew(lab, ends, front, words) for target, front in fronts.items()}
    for crew in crews.values():
        crew.do(f"go {key} {min(seconds, 0.3)}")
    samples = {target: [] for target in crews}
    for _ in range(rounds):
        for target, crew in crews.items():
            samples[target].append(load.measure_crew(crew, fronts[target], redis, f"go {key} {seconds}"))
    for crew in crews.values():
        crew.close()
    return samples


def _crew(clients, depth):
    return ["load", "--clients", clients, "--in-flight", clients, "--depth", depth]
