# SPDX-License-Identifier: Apache-2.0
"""harness.py - tests of bench/harness: its arithmetic, and what it does with servers and
programs that are not as they should be. Called by check_harness.sh.

The programs of a build are played by scripts of some lines."""
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import compare
import counts
import files
import load
import machine
import micro
import plots
import publish
import rdma
import servers
import workloads


class Build:
    """A directory of programs that are Python scripts, until the end of a with block."""

    def __init__(self, **programs):
        self.directory = tempfile.TemporaryDirectory(prefix="rill-harness-")
        for name, text in programs.items():
            self.add(name.replace("_", "-"), text)

    def add(self, name, text):
        path = os.path.join(self.directory.name, "bin", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable} -S\nimport os, signal, sys\n{text}")
        os.chmod(path, stat.S_IRWXU)

    def __enter__(self):
        return self.directory.name

    def __exit__(self, *_):
        self.directory.cleanup()


HERE = machine.Placement.choose()
SERVER = servers.Server("played", "bin/server", "a script")

# Its URL is the file in which malloc-count.so would count.
COUNTING_SERVER = """
path = os.environ["MALLOC_COUNT_FILE"]
open(path, "wb").write((7).to_bytes(24, "little"))
print("listening on", path, flush=True)
signal.pause()
"""
PING = """
if "--marks" in sys.argv:
    print("measuring\\nmeasured")
print('{"requests": 5}')
"""


class Counts(unittest.TestCase):
    def test_allocations_are_those_since_the_file_was_looked_at_before(self):
        look = counts.allocations_in

        def look_and_serve(path):
            number = look(path)
            with open(path, "r+b") as file:
                file.write((number + 15).to_bytes(8, "little"))
            return number

        with (Build(server=COUNTING_SERVER, rill_ping=PING) as build,
              mock.patch.object(counts, "allocations_in", look_and_serve)):
            self.assertEqual(counts.allocations(build, SERVER, counts.ONE, HERE), 3)


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}")


SILENT = "print('a word', flush=True); signal.pause()\n"
HANGING_PING = "print('measuring', flush=True); signal.pause()\n"
LISTENING = "print('listening on nothing', flush=True); signal.pause()\n"


class Processes(unittest.TestCase):
    def start(self, build):
        return servers.Running(SERVER, build, "unix", (), HERE.server)

    def test_a_server_that_does_not_begin_to_listen_is_not_waited_for_for_ever(self):
        with Build(server=SILENT) as build, mock.patch.object(servers, "START_LIMIT_S", 0.05):
            running = self.start(build)
            with self.assertRaisesRegex(servers.Failed, "played did not begin.*nothing was heard"):
                running.__enter__()
        self.assertFalse(is_alive(running.pid))

    def test_a_server_that_ends_before_it_listens_is_told_of_in_its_own_words(self):
        for text, why in (("sys.exit('no memory')", "played did not begin to listen: no memory$"),
                          ("sys.exit(3)", "it ended with 3$")):
            with Build(server=text) as build, self.assertRaisesRegex(servers.Failed, why):
                with self.start(build):
                    pass

    def test_an_interrupt_leaves_neither_server_nor_load(self):
        pids = []

        def interrupt(_, of_processes):
            pids.extend(of_processes)
            raise KeyboardInterrupt

        with (Build(server=LISTENING, rill_ping=HANGING_PING) as build,
              mock.patch.object(machine.Moment, "now", interrupt),
              self.assertRaises(KeyboardInterrupt)):
            load.run(SERVER, build, counts.ONE, 1, HERE)
        self.assertEqual([is_alive(pid) for pid in pids], [False, False])

    def test_a_load_that_cannot_begin_says_on_which_server(self):
        with (Build(server=LISTENING, rill_ping="sys.exit('cannot connect')") as build,
              self.assertRaisesRegex(servers.Failed, "^played: cannot connect$")):
            load.run(SERVER, build, counts.ONE, 1, HERE)


PLACE = {"build": "nowhere", "placement": HERE}
ECHO = workloads.Workload("echo-50", "50 connections", 50)
OPEN = workloads.Workload("open-50", "an open loop", 50, rate_share=0.5)


