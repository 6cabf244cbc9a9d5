"""A result file, read: samples by workload and target, medians, and ratios round by round.

Knows the form of the file and nothing of what is done with it.
"""

import statistics

BASE, REFERENCE, SUBJECT, FLOOR = "direct", "redis-tls", "respgate", "floor"
PROXIES = ("haproxy", "stunnel", "hitch", "envoy-tcp", "envoy-redis")
TLS_ENDS_OF_REDIS = (BASE, REFERENCE)


class Result:
    """What `compare` has written."""

    def __init__(self, raw):
        self.made, self.failures = raw["made"], raw["failures"]
        self.targets, self.workloads = raw["targets"], raw["workloads"]
        self.samples, self.crowd, self.curve = raw["samples"], raw["crowd"], raw["curve"]

    def sound(self, workload, target):
        """The samples of a target that answered soundly in every round, otherwise none."""
        samples = self.samples.get(workload, {}).get(target, [])
        return [] if None in samples else samples

    def values(self, workload, target, field):
        """A field of every round; `sum_us` is what a request costs whoever runs both ends."""
        return [_field(sample, field) for sample in self.sound(workload, target)]

    def median(self, workload, target, field):
        """The median over rounds, or None."""
        values = self.values(workload, target, field)
        return statistics.median(values) if values else None

    def ratios(self, workload, target, field, to=REFERENCE):
        """`target` over `to`, round by round: drift between rounds cancels out."""
        pairs = zip(self.values(workload, target, field), self.values(workload, to, field))
        return [a / b for a, b in pairs if b > 0]

    def crowd_ratios(self, target):
        """The cost of a request among many clients over that among few, round by round."""
        one = self.crowd.get(target)
        if one is None:
            return []
        pairs = zip(one["many_rounds"], one["few_rounds"])
        # A run of a moment can be too short for the accounts to show anything.
        return [_field(many, "sum_us") / _field(few, "sum_us") for many, few in pairs if _field(few, "sum_us") > 0]

    def curve_of(self, axis, target, field):
        """Points of a cost curve: where, and the median there."""
        points = self.curve.get(axis, {}).get(target, {})
        return [(int(at), statistics.median(_field(sample, field) for sample in samples))
                for at, samples in points.items()]

    def crowd_median(self, target, rounds, field):
        """The median of a field among `few_rounds` or `many_rounds`."""
        return statistics.median(_field(sample, field) for sample in self.crowd[target][rounds])


def _field(sample, field):
    if field == "sum_us":
        return sample["front_us"] + sample["redis_us"]
    return sample[field]


def spread(values, shape="{:.2f}x"):
    """The median and, in brackets, the lowest and the highest; nothing of nothing."""
    if not values:
        return ""
    low, middle, high = (shape.format(one) for one in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"
