# SPDX-License-Identifier: Apache-2.0
"""counts.py - what can be counted instead of timed, so that noise does not matter.

Most counts are slopes: the same is done for a short and for a longer time, and the
difference of the counts is divided by the difference of the work, so that the beginning and
the end of a program drop out.
"""
import dataclasses
import errno
import json
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time

import load
import machine
import report
import servers
import workloads

GROWTH_MAX = 1.05  # a count may be so much above the one that is kept
GROWTH_MAX_ELSEWHERE = 1.25  # instructions, by another compiler: clang's are 0.94 to 1.14 of gcc's
STEPS = 20000  # of a short run under valgrind; a longer one has twice as many
IDLE_CONNECTIONS = 5000
ATTEMPTS = 3  # to count, where others on the machine may have disturbed it


@dataclasses.dataclass
class Count:
    key: str
    value: float
    unit: str
    slack: float = 0  # what it may differ by in any case: rounding, not growth
    checked: bool = True  # repeats well enough for check-counts


def has(tool):
    return shutil.which(tool) is not None


# ---- instructions ----

INSTRUCTIONS = {
    "await": "an await of a future that is ready",
    "yield": "a yield, among 1,000 tasks",
    "switch": "waking another task and waiting",
    "spawn_join": "spawning and joining a task",
    "oneshot": "a oneshot",
    "mpsc": "a message through a channel",
    "timer_0": "arming and cancelling a timer",
}


def callgrind(*options):
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *options]


def collected(text):
    match = re.search(r"Collected : (\d+)", text)
    if not match:
        raise servers.Failed(f"valgrind counted nothing: {text.strip()[-200:]}")
    return int(match.group(1))


def instructions_of_steps(build):
    def run(key, steps):
        result = subprocess.run(
            callgrind(f"{build}/bin/rill-micro", "--rounds", "1", "--only", key,
                      "--count", str(steps)),
            capture_output=True, text=True, check=False, preexec_fn=servers.pinned())
        if result.returncode:
            raise servers.Failed(f"rill-micro --only {key}: {result.stderr.strip()[-200:]}")
        return collected(result.stderr)

    for key, what in INSTRUCTIONS.items():
        repetitions = 2  # a round, and the one before that does not count
        difference = run(key, 2 * STEPS) - run(key, STEPS)
        yield Count(f"instructions: {what}", difference / (repetitions * STEPS), "instructions",
                    slack=0.5)


def echo_totals(build, seconds, placement, workload, prefix, environment=None):
    """Runs rill-echo within another program for a while. Returns what that program wrote,
    and the number of messages."""
    server = next(server for server in servers.SERVERS if server.name == "rill")
    running = servers.Running(server, build, "tcp", (*workload.server_options, "--json"),
                              placement.server, prefix=prefix, environment=environment)
    with running:
        ping(build, running.url, workload, seconds, placement)
        pid = child_of(running.pid) if prefix[0] == "strace" else running.pid
        os.kill(pid, 15)
        output = running.process.stdout.read()
        running.process.wait(servers.START_LIMIT_S)
        running.errors.seek(0)
        return running.errors.read(), json.loads(output)["messages"]


def child_of(pid):
    return int(machine.read(f"/proc/{pid}/task/{pid}/children").split()[0])


def ping(build, url, workload, seconds, placement):
    result = subprocess.run(
        [part for part in load.ping_command(build, url, workload, seconds, warmup_s=0)
         if part != "--marks"],
        capture_output=True, text=True, check=False, preexec_fn=servers.pinned(placement.load))
    if result.returncode:
        raise servers.Failed(result.stderr.strip())
    return json.loads(result.stdout)


def between_marks(build, running, workload, seconds, placement, look):
    """What look returns when measuring begins and when it has ended, and how many requests were
    answered in between."""
    with servers.ended(subprocess.Popen(
            load.ping_command(build, running.url, workload, seconds), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            preexec_fn=servers.pinned(placement.load))) as process:
        load.expect(running.server, process, "measuring")
        before = look()
        load.expect(running.server, process, "measured")
        after = look()
        text, errors = process.stdout.read(), process.stderr.read()
    if process.returncode:
        raise servers.Failed(f"{running.server.name}: {errors.strip()}")
    return before, after, json.loads(text)["requests"]


