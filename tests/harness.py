# SPDX-License-Identifier: Apache-2.0
"""harness.py - tests of bench/harness: its arithmetic, and what it does with servers and
programs that are not as they should be. Called by check_harness.sh.

The programs of a build are played by scripts of some lines."""
import os
import stat
import sys
import tempfile
import unittest
from unittest import mock

import counts
import machine
import servers


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
