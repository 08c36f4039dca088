# SPDX-License-Identifier: Apache-2.0
"""report.py - what was measured: text for people, CSV and JSON for programs."""
import csv
import json
import shlex

import files
import micro
import rdma
import samples

METHOD = """\
The servers take turns within each round. A figure is the median of the rounds, with the
range of all rounds behind it. A ratio is rill's figure (or that of the server which the
table's head names) divided by the other's, taken within each round; its median is shown, and
"tie" where rounds disagree about who is ahead, or "few" where less than four were left
undisturbed to tell. The CPU time of the server per request repeats best: the requests per
second depend on the load generator too, which does the same work in the kernel. "busy" is the
share of its processor that the server used: below 100 % the load was the slower side. A
latency counts from sending a request; in an open loop from when it was due."""


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def spread(column):
    return f"{number(column.median)} ({number(column.low)}-{number(column.high)})"


def table(rows):
    """Lines of a table whose first row is its head; the first column is text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows)


def describe(facts):
    lines = [
        f"{facts['date']}, commit {facts['commit']}",
        f"{facts['processor']}, {facts['processors']} processors, {facts['memory_gib']} GiB, "
        f"{facts['system']}, Linux {facts['kernel']}",
        f"{facts['placement']}; loopback; sockets have TCP_NODELAY and congestion control "
        f"{facts['congestion']} on both sides, UCX's the system's, which is "
        f"{facts['congestion_of_messages']}",
    ]
    lines += [f"{name}: {version}" for name, version in facts["versions"].items()]
    return "\n".join(lines)


def workload_table(comparison, workload):
    by_this = f"{workload.reference}/this"
    rows = [["", "requests/s", by_this, "CPU ns per request", by_this, "busy",
             "p50 us", "p99 us", "p99.9 us"]]
    for name in comparison.of(workload.key):
        def column(figure):
            return comparison.column(workload.key, name, figure)

        def latency(percentile):
            return column(lambda sample: sample.latency_us[percentile])

        ratios = [comparison.ratio(workload, name, figure)
                  for figure in ("requests_per_second", "cpu_ns_per_request")]
        texts = [ratio.text() if ratio else "" for ratio in ratios]
        rows.append([name, spread(column("requests_per_second")), texts[0],
                     spread(column("cpu_ns_per_request")), texts[1],
                     f"{100 * column('server_busy').median:.0f} %",
                     number(latency("p50").median), spread(latency("p99")),
                     spread(latency("p999"))])
        if comparison.is_overloaded(workload, name):
            rows[-1][0] += " (overloaded)"
    head = workload.title
    if workload.rate_share:
        head += f": {comparison.rates[workload.key]:,} requests/s"
    return f"{head}\n{table(rows)}"


def micro_table(results):
    names = list(results)
    rows = [["", *(f"{name} (min-max)" for name in names)]]
    for key, title in micro.TITLES.items():
        cells = []
        for name in names:
            value = results[name].get(key)
            cells.append(f"{value['median']:.1f} ({value['min']:.1f}-{value['max']:.1f}) "
                         f"{value['unit']}" if value else "-")
        rows.append([title, *cells])
    return table(rows)


def files_table(reads):
    rows = [["", "reads/s", "rill/this", "CPU ns per read"]]
    for case, name, rate, cpu, ratio in reads.rows():
        rows.append([f"{files.title(*case)}: {name}", spread(rate),
                     ratio.text() if ratio else "", spread(cpu)])
    return table(rows)


def small(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}"


def messages_table(messages):
    rows = [["", "median (range)", "this/" + rdma.UCX, "wanted", "this/with -e"]]
    for case, program, column, ratio, with_errors in messages.rows():
        wanted = ""
        if program == "rill" and case.limit:
            wanted = f"{'<=' if case.test == 'tag_lat' else '>='} {case.limit:.2f}"
        rows.append([f"{case.title}: {rdma.LABELS[program]}",
                     f"{small(column.median)} ({small(column.low)}-{small(column.high)})",
                     ratio.text() if ratio else "", wanted,
                     with_errors.text() if with_errors else ""])
    return table(rows)


def is_adaptive(name):
    return name.endswith("-adaptive")


def peers_of(comparison, workload):
    """rill's own two servers are no peers of each other, nor is one that looks out a peer of one
    that sleeps at once."""
    sleeps = not is_adaptive(workload.reference)
    return [name for name in comparison.of(workload.key)
            if not name.startswith("rill") and not (sleeps and is_adaptive(name))]


def ratios_of_echoes(comparison):
    """Yields each ratio to a peer, whether rill is behind by it, and how to say so."""
    for workload in comparison.workloads:
        for name in peers_of(comparison, workload):
            for figure, what, is_behind in (
                    ("requests_per_second", "requests/s", lambda ratio: ratio.median < 1),
                    ("cpu_ns_per_request", "CPU time a request", lambda ratio: ratio.median > 1)):
                ratio = comparison.ratio(workload, name, figure)
                if ratio:
                    yield (ratio, is_behind(ratio), f"{workload.title}: {workload.reference} has "
                           f"{ratio.text()} of the {what} of {name}")


LATENCIES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}


def longer_latencies(comparison):
    """Where rill's shortest of all rounds is longer than a peer's longest. Tails jump from round to
    round, so that a ratio within each would say little. Rounds that others disturbed do not count."""
    def undisturbed(key, name, percentile):
        values = [sample.latency_us[percentile] for sample in comparison.samples[key, name]
                  if not sample.disturbed]
        return samples.Column(values) if len(values) >= samples.ROUNDS_MIN else None

    for workload in comparison.workloads:
        if workload.reference not in comparison.of(workload.key):
            continue
        for name in peers_of(comparison, workload):
            for percentile, label in LATENCIES.items():
                ours, theirs = (undisturbed(workload.key, server, percentile)
                                for server in (workload.reference, name))
                if ours and theirs and ours.low > theirs.high:
                    yield (f"{workload.title}: {label} of {workload.reference} is {spread(ours)} us, "
                           f"of {name} {spread(theirs)} us")


def missing_results(comparison, reads):
    """Where others have a result and rill has none, it has failed, and no ratio tells of it."""
    names = {workload.title: comparison.of(workload.key) for workload in comparison.workloads}
    references = {workload.title: workload.reference for workload in comparison.workloads}
    for case, name, *_ in reads.rows() if reads else ():
        names.setdefault(f"reads, {files.title(*case)}", []).append(name)
    for title, there in names.items():
        reference = references.get(title, "rill")
        if there and reference not in there:
            yield f"{title}: {reference} has no result, and others have: see the notes"


def ratios_of_reads(reads):
    for case, name, _, _, ratio in reads.rows() if reads else ():
        if ratio:
            yield (ratio, ratio.median < 1,
                   f"reads, {files.title(*case)}: rill has {ratio.text()} of {name}")


def ratios_of_messages(messages):
    for case, program, _, ratio, _ in messages.rows():
        if ratio:
            yield (ratio, (ratio.median > 1) == (case.test == "tag_lat"),
                   f"{case.title}: {rdma.LABELS[program]} has {ratio.text()} of {rdma.UCX}")


def behind(comparison, reads, messages):
    """What a reader should not have to search the tables for."""
    ratios = [*ratios_of_echoes(comparison), *ratios_of_reads(reads), *ratios_of_messages(messages)]
    lines = [text for ratio, is_behind, text in ratios if is_behind and not ratio.tie]
    lines += [*longer_latencies(comparison), *missing_results(comparison, reads)]
    few = sum(ratio.few for ratio, *_ in ratios)
    if few:
        lines.append(f"{few} of {len(ratios)} ratios are of too few undisturbed rounds to tell")
    return "\n".join(["Where rill is behind, and it is no tie", *(lines or ["nowhere"])])


MESSAGES = """Messages over UCX between two processes, each on its own processor: a latency is
half a round trip, a bandwidth that of one direction"""


def head_of(facts, comparison):
    """What was run, and whether it can be trusted."""
    parts = [
        "rill beside its peers",
        describe(facts),
        f"{comparison.rounds} round{'s' if comparison.rounds > 1 else ''}, "
        f"{comparison.seconds:.2f} s each after a warm-up, open loops "
        f"{comparison.seconds * comparison.open_loop_factor:.2f} s; {comparison.runs} runs, "
        f"{comparison.repeated} repeated since others used the processors, "
        f"{comparison.disturbed} disturbed all the same.",
        METHOD,
    ]
    if comparison.disturbed > comparison.runs / 10:
        parts.append("MANY RUNS WERE DISTURBED: trust nothing here but the ratios that are no tie.")
    return parts


def workload_tables(comparison):
    return [workload_table(comparison, workload) for workload in comparison.workloads
            if comparison.of(workload.key)]


def echo_text(facts, comparison):
    """The workloads alone."""
    return "\n\n".join(head_of(facts, comparison)
                       + [f"Note: {note}" for note in comparison.notes()]
                       + workload_tables(comparison))


def text(facts, comparison, micros, reads, messages, notes):
    parts = head_of(facts, comparison)
    parts += [f"Note: {note}" for note in notes]
    parts += workload_tables(comparison)
    if micros:
        parts.append("Single steps, each program by itself on one processor\n"
                     + micro_table(micros))
    if reads and reads.samples:
        parts.append(f"Random reads of 4 KiB from a file of 128 MiB\n{files_table(reads)}")
    if messages.cases:
        parts.append(f"{MESSAGES}\n{messages_table(messages)}")
    parts.append(behind(comparison, reads, messages))
    parts.append("The programs\n" + "\n".join(
        f"{server.name}: {server.what}" for server in comparison.servers))
    commands = ["Command lines (ports differ in each run, sizes and counts of messages by case)"]
    for workload in comparison.workloads:
        for name in comparison.of(workload.key):
            server, load = comparison.commands[workload.key, name]
            commands.append(f"{workload.key}: {shlex.join(server)}")
        if comparison.of(workload.key):
            commands.append(f"{workload.key}: {shlex.join(load)}")
    commands += [f"steps: {shlex.join(result['command'])}" for result in (micros or {}).values()]
    if reads:
        commands += [f"reads: {shlex.join(command)}" for command in reads.commands.values()]
    commands += lines_of_messages(messages)
    parts.append("\n".join(commands))
    return "\n\n".join(parts) + "\n"


def rows_of(comparison, micros, reads, messages):
    """Everything as rows of: part, case, program, figure, median, min, max, rounds."""
    for workload in comparison.workloads:
        for name in comparison.of(workload.key):
            figures = {figure: figure for figure in (
                "requests_per_second", "cpu_ns_per_request", "switches_per_request",
                "server_busy", "load_busy", "unsent", "others_share")}
            for percentile in ("p50", "p90", "p99", "p999", "max"):
                figures[f"{percentile}_us"] = (
                    lambda sample, percentile=percentile: sample.latency_us[percentile])
            for figure, get in figures.items():
                column = comparison.column(workload.key, name, get)
                if column:
                    yield ["echo", workload.key, name, figure, column.median, column.low,
                           column.high, len(column.values)]
    for name, result in (micros or {}).items():
        for key in micro.TITLES:
            if key in result:
                value = result[key]
                yield ["micro", key, name, value["unit"], value["median"], value["min"],
                       value["max"], result["rounds"]]
    if reads:
        for case, name, rate, cpu, _ in reads.rows():
            for figure, column in (("reads_per_second", rate), ("cpu_ns_per_read", cpu)):
                yield ["files", files.title(*case), name, figure, column.median, column.low,
                       column.high, len(column.values)]


    yield from rows_of_messages(messages)


def lines_of_messages(messages):
    return [f"messages: {line}" for line in messages.command_lines()]


def rows_of_messages(messages):
    for case, program, column, *_ in messages.rows():
        yield ["messages", case.title, program, case.figure, column.median, column.low,
               column.high, len(column.values)]


def write_messages(directory, facts, messages):
    """A report of the messages alone."""
    with open(f"{directory}/messages.txt", "w", encoding="utf-8") as file:
        parts = ["rill's messages beside " + rdma.UCX, describe(facts), MESSAGES + ".",
                 f"{messages.rounds} rounds in turns. A ratio is taken within each round.",
                 *(f"Note: {failure}" for failure in messages.failures), messages_table(messages),
                 "\n".join(["Command lines (as of the first size; size and count differ by case)",
                            *lines_of_messages(messages)])]
        file.write("\n\n".join(parts) + "\n")
    with open(f"{directory}/messages.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "case", "program", "figure", "median", "min", "max", "rounds"])
        writer.writerows(rows_of_messages(messages))
    with open(f"{directory}/messages.json", "w", encoding="utf-8") as file:
        json.dump({"facts": facts, "rounds": messages.rounds, "notes": messages.failures,
                   "messages": messages.as_dict()}, file, indent=1)


def write(directory, as_text, facts, comparison, micros, reads, messages, notes):
    with open(f"{directory}/report.txt", "w", encoding="utf-8") as file:
        file.write(as_text)
    with open(f"{directory}/report.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "case", "program", "figure", "median", "min", "max", "rounds"])
        writer.writerows(rows_of(comparison, micros, reads, messages))
    with open(f"{directory}/report.json", "w", encoding="utf-8") as file:
        json.dump({"facts": facts, "rounds": comparison.rounds, "seconds": comparison.seconds,
                   "open_loop_seconds": comparison.seconds * comparison.open_loop_factor,
                   "repeated_runs": comparison.repeated, "disturbed_runs": comparison.disturbed,
                   "notes": notes, "echo": comparison.as_dict(),
                   "micro": micros, "files": reads.as_dict() if reads else None,
                   "messages": messages.as_dict()},
                  file, indent=1)
