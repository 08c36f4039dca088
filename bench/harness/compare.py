# SPDX-License-Identifier: Apache-2.0
"""compare.py - runs all servers under all workloads, in turns, within a budget of time."""
import sys
import time

import load
import samples
import servers
import workloads

OVERHEAD_S = 0.1  # of a run, beside its warm-up: start, connections, end
SECONDS_MIN, SECONDS_MAX = 0.15, 3.0
OPEN_LOOP_FACTOR = 6  # so much longer is one: its high percentiles are of few requests
REPEATS_SHARE = 0.1  # of all runs: so many may be repeated because they were disturbed


def show(text):
    if sys.stderr.isatty():
        print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


class Comparison:
    """All runs, their samples and what went wrong."""

    def __init__(self, build, placement, rounds, budget_s, quick=False, chosen=None):
        self.build = build
        self.placement = placement
        self.rounds = rounds
        self.servers, self.missing = servers.available(build)
        if not self.servers:
            raise servers.Failed(f"{build}: no server is built there (make programs peers)")
        self.workloads = chosen or [workload for workload in workloads.WORKLOADS
                                    if workload.quick or not quick]
        self.open_loop_factor = 1 if quick else OPEN_LOOP_FACTOR
        planned = rounds * [workload for workload in self.workloads for server in self.servers
                            if workloads.takes_part(server, workload)]
        runs = len(planned)
        repeats = 0 if quick else REPEATS_SHARE
        overhead_s = sum(OVERHEAD_S + load.warmup_s_of(workload) for workload in planned)
        lengths = sum(self.open_loop_factor if workload.rate_share else 1 for workload in planned)
        left_s = budget_s / (1 + repeats) - overhead_s
        self.seconds = min(SECONDS_MAX, max(SECONDS_MIN, left_s / lengths))
        self.end = time.monotonic() + budget_s
        self.repeats_left = int(runs * repeats)
        self.repeated = 0
        self.samples = {}  # by workload's key and server's name: a list, one for each round
        self.commands = {}  # likewise: of the server and of the load
        self.failures = []  # sentences
        self.rates = {}  # of open loops, by workload's key

    def one(self, server, workload, rate):
        """A run, and again while others disturb it and there is time and patience left."""
        while True:
            sample, *commands = load.run(server, self.build, workload,
                                         self.seconds_of(workload), self.placement, rate)
            self.commands[workload.key, server.name] = commands
            patience = self.repeats_left > 0 and time.monotonic() < self.end
            if not sample.disturbed or not patience:
                return sample
            self.repeats_left -= 1
            self.repeated += 1

    def seconds_of(self, workload):
        return self.seconds * (self.open_loop_factor if workload.rate_share else 1)

    def rate_of(self, workload):
        """The same for all, so that latencies can be compared: a share of what the slowest
        of those answers that serve many connections in one thread."""
        if not workload.rate_share:
            return 0
        saturations = [
            self.column(workloads.SATURATION, server.name, "requests_per_second").median
            for server in self.servers
            if server.is_loop and (workloads.SATURATION, server.name) in self.samples]
        return int(min(saturations) * workload.rate_share) if saturations else 0

    def is_overloaded(self, workload, name):
        """Whether it could not send one in a hundred requests in time."""
        due = self.rates[workload.key] * (self.seconds_of(workload)
                                            + load.warmup_s_of(workload))
        return bool(due) and self.column(workload.key, name, "unsent").median > due / 100

    def run(self):
        for workload in self.workloads:
            rate = self.rates[workload.key] = self.rate_of(workload)
            if workload.rate_share and not rate:
                self.failures.append(f"{workload.title}: nobody's saturation is known: skipped")
                continue
            taking_part = [server for server in self.servers
                           if workloads.takes_part(server, workload)]
            for round_number in range(self.rounds):
                for server in samples.rotated(taking_part, round_number):
                    show(f"{workload.title}: round {round_number + 1} of {self.rounds}, "
                         f"{server.name}")
                    try:
                        sample = self.one(server, workload, rate)
                    except servers.Failed as failure:
                        self.failures.append(f"{workload.title}: {failure}")
                        self.samples.pop((workload.key, server.name), None)
                        taking_part.remove(server)
                        continue
                    self.samples.setdefault((workload.key, server.name), []).append(sample)
        show("")

    def notes(self):
        return [f"{name} is not built: skipped" for name in self.missing] + self.failures

    def of(self, key):
        """The names of the servers that have results of a workload, in the usual order."""
        return [server.name for server in self.servers if (key, server.name) in self.samples]

    def values(self, key, name, figure):
        get = figure if callable(figure) else lambda sample: getattr(sample, figure)
        return [get(sample) for sample in self.samples[key, name]]

    def column(self, key, name, figure):
        """Of the rounds in which there is a figure, or None if there are none."""
        values = [value for value in self.values(key, name, figure) if value is not None]
        return samples.Column(values) if values else None

    def ratio(self, workload, name, figure):
        """The reference's figure divided by that of the server, or None for itself."""
        key, reference = workload.key, workload.reference
        if name == reference or (key, reference) not in self.samples:
            return None
        if workload.rate_share and figure == "requests_per_second":
            return None  # it is the rate at which they were asked
        disturbed = None
        if figure != "cpu_ns_per_request":  # which hardly depends on others
            disturbed = [ours or theirs for ours, theirs in
                         zip(self.values(key, reference, "disturbed"),
                             self.values(key, name, "disturbed"))]
        return samples.Ratio(self.values(key, reference, figure), self.values(key, name, figure),
                             disturbed)

    @property
    def disturbed(self):
        return sum(sample.disturbed for runs in self.samples.values() for sample in runs)

    @property
    def runs(self):
        return sum(len(runs) for runs in self.samples.values())

    def as_dict(self):
        result = []
        for workload in self.workloads:
            for name in self.of(workload.key):
                entry = {"workload": workload.key, "title": workload.title, "server": name,
                         "connections": workload.connections, "size": workload.size,
                         "depth": workload.depth, "reference": workload.reference,
                         "rate": self.rates[workload.key] or None,
                         "server_command": self.commands[workload.key, name][0],
                         "load_command": self.commands[workload.key, name][1]}
                for figure in ("requests_per_second", "cpu_ns_per_request",
                               "switches_per_request", "server_busy", "load_busy", "unsent",
                               "others_share"):
                    column = self.column(workload.key, name, figure)
                    entry[figure] = column.as_dict() if column else None
                for percentile in ("p50", "p90", "p99", "p999", "max"):
                    entry[f"{percentile}_us"] = self.column(
                        workload.key, name, lambda sample: sample.latency_us[percentile]).as_dict()
                for figure in ("requests_per_second", "cpu_ns_per_request"):
                    ratio = self.ratio(workload, name, figure)
                    if ratio:
                        entry[f"reference_by_this_{figure}"] = ratio.as_dict()
                result.append(entry)
        return result
