# SPDX-License-Identifier: Apache-2.0
"""micro.py - what single steps cost, in rill, tokio and Go: each measures itself."""
import json
import os
import subprocess

import samples
import servers

PROGRAMS = [
    ("rill", "bin/rill-micro", lambda rounds, quick: ["--json", "--rounds", str(rounds)]),
    ("tokio", "peers/tokio-micro", lambda rounds, quick:
        ["--rounds", str(rounds), "--divide", "20" if quick else "5"]),
    ("go", "peers/go-micro", lambda rounds, quick:
        [f"-rounds={rounds}", f"-divide={20 if quick else 5}"]),
]

TITLES = {
    "yield": "yield, among 1,000 tasks",
    "yield_alone": "yield, one task",
    "spawn_join": "spawn and join, 1,000 at a time",
    "spawn_join_alone": "spawn and join, one at a time",
    "switch": "wake another task and wait",
    "oneshot": "oneshot: make, send, receive",
    "mpsc": "channel of 256, a message",
    "channel_switch": "channels of 1, a message with a task switch",
    "sleep_cancel_0": "timer: start a sleep and cancel it",
    "sleep_cancel_100k": "timer: start a sleep and cancel it, 100,000 armed",
    "sleep_cancel_1m": "timer: start a sleep and cancel it, 1,000,000 armed",
    "timer_0": "the wheel of timers alone: arm and disarm",
    "timer_100k": "the wheel of timers alone: arm and disarm, 100,000 armed",
    "timer_1m": "the wheel of timers alone: arm and disarm, 1,000,000 armed",
    "sleep": "a task that sleeps: spawn, arm, fire, join; CPU time",
    "sleeping_task": "a sleeping task",
}


def run(build, placement, rounds, quick):
    """Returns, by program's name, what it printed, and sentences about what failed. Their
    rounds lie in a row, since all is within one process; the programs take turns three times in
    a full run, and the run with the lowest sum counts, as the one that was disturbed least."""
    results, failures = {}, {}
    for number in range(1 if quick else 3):
        for name, program, options in samples.rotated(PROGRAMS, number):
            path = f"{build}/{program}"
            if not os.access(path, os.X_OK):
                continue
            command = [path, *options(rounds, quick)]
            run_of_it = subprocess.run(command, capture_output=True, text=True, check=False,
                                       preexec_fn=servers.pinned(placement.server))
            if run_of_it.returncode:
                failures[name] = (f"single steps: {name} ended with {run_of_it.returncode}: "
                                  f"{run_of_it.stderr.strip()[-200:]}")
                continue
            result = json.loads(run_of_it.stdout)
            if name not in results or cost(result) < cost(results[name]):
                results[name] = {**result, "command": command}
    return results, list(failures.values())


def cost(result):
    return sum(result[key]["median"] for key in TITLES
               if key in result and key != "sleeping_task")
