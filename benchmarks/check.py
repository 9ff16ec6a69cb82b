"""How long `moonwatch check` takes in a fresh process, and where its imports spend their time.

Usage: python -m benchmarks.check [FILE] [--runs 15]

Each run is a new Python that loads the byte code from disk, so the figures hold process start,
imports, reading and checking. The median of all runs after a first one that warms the disk cache
is printed, with the fastest and slowest; wall time grows with other load on the machine, so CPU
time stands beside it. The import table comes from one more run under `-X importtime`: cumulative
times of the heaviest packages, measured with that option's own overhead.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict

TARGET_S = 0.7
SHOWN_PACKAGES = 12


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", default="configs/demo.yaml")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    command = ["-m", "pipeline", "check", arguments.file]
    measured = [_run(command) for _ in range(arguments.runs + 1)][1:]
    print(f"python -m pipeline check {arguments.file}, {arguments.runs} fresh processes")
    for name, values in (
        ("wall", [wall for wall, _ in measured]),
        ("CPU", [cpu for _, cpu in measured]),
    ):
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:>5}: median {middle:.3f} s, fastest {low:.3f} s, slowest {high:.3f} s")
    print(f"target: below {TARGET_S} s\n\nimports, own time of each package:")
    for package, milliseconds in _imports(command):
        print(f"{milliseconds:8.1f} ms  {package}")


def _run(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one fresh process."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    wall, after = time.perf_counter() - started, os.times()
    used = after.children_user - before.children_user
    return wall, used + after.children_system - before.children_system


def _imports(command: list[str]) -> list[tuple[str, float]]:
    """The heaviest packages with the milliseconds that their own modules take."""
    python = [sys.executable, "-X", "importtime", *command]
    report = subprocess.run(python, check=True, capture_output=True, text=True).stderr
    by_package: dict[str, float] = defaultdict(float)
    for line in report.splitlines():
        own, *_, name = line.removeprefix("import time:").split("|")
        if own.strip().isdecimal():
            by_package[_package(name.strip())] += int(own) / 1000
    heaviest = sorted(by_package.items(), key=lambda item: -item[1])
    return heaviest[:SHOWN_PACKAGES]


def _package(module: str) -> str:
    """Ours to two parts, the standard library as one, others by their first part."""
    first = module.split(".")[0]
    if first in ("pipeline", "connectors"):
        return ".".join(module.split(".")[:2])
    return "(standard library)" if first in sys.stdlib_module_names else first


if __name__ == "__main__":
    main()
