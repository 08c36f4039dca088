# SPDX-License-Identifier: Apache-2.0
"""publish.py - makes the report of the last run a page of the documentation, dated."""
import glob
import json
import os
import shutil

TITLES = {
    "throughput": "Requests per second by connections",
    "cpu": "CPU time per request by connections",
    "latency-open-50": "Latencies at half of the load",
    "latency-open-90": "Latencies at nine tenths of the load",
    "timers": "Timers",
    "tasks": "Tasks",
    "rdma-latency": "RDMA: latency by message size",
    "rdma-bandwidth": "RDMA: bandwidth by message size",
}


def publish(output, docs):
    """Copies text, figures and pictures to docs/DATE/ with a README.md that shows them, and
    returns the path of that page. A report of the same day replaces the one before."""
    with open(f"{output}/report.json", encoding="utf-8") as file:
        report = json.load(file)
    directory = f"{docs}/{report['facts']['date'].split()[0]}"
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    for path in glob.glob(f"{output}/report.*") + glob.glob(f"{output}/*.svg"):
        shutil.copy(path, directory)
    with open(f"{output}/report.txt", encoding="utf-8") as file:
        text = file.read().rstrip()
    page = [f"# Benchmarks of {report['facts']['date'].split()[0]}",
            "How these figures are taken, and what they do not say, is in "
            "[benchmarks.md](../../benchmarks.md). The same as [CSV](report.csv) and "
            "[JSON](report.json).", f"```text\n{text}\n```"]
    for name, title in TITLES.items():
        if os.path.exists(f"{directory}/{name}.svg"):
            page.append(f"## {title}\n\n![{title}]({name}.svg)")
    with open(f"{directory}/README.md", "w", encoding="utf-8") as file:
        file.write("\n\n".join(page) + "\n")
    return f"{directory}/README.md"
