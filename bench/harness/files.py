# SPDX-License-Identifier: Apache-2.0
"""files.py - random reads of 4 KiB beside fio's io_uring engine, tokio::fs and libuv."""
import dataclasses
import json
import os
import resource
import shutil
import subprocess

import samples
import servers

PAGE_SIZE = 4096
FILE_SIZE = 128 * 2**20

CASES = [  # depth, past the page cache
    (1, False),
    (32, False),
    (1, True),
    (32, True),
]


@dataclasses.dataclass
class Sample:
    reads_per_second: float
    cpu_ns_per_read: float


def make_file(path):
    if not os.path.exists(path) or os.path.getsize(path) != FILE_SIZE:
        with open(path, "wb") as file:
            for number in range(FILE_SIZE // PAGE_SIZE):
                file.write(number.to_bytes(8, "little") * (PAGE_SIZE // 8))
    with open(path, "rb") as file:  # into the page cache
        while file.read(2**20):
            pass


def title(depth, direct):
    return f"depth {depth}, {'O_DIRECT' if direct else 'page cache'}"


def commands(build, path, seconds, depth, direct):
    """The programs that read, by name."""
    options = [path, "--depth", str(depth), "--seconds", f"{seconds:.3f}"]
    options += ["--direct"] if direct else []
    programs = {"rill": [f"{build}/bin/rill-files", *options]}
    if shutil.which("fio"):
        programs["fio"] = [
            "fio", "--name=random-reads", f"--filename={path}", f"--size={FILE_SIZE}",
            "--ioengine=io_uring", "--rw=randread", "--bs=4k", f"--iodepth={depth}",
            f"--direct={int(direct)}", "--time_based", f"--runtime={1000 * seconds:.0f}ms",
            "--norandommap", "--randrepeat=1", "--output-format=json", "--thread",
            "--invalidate=0", "--gtod_reduce=1"]  # no latencies: nobody else records them
        if depth > 1:
            # By itself fio submits each read with a call of its own, and reaps one at a time
            # unless it is told a maximum; rill submits what a turn has collected.
            programs["fio, in batches"] = [
                *programs["fio"], f"--iodepth_batch_submit={depth}",
                "--iodepth_batch_complete_min=1", f"--iodepth_batch_complete_max={depth}"]
    if depth == 1:
        for name in ("tokio", "libuv"):
            program = f"{build}/peers/{name}-files"
            if os.access(program, os.X_OK):
                programs[name] = [program, *options]
    return programs


def run_one(name, command, processor):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True, check=False,
                            preexec_fn=servers.pinned(processor))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        told = (result.stderr or result.stdout).strip().splitlines()
        raise servers.Failed(f"{name}: {told[0] if told else f'ended with {result.returncode}'}")
    output = json.loads(result.stdout[result.stdout.index("{"):])
    if name.startswith("fio"):
        read = output["jobs"][0]["read"]
        reads, seconds = read["total_ios"], read["runtime"] / 1e3
        # Of the reading thread: to begin and to report takes fio longer than a short run.
        busy = output["jobs"][0]["usr_cpu"] + output["jobs"][0]["sys_cpu"]
        return Sample(reads / seconds, busy / 100 * seconds * 1e9 / reads)
    reads, seconds = output["reads"], output["seconds"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(reads / seconds, cpu * 1e9 / reads)


class Files:
    def __init__(self, build, directory, placement, rounds, budget_s):
        self.samples = {}  # by case and name: a list, one for each round
        self.commands = {}
        self.failures = []
        self.path = os.path.join(directory, "random-reads.data")
        runs = rounds * sum(len(commands(build, "", 1, *case)) for case in CASES)
        self.seconds = max(0.2, min(2.0, budget_s / runs - 0.4))
        if not shutil.which("fio"):
            self.failures.append("no fio: rill's reads stand beside tokio's and libuv's alone")
        try:
            make_file(self.path)
            for case in CASES:
                self.take_turns(case, build, placement, rounds)
        except OSError as error:
            self.failures.append(f"random reads: {error}")
        finally:
            if os.path.exists(self.path):
                os.remove(self.path)

    def take_turns(self, case, build, placement, rounds):
        programs = list(commands(build, self.path, self.seconds, *case).items())
        for number in range(rounds):
            for name, command in samples.rotated(programs, number):
                if not self.add(case, name, command, placement):
                    programs.remove((name, command))

    def add(self, case, name, command, placement):
        """Returns whether it ran. What did not is left out altogether: where a round of it is
        missing, those after it would be set beside other rounds of the others."""
        try:
            sample = run_one(name, command, placement.server)
        except servers.Failed as failure:
            self.failures.append(f"random reads, {title(*case)}: {failure}")
            self.samples.pop((case, name), None)
            return False
        self.samples.setdefault((case, name), []).append(sample)
        self.commands[case, name] = command
        return True

    def rows(self):
        """Case, name, columns of reads per second and CPU per read, and rill's ratio."""
        for (case, name), runs in self.samples.items():
            rates = [sample.reads_per_second for sample in runs]
            ours = [sample.reads_per_second for sample in self.samples.get((case, "rill"), [])]
            yield (case, name, samples.Column(rates),
                   samples.Column([sample.cpu_ns_per_read for sample in runs]),
                   samples.Ratio(ours, rates) if ours and name != "rill" else None)

    def as_dict(self):
        return [{"depth": case[0], "direct": case[1], "program": name,
                 "reads_per_second": rate.as_dict(), "cpu_ns_per_read": cpu.as_dict(),
                 "rill_by_this": ratio.as_dict() if ratio else None,
                 "command": self.commands[case, name]}
                for case, name, rate, cpu, ratio in self.rows()]