ONE = workloads.Workload("one", "1 connection", 1)
TIMED = workloads.Workload("timed", "1 connection, a time limit", 1,
                           server_options=("--timeout", "10"))


CROWD = workloads.Workload("crowd", "100 connections", 100)
THRONG = workloads.Workload("throng", "10,000 connections", 10000)


def instructions_of_a_message(build, placement, workload, short_s=0.5, long_s=1.5):
    reason = f"{workload.title}: a longer run did not serve more: the machine is busy"
    for patience in (3**attempt for attempt in range(ATTEMPTS)):
        runs = []
        try:
            for seconds in (short_s * patience, long_s * patience):
                text, messages = echo_totals(build, seconds, placement, workload, callgrind())
                runs.append((collected(text), messages))
        except servers.Failed as error:  # nothing was answered: others had the processors
            reason = error
            continue
        (few, few_messages), (many, many_messages) = runs
        if many_messages > 1.2 * few_messages:  # else likewise, meanwhile
            return (many - few) / (many_messages - few_messages)
    raise servers.Failed(reason)


def instructions_of_echo(build, placement, workload, what, slack=3):
    yield Count(f"instructions: {what}", instructions_of_a_message(build, placement, workload),
                "instructions", slack=slack)


def instructions_of_crowds(build, placement):
    of_few = instructions_of_a_message(build, placement, CROWD)
    yield Count(f"instructions: an echo, {CROWD.title}", of_few, "instructions", slack=8)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < THRONG.connections + 100:
        yield f"the limit on open files is too low for {THRONG.title}: they are not counted"
        return
    # That each message costs as much among many connections as among few: how many there
    # are should not matter. Connecting that many takes a while and varies, hence the slack.
    of_many = instructions_of_a_message(build, placement, THRONG, 1, 4)
    yield Count(f"instructions: an echo, {THRONG.title}, beside {CROWD.title}",
                of_many / of_few, "times", slack=0.05)


# ---- system calls ----

def strace_works():
    return has("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"],
                                            capture_output=True, check=False).returncode == 0


def system_calls(build, server, workload, placement):
    """System calls per request of a server, while it serves."""
    with tempfile.NamedTemporaryFile("r") as summary:
        with servers.Running(server, build, workload.scheme, workload.server_options,
                             placement.server) as running:
            pid = running.pid
            strace = subprocess.Popen(["strace", "-c", "-f", "-o", summary.name, "-p", str(pid)],
                                      stderr=subprocess.PIPE, text=True,
                                      preexec_fn=servers.pinned())
            strace.stderr.readline()  # "attached"
            requests = ping(build, running.url, workload, 0.5, placement)["requests"]
            strace.terminate()
            strace.wait()
            strace.stderr.close()
        total = re.search(r"^.*\btotal$", summary.read(), re.MULTILINE)
        if not total:
            raise servers.Failed(f"strace counted nothing of {server.name}")
        return int(total.group(0).split()[3]) / requests  # % time, seconds, us/call, calls


# ---- context switches ----

def switches(build, server, workload, placement):
    """How often a server of one thread sleeps for each request."""
    with servers.Running(server, build, workload.scheme, workload.server_options,
                         placement.server) as running:
        before, after, requests = between_marks(
            build, running, workload, 0.5, placement,
            lambda: machine.voluntary_switches(running.pid))
        return (after - before) / requests


# ---- memory ----

def allocations_in(path):
    """What malloc_count.c has counted by now. The file is opened anew: one that stays open may
    answer from its buffer what it was."""
    with open(path, "rb") as file:
        return int.from_bytes(file.read(8), "little")


