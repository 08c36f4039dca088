# SPDX-License-Identifier: Apache-2.0
"""harness.py - tests of bench/harness: its arithmetic, and what it does with servers and
programs that are not as they should be. Called by check_harness.sh.

The programs of a build are played by scripts of some lines."""
import dataclasses
import os
import random
import re
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
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
import report
import samples
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


    def test_switches_are_those_between_the_marks_and_of_a_request(self):
        with (Build(server=LISTENING, rill_ping=PING) as build,
              mock.patch.object(machine, "voluntary_switches", mock.Mock(side_effect=[3, 13]))):
            self.assertEqual(counts.switches(build, SERVER, counts.ONE, HERE), 2)

    def test_a_load_that_fails_after_the_marks_is_a_failure_to_count_and_is_tried_again(self):
        failing = "print('measuring\\nmeasured', flush=True); sys.exit('not every request')"
        for count, server in ((counts.switches, LISTENING), (counts.allocations, COUNTING_SERVER)):
            with (Build(server=server, rill_ping=failing) as build,
                  mock.patch.object(counts, "ping"),
                  self.assertRaisesRegex(servers.Failed, "^played: not every request$")):
                count(build, SERVER, counts.ONE, HERE)

    def test_a_switch_that_is_waited_for_is_voluntary(self):
        before = machine.voluntary_switches(os.getpid())
        time.sleep(0.001)
        self.assertGreater(machine.voluntary_switches(os.getpid()), before)


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}")


def is_running(pid):
    """Of one that is not our child: nobody may have waited for it yet."""
    return re.match(r"\d+ \(.*\) [^ZX]", machine.read(f"/proc/{pid}/stat")) is not None


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

    def test_what_it_started_ends_with_a_harness_that_cannot_end_it(self):
        script = f"""
import os, servers, subprocess, sys
running = servers.Running(servers.Server("played", "bin/server", ""), sys.argv[1], "unix", (), {HERE.server})
running.__enter__()
load = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                        preexec_fn=servers.pinned({HERE.load}))
print(running.pid, load.pid, flush=True)
os.kill(os.getpid(), 9)
"""
        with Build(server=LISTENING) as build:
            result = subprocess.run([sys.executable, "-c", script, build], capture_output=True,
                                    text=True, check=False)
        pids = list(map(int, result.stdout.split()))
        self.assertEqual(len(pids), 2, result.stderr)
        end = time.monotonic() + 10
        while any(map(is_running, pids)) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual([pid for pid in pids if is_running(pid)], [])

    def test_a_load_that_cannot_begin_says_on_which_server(self):
        with (Build(server=LISTENING, rill_ping="sys.exit('cannot connect')") as build,
              self.assertRaisesRegex(servers.Failed, "^played: cannot connect$")):
            load.run(SERVER, build, counts.ONE, 1, HERE)


SENT = random.Random(1).randbytes(2**20) * 32
ON_ITS_WAY_MAX = 8 * 2**20  # in buffers of the kernel and of a server that stops receiving in time


def ask_before_listening(path):
    """Sends all, and receives only when nothing can be sent; then ends sending, and receives the
    rest. Returns what came, and how much was on its way at the most."""
    sent, came, most = 0, bytearray(), 0
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        while sent < len(SENT):
            _, writable, _ = select.select([client], [client], [], 10)
            if writable:
                sent += client.send(memoryview(SENT)[sent:sent + 65536])
            else:
                came += client.recv(65536)
            most = max(most, sent - len(came))
        client.shutdown(socket.SHUT_WR)
        while part := client.recv(2**20):
            came += part
    return came, most


class Peers(unittest.TestCase):
    """Of those that are built: all do the same work, or they could not be compared."""

    def test_each_gives_back_every_byte_to_a_client_that_is_slow_and_has_finished_sending(self):
        for server in servers.available("build")[0]:
            with (self.subTest(server.name),
                  servers.Running(server, "build", "unix", (), HERE.server) as running):
                came, most = ask_before_listening(running.url.removeprefix("unix://"))
                self.assertEqual(len(came), len(SENT))
                self.assertTrue(came == SENT)  # of 32 MiB unittest would show the difference
                self.assertLess(most, ON_ITS_WAY_MAX)


