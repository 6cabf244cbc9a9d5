#!/usr/bin/env python3
"""Shows a result file: tables with ratios, the verdict on each bar and, with --svg, a chart.

    benches/compare/report.py target/compare/result.json [--svg FILE] [--curve-svg FILE]

Runs nothing and measures nothing.
"""

import argparse
import json
import pathlib
import sys

import bars
import chart
import curve_chart
from result import FLOOR, REFERENCE, SUBJECT, TLS_ENDS_OF_REDIS, Result, spread

COLUMNS = (
    ("req/s", "rps", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.3f}"),
    ("p99 ms", "p99_ms", "{:.3f}"),
    ("front us", "front_us", "{:.2f}"),
    ("redis us", "redis_us", "{:.2f}"),
    ("sum us", "sum_us", "{:.2f}"),
    ("client us", "client_us", "{:.2f}"),
)
ONE_OR_MANY = ("cluster", "cluster-d16")
CLUSTERS = (("respgate-cluster-1", "respgate-node"), ("respgate-cluster", "respgate-node"),
            ("respgate-cluster", SUBJECT))


def markdown(raw):
    """The whole report."""
    result = Result(raw)
    parts = [_heading(result), _verdicts(result), _overview(result), _crowd(result), _cluster(result), _curve(result),
             _lines(result), _details(result), _setup(result), _failures(result)]
    return "\n".join(line for part in parts for line in part)


def _heading(result):
    made = result.made
    machine = made["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return ["# respgate beside its peers", "",
            f"{made['date']}, {machine['cores']} cores ({machine['processor']}), {machine['memory_mib']:,} MiB,"
            f" Linux {machine['kernel']}, the clients on the same machine; {made['rounds']} interleaved rounds"
            f" of {made['seconds']:g} s, {made['took_s'] / 60:.0f} minutes in all.", "",
            f"{versions}.", ""]


def _verdicts(result):
    if not _has_subject(result):
        return ["respgate was not among the targets: there is nothing to hold against the bars.", ""]
    out = ["## Bars", "", _row(["", "bar", "verdict", "tightest line", "wanted", "measured (lowest to highest round)"]),
           _rule(0, 6)]
    for number, title, word, line in bars.verdicts(result):
        last = [line.what, _wanted(line), spread(line.values, _shape(line))] if line else ["", "", ""]
        out.append(_row([str(number), title, word, *last]))
    return [*out, ""]


def _has_subject(result):
    return SUBJECT in {target for row in result.samples.values() for target in row} | set(result.crowd)


def _overview(result):
    names = [name for name in result.samples if name not in ONE_OR_MANY]
    if not names:
        return []
    targets = [name for name in result.targets if any(name in result.samples[one] for one in names)]
    out = ["## Requests a second, and microseconds of front and Redis for each", "",
           _row(["", *[result.targets[target] for target in targets]]), _rule(1, len(targets))]
    for name in names:
        cells = []
        for target in targets:
            rps, cost = result.median(name, target, "rps"), result.median(name, target, "sum_us")
            cells.append("" if rps is None else f"{rps:,.0f} ({cost:,.{0 if cost >= 100 else 2}f})")
        out.append(_row([result.workloads[name], *cells]))
    return [*out, ""]


def _details(result):
    out = ["## Each workload", ""] if result.samples else []
    for workload, row in result.samples.items():
        out += [f"### {result.workloads[workload]}", "", _row(["", *[c[0] for c in COLUMNS]]), _rule(1, len(COLUMNS))]
        out += [_row([result.targets[target], *_cells(result, workload, target)]) for target in row]
        out.append("")
    return out


def _cells(result, workload, target):
    if not result.sound(workload, target):
        return ["failed"] + [""] * (len(COLUMNS) - 1)
    cells = []
    for _, field, shape in COLUMNS:
        # redis-benchmark's clock covers only part of a handshake.
        is_partial = field in ("p50_ms", "p99_ms") and workload == "reconnect"
        is_absent = field == "front_us" and target in TLS_ENDS_OF_REDIS or field == "redis_us" and target == FLOOR
        if is_partial or is_absent:
            cells.append("")
            continue
        ratios = result.ratios(workload, target, field) if field != "front_us" else result.ratios(
            workload, target, field, FLOOR)
        ratio = f" ({spread(ratios).split(' ')[0]})" if ratios else ""
        cells.append(shape.format(result.median(workload, target, field)) + ratio)
    return cells


