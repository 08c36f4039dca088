# SPDX-License-Identifier: Apache-2.0
"""servers.py - the echo servers that are compared, and how each is started and stopped."""
import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import tempfile
import threading

import machine

START_LIMIT_S = 10


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    program: str  # below the directory of the build
    what: str
    options: tuple = ()
    abilities: frozenset = frozenset({"echo"})
    connections_max: int = 10**6
    is_loop: bool = True  # one thread serves many connections


ALL = frozenset({"echo", "timeout", "broadcast"})

SERVERS = [
    Server("rill", "bin/rill-echo", "rill", abilities=ALL),
    Server("rill-adaptive", "bin/rill-echo", "rill, which looks out for up to 50 us before it sleeps",
           options=("--wait", "adaptive"), abilities=frozenset({"adaptive"})),
    Server("uring", "bin/uring-echo", "a loop written by hand on io_uring"),
    Server("uring-adaptive", "bin/uring-echo", "that loop, which spins for 50 us before it sleeps",
           options=("--wait", "adaptive"), abilities=frozenset({"adaptive"})),
    Server("epoll", "peers/epoll-echo", "a loop written by hand on epoll", abilities=ALL),
    Server("threads", "peers/threads-echo", "a thread for each connection, blocking calls",
           abilities=frozenset({"echo", "timeout"}), connections_max=1000, is_loop=False),
    Server("libuv", "peers/libuv-echo", "libuv", abilities=ALL),
    Server("libevent", "peers/libevent-echo", "libevent, buffered events", abilities=ALL),
    Server("tokio", "peers/tokio-echo", "tokio, current_thread", abilities=ALL),
    Server("go", "peers/go-echo", "Go's net, on one processor", abilities=ALL),
]


def available(build):
    """The servers that are built, and the names of those that are not."""
    there = [server for server in SERVERS if os.access(f"{build}/{server.program}", os.X_OK)]
    return there, [server.name for server in SERVERS if server not in there]


class Failed(Exception):
    """A server or a load that did not do what it should; the text says what."""


PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def pinned(processor=None):
    """What a program does before it begins: it keeps to a processor, and is killed when we end,
    however that is. A signal may come when it has been started and we do not know its number yet,
    and SIGKILL leaves nobody the time to end it."""
    us = os.getpid()

    def begin():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:  # we have ended before that
            os._exit(1)
        if processor is not None:
            os.sched_setaffinity(0, {processor})

    return begin


@contextlib.contextmanager
def ended(process):
    """Waits for it at the end of the block, and leaves it running by no other way."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


class Running:
    """A server that listens, until the end of a with block.

        with Running(server, build, "tcp", [], processor) as running:
            ... running.url, running.pid ...
    """

    def __init__(self, server, build, scheme, options, processor, environment=None, prefix=()):
        self.server = server
        self.directory = tempfile.TemporaryDirectory(prefix="rill-bench-")
        where = (f"unix://{self.directory.name}/socket" if scheme == "unix"
                 else "tcp://127.0.0.1:0")
        self.command = [f"{build}/{server.program}", where, *server.options, *options]
        if scheme == "tcp":
            self.command += ["--congestion", machine.congestion()]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*prefix, *self.command], stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **(environment or {})}, preexec_fn=pinned(processor))
        self.pid = self.process.pid
        self.url = None

    def __enter__(self):
        limit = threading.Timer(START_LIMIT_S, self.process.kill)
        limit.start()
        try:
            for line in self.process.stdout:  # ends when the server does
                if line.startswith("listening on "):
                    self.url = line.split()[2]
                    return self
            why = "" if limit.is_alive() else f"nothing was heard of it in {START_LIMIT_S} s"
        finally:
            limit.cancel()
            if not self.url:
                self.__exit__()
        self.errors.seek(0)
        why = self.errors.readline().strip() or why or f"it ended with {self.process.returncode}"
        raise Failed(f"{self.server.name} did not begin to listen: {why}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(START_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()
