# SPDX-License-Identifier: Apache-2.0
"""publish.py - makes the report of the last run a page of the documentation, dated."""
import json
import os
import shutil

import servers

TITLES = {
    "throughput": "Requests per second by connections",
    "cpu": "CPU time per request by connections",
    "latency-open-50": "Latencies at half of what the slowest loop answers",
    "latency-open-90": "Latencies at nine tenths of what the slowest loop answers",
    "timers": "Timers",
    "tasks": "Tasks",
    "rdma-latency": "RDMA: latency by message size",
    "rdma-bandwidth": "RDMA: bandwidth by message size",
}


# Of docs/benchmarks.md, between these lines: the newest report's pictures.
BEGIN, END = "<!-- pictures: written by make publish-bench -->\n", "<!-- end of the pictures -->\n"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def pictures(directory, prefix):
    return [f"## {title}\n\n![{title}]({prefix}{name}.svg)" for name, title in TITLES.items()
            if os.path.exists(f"{directory}/{name}.svg")]


def show_newest(docs, name):
    """Puts the pictures of the report into docs.md, in place of an older one's."""
    page = f"{docs}.md"
    before, _, rest = read(page).partition(BEGIN)
    _, _, after = rest.partition(END)
    prefix = f"{os.path.basename(docs)}/{name}/"
    shown = [f"From the report of [{name}]({prefix}README.md):", *pictures(f"{docs}/{name}", prefix)]
    text = "\n\n".join(shown).replace("## ", "### ")
    write(page, f"{before}{BEGIN}\n{text}\n\n{END}{after}")


def publish(output, docs):
    """Copies text, figures and pictures to docs/DATE-TIME/ with a README.md that shows them, has
    docs.md show the pictures, and returns the path of the page. None replaces another: who
    chooses among reports chooses the result."""
    if not os.path.exists(f"{output}/report.json"):
        raise servers.Failed(f"{output}: there is no report to publish: make bench writes one")
    day, time = json.loads(read(f"{output}/report.json"))["facts"]["date"].split()[:2]
    name = f"{day}-{time.replace(':', '')}"
    directory = f"{docs}/{name}"
    if os.path.exists(directory):
        raise servers.Failed(f"{directory}: this report was published already")
    os.makedirs(directory)
    for file in ("report.txt", "report.csv", "report.json", *(f"{name}.svg" for name in TITLES)):
        if os.path.exists(f"{output}/{file}"):
            shutil.copy(f"{output}/{file}", directory)
    text = read(f"{output}/report.txt").rstrip()
    page = [f"# Benchmarks of {day}, {time}",
            "How these figures are taken, and what they do not say, is in "
            "[benchmarks.md](../../benchmarks.md). The same as [CSV](report.csv) and "
            "[JSON](report.json).", f"```text\n{text}\n```", *pictures(directory, "")]
    write(f"{directory}/README.md", "\n\n".join(page) + "\n")
    show_newest(docs, name)
    return f"{directory}/README.md"
