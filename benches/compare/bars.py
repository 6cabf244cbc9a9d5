"""The eight bars: what is wanted of respgate in one run, and by how much it is met or missed.

A bar has several lines where it is about several workloads, and is met where all of them are. What was
not measured is neither met nor missed.
"""

import dataclasses
import statistics

from result import BASE, FLOOR, PROXIES, REFERENCE, SUBJECT

# Of the table that the bars are about; the others are for information.
TABLE = ("get-50", "set-50", "get-500", "get-50-d16", "set-50-d64", "get-16k", "get-1m", "reconnect")
FIFTY = ("get-50", "set-50", "get-50-d16", "set-50-d64", "get-16k")
THROUGHPUT = {"get-50": 1.2, "set-50": 1.2, "get-500": 1.5, "get-50-d16": 1.3}
IDLE_KIB_MAX = 12


@dataclasses.dataclass(frozen=True)
class Line:
    """One thing that is wanted: `values` are ratios or sizes, of which the median counts."""

    bar: int
    what: str
    wanted: float
    at_least: bool
    values: list[float]
    unit: str = "x"

    @property
    def measured(self):
        """The median, or None."""
        return statistics.median(self.values) if self.values else None

    @property
    def is_met(self):
        """Whether it is met; None where it was not measured."""
        if not self.values:
            return None
        return self.measured >= self.wanted if self.at_least else self.measured <= self.wanted

    @property
    def margin(self):
        """How far beyond what is wanted, as a share of it; below zero where it is missed."""
        gain = self.measured / self.wanted - 1
        return gain if self.at_least else -gain

    def verdict(self):
        """Met or missed, and by how much."""
        if self.is_met is None:
            return "not measured"
        return f"{'met' if self.is_met else 'MISSED'} by {abs(self.margin) * 100:.0f} %"


BARS = {
    1: "throughput beside Redis' own TLS, and ahead of every proxy",
    2: "processor time of front and Redis for a request, beside Redis' own TLS",
    3: "Redis' share, beside direct clients without TLS",
    4: "the front beside the floor",
    5: "p99 beside Redis' own TLS",
    6: "new connections, beside Redis' own TLS and Envoy",
    7: "memory of an idle client",
    8: "a request among mostly idle clients, beside one among 50",
}


def lines(result):
    """Everything that is wanted, bar by bar."""
    title = result.workloads.get

    def ratio(bar, workload, field, to, wanted, at_least):
        return Line(bar, f"{title(workload)}, beside {result.targets[to]}", wanted, at_least,
                    result.ratios(workload, SUBJECT, field, to))

    for workload in TABLE[:-1]:
        yield ratio(1, workload, "rps", REFERENCE, THROUGHPUT.get(workload, 1.0), True)
        yield _best_proxy(result, 1, workload, PROXIES)
    yield _best_proxy(result, 1, TABLE[-1], PROXIES)
    for workload in TABLE:
        yield ratio(2, workload, "sum_us", REFERENCE, 0.85 if workload in ("get-50", "set-50") else 1.0, False)
    for workload in ("get-50", "get-500"):
        yield ratio(3, workload, "redis_us", BASE, 0.45, False)
    for workload in ("get-50", "get-500", "get-50-d16"):
        yield ratio(4, workload, "front_us", FLOOR, 1.15, False)
    for workload in (*FIFTY, "get-500"):
        yield ratio(5, workload, "p99_ms", REFERENCE, 0.5 if workload == "get-500" else 1.0, False)
    yield ratio(6, "reconnect", "rps", REFERENCE, 1.5, True)
    yield _best_proxy(result, 6, "reconnect", ("envoy-tcp", "envoy-redis"))
    one = result.crowd.get(SUBJECT)
    clients, many = (one["clients"], one["many"]) if one else (10_000, 5_000)
    for field, what in ("front_idle", "after one small request each"), ("front_worked", "after 64 KiB of replies each"):
        kib = [one[field] / 1024] if one else []
        yield Line(7, f"{clients:,} clients, {what}", IDLE_KIB_MAX, False, kib, " KiB")
    yield Line(8, f"{many:,} clients, beside 50", 1.3, False, result.crowd_ratios(SUBJECT))


def _best_proxy(result, bar, workload, proxies):
    """Beside the fastest of them."""
    found = [(result.median(workload, proxy, "rps"), proxy) for proxy in proxies]
    found = [one for one in found if one[0] is not None]
    best = max(found)[1] if found else None
    beside = f"the fastest of them, {result.targets[best]}" if best else "proxies"
    return Line(bar, f"{result.workloads[workload]}, beside {beside}", 1.0, True, result.ratios(workload, SUBJECT, "rps", best) if best else [])


def verdicts(result):
    """For each bar its title, met or missed, and its tightest line."""
    found = list(lines(result))
    for number, title in BARS.items():
        measured = [line for line in found if line.bar == number and line.is_met is not None]
        missed = [line for line in measured if not line.is_met]
        absent = sum(line.bar == number for line in found) - len(measured)
        if not measured:
            word = "not measured"
        elif missed:
            word = f"MISSED, {len(missed)} of {len(measured)}"
        else:
            word = "met" if not absent else f"met as far as measured ({absent} not)"
        tightest = min(measured, key=lambda line: line.margin, default=None)
        yield number, title, word, tightest
