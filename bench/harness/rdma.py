# SPDX-License-Identifier: Apache-2.0
"""rdma.py - the place of the measurements over RDMA, beside ucx_perftest.

They need a device, real or soft-RoCE (/sys/class/infiniband), and rill's programs to speak
rdma:// URLs. What they come to is a table by message size and two pictures, rdma-latency and
rdma-bandwidth, which publish.py already shows where they are.
"""
import os


def devices():
    try:
        return sorted(os.listdir("/sys/class/infiniband"))
    except OSError:
        return []


def notes():
    """Sentences about what is not measured here."""
    if not devices():
        return ["no RDMA device here (/sys/class/infiniband): RDMA skipped"]
    return ["RDMA is not measured by this harness yet"]