class Failures(unittest.TestCase):
    """What fails is told of, and the rest is in the report."""

    def test_steps_of_a_program_that_crashes_are_a_note(self):
        crash = "print('half of it', file=sys.stderr); os.kill(os.getpid(), signal.SIGABRT)"
        with Build(rill_micro=crash) as build:
            results, notes = micro.run(build, HERE, 1, True)
        self.assertEqual(results, {})
        self.assertEqual(notes, ["single steps: rill ended with -6: half of it"])

    def test_a_directory_that_takes_no_file_to_read_is_a_note_and_so_is_a_missing_fio(self):
        with Build() as build, mock.patch.dict(os.environ, {"PATH": build}):
            reads = files.Files(build, f"{build}/none", HERE, 1, 1)
        self.assertRegex(reads.failures[0], "^no fio")
        self.assertRegex(reads.failures[1], "random reads: .*No such file or directory")

    def test_pictures_that_cannot_be_drawn_are_a_note(self):
        def draw():
            raise subprocess.CalledProcessError(1, ["gnuplot"], stderr="no terminal\n")

        self.assertEqual(plots.drawn(draw),
                         ["not all pictures could be drawn: gnuplot: no terminal"])

    def test_an_open_loop_whose_rate_is_not_known_is_not_run_as_a_closed_one(self):
        with (mock.patch.object(servers, "available", lambda build: ([SERVER], [])),
              mock.patch.object(load, "run", side_effect=servers.Failed("played: broken"))):
            comparison = compare.Comparison(**PLACE, rounds=1, budget_s=1, chosen=[ECHO, OPEN])
            comparison.run()
        self.assertEqual(comparison.failures, ["50 connections: played: broken", "an open loop: "
                                               "nobody's saturation is known: skipped"])


class Messages(unittest.TestCase):
    def measure(self, run, placement=HERE):
        with (Build(rill_rdma_perf="") as build, mock.patch.object(shutil, "which", lambda _: None),
              mock.patch.object(rdma, "run_rill", run)):
            return rdma.Messages(build, placement, rounds=2, quick=True)

    def test_a_case_of_which_a_round_is_missing_is_left_out_at_once_and_told_of(self):
        runs = []

        def run(_, case, program, __):
            runs.append((case, program))
            if (case, program) == runs[0]:
                raise servers.Failed("broken")
            return 1.0

        messages = self.measure(run, machine.Placement(server=1, load=0))
        self.assertNotIn(runs[0][0], messages.cases)
        self.assertEqual([case for case, _ in runs].count(runs[0][0]), 1)
        self.assertIn(f"{runs[0][0].title}, rill: broken", messages.failures)
        self.assertTrue(all(len(column.values) == 2 for _, _, column, *_ in messages.rows()))

    def test_on_one_processor_nobody_looks_out_for_the_other(self):
        waits = set()
        self.measure(lambda _, case, *__: waits.add(case.wait) or 1.0,
                     machine.Placement(server=0, load=0))
        self.assertEqual(waits, {"sleep"})


class Publishing(unittest.TestCase):
    def test_pictures_of_an_earlier_run_are_gone_and_those_of_messages_alone_not_touched(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("cpu.svg", "latency-open-50.png", "rdma-latency.svg",
                         "messages-latency.svg", "random-reads.data"):
                open(f"{directory}/{name}", "w", encoding="utf-8").close()
            with mock.patch.dict(os.environ, {"PATH": directory}):
                notes = plots.draw_all(directory, None, None, None)
            self.assertEqual(notes, [plots.PROBLEM])
            self.assertEqual(sorted(os.listdir(directory)),
                             ["messages-latency.svg", "random-reads.data"])

    def test_what_is_published_is_the_report_with_its_own_pictures(self):
        with tempfile.TemporaryDirectory() as directory:
            publish.write(f"{directory}/docs.md", f"a\n{publish.BEGIN}old\n{publish.END}z\n")
            with self.assertRaisesRegex(servers.Failed, "no report to publish"):
                publish.publish(directory, f"{directory}/docs")
            for name, text in (("report.json", '{"facts": {"date": "2026-01-02 03:04 UTC"}}'),
                               ("report.txt", "words\n"), ("report.csv", ""), ("cpu.svg", ""),
                               ("messages-latency.svg", "")):
                publish.write(f"{directory}/{name}", text)
            publish.publish(directory, f"{directory}/docs")
            self.assertEqual(sorted(os.listdir(f"{directory}/docs/2026-01-02")),
                             ["README.md", "cpu.svg", "report.csv", "report.json", "report.txt"])
            self.assertRegex(publish.read(f"{directory}/docs.md"),
                             r"(?s)^a\n.*docs/2026-01-02/cpu\.svg.*\nz\n$")


def main():
    result = unittest.TextTestRunner(stream=sys.stdout).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    run, failed, broken = result.testsRun, len(result.failures), len(result.errors)
    # In the words of the Check library, for run.sh.
    print(f"{100 * (run - failed - broken) // max(run, 1)}%: Checks: {run}, Failures: {failed}, "
          f"Errors: {broken}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