PLACE = {"build": "nowhere", "placement": HERE}
ECHO = workloads.Workload("echo-50", "50 connections", 50)
OPEN = workloads.Workload("open-50", "an open loop", 50, rate_share=0.5)


def sample(rate=1, **others):
    figures = {"requests_per_second": rate, "cpu_ns_per_request": rate,
               "switches_per_request": None, "server_busy": 1, "load_busy": 1,
               "latency_us": dict.fromkeys(("p50", "p99", "p999"), 1), "unsent": 0,
               "others_share": 0} | others
    return load.Sample(**figures)


def comparison_of(rates, key=ECHO.key, **others):
    """One that has run: these rates of each server in each round."""
    players = [dataclasses.replace(SERVER, name=name, is_loop=name != "threads")
               for name in rates]
    with mock.patch.object(servers, "available", lambda build: (players, [])):
        comparison = compare.Comparison(**PLACE, rounds=1, budget_s=1, chosen=[ECHO, OPEN])
    for name, of_rounds in rates.items():
        comparison.samples[key, name] = [sample(rate, **others) for rate in of_rounds]
        comparison.samples[OPEN.key, name] = comparison.samples[key, name]
    return comparison


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


class Arithmetic(unittest.TestCase):
    def test_a_difference_is_one_where_four_undisturbed_rounds_agree(self):
        def ratio(ours, theirs, disturbed=None):
            result = samples.Ratio(ours, theirs, disturbed)
            return result.text(), result.low, result.high

        self.assertEqual(ratio([2, 4, 6, 9], [1, 2, 2, 2]), ("2.50", 2, 4.5))
        self.assertEqual(ratio([2, 4, 6, 1], [1, 2, 2, 2]), ("2.00 tie", 0.5, 3))
        self.assertEqual(ratio([2, 4, 6], [1, 2, 2]), ("2.00 few", 2, 3))
        disturbed = [False, False, False, True, False]
        self.assertEqual(ratio([2, 2, 2, 1, 2], [1, 1, 1, 5, 1], disturbed), ("2.00", 2, 2))
        self.assertEqual(ratio([2, 2, 2, 1], [1, 1, 1, 5], disturbed), ("2.00 few", 0.2, 2))
        # A round without their figure is none, and those behind it keep their own.
        self.assertEqual(ratio([9, 2, 2, 2, 2], [0, 1, 1, 1, 5], [False] * 4 + [True]),
                         ("2.00 few", 0.4, 2))

    def test_each_begins_a_round_in_turn(self):
        self.assertEqual([samples.rotated("abc", number) for number in range(4)],
                         ["abc", "bca", "cab", "abc"])

    def test_a_ratio_of_cpu_times_minds_no_disturbance_and_that_of_an_open_loops_rate_is_none(self):
        comparison = comparison_of({"rill": [10, 10, 10, 10], "played": [5, 5, 5, 5]},
                                   others_share=0.5)
        by_cpu = comparison.ratio(ECHO, "played", "cpu_ns_per_request")
        self.assertEqual((by_cpu.median, by_cpu.tie), (2, False))
        self.assertTrue(comparison.ratio(ECHO, "played", "requests_per_second").few)
        self.assertIsNone(comparison.ratio(ECHO, "rill", "requests_per_second"))
        self.assertIsNone(comparison.ratio(OPEN, "played", "requests_per_second"))

    def test_the_rate_of_an_open_loop_is_a_share_of_what_the_slowest_loop_answers(self):
        comparison = comparison_of({"rill": [10, 30, 20], "played": [7, 9, 8], "threads": [1]})
        self.assertEqual(comparison.rate_of(OPEN), 4)
        self.assertEqual(comparison.rate_of(ECHO), 0)

    def test_who_could_not_send_one_request_in_a_hundred_in_time_is_overloaded(self):
        for unsent, is_overloaded in ((11, False), (12, True)):  # of 1,000 x (1 s + 0.1 s)
            comparison = comparison_of({"played": [1]}, key=OPEN.key, unsent=unsent)
            comparison.rates[OPEN.key], comparison.seconds = 1000, 1
            comparison.open_loop_factor = 1
            self.assertEqual(comparison.is_overloaded(OPEN, "played"), is_overloaded)

    def test_the_warm_up_of_many_connections_is_longer_and_the_runs_fit_the_time_with_it(self):
        def warmup_s(connections):
            workload = dataclasses.replace(ECHO, connections=connections)
            command = load.ping_command("here", "tcp://there", workload, 1)
            return float(command[command.index("--warmup") + 1].rstrip("s"))

        self.assertEqual([warmup_s(1), warmup_s(1000), warmup_s(10000)], [0.1, 0.1, 0.5])
        crowd = dataclasses.replace(ECHO, connections=10000)
        with mock.patch.object(servers, "available", lambda build: ([SERVER], [])):
            comparison = compare.Comparison(**PLACE, rounds=5, budget_s=11, chosen=[ECHO, crowd])
        self.assertAlmostEqual(5 * (2 * comparison.seconds + 2 * 0.1 + 0.1 + 0.5), 10)

    def test_a_run_is_disturbed_by_what_neither_server_nor_load_has_used(self):
        def moment(wall_s, own_s, busy_s):
            return machine.Moment(int(wall_s * 1e9), {1: 0, 2: int(own_s * 1e9)},
                                  int(busy_s * machine.HERTZ))

        slack = 2 / machine.HERTZ
        begin = moment(0, 0, 0)
        self.assertEqual(machine.others_share(begin, moment(2, 3, 3)), 0)
        self.assertEqual(machine.others_share(begin, moment(2, 3, 2.5)), 0)
        self.assertAlmostEqual(machine.others_share(begin, moment(2, 1, 3)), (2 - slack) / 2)
        self.assertFalse(sample(others_share=0.15).disturbed)
        self.assertTrue(sample(others_share=0.16).disturbed)

    def test_the_cpu_time_of_a_process_is_its_own_with_that_of_threads_that_have_ended(self):
        def work():
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass

        before = machine.process_cpu_ns(os.getpid())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertGreaterEqual(machine.process_cpu_ns(os.getpid()) - before, 20e6)

    def test_switches_are_not_told_of_where_a_thread_has_taken_its_number_along(self):
        self.assertEqual(machine.switches_between({"a": 5}, {"a": 7, "b": 1}), 3)
        self.assertIsNone(machine.switches_between({"a": 5, "b": 1}, {"a": 7}))
        self.assertIsNone(machine.switches_between(None, {"a": 7}))


