# SPDX-License-Identifier: Apache-2.0
"""Measures rill and its peers: see docs/benchmarks.md. Usually called by make.

    python3 bench/harness run            rill beside its peers, into --output
    python3 bench/harness echo           some of the workloads alone, on the terminal
    python3 bench/harness messages       rill's messages over UCX beside ucx_perftest
    python3 bench/harness counts         what can be counted, into --output
    python3 bench/harness check-counts   fail where a count has grown since --kept
    python3 bench/harness keep-counts    take the counts of now as --kept
    python3 bench/harness publish        the last report, dated, into --docs
"""
import argparse
import math
import os
import resource
import signal
import sys
import time

import compare
import counts
import files
import machine
import micro
import plots
import publish
import rdma
import report
import servers
import workloads

# one_s is for a workload, where a few are run by themselves. Messages, which are last, get what is
# left of whole_s, and messages_s where a slow machine has left less.
FULL = {"rounds": 5, "echo_s": 360, "one_s": 30, "files_s": 55, "micro_rounds": 5,
        "message_rounds": 5, "messages_s": 60, "whole_s": 595}
QUICK = {"rounds": 1, "echo_s": 20, "one_s": 3, "files_s": 5, "micro_rounds": 1,
         "message_rounds": 1, "messages_s": 15, "whole_s": 60}


def run(arguments):
    begin = time.monotonic()
    sizes = QUICK if arguments.quick else FULL
    placement = machine.Placement.choose()
    os.sched_setaffinity(0, {placement.load})  # we too keep off the server's processor
    os.makedirs(arguments.output, exist_ok=True)
    facts = machine.facts(arguments.build, placement)
    comparison = compare.Comparison(arguments.build, placement, arguments.rounds or sizes["rounds"],
                                    arguments.seconds or sizes["echo_s"], arguments.quick)
    comparison.run()
    micros, failed_steps = micro.run(arguments.build, placement, sizes["micro_rounds"], arguments.quick)
    reads = files.Files(arguments.build, arguments.output, placement,
                        arguments.rounds or sizes["rounds"], sizes["files_s"])
    left = max(begin + sizes["whole_s"] - time.monotonic(), sizes["messages_s"])
    if arguments.rounds or arguments.seconds:
        left = math.inf  # who asks for more is to have it
    messages = rdma.Messages(arguments.build, placement,
                             arguments.rounds or sizes["message_rounds"], left, arguments.quick)
    notes = comparison.notes() + failed_steps + reads.failures + messages.failures
    notes += plots.draw_all(arguments.output, comparison, micros, messages)
    text = report.text(facts, comparison, micros, reads, messages, notes)
    print(text.split("\n\nCommand lines")[0])  # before it is kept: the disk may be full
    report.write(arguments.output, text, facts, comparison, micros, reads, messages, notes)
    print(f"\n{time.monotonic() - begin:.0f} s; {arguments.output}/report.txt, .csv, .json, "
          "and pictures")
    return 1 if comparison.failures or failed_steps else 0


def run_echo(arguments, chosen):
    sizes = QUICK if arguments.quick else FULL
    placement = machine.Placement.choose()
    os.sched_setaffinity(0, {placement.load})
    comparison = compare.Comparison(arguments.build, placement,
                                    arguments.rounds or sizes["rounds"],
                                    arguments.seconds or sizes["one_s"] * len(chosen),
                                    arguments.quick, chosen)
    comparison.run()
    print(report.echo_text(machine.facts(arguments.build, placement), comparison))
    return 1 if comparison.failures else 0


def run_messages(arguments):
    sizes = QUICK if arguments.quick else FULL
    placement = machine.Placement.choose()
    os.makedirs(arguments.output, exist_ok=True)
    messages = rdma.Messages(arguments.build, placement,
                             arguments.rounds or sizes["message_rounds"], sizes["whole_s"],
                             arguments.quick)
    messages.failures += plots.draw_messages(arguments.output, messages, "messages")
    report.write_messages(arguments.output, machine.facts(arguments.build, placement), messages)
    with open(f"{arguments.output}/messages.txt", encoding="utf-8") as file:
        print(file.read(), end="")
    return 0


def positive(kind):
    def read(text):
        if not kind(text) > 0:
            raise argparse.ArgumentTypeError(f"{text}: want more than 0")
        return kind(text)
    read.__name__ = kind.__name__  # for "invalid int value"
    return read


def main():
    parser = argparse.ArgumentParser(prog="bench/harness")
    parser.add_argument("command", choices=["run", "echo", "messages", "counts",
                                            "check-counts", "keep-counts", "publish"])
    parser.add_argument("--build", default="build", help="where the programs are")
    parser.add_argument("--output", default="build/bench", help="where reports go")
    parser.add_argument("--kept", default="bench/counts.json", help="the counts to compare with")
    parser.add_argument("--docs", default="docs/benchmarks", help="where dated copies go")
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--rounds", type=positive(int), help="rounds of each workload")
    parser.add_argument("--seconds", type=positive(float), help="the time for all echo workloads together")
    parser.add_argument("--only", default="", help="of echo: the names of workloads, all if none")
    arguments = parser.parse_args()
    try:
        chosen = workloads.chosen(arguments.only.replace(",", " ").split())
    except ValueError as unknown:
        parser.error(str(unknown))

    for number in (signal.SIGTERM, signal.SIGHUP):  # no server outlives us
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    try:
        if arguments.command == "run":
            return run(arguments)
        if arguments.command == "echo":
            return run_echo(arguments, chosen)
        if arguments.command == "messages":
            return run_messages(arguments)
        if arguments.command == "publish":
            print(publish.publish(arguments.output, arguments.docs))
            return 0
        return counts.main(arguments)
    except (servers.Failed, OSError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
