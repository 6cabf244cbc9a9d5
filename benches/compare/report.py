"""Medians, ratios and the markdown that shows them. Runs nothing and measures nothing."""

import dataclasses
import statistics

from load import WORKLOADS
from targets import TITLES

BASE, REFERENCE, SUBJECT = "direct", "redis-tls", "respgate"
PROXIES = ("haproxy", "stunnel", "envoy-tcp", "envoy-redis")
COLUMNS = (
    ("req/s", "rps", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.3f}"),
    ("p99 ms", "p99_ms", "{:.3f}"),
    ("front us", "front_us", "{:.2f}"),
    ("redis us", "redis_us", "{:.2f}"),
    ("sum us", "sum_us", "{:.2f}"),
)
THROUGHPUT_BARS = {"get-50": 1.2, "set-50": 1.2, "get-500": 1.5, "get-50-d16": 1.3, "reconnect": 1.5}
FIFTY = ("get-50", "set-50", "get-50-d16", "set-50-d64", "get-16k")


class Results:
    """Samples by workload and target, one for each round; None where that run was broken."""

    def __init__(self):
        self.samples = {}
        self.idle = {}
        self.failures = []

    def open(self, workload, targets):
        """A row for each target, in the report's order; one that never answers stays empty."""
        self.samples[workload] = {target: [] for target in targets}

    def add(self, workload, target, sample):
        """Keeps the sample of the next round."""
        self.samples[workload][target].append(sample)

    def sound(self, workload, target):
        """The samples of a target that answered soundly in every round, otherwise none."""
        samples = self.samples.get(workload, {}).get(target, [])
        return [] if None in samples else samples

    def median(self, workload, target, field):
        """The median over rounds, or None."""
        samples = self.sound(workload, target)
        return statistics.median(getattr(one, field) for one in samples) if samples else None

    def ratios(self, workload, target, field, to):
        """`target` over `to`, round by round: drift between rounds cancels out."""
        pairs = zip(self.sound(workload, target), self.sound(workload, to))
        return [getattr(a, field) / getattr(b, field) for a, b in pairs if getattr(b, field) > 0]

    def ratio(self, workload, target, field, to=REFERENCE):
        """The median of the rounds' ratios, or None."""
        ratios = self.ratios(workload, target, field, to)
        return statistics.median(ratios) if ratios else None

    def as_json(self):
        """Everything that was measured, for a program to read."""
        return {
            "samples": {workload: {target: [one and dataclasses.asdict(one) for one in samples]
                                   for target, samples in row.items()}
                        for workload, row in self.samples.items()},
            "idle": {target: one and dataclasses.asdict(one) for target, one in self.idle.items()},
            "failures": self.failures,
        }


def tables(results):
    """One markdown table a workload."""
    out = []
    for workload, row in results.samples.items():
        out += [f"### {WORKLOADS[workload].title}", "", _row(["", *[c[0] for c in COLUMNS]]),
                _row(["---"] + ["---:"] * len(COLUMNS))]
        out += [_row([TITLES[target], *_cells(results, workload, target)]) for target in row]
        out.append("")
    if results.idle:
        out += _idle_table(results.idle)
    return "\n".join(out)


def summary(results):
    """respgate against the bars, each with the lowest and highest round."""
    if SUBJECT not in _targets(results):
        return "respgate was not among the targets: there is nothing to hold against the bars.\n"
    out = [_row(["bar", "wanted", "measured (lowest to highest round)", ""]),
           _row(["---", "---", "---", "---"])]
    out += [_row(line) for line in _bars(results)]
    return "\n".join(out) + "\n"


def _targets(results):
    return {target for row in results.samples.values() for target in row} | set(results.idle)


def _row(cells):
    return "| " + " | ".join(cells) + " |"


def _cells(results, workload, target):
    if not results.sound(workload, target):
        return ["failed"] + [""] * (len(COLUMNS) - 1)
    cells = []
    for _, field, shape in COLUMNS:
        median = results.median(workload, target, field)
        # redis-benchmark's clock covers only part of a handshake.
        is_partial = field in ("p50_ms", "p99_ms") and not WORKLOADS[workload].keep
        if is_partial or (field == "front_us" and target in (BASE, REFERENCE)):
            cells.append("")
            continue
        ratio = results.ratio(workload, target, field)
        cells.append(shape.format(median) + (f" ({ratio:.2f}x)" if ratio is not None else ""))
    return cells


