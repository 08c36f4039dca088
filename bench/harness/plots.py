# SPDX-License-Identifier: Apache-2.0
"""plots.py - the figures of a report as pictures, by gnuplot: SVG and PNG of each."""
import shutil
import subprocess

STYLE = """\
set style line 1 lc rgb '#0060ad' lw 3 pt 7
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set key outside right top
"""

PROBLEM = "no gnuplot: no pictures (as root, make deps-bench installs it)"


def draw(directory, name, commands):
    """Has gnuplot draw one picture, in both formats."""
    for terminal, ending in (("svg size 900,500 enhanced background rgb 'white'", "svg"),
                             ("png size 900,500 enhanced", "png")):
        script = f"set terminal {terminal}\nset output '{directory}/{name}.{ending}'\n" \
                 f"{STYLE}{commands}\n"
        subprocess.run(["gnuplot"], input=script, text=True, check=True,
                       stdout=subprocess.DEVNULL)


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
        style = "ls 1" if server.name == "rill" else f"lt {i + 1} lw 1.5 pt {i + 1}"
        plots.append(f"$data{i} using 1:2:3:4 with yerrorlines {style} title '{server.name}'")
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
            style = "ls 1" if name == "rill" else f"lt {i + 1} lw 1.5 pt {i + 1}"
            plots.append(f"$data{i} using 1:2:3:4 with yerrorlines {style} title '{name}'")
        rate = comparison.rates[workload.key]
        draw(directory, f"latency-{workload.key}",
             f"{data}set title 'latency at {rate:,} requests/s, 50 connections, open loop'\n"
             "set xtics ('p50' 0, 'p90' 1, 'p99' 2, 'p99.9' 3, 'max' 4)\nset xrange [-0.3:4.3]\n"
             f"set logscale y\nset ylabel 'us'\nplot {', '.join(plots)}")


def micro(directory, micros):
    """What a timer costs by the number of those that are armed, and what tasks cost."""
    counts = (("timer_0", 1), ("timer_100k", 100_000), ("timer_1m", 1_000_000))
    data, plots = "", []
    for i, (name, result) in enumerate(micros.items()):
        data += block(f"data{i}", [f"{count} {result[key]['median']} {result[key]['min']} "
                                   f"{result[key]['max']}" for key, count in counts])
        plots.append(f"$data{i} using 1:2:3:4 with yerrorlines lt {i + 1} lw 2 title '{name}'")
    draw(directory, "timers",
         f"{data}set title 'arming and cancelling a timer'\nset logscale xy\n"
         f"set xlabel 'other timers armed'\nset ylabel 'ns'\nplot {', '.join(plots)}")
    steps = ("yield", "yield_alone", "spawn_join", "spawn_join_alone", "switch", "mpsc")
    lines = [" ".join([f'"{step}"'.replace("_", "\\\\_")] +
                      [str(result[step]["median"]) for result in micros.values()])
             for step in steps]
    plots = [f"$steps using {i + 2}:xtic(1) title '{name}'" for i, name in enumerate(micros)]
    draw(directory, "tasks",
         f"{block('steps', lines)}set title 'steps of tasks'\nset style data histogram\n"
         f"set style fill solid 0.8\nset logscale y\nset ylabel 'ns'\nplot {', '.join(plots)}")


def draw_all(directory, comparison, micros):
    """Returns sentences about what could not be drawn."""
    if not shutil.which("gnuplot"):
        return [PROBLEM]
    by_connections(directory, comparison, "requests_per_second", "throughput",
                   "64 B echoes, requests per second")
    by_connections(directory, comparison, "cpu_ns_per_request", "cpu",
                   "64 B echoes, CPU time of the server per request in ns")
    latencies(directory, comparison)
    if micros:
        micro(directory, micros)
    return []
