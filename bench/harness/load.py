# SPDX-License-Identifier: Apache-2.0
"""load.py - one run: a server, the load of rill-ping on it, and what both cost."""
import dataclasses
import json
import subprocess

import machine
import servers

OTHERS_SHARE_MAX = 0.15  # of one processor; more is a disturbed run
WARMUP_S = 0.1
WARMED_UP_IN_THAT = 2000  # connections: each has been answered several times by then


@dataclasses.dataclass
class Sample:
    requests_per_second: float
    cpu_ns_per_request: float
    switches_per_request: float | None  # None: too many threads, or some ended meanwhile
    server_busy: float  # the share of its processor that the server used
    load_busy: float
    latency_us: dict
    unsent: int  # of an open loop
    others_share: float

    @property
    def disturbed(self):
        return self.others_share > OTHERS_SHARE_MAX


def warmup_s_of(workload):
    """What a server does only once for a connection, such as to touch its buffer, is not measured."""
    return WARMUP_S * max(1, workload.connections / WARMED_UP_IN_THAT)


def ping_command(build, url, workload, seconds, rate=0, warmup_s=None):
    warmup_s = warmup_s_of(workload) if warmup_s is None else warmup_s
    command = [f"{build}/bin/rill-ping", url, "--json", "--marks",
               "--connections", str(workload.connections), "--size", str(workload.size),
               "--depth", str(workload.depth), "--seconds", f"{seconds:.3f}",
               "--warmup", f"{warmup_s:.3f}s", *workload.ping_options]
    if workload.scheme == "tcp":
        command += ["--congestion", machine.congestion()]
    if rate:
        command += ["--rate", str(rate)]
    return command


def expect(server, process, word):
    line = process.stdout.readline()
    if line.strip() != word:
        why = process.stderr.readline().strip() or f"no line '{word}'"
        raise servers.Failed(f"{server.name}: {why}")


def run(server, build, workload, seconds, placement, rate=0):
    """Returns a Sample, and the two command lines. Raises servers.Failed."""
    with servers.Running(server, build, workload.scheme, workload.server_options,
                         placement.server) as running:
        command = ping_command(build, running.url, workload, seconds, rate)
        ping = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                preexec_fn=servers.pinned(placement.load))
        with servers.ended(ping):
            pids = (running.pid, ping.pid)
            expect(server, ping, "measuring")
            before = machine.Moment.now(placement, pids)
            # A file for each thread: of 1,000 it takes a tenth of a run to read them, by the
            # processor of the load.
            count = machine.context_switches if server.is_loop else lambda pid: None
            switches = count(running.pid)
            expect(server, ping, "measured")
            after = machine.Moment.now(placement, pids)
            switches = machine.switches_between(switches, count(running.pid))
            text, errors = ping.stdout.read(), ping.stderr.read()
        if ping.returncode:
            raise servers.Failed(f"{server.name}: {errors.strip()}")
        result = json.loads(text)
        requests = result["requests"]
        wall_ns = after.wall_ns - before.wall_ns
        server_ns, load_ns = (after.own_ns[pid] - before.own_ns[pid] for pid in pids)
        return Sample(
            requests_per_second=result["requests_per_second"],
            cpu_ns_per_request=server_ns / requests,
            switches_per_request=None if switches is None else switches / requests,
            server_busy=server_ns / wall_ns,
            load_busy=load_ns / wall_ns,
            latency_us=result["latency_us"],
            unsent=result.get("unsent", 0),
            others_share=machine.others_share(before, after),
        ), running.command, command