def allocations(build, server, workload, placement):
    """Calls of malloc and its like per request of a server, while it serves."""
    with tempfile.NamedTemporaryFile() as file:
        environment = {"LD_PRELOAD": os.path.abspath(f"{build}/peers/malloc-count.so"),
                       "MALLOC_COUNT_FILE": file.name}
        with servers.Running(server, build, workload.scheme, workload.server_options,
                             placement.server, environment=environment) as running:
            ping(build, running.url, workload, 0.1, placement)
            time.sleep(0.05)  # its connections are gone then
            before, after, requests = between_marks(build, running, workload, 0.3, placement,
                                                    lambda: allocations_in(file.name))
            if before == 0:
                raise servers.Failed("the library that counts allocations counts none")
            return (after - before) / requests


def dirty_bytes(pid):
    match = re.search(r"^Private_Dirty:\s*(\d+)", machine.read(f"/proc/{pid}/smaps_rollup"),
                      re.MULTILINE)
    if not match:
        raise servers.Failed(f"process {pid}: its memory is not told (/proc/{pid}/smaps_rollup)")
    return int(match.group(1)) * 1024


def idle_connection_bytes(build, server, placement, connections=IDLE_CONNECTIONS):
    """Memory of the process, not of the kernel, for each connection that is silent."""
    with servers.Running(server, build, "tcp", (), placement.server) as running:
        before, descriptors = dirty_bytes(running.pid), count_descriptors(running.pid)
        with servers.ended(subprocess.Popen(
                [f"{build}/bin/rill-ping", running.url, "--idle", "--marks", "--seconds", "60",
                 "--connections", str(connections)],
                stdout=subprocess.PIPE, text=True, preexec_fn=servers.pinned())) as process:
            process.stdout.readline()
            end = time.monotonic() + 10
            while count_descriptors(running.pid) < descriptors + connections:
                if time.monotonic() > end:
                    process.terminate()
                    raise servers.Failed(f"{server.name}: not all connections came; is the limit "
                                         "of descriptors too low (ulimit -n)?")
                time.sleep(0.01)
            after = dirty_bytes(running.pid)
            process.terminate()
            process.stdout.read()
        return (after - before) / connections


def count_descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def sleeping_task_bytes(build):
    result = subprocess.run([f"{build}/bin/rill-micro", "--json", "--only", "sleeping_task"],
                            capture_output=True, text=True, check=False,
                            preexec_fn=servers.pinned())
    if result.returncode:
        raise servers.Failed(f"rill-micro --only sleeping_task: {result.stderr.strip()[-200:]}")
    return json.loads(result.stdout)["sleeping_task"]["median"]


# ---- all of them ----

def tried(what, function, *arguments):
    """What function yields, or a sentence where it fails again and again: a machine that is
    so busy that nothing is answered in time can not count, and that is not growth."""
    for _ in range(ATTEMPTS):
        try:
            return list(function(*arguments))
        except servers.Failed as error:
            reason = error
    return [f"{what}: not counted: {reason}"]


def counts_of_calls(build, server, placement):
    yield Count("system calls: an echo, 1 connection",
                system_calls(build, server, ONE, placement), "calls", slack=0.01)
    # Several events share a call, and how many do depends on the load: the slack lets
    # that vary and still tells when a connection takes a call of its own.
    yield Count("system calls: a connection, an echo and its end",
                system_calls(build, server, by_key("churn"), placement), "calls", slack=0.4)


def counts_of_switches(build, server, placement):
    # The slack is for a busy machine, which answers a hundred requests in that time.
    yield Count("context switches: an echo, 1 connection",
                switches(build, server, ONE, placement), "switches", slack=0.03)


def counts_of_memory(build, server, placement):
    for workload in (ONE, TIMED, by_key("echo-50"), by_key("large"), by_key("unix-50")):
        yield Count(f"allocations: a request, {workload.title}",
                    allocations(build, server, workload, placement), "calls", slack=0.001)
    yield Count("bytes: an idle connection",
                idle_connection_bytes(build, server, placement), "bytes", slack=16)
    yield Count("bytes: a sleeping task", sleeping_task_bytes(build), "bytes", slack=1)


