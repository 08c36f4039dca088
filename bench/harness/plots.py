# SPDX-License-Identifier: Apache-2.0
"""plots.py - the figures of a report as pictures, by gnuplot: SVG and PNG of each."""
import glob
import os
import shutil
import subprocess

STYLE = """\
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key outside right top
"""

# The colour and the mark of each program are the same in all pictures (Okabe and Ito).
MARKS = {
    "rill": ("#0072b2", 7),
    "uring": ("#56b4e9", 6),
    "epoll": ("#e69f00", 4),
    "threads": ("#999999", 1),
    "libuv": ("#009e73", 8),
    "libevent": ("#d55e00", 10),
    "tokio": ("#cc79a7", 12),
    "go": ("#000000", 2),
}
LABELS = {
    "yield": "yield of\\n1,000 tasks",
    "yield_alone": "yield of\\none task",
    "spawn_join": "spawn and\\njoin 1,000",
    "spawn_join_alone": "spawn and\\njoin one",
    "switch": "wake and\\nwait",
    "mpsc": "channel:\\na message",
}

PROBLEM = "no gnuplot: no pictures (as root, make deps-bench installs it)"


def draw(directory, name, commands):
    """Has gnuplot draw one picture, in both formats."""
    for terminal, ending in (("svg size 900,500 noenhanced background rgb 'white'", "svg"),
                             ("png size 900,500 noenhanced", "png")):
        script = f"set terminal {terminal}\nset output '{directory}/{name}.{ending}'\n" \
                 f"{STYLE}{commands}\n"
        subprocess.run(["gnuplot"], input=script, text=True, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def drawn(function, *arguments):
    """Returns a list of sentences about what could not be drawn. The figures are in the report
    all the same."""
    try:
        function(*arguments)
    except subprocess.CalledProcessError as error:
        return [f"not all pictures could be drawn: gnuplot: {error.stderr.strip()[-200:]}"]
    return []


def line_style(name):
    colour, mark = MARKS.get(name, ("#444444", 3))
    return f"lc rgb '{colour}' pt {mark} lw {3 if name == 'rill' else 1.5}"


def block(name, lines):
    return f"${name} << END\n" + "\n".join(lines) + "\nEND\n"


def by_connections(directory, comparison, figure, name, title):
    """A line for each server over the workloads that differ by their connections only."""
    workloads = [workload for workload in comparison.workloads
                 if workload.key.startswith("echo-") and comparison.of(workload.key)]
    if len(workloads) < 2:
        return
    data, plots = "", []
    for i, server in enumerate(comparison.servers):
        lines = []
        for workload in workloads:
            if server.name in comparison.of(workload.key):
                column = comparison.column(workload.key, server.name, figure)
                lines.append(f"{workload.connections} {column.median} {column.low} {column.high}")
        if len(lines) < 2:
            continue
        data += block(f"data{i}", lines)
        plots.append(f"$data{i} using 1:2:3:4 with yerrorlines {line_style(server.name)} "
                     f"title '{server.name}'")
    if plots:
        draw(directory, name, f"{data}set title '{title}'\nset logscale x\nset xlabel 'connections'\n"
                              f"set yrange [0:*]\nset format y '%.0s%c'\nplot {', '.join(plots)}")


def latencies(directory, comparison):
    """For each open loop the percentiles of each server."""
    for workload in comparison.workloads:
        if not workload.rate_share or not comparison.of(workload.key):
            continue
        data, plots = "", []
        for i, name in enumerate(comparison.of(workload.key)):
            lines = []
            for position, percentile in enumerate(("p50", "p90", "p99", "p999", "max")):
                column = comparison.column(
                    workload.key, name, lambda sample: sample.latency_us[percentile])
                lines.append(f"{position} {column.median} {column.low} {column.high}")
            data += block(f"data{i}", lines)
            plots.append(
                f"$data{i} using 1:2:3:4 with yerrorlines {line_style(name)} title '{name}'")
        rate = comparison.rates[workload.key]
        draw(directory, f"latency-{workload.key}",
             f"{data}set title 'latency at {rate:,} requests/s, 50 connections, open loop'\n"
             "set xtics ('p50' 0, 'p90' 1, 'p99' 2, 'p99.9' 3, 'max' 4)\nset xrange [-0.3:4.3]\n"
             f"set logscale y\nset format y '%.0s%c'\nset ylabel 'us'\nplot {', '.join(plots)}")


def micro(directory, micros):
    """What a timer costs by the number of those that are armed, and what tasks cost."""
    counts = (("sleep_cancel_0", 0), ("sleep_cancel_100k", 1), ("sleep_cancel_1m", 2))
    data, plots = "", []
    for i, (name, result) in enumerate(micros.items()):
        data += block(f"data{i}", [f"{count} {result[key]['median']} {result[key]['min']} "
                                   f"{result[key]['max']}" for key, count in counts])
        plots.append(
            f"$data{i} using 1:2:3:4 with yerrorlines {line_style(name)} title '{name}'")
    draw(directory, "timers",
         f"{data}set title 'starting a sleep and cancelling it'\nset logscale y\n"
         "set xtics ('none' 0, '100,000' 1, '1,000,000' 2)\nset xrange [-0.2:2.2]\n"
         f"set xlabel 'other timers armed'\nset ylabel 'ns'\nplot {', '.join(plots)}")
    lines = [" ".join([f'"{label}"'] + [str(result[step]["median"]) for result in micros.values()])
             for step, label in LABELS.items()]
    plots = [f"$steps using {i + 2}:xtic(1) lc rgb '{MARKS[name][0]}' title '{name}'"
             for i, name in enumerate(micros)]
    draw(directory, "tasks",
         f"{block('steps', lines)}set title 'steps of tasks'\nset style data histogram\n"
         f"set style fill solid 0.8\nset logscale y\nset yrange [1:*]\nset bmargin 4\n"
         f"set ylabel 'ns'\nplot {', '.join(plots)}")


def by_size(directory, messages, test, name, title, unit):
    """A line for each transport and program over the sizes of messages."""
    data, plots = "", []
    for transport in dict.fromkeys(case.transport for case in messages.cases):
        for program, dash in (("rill", 1), ("ucx_perftest", 2)):
            sweep = sorted((case for case in messages.cases
                            if (case.transport, case.test, case.wait) == (transport, test, "spin")
                            and program in messages.figures.get(case, ())),
                           key=lambda case: case.size)
            if len(sweep) < 2:
                continue
            lines = []
            for case in sweep:
                column = messages.column(case, program)
                factor = case.size / 1e6 if case.figure == "messages_per_second" else 1
                lines.append(f"{case.size} {column.median * factor} {column.low * factor} "
                             f"{column.high * factor}")
            colour = {"shm": "#0072b2", "tcp": "#d55e00"}.get(transport, "#009e73")
            data += block(f"data{len(plots)}", lines)
            plots.append(f"$data{len(plots)} using 1:2:3:4 with yerrorlines lc rgb '{colour}' "
                         f"pt {6 + dash} dt {dash} lw {3 - dash} title '{program}, {transport}'")
    if plots:
        draw(directory, name,
             f"{data}set title '{title}'\nset logscale x 2\nset logscale y\n"
             "set format x '%.0b%B'\nset xlabel 'bytes of a message'\n"
             f"set ylabel '{unit}'\nplot {', '.join(plots)}")


def remove(directory, *names):
    """Pictures of an earlier run would be taken for this one's."""
    for name in names:
        for path in glob.glob(f"{directory}/{name}.svg") + glob.glob(f"{directory}/{name}.png"):
            os.remove(path)


def draw_messages(directory, messages, prefix="rdma"):
    """Returns sentences about what could not be drawn."""
    remove(directory, f"{prefix}-*")
    if not shutil.which("gnuplot"):
        return [PROBLEM]
    return (drawn(by_size, directory, messages, "tag_lat", f"{prefix}-latency",
                  "latency of a message, spinning", "us")
            + drawn(by_size, directory, messages, "tag_bw", f"{prefix}-bandwidth",
                    "bandwidth of messages, 32 on their way", "MB/s"))


def draw_all(directory, comparison, micros, messages):
    """Returns sentences about what could not be drawn."""
    remove(directory, "throughput", "cpu", "latency-*", "timers", "tasks", "rdma-*")
    if not shutil.which("gnuplot"):
        return [PROBLEM]
    problems = drawn(by_connections, directory, comparison, "requests_per_second", "throughput",
                     "64 B echoes, requests per second")
    problems += drawn(by_connections, directory, comparison, "cpu_ns_per_request", "cpu",
                      "64 B echoes, CPU time of the server per request in ns")
    problems += drawn(latencies, directory, comparison)
    if micros:
        problems += drawn(micro, directory, micros)
    return list(dict.fromkeys(problems + draw_messages(directory, messages)))
