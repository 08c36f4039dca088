# SPDX-License-Identifier: Apache-2.0
"""rdma.py - rill's messages beside UCX with nothing on top: ucx_perftest, in turns.

Both do the same with two processes, each on its own processor: tag_lat sends a message to and
fro (a latency is half a round trip, and the median of the latest 2,048 is taken, as
ucx_perftest keeps no more; over shared memory rill's are means of eight), tag_bw has 32 on their
way in one direction. rill does so over connections, over connections without heartbeats
and credit, over bare endpoints, which have UCX's own segments, and over shared memory over connections
of workers that were told to expect long messages (rdma/rdma.h): long_segments or single_copy, of which
each has another price. ucx_perftest is of the package
ucx-utils, and left out where it is not installed. Its endpoints report no errors unless it is
given -e, and UCX may then use faster ways: over shared memory, to copy long messages once and not
twice (CMA). rill's always do, so it stands beside both.
"""
import dataclasses
import functools
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time

import samples
import servers

LIMIT_S = 60
START_LIMIT_S = 5
UCX = "ucx_perftest"
UCX_ERRORS = "ucx_perftest -e"
LAYERS = {"rill": "connection", "bulk": "connection", "long": "connection",
          "unprotected": "unprotected", "bulk, unprotected": "unprotected", "endpoint": "raw"}
LABELS = {"rill": "rill", "bulk": "rill, for bulk", "long": "rill, long segments",
          "unprotected": "rill, unprotected", "bulk, unprotected": "rill, for bulk, unprotected",
          "endpoint": "rill, bare endpoint", UCX: UCX, UCX_ERRORS: UCX_ERRORS}
PROGRAMS = ("rill", "unprotected", "endpoint", UCX, UCX_ERRORS)
BULK = {"shm": ("long", "bulk", "bulk, unprotected"), "tcp": (), "ib": ()}
SWEEP = (8, 64, 512, 4096, 16384, 65536, 262144, 1048576)