class Facts(unittest.TestCase):
    def test_processors_of_different_nodes_are_told_of(self):
        place = machine.Placement(server=63, load=0)
        for nodes, is_told in (({63: 1, 0: 0}, True), ({63: 0, 0: 0}, False),
                               ({63: None, 0: None}, False)):
            with mock.patch.object(machine, "node_of", nodes.get):
                self.assertEqual("of different NUMA nodes, 1 and 0" in place.describe(), is_told)

    def test_the_compiler_is_the_one_of_the_programs(self):
        gcc = "  [     0]  GCC: (Debian 12.2.0-14+deb12u1) 12.2.0\n"
        clang = "  [    27]  Debian clang version 14.0.6\n"
        self.assertEqual(machine.compiler_in(gcc), "gcc 12.2")
        self.assertEqual(machine.compiler_in(gcc + clang), "clang 14.0")  # libc's parts are gcc's
        self.assertEqual(machine.compiler_in(""), "unknown")
        with mock.patch.object(machine, "compiler", lambda build: f"that of {build}"):
            facts = machine.facts("here", HERE)
        self.assertEqual(facts["versions"]["compiler"], "that of here")
        self.assertIn("compiler: that of here\n", report.describe(facts))


class Report(unittest.TestCase):
    def test_where_rill_is_behind_is_told_of_each_part_and_ties_are_not(self):
        comparison = comparison_of({"rill": [10, 10, 10, 10], "less": [9, 9, 9, 9],
                                    "more": [16, 16, 16, 16], "rill-adaptive": [20, 20, 20, 20],
                                    "uring-adaptive": [20, 20, 20, 20],
                                    "varies": [9, 11, 11, 11]})
        reads = mock.Mock()
        reads.rows.return_value = [((1, True), "rill", None, None, None)] + [
            ((1, True), name, None, None, samples.Ratio([10] * 4, rates))
            for name, rates in (("fio", [20] * 4), ("libuv", [5] * 4), ("tie", [5, 20, 20, 20]))]
        messages = mock.Mock()
        messages.rows.return_value = [
            (rdma.Case("shm", test, 8), "rill", None, samples.Ratio(ours, [10] * 4), None)
            for test, ours in (("tag_lat", [15] * 4), ("tag_lat", [5] * 4), ("tag_bw", [5] * 4),
                               ("tag_bw", [15] * 4), ("tag_bw", [5, 5, 5, 11]))]
        self.assertEqual(report.behind(comparison, reads, messages).splitlines()[1:], [
            # The figure played is requests per second and CPU time, both.
            "50 connections: rill has 1.11 of the CPU time a request of less",
            "50 connections: rill has 0.62 of the requests/s of more",
            "an open loop: rill has 1.11 of the CPU time a request of less",
            "reads, depth 1, O_DIRECT: rill has 0.50 of fio",
            "shm, 8 B, latency in us, spin: rill has 1.50 of ucx_perftest",
            "shm, 8 B, messages/s: rill has 0.50 of ucx_perftest"])
        messages.rows.return_value = []
        few = comparison_of({"rill": [10], "more": [16]})
        self.assertEqual(report.behind(few, None, messages).splitlines()[1:],
                         ["3 of 3 ratios are of too few undisturbed rounds to tell"])
        comparison.samples = {}
        self.assertEqual(report.behind(comparison, None, messages).splitlines()[1:], ["nowhere"])

    def test_a_latency_that_is_longer_in_every_round_than_a_peers_in_any_is_a_loss(self):
        def lines(ours, theirs, others_share=0, of=()):
            comparison = comparison_of({"rill": [1] * len(ours), "played": [1] * len(theirs)})
            for name, values in (("rill", ours), ("played", theirs)):
                for key in (ECHO.key, OPEN.key):
                    comparison.samples[key, name] = [
                        sample(others_share=others_share if (name, i) in of else 0,
                               latency_us={"p50": 1, "p99": value, "p999": 1})
                        for i, value in enumerate(values)]
            messages = mock.Mock()
            messages.rows.return_value = []
            return [line for line in report.behind(comparison, None, messages).splitlines()[1:]
                    if "us" in line.split()]

        longer = "p99 of rill is 7.0 (6.0-8.0) us, of played 4.0 (3.0-5.0) us"
        self.assertEqual(lines([6, 7, 8, 7], [3, 4, 5, 4]),
                         [f"50 connections: {longer}", f"an open loop: {longer}"])
        self.assertEqual(lines([6, 7, 8, 5], [3, 4, 5, 4]), [])  # the ranges touch
        self.assertEqual(lines([3, 4, 5, 4], [6, 7, 8, 7]), [])  # ahead
        self.assertEqual(lines([6, 7, 8], [3, 4, 5]), [])  # by chance
        # What others did to a round of the peer hides no loss, nor makes one of too few rounds.
        disturbed = [("played", 4)]
        self.assertEqual(len(lines([6, 7, 8, 7, 7], [3, 4, 5, 4, 9], 1, disturbed)), 2)
        self.assertEqual(lines([6, 7, 8, 7], [3, 4, 5, 4], 1, [("rill", 0)]), [])

    def test_where_rill_itself_failed_is_no_place_where_it_is_not_behind(self):
        comparison = comparison_of({"rill": [10] * 4, "played": [5] * 4})
        del comparison.samples[OPEN.key, "rill"]
        reads, messages = mock.Mock(), mock.Mock()
        reads.rows.return_value = [((1, True), "fio", None, None, None),
                                   ((32, True), "rill", None, None, None)]
        messages.rows.return_value = []
        self.assertEqual(report.behind(comparison, reads, messages).splitlines()[1:], [
            "50 connections: rill has 2.00 of the CPU time a request of played",
            "an open loop: rill has no result, and others have: see the notes",
            "reads, depth 1, O_DIRECT: rill has no result, and others have: see the notes"])