def _crowd(result):
    if not result.crowd:
        return []
    out = ["## Many clients, nearly all of them idle", "",
           "Bytes for each client, resident, that idles after one small request and after 64 KiB of replies; and"
           " the microseconds of front and Redis for a request when half as many take turns with 50 requests in"
           " flight.", "",
           _row(["", "clients", "front, idle", "front, worked", "Redis, idle", "Redis, worked", "sum us, 50 clients",
                 "sum us, many", "ratio"]), _rule(1, 8)]
    for target, one in result.crowd.items():
        has_front, has_redis = target not in TLS_ENDS_OF_REDIS, target != FLOOR
        sizes = [(has_front, "front_idle"), (has_front, "front_worked"), (has_redis, "redis_idle"),
                 (has_redis, "redis_worked")]
        costs = [f"{result.crowd_median(target, rounds, 'sum_us'):.2f}" for rounds in ("few_rounds", "many_rounds")]
        out.append(_row([result.targets[target], f"{one['clients']:,}",
                         *[f"{one[field]:,.0f}" if is_there else "" for is_there, field in sizes],
                         *costs, spread(result.crowd_ratios(target))]))
    return [*out, ""]


def _cluster(result):
    """Each of `CLUSTERS` beside each of what it can be held against, where they were measured."""
    out = []
    for workload in ONE_OR_MANY:
        for target, base in CLUSTERS:
            ratios = result.ratios(workload, target, "rps", base)
            if not ratios:
                continue
            fronts = (result.values(workload, one, "front_us") for one in (target, base))
            added = [a - b for a, b in zip(*fronts)]
            out.append(_row([result.workloads[workload], result.targets[target], result.targets[base],
                             spread(ratios), spread(added, "{:+.2f} us")]))
    if not out:
        return []
    return ["## Clusters", "",
            "What the gateway's routing adds is the difference between the two that have the same Redis behind them: a"
            " cluster of one, and its node as a server. A Redis in cluster mode costs more than one that is not.", "",
            _row(["", "what", "beside", "throughput", "more at the front, a request"]), _rule(3, 2), *out, ""]


def _curve(result):
    out = ["## The cost of a request", "",
           "Microseconds: 50 clients and depth 1 but for what varies, 8 clients for bytes of the reply; all of them wait"
           " for a reply all of the time.", ""] if result.curve else []
    for axis in result.curve:
        curves = {title: dict(points) for title, points in curve_chart.curves(result, axis).items()}
        ends = sorted({at for points in curves.values() for at in points})
        out += [_row([axis, *[f"{at:,}" for at in ends]]), _rule(1, len(ends))]
        for title, points in curves.items():
            out.append(_row([title, *[f"{points[at]:,.2f}" if at in points else "" for at in ends]]))
        out.append("")
    return out


def _lines(result):
    if not _has_subject(result):
        return []
    out = ["## Every line of the bars", "", _row(["bar", "", "wanted", "measured (lowest to highest round)",
                 "verdict"]), _rule(0, 5)]
    for line in bars.lines(result):
        measured = spread(line.values, _shape(line))
        out.append(_row([str(line.bar), line.what, _wanted(line), measured, line.verdict()]))
    return [*out, ""]


def _setup(result):
    made, terms = result.made, {}
    for title, agreed in made["negotiated"].items():
        terms.setdefault(agreed, []).append(title)
    return ["## How each was set up", "",
            *[f"- {result.targets[name]}: {text}" for name, text in made["settings"].items()],
            *[f"- {agreed}: {', '.join(titles)}" for agreed, titles in terms.items()],
            f"- figures are medians over rounds; (x) is beside {result.targets[REFERENCE]}, and for `front us` beside"
            f" {result.targets[FLOOR]}: the median of the rounds' ratios", ""]


def _failures(result):
    return [f"FAILED: {failure}" for failure in result.failures]


def _shape(line):
    return "{:.2f}x" if line.unit == "x" else "{:.1f}" + line.unit


def _wanted(line):
    return (">= " if line.at_least else "<= ") + _shape(line).format(line.wanted)


def _row(cells):
    return "| " + " | ".join(cells) + " |"


def _rule(texts, numbers):
    return _row(["---"] * texts + ["---:" if texts else "---"] * numbers)


def main():
    """Prints the report; writes the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=pathlib.Path, help="what benches/compare/run has written")
    parser.add_argument("--svg", type=pathlib.Path, metavar="FILE", help="also draw all targets beside Redis' own TLS")
    parser.add_argument("--curve-svg", type=pathlib.Path, metavar="FILE", help="also draw the cost of a request")
    args = parser.parse_args()
    raw = json.loads(args.result.read_text())
    print(markdown(raw))
    if args.svg:
        args.svg.write_text(chart.svg(Result(raw)))
    if args.curve_svg:
        args.curve_svg.write_text(curve_chart.svg(Result(raw)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