def counts_of_rill(build, placement):
    """Yields what repeats, of rill alone; and sentences about what can not be counted."""
    rill = next(server for server in servers.SERVERS if server.name == "rill")
    if has("valgrind"):
        yield from tried("instructions", instructions_of_steps, build)
        for workload, what in ((ONE, "an echo"), (TIMED, "an echo with a time limit")):
            yield from tried(what, instructions_of_echo, build, placement, workload, what)
        # How many connections come in a turn differs from run to run, and with it their share of
        # the turn: 2,450 to 3,200 by the same program in the same minute.
        what = "a connection, an echo and its end"
        yield from tried(what, instructions_of_echo, build, placement, by_key("churn"), what, 300)
        yield from tried("echoes among many", instructions_of_crowds, build, placement)
    else:
        yield "no valgrind: instructions are not counted"
    if strace_works():
        yield from tried("system calls", counts_of_calls, build, rill, placement)
    else:
        yield "no strace, or it is not permitted: system calls are not counted"
    yield from tried("context switches", counts_of_switches, build, rill, placement)
    yield from tried("memory", counts_of_memory, build, rill, placement)


def by_key(key):
    return next(workload for workload in workloads.WORKLOADS if workload.key == key)


def counts_of_all(build, placement):
    """Yields the counts of every server beside rill's; they depend on the turns that
    happen, so they are for reading."""
    for server in servers.available(build)[0]:
        if "echo" in server.abilities:
            yield from tried(server.name, counts_of_server, build, server, placement)


def counts_of_server(build, server, placement):
    for workload in (ONE, by_key("echo-50")):
        sample, *_ = load.run(server, build, workload, 0.5, placement)
        switches = f"context switches: a request, {workload.title}, {server.name}"
        if sample.switches_per_request is None:
            yield f"{switches}: not counted: too many threads, or some ended"
        else:
            yield Count(switches, sample.switches_per_request, "switches", checked=False)
        if strace_works():
            yield Count(f"system calls: a request, {workload.title}, {server.name}",
                        system_calls(build, server, workload, placement), "calls",
                        checked=False)
        if server.name != "go":  # it has an allocator of its own
            yield Count(f"allocations: a request, {workload.title}, {server.name}",
                        allocations(build, server, workload, placement), "calls",
                        checked=False)
    yield Count(f"bytes: an idle connection, {server.name}",
                idle_connection_bytes(build, server, placement,
                                      min(IDLE_CONNECTIONS, server.connections_max)),
                "bytes", checked=False)


def collect(source):
    counts, notes = [], []
    for item in source:
        (notes if isinstance(item, str) else counts).append(item)
    return counts, notes


def as_dict(counts):
    return {count.key: {"value": round(count.value, 4), "unit": count.unit} for count in counts}


def context(build):
    """What the numbers depend on besides the sources."""
    return {"compiler": machine.compiler(build),
            "liburing": machine.first_line("pkg-config", "--modversion", "liburing")}


def print_table(rows):
    print(report.table(rows))


def counts_command(arguments, placement):
    os.makedirs(arguments.output, exist_ok=True)
    counts, notes = collect(counts_of_rill(arguments.build, placement))
    more, more_notes = collect(counts_of_all(arguments.build, placement))
    counts, notes = counts + more, notes + more_notes
    facts = machine.facts(arguments.build, placement)
    with open(f"{arguments.output}/counts.json", "w", encoding="utf-8") as file:
        json.dump({"facts": facts, "notes": notes,
                   "counts": as_dict(counts)}, file, indent=1)
    rows = [["", "count", ""]] + [[count.key, f"{count.value:,.3f}", count.unit]
                                  for count in counts]
    with open(f"{arguments.output}/counts.txt", "w", encoding="utf-8") as file:
        file.write("\n".join([report.describe(facts), *notes, "",
                              report.table(rows)]) + "\n")
    print_table(rows)
    print(*notes, sep="\n")
    return 0


