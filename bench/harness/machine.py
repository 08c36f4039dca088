# SPDX-License-Identifier: Apache-2.0
"""machine.py - where the measurements run: processors, versions, and who else uses them."""
import dataclasses
import datetime
import functools
import glob
import os
import platform
import re
import shutil
import socket
import subprocess
import time

HERTZ = os.sysconf("SC_CLK_TCK")


def first_line(*command):
    """The first line that a program prints, or None if there is no such program."""
    if not shutil.which(command[0]):
        return None
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = result.stdout.splitlines()
    return lines[0].strip() if result.returncode == 0 and lines else None


def read(path, otherwise=""):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return otherwise


def thread_siblings(processor):
    """The processors that share its core, as the kernel lists them."""
    path = f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
    return read(path, "unknown").strip()


def node_of(processor):
    """Its NUMA node, or None where the kernel tells of none."""
    nodes = glob.glob(f"/sys/devices/system/cpu/cpu{processor}/node[0-9]*")
    return int(re.search(r"\d+$", nodes[0]).group()) if nodes else None


@dataclasses.dataclass(frozen=True)
class Placement:
    """The processors: the last one that we may use for the server, the first for the load."""

    server: int
    load: int

    @staticmethod
    def choose():
        processors = sorted(os.sched_getaffinity(0))
        return Placement(server=processors[-1], load=processors[0])

    def describe(self):
        if self.server == self.load:
            return f"server and load on processor {self.server}, the only one"
        nodes = node_of(self.server), node_of(self.load)
        apart = f"; of different NUMA nodes, {nodes[0]} and {nodes[1]}" if nodes[0] != nodes[1] else ""
        return (f"server on processor {self.server}, load on processor {self.load} "
                f"(threads of their cores: {thread_siblings(self.server)} and "
                f"{thread_siblings(self.load)}{apart})")


@functools.lru_cache
def congestion():
    """What both sides of every TCP connection are set to: bbr, the default of some
    machines, paces even loopback traffic by timers."""
    with socket.socket() as trial:
        try:
            trial.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        except OSError:
            return "reno"
    return "cubic"


def congestion_of_the_system():
    """What UCX's connections over TCP are left with: it has no option for that."""
    return read("/proc/sys/net/ipv4/tcp_congestion_control", "unknown").strip()


def tokio_version():
    versions = [re.search(r"tokio-([0-9.]+)$", path) for path in
                glob.glob("/usr/share/cargo/registry/tokio-*")]
    return next((match.group(1) for match in versions if match), None)


def compiler_in(text):
    """The compiler and its version but for the patch, of the section .comment of a program."""
    for name, pattern in (("clang", r"clang version (\d+\.\d+)"),  # libc's parts are gcc's
                          ("gcc", r"GCC: \(.*\) (\d+\.\d+)")):
        match = re.search(pattern, text)
        if match:
            return f"{name} {match.group(1)}"
    return "unknown"


def compiler(build):
    """A program says what compiled it: what `gcc` is now may be another one."""
    comment = subprocess.run(["readelf", "--string-dump=.comment", f"{build}/bin/rill-micro"],
                             capture_output=True, text=True, check=False)
    return compiler_in(comment.stdout)


def facts(build, placement):
    """What a reader of a report needs to know of the machine."""
    model = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="(.*)"$', read("/etc/os-release"), re.MULTILINE)
    versions = {
        "compiler": compiler(build),
        "liburing": first_line("pkg-config", "--modversion", "liburing"),
        "libuv": first_line("pkg-config", "--modversion", "libuv"),
        "libevent": first_line("pkg-config", "--modversion", "libevent"),
        "ucx": first_line("pkg-config", "--modversion", "ucx"),
        "tokio": tokio_version(),
        "rustc": first_line("rustc", "--version"),
        "go": first_line("go", "version"),
        "fio": first_line("fio", "--version"),
        "valgrind": first_line("valgrind", "--version"),
    }
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": first_line("git", "describe", "--always", "--dirty") or "unknown",
        "processor": model.group(1) if model else platform.machine(),
        "processors": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "system": system.group(1) if system else platform.system(),
        "kernel": platform.release(),
        "placement": placement.describe(),
        "thread_siblings": {processor: thread_siblings(processor)
                            for processor in sorted({placement.server, placement.load})},
        "congestion": congestion(),
        "congestion_of_messages": congestion_of_the_system(),
        "versions": {name: version for name, version in versions.items() if version},
    }


def process_cpu_ns(pid):
    """The CPU time of all threads of a process so far, those included that have ended."""
    return time.clock_gettime_ns((~pid << 3) | 2)  # CPUCLOCK_SCHED of a process


def context_switches(pid):
    """How often each thread that a process has now left a processor, by the thread's file."""
    switches = {}
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        counts = re.findall(r"^\w*voluntary_ctxt_switches:\s*(\d+)", read(path), re.MULTILINE)
        if counts:  # else it has ended meanwhile
            switches[path] = sum(map(int, counts))
    return switches


def voluntary_switches(pid):
    """How often a process of one thread went to sleep. Others on the machine make it lose the
    processor, which is counted elsewhere, and hardly sleep more often."""
    return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", read(f"/proc/{pid}/status"),
                         re.MULTILINE).group(1))


def switches_between(before, after):
    """How often a process was switched away from, or None where it was not counted, or one of
    its threads has ended and took its number along."""
    if before is None or after is None or not before.keys() <= after.keys():
        return None
    return sum(after.values()) - sum(before.values())


@dataclasses.dataclass
class Moment:
    """What the clocks of the machine and of our processes showed at one time."""

    wall_ns: int
    own_ns: dict  # by pid
    busy_ticks: int  # of the processors that we use, with what the host stole

    @staticmethod
    def now(placement, pids):
        busy = 0
        for processor in {placement.server, placement.load}:
            fields = re.search(rf"^cpu{processor} (.*)$", read("/proc/stat"), re.MULTILINE)
            user, nice, system, _, _, irq, softirq, steal = map(int, fields.group(1).split()[:8])
            busy += user + nice + system + irq + softirq + steal
        return Moment(time.monotonic_ns(), {pid: process_cpu_ns(pid) for pid in pids}, busy)


def others_share(before, after):
    """The share of one processor that others took between two moments: other processes,
    and the host."""
    own_s = sum(after.own_ns[pid] - before.own_ns[pid] for pid in after.own_ns) / 1e9
    busy_s = (after.busy_ticks - before.busy_ticks) / HERTZ
    slack_s = 2 / HERTZ  # a tick more or less on each of two processors
    wall_s = (after.wall_ns - before.wall_ns) / 1e9
    return max(0.0, busy_s - own_s - slack_s) / wall_s