def _idle_table(idle):
    out = ["### idle clients", "",
           _row(["", "clients", "front bytes/client", "redis bytes/client",
                 "sum us/request beside them", "without them", "ratio"]),
           _row(["---"] + ["---:"] * 6)]
    for target, one in idle.items():
        if one is None:
            out.append(_row([TITLES[target], "failed", "", "", "", "", ""]))
            continue
        front = "" if target in (BASE, REFERENCE) else f"{one.front_bytes:,.0f}"
        out.append(_row([TITLES[target], f"{one.clients:,}", front, f"{one.redis_bytes:,.0f}",
                         f"{one.sum_us_beside:.2f}", f"{one.sum_us_alone:.2f}",
                         f"{one.sum_us_beside / one.sum_us_alone:.2f}x"]))
    return out + [""]


def _bars(results):
    for workload in results.samples:
        bar = THROUGHPUT_BARS.get(workload, 1.0)
        yield _line("throughput against Redis' own TLS", workload, f">= {bar:.2f}x",
                    results.ratios(workload, SUBJECT, "rps", REFERENCE),
                    lambda ratio, bar=bar: ratio >= bar)
    for workload in results.samples:
        yield _ahead_of_proxies(results, workload)
    for workload in results.samples:
        bar = 0.85 if workload in ("get-50", "set-50") else 1.0
        yield _compared(results, "sum against Redis' own TLS", workload, "sum_us", REFERENCE, bar)
    for workload in _among(results, ("get-50", "get-500")):
        yield _compared(results, "Redis' share against direct clients", workload, "redis_us", BASE, 0.45)
    yield ["front against the floor", "<= 1.15x", "not measured here", ""]
    for workload in _among(results, (*FIFTY, "get-500")):
        bar = 0.5 if workload == "get-500" else 1.0
        yield _compared(results, "p99 against Redis' own TLS", workload, "p99_ms", REFERENCE, bar)
    if results.idle:
        yield from _idle_bars(results.idle.get(SUBJECT))


def _among(results, workloads):
    return [workload for workload in workloads if workload in results.samples]


def _compared(results, name, workload, field, to, bar):
    ratios = results.ratios(workload, SUBJECT, field, to)
    return _line(name, workload, f"<= {bar:.2f}x", ratios, lambda ratio: ratio <= bar)


def _ahead_of_proxies(results, workload):
    rivals = [(results.median(workload, proxy, "rps"), proxy) for proxy in PROXIES]
    rivals = [rival for rival in rivals if rival[0] is not None]
    if not rivals:
        return _line("throughput against the best proxy", workload, "> 1.00x", [], bool)
    _, best = max(rivals)
    ratios = results.ratios(workload, SUBJECT, "rps", best)
    return _line(f"throughput against the best proxy ({TITLES[best]})", workload, "> 1.00x", ratios,
                 lambda ratio: ratio > 1)


def _line(name, workload, wanted, ratios, is_met):
    title = f"{name}: {WORKLOADS[workload].title}"
    if not ratios:
        return [title, wanted, "not measured", ""]
    middle = statistics.median(ratios)
    return [title, wanted, f"{middle:.2f}x ({min(ratios):.2f} to {max(ratios):.2f})",
            "met" if is_met(middle) else "MISSED"]


def _idle_bars(one):
    if one is None:
        yield ["memory of an idle client", "<= 12 KiB", "not measured", ""]
        yield ["request beside idle clients", "<= 1.30x", "not measured", ""]
        return
    kib, price = one.front_bytes / 1024, one.sum_us_beside / one.sum_us_alone
    yield [f"memory of an idle client, at {one.clients:,} clients (bar: at 10,000)", "<= 12 KiB",
           f"{kib:.1f} KiB", "met" if kib <= 12 else "MISSED"]
    yield [f"request beside {one.clients:,} idle clients (bar: 5,000)", "<= 1.30x", f"{price:.2f}x",
           "met" if price <= 1.3 else "MISSED"]