@dataclasses.dataclass(frozen=True)
class Case:
    transport: str
    test: str  # "tag_lat" or "tag_bw"
    size: int
    wait: str = "spin"
    limit: float = 0  # what the ratio of rill to ucx_perftest is to be: 0 for none
    programs: tuple = PROGRAMS

    @property
    def title(self):
        size = f"{self.size >> 10} KiB" if self.size >= 1024 else f"{self.size} B"
        what = ("latency in us, " + self.wait if self.test == "tag_lat" else
                "messages/s" if self.size < 1024 else "MB/s")
        return f"{self.transport}, {size}, {what}"

    @property
    def figure(self):
        return ("latency_us" if self.test == "tag_lat" else
                "messages_per_second" if self.size < 1024 else "megabytes_per_second")

    @property
    def count(self):
        """Messages that take a fraction of a second."""
        if self.test == "tag_bw":
            return max(300, min(100000, (1 << 29) // self.size))
        most = {"shm": 100000, "tcp": 20000}.get(self.transport, 50000)
        return max(300, min(most if self.wait == "spin" else 10000, (1 << 28) // self.size))


def devices():
    try:
        return sorted(os.listdir("/sys/class/infiniband"))
    except OSError:
        return []


def transports():
    """What UCX is told, by the name of what it then uses."""
    there = {"shm": {"UCX_TLS": "sm,self"},
             "tcp": {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "lo"}}
    if devices():
        there["ib"] = {"UCX_TLS": "ib,self"}
    return there


def cases(quick):
    found = []
    for name in transports():
        found += [
            Case(name, "tag_lat", 8, "spin", limit=1.10 if name == "shm" else 1.05),
            Case(name, "tag_lat", 8, "adaptive", limit=1.25, programs=("rill", UCX)),
            Case(name, "tag_lat", 8, "sleep", limit=1.00, programs=("rill", UCX)),
            Case(name, "tag_bw", 65536, limit=0.95, programs=BULK[name] + PROGRAMS),
            Case(name, "tag_bw", 1 << 20, limit=0.95, programs=BULK[name] + PROGRAMS),
            Case(name, "tag_bw", 8),
        ]
    if not quick:
        found += [Case(name, test, size,
                       programs=("rill", UCX))
                  for name in transports() for test in ("tag_lat", "tag_bw") for size in SWEEP
                  if not any((case.transport, case.test, case.size, case.wait) ==
                             (name, test, size, "spin") for case in found)]
    return found


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


class TooSlow(servers.Failed):
    """It would be so again."""


def checked(command, environment, processor=None):
    name = os.path.basename(command[0])
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S,
            env={**os.environ, **environment},
            preexec_fn=servers.pinned(processor))
    except subprocess.TimeoutExpired as error:
        raise TooSlow(f"{name}: not done after {LIMIT_S} s") from error
    if result.returncode:
        error = (result.stderr or result.stdout).strip().splitlines()
        raise servers.Failed(f"{name}: {error[0] if error else 'failed'}")
    return result.stdout


def environment_of(case, program):
    return {**transports()[case.transport],
            **({"UCX_POSIX_ERROR_HANDLING": "y"} if program == UCX_ERRORS else {})}


def rill_command(build, case, program, placement):
    command = [f"{build}/bin/rill-rdma-perf", "--json", "--test", case.test, "--layer", LAYERS[program],
               "--size", str(case.size), "--count", str(case.count), "--wait", case.wait,
               "--warmup", str(max(100, case.count // 10)),
               "--client-processor", str(placement.load),
               "--server-processor", str(placement.server)]
    if case.transport == "shm":
        command.append("--shared-memory")
    if program == "long":
        command.append("--long-segments")
    if program.startswith("bulk"):
        command.append("--single-copy")
    return command


def run_rill(build, case, program, placement):
    result = json.loads(checked(rill_command(build, case, program, placement),
                                environment_of(case, program)))
    return result["latency_us"]["p50"] if case.test == "tag_lat" else result[case.figure]


def connect_when_ready(command, environment, processor, server):
    """The client of ucx_perftest does not wait until its server listens."""
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return checked(command, environment, processor)
        except TooSlow:
            raise
        except servers.Failed:
            if time.monotonic() > end or server.poll() is not None:
                raise
            time.sleep(0.05)


def ucx_commands(case, program, port):
    """Of the server, which waits, and of the client, which says what is measured."""
    common = ["-p", str(port), *(["-E", "sleep"] if case.wait == "sleep" else []),
              *(["-e"] if program == UCX_ERRORS else [])]
    test = ["-t", case.test, "-s", str(case.size), "-n", str(case.count),
            "-w", str(max(100, case.count // 10)), "-f", "-v"]
    return [UCX, *common], [UCX, "127.0.0.1", *common, *test]


def run_ucx(case, program, placement):
    """Its line is, with -v: messages, p50 and two means in us, two MB/s, two messages/s; MB
    are of 2^20 bytes there. A bandwidth is taken from the messages that it counted."""
    listen, connect = ucx_commands(case, program, free_port())
    environment = environment_of(case, program)
    server = subprocess.Popen(listen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, **environment},
                              preexec_fn=servers.pinned(placement.server))
    try:
        text = connect_when_ready(connect, environment, placement.load, server)
    finally:
        server.terminate()
        server.wait()
    try:
        figures = [float(word) for word in text.strip().splitlines()[-1].split(",")]
    except (IndexError, ValueError) as error:
        raise servers.Failed(f"{UCX} printed no line of figures: {text.strip()[-200:]}") from error
    if case.test == "tag_lat":
        return figures[1]
    rate = figures[-1]
    return rate if case.figure == "messages_per_second" else rate * case.size / 1e6


class Messages:
    """All cases, their figures by round, and what went wrong."""

    def __init__(self, build, placement, rounds, budget_s, quick=False):
        self.rounds = rounds
        self.end = time.monotonic() + budget_s
        self.failures = []  # sentences
        self.figures = {}  # by case, then by program: a list, one for each round
        self.cases = cases(quick)
        self.build, self.placement = build, placement
        if placement.server == placement.load:
            # Who looks out keeps the other from answering until its time is up: some milliseconds
            # a message, and all others that stand beside it look out.
            self.cases = [case for case in self.cases if case.wait == "sleep"]
            self.failures.append("one processor: no messages but those that are slept for")
        if not os.access(f"{build}/bin/rill-rdma-perf", os.X_OK):
            self.failures.append("rill-rdma-perf is not built (package libucx-dev): RDMA skipped")
            self.cases = []
        elif not shutil.which(UCX):
            self.failures.append(f"no {UCX} (package ucx-utils): rill's messages stand alone")
        if not devices():
            self.failures.append("no RDMA device here (/sys/class/infiniband): messages over "
                                 "shared memory and TCP only")
        self.measure()

    def measure(self):
        """Each case sends so many messages, however long that takes: on a machine that is busy or
        slow, no round is begun for which there is no time."""
        has_ucx = shutil.which(UCX)
        longest_s = 0
        for number in range(self.rounds):
            begin = time.monotonic()
            if number and begin + longest_s > self.end:
                self.failures.append(f"messages over UCX: {number} of {self.rounds} rounds: the time "
                                     "was over")
                self.rounds = number
                break
            for case in list(self.cases):
                if not number and time.monotonic() > self.end:
                    self.leave_out_those_from(case)
                    break
                for program in samples.rotated(case.programs, number):
                    if case not in self.cases:  # another one has failed
                        break
                    if program not in LAYERS and not has_ucx:
                        continue
                    if sys.stderr.isatty():
                        print(f"\rround {number + 1}: {case.title}: {program:<30}", end="",
                              file=sys.stderr, flush=True)
                    run = (functools.partial(run_rill, self.build, case, program, self.placement)
                           if program in LAYERS else
                           functools.partial(run_ucx, case, program, self.placement))
                    self.one(case, program, run)
            longest_s = max(longest_s, time.monotonic() - begin)

    def leave_out_those_from(self, case):
        at = self.cases.index(case)
        self.failures.append(f"messages over UCX: the time was over before {len(self.cases) - at} of "
                             f"{len(self.cases)} cases, from {case.title} on")
        del self.cases[at:]

    def one(self, case, program, run):
        try:
            self.figures.setdefault(case, {}).setdefault(program, []).append(run())
        except servers.Failed as failure:
            self.failures.append(f"{case.title}, {LABELS[program]}: {failure}")
            self.cases.remove(case)  # rounds stay complete
            self.figures.pop(case, None)
            if sys.stderr.isatty():
                print(file=sys.stderr)

    def column(self, case, program):
        return samples.Column(self.figures[case][program])

    def ratio(self, case, program, reference=UCX):
        """Of a program of rill's to one of ucx_perftest, or None."""
        figures = self.figures[case]
        if program not in LAYERS or reference not in figures:
            return None
        return samples.Ratio(figures[program], figures[reference])

    def rows(self):
        for case in self.cases:
            for program in self.figures.get(case, ()):
                yield (case, program, self.column(case, program), self.ratio(case, program),
                       self.ratio(case, program, UCX_ERRORS))

    def commands(self, case, program):
        """As a shell would be given them: one of rill's, whose two processes are its own, or two."""
        commands = ([rill_command(self.build, case, program, self.placement)] if program in LAYERS
                    else ucx_commands(case, program, "PORT"))
        variables = [f"{name}={value}" for name, value in environment_of(case, program).items()]
        return [shlex.join(variables + command) for command in commands]

    def command_lines(self):
        """Of each program as it was first run: cases of other sizes differ in size and count."""
        kinds, lines = set(), {}  # which keeps their order
        for case, program, *_ in self.rows():
            kind = case.transport, case.test, case.wait, program
            if kind not in kinds:
                kinds.add(kind)
                lines |= dict.fromkeys(self.commands(case, program))
        return list(lines)

    def as_dict(self):
        return [{"case": dataclasses.asdict(case), "program": program,
                 "figure": case.figure, "commands": self.commands(case, program), **column.as_dict(),
                 "ratio": ratio.as_dict() if ratio else None,
                 "ratio_with_errors": with_errors.as_dict() if with_errors else None}
                for case, program, column, ratio, with_errors in self.rows()]