def least_counts(build, placement, is_enough):
    """Others on the machine make a count larger, not smaller. So all are counted several times,
    but no more as soon as that is enough, and the least counts."""
    least, notes = {}, []
    for _ in range(ATTEMPTS):
        counts, notes = collect(counts_of_rill(build, placement))
        for count in counts:
            if count.key not in least or count.value < least[count.key].value:
                least[count.key] = count
        if is_enough(list(least.values())):
            break
    return list(least.values()), notes


def keep_command(arguments, placement):
    counts, notes = least_counts(arguments.build, placement, lambda counts: False)
    if notes:
        print(*notes, "nothing was kept: install what is missing first", sep="\n")
        return 1
    with open(arguments.kept, "w", encoding="utf-8") as file:
        json.dump({"context": context(arguments.build), "counts": as_dict(counts)}, file, indent=1)
        file.write("\n")
    print_table([["", "count", ""]] + [[count.key, f"{count.value:,.3f}", count.unit]
                                       for count in counts])
    return 0


def why_not_here(build):
    """Why rill does not run on this machine (io_uring may be forbidden), or None."""
    result = subprocess.run([f"{build}/bin/rill-micro", "--rounds", "1", "--only", "await",
                             "--count", "1"], capture_output=True, text=True, check=False)
    refusals = (os.strerror(errno.EPERM), os.strerror(errno.ENOSYS))  # of io_uring
    if result.returncode == 1 and any(refusal in result.stderr for refusal in refusals):
        return result.stderr.strip()
    if result.returncode:
        raise servers.Failed(f"rill-micro ended with {result.returncode}: {result.stderr.strip()}")
    return None


def check_command(arguments, placement):
    reason = why_not_here(arguments.build)
    if reason:
        print(f"nothing can be counted here: {reason}")
        return 0
    with open(arguments.kept, encoding="utf-8") as file:
        kept = json.load(file)
    kept_with, here = kept["context"], context(arguments.build)
    instructions_max = GROWTH_MAX if kept_with == here else GROWTH_MAX_ELSEWHERE
    kept = {key: count["value"] for key, count in kept["counts"].items()}

    def verdict(count):
        if count.key not in kept:
            return "new: make keep-counts"
        growth_max = instructions_max if count.unit == "instructions" else GROWTH_MAX
        if count.value > kept[count.key] * growth_max + count.slack:
            return "GROWN"
        return "LESS THAN HALF" if count.value < kept[count.key] / 2 - count.slack else "ok"

    def grown_of(counts):
        return sum(verdict(count) == "GROWN" for count in counts)

    counts, notes = least_counts(arguments.build, placement, lambda counts: not grown_of(counts))
    grown = grown_of(counts)
    print_table([["", "kept", "now", "", ""]] +
                [[count.key, f"{kept[count.key]:,.3f}" if count.key in kept else "-",
                  f"{count.value:,.3f}", count.unit, verdict(count)] for count in counts])
    if kept_with != here:
        notes.append(f"instructions may have grown by {100 * (instructions_max - 1):.0f} %: they "
                     f"were kept with {kept_with}, here is {here}")
    print(*notes, sep="\n")
    missing = sorted(kept.keys() - {count.key for count in counts})
    if missing:
        print("kept, and not counted now:", *missing, sep="\n  ")
    if grown:
        print(f"{grown} of {len(counts)} grew by more than is allowed: make it less, or keep the "
              "new ones with make keep-counts and say why in the commit")
    shrunk = sum(verdict(count) == "LESS THAN HALF" for count in counts)
    if shrunk:
        print(f"{shrunk} of {len(counts)} are less than half of what was kept: either something is "
              "not counted any more, or make keep-counts is due")
    return 1 if grown or missing or shrunk else 0


def main(arguments):
    command = {"counts": counts_command, "keep-counts": keep_command,
               "check-counts": check_command}[arguments.command]
    return command(arguments, machine.Placement.choose())