class Messages(unittest.TestCase):
    def measure(self, run, placement=HERE, budget_s=1000):
        with (Build(rill_rdma_perf="") as build, mock.patch.object(shutil, "which", lambda _: None),
              mock.patch.object(rdma, "run_rill", run)):
            return rdma.Messages(build, placement, rounds=2, budget_s=budget_s, quick=True)

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

    def test_what_takes_longer_than_there_is_time_is_told_of_and_rounds_stay_complete(self):
        for a_run_s, budget_s, rounds, is_cut in ((1, 1000, 2, False), (1, 50, 1, False),
                                                  (1, 5, 1, True)):
            clock = [0]

            def run(*_):
                clock[0] += a_run_s
                return 1.0

            with mock.patch.object(time, "monotonic", lambda: clock[0]):
                messages = self.measure(run, machine.Placement(server=1, load=0), budget_s)
            self.assertEqual({len(column.values) for _, _, column, *_ in messages.rows()}, {rounds})
            self.assertEqual(messages.rounds, rounds)
            self.assertEqual(len(messages.cases) < len(rdma.cases(True)), is_cut)
            self.assertEqual(any("the time was over" in note for note in messages.failures),
                             is_cut or rounds == 1)

    def test_the_report_shows_how_each_program_was_run(self):
        def run(*_):
            return 1.0

        with (Build(rill_rdma_perf="") as build, mock.patch.object(shutil, "which", lambda name: name),
              mock.patch.object(rdma, "run_rill", run), mock.patch.object(rdma, "run_ucx", run)):
            messages = rdma.Messages(build, machine.Placement(server=1, load=0), rounds=1,
                                     budget_s=1000, quick=True)
        lines = messages.command_lines()
        self.assertEqual(len(lines), len(set(lines)))
        of_rill, of_ucx = ([line for line in lines if line.startswith(f"UCX_TLS=sm,self {name} ")
                            and "tag_lat" in line and "sleep" in line]
                           for name in (f"{build}/bin/rill-rdma-perf", rdma.UCX))
        self.assertEqual([of_rill[0].count("--shared-memory"), len(of_rill)], [1, 1])
        self.assertEqual(of_ucx, [f"UCX_TLS=sm,self {rdma.UCX} 127.0.0.1 -p PORT -E sleep "
                                  "-t tag_lat -s 8 -n 10000 -w 1000 -f -v"])
        self.assertIn(f"UCX_TLS=sm,self UCX_POSIX_ERROR_HANDLING=y {rdma.UCX} -p PORT -e", lines)
        shown = {(part["case"]["transport"], part["program"]): part["commands"]
                 for part in messages.as_dict()}
        self.assertEqual({program: len(commands) for (_, program), commands in shown.items()},
                         {**dict.fromkeys(rdma.LAYERS, 1), rdma.UCX: 2, rdma.UCX_ERRORS: 2})

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
            self.assertEqual(sorted(os.listdir(f"{directory}/docs/2026-01-02-0304")),
                             ["README.md", "cpu.svg", "report.csv", "report.json", "report.txt"])
            self.assertRegex(publish.read(f"{directory}/docs.md"),
                             r"(?s)^a\n.*docs/2026-01-02-0304/cpu\.svg.*\nz\n$")
            with self.assertRaisesRegex(servers.Failed, "published already"):
                publish.publish(directory, f"{directory}/docs")


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
