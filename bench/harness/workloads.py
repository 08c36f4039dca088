# SPDX-License-Identifier: Apache-2.0
"""workloads.py - what the servers are put through."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Workload:
    key: str
    title: str
    connections: int
    size: int = 64
    depth: int = 1
    scheme: str = "tcp"
    ability: str = "echo"  # what a server needs to take part
    server_options: tuple = ()
    ping_options: tuple = ()
    reference: str = "rill"  # what the others are set beside
    rate_share: float = 0  # of what the slowest server answers at 50 x 64 B: an open loop
    quick: bool = True  # part of the quick run


WORKLOADS = [
    Workload("echo-1", "1 connection, 64 B", 1),
    Workload("echo-10", "10 connections, 64 B", 10, quick=False),
    Workload("echo-50", "50 connections, 64 B", 50),
    Workload("echo-1000", "1,000 connections, 64 B", 1000),
    Workload("echo-10000", "10,000 connections, 64 B", 10000, quick=False),
    Workload("large", "50 connections, 16 KiB", 50, size=16384),
    Workload("depth", "50 connections, 64 B, 16 in flight on each", 50, depth=16),
    Workload("churn", "50 clients that connect, ask once and close", 50,
             ping_options=("--churn",)),
    Workload("unix-1", "1 connection, 64 B, unix socket", 1, scheme="unix", quick=False),
    Workload("look-out-1", "1 connection, 64 B, the load spins: what looking out gains", 1,
             ping_options=("--wait", "spin"), reference="rill-adaptive"),
    Workload("look-out-unix-1", "1 connection, 64 B, unix socket, the load spins", 1,
             scheme="unix", ping_options=("--wait", "spin"), reference="rill-adaptive",
             quick=False),
    Workload("unix-50", "50 connections, 64 B, unix socket", 50, scheme="unix"),
    Workload("timers", "50 connections, 64 B, a time limit for each request", 50,
             ability="timeout", server_options=("--timeout", "10")),
    Workload("broadcast", "one sends 64 B to 1,000 (a request: one reception)", 1000,
             ability="broadcast", server_options=("--broadcast",), ping_options=("--broadcast",)),
    Workload("open-50", "open loop, 50 connections, 50 % of the slowest's saturation", 50,
             rate_share=0.5),
    Workload("open-90", "open loop, 50 connections, 90 % of the slowest's saturation", 50,
             rate_share=0.9),
]

SATURATION = "echo-50"


def chosen(names):
    """The workloads of these names, all of them for none. An open loop needs to know how much
    the slowest server answers."""
    known = [workload.key for workload in WORKLOADS]
    for name in names:
        if name not in known:
            raise ValueError(f"no workload {name!r}; there are {', '.join(known)}")
    result = [workload for workload in WORKLOADS if workload.key in names or not names]
    if any(workload.rate_share for workload in result):
        result = [workload for workload in WORKLOADS
                  if workload in result or workload.key == SATURATION]
    return result


def takes_part(server, workload):
    """Waiting with a look-out is another trade of CPU for latency, so it is shown where
    that is the point: with one connection."""
    if "adaptive" in server.abilities:
        return workload.connections == 1
    return workload.ability in server.abilities and workload.connections <= server.connections_max
