"""Processor time of `moonwatch check` in a fresh process, beside that of importing its libraries.

Usage: python -m benchmarks.check [--rounds 11]

Each round starts one new Python after the other: one that imports pydantic, typer, rich and yaml
and ends, and one for each file that is checked. The figures are user and system time of the child
(`getrusage`), which other load on the machine changes less than wall time, and their medians over
all rounds after a first one that warms the disk cache; a ratio is the median of the rounds' own
ratios, so that slow rounds bear on both sides. All read byte code from one fresh cache folder, also
where the environment forbids writing it. The import table comes from one more run under
`-X importtime`, with that option's own overhead.
"""

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

LIBRARIES = "import pydantic, typer, rich, yaml"
MOST = 2.5
"""Times the libraries, at most, for a file that one would write."""
FLEET_S = 2.0
"""Seconds for 300 cameras, at most."""
SHOWN_PACKAGES = 12

MISTAKEN = """version: 1
site: {timezone: Europe/Berln}
engines:
  fast: {type: coco, min_scor: 0.2}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://10.0.0.7/1"}
    sample: {every: 5}
    tasks:
      people: {detect: person, engine: fast}
    lines:
      step: {from: [0.1, 1.6], to: [0.9, 0.6]}
    rules:
      footfall: {type: line_crossing, of: people, line: step, cooldwn: 5s}
      inflow: {type: line_crossing, of: people, line: step, cooldown: 10}
sinks:
  log: {type: jsonl, path: a.jsonl}
"""
"""Six mistakes, of which two are slips behind which more is looked for."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = {"libraries alone": ["-c", LIBRARIES]}
        for name, file in _files(Path(folder)).items():
            commands[name] = ["-m", "pipeline", "check", str(file)]
        environment = _environment(Path(folder))
        rounds = [
            {name: _used_s(command, environment) for name, command in commands.items()}
            for _ in range(arguments.rounds + 1)
        ][1:]
        print(f"processor time of fresh processes, {arguments.rounds} rounds\n")
        print("| what | median s | fastest s | times the libraries |\n|---|---|---|---|")
        for name in commands:
            used = [one[name] for one in rounds]
            ratio = statistics.median(one[name] / one["libraries alone"] for one in rounds)
            print(f"| {name} | {statistics.median(used):.3f} | {min(used):.3f} | {ratio:.2f} |")
        print(f"\ngoals: at most {MOST} times the libraries; 300 cameras in {FLEET_S:g} s")
        print("\nimports of checking configs/demo.yaml, own time of each package:")
        for package, milliseconds in _imports(commands["configs/demo.yaml"], environment):
            print(f"{milliseconds:8.1f} ms  {package}")


def _files(folder: Path) -> dict[str, Path]:
    """What is checked: shipped files, one with mistakes, and fleets with and without a mistake."""
    made = {
        "six mistakes": MISTAKEN,
        "300 cameras with masks": _fleet(),
        "300 cameras, a mistake in one": _fleet().replace("every: 1s", "every: 1", 1),
    }
    for name, text in made.items():
        (folder / f"{name}.yaml").write_text(text)
    shipped = {
        f"configs/{n}.yaml": Path(f"configs/{n}.yaml") for n in ("demo", "retail", "security")
    }
    return {**shipped, **{name: folder / f"{name}.yaml" for name in made}}


def _fleet() -> str:
    """300 cameras, each with three masks of 40 corners: 139 000 values."""
    lines = ["version: 1", "defaults: {tasks: {people: {detect: person}}}", "cameras:"]
    for number in range(300):
        lines += [
            f"  camera{number}:",
            f"    source: {{type: rtsp, url: 'rtsp://u:p@10.0.{number // 250}.{number % 250}/1'}}",
            "    sample:",
            "      every: 1s",
            "      motion: yes",
            "      masks:",
            *(f"      - {_corners(0.3 + 0.1 * k, 0.15, 40)}" for k in range(3)),
            "    lines: {door: {from: [0.1, 0.6], to: [0.9, 0.6]}}",
            f"    zones: {{till: {{polygon: {_corners(0.6, 0.1, 12)}}}}}",
            "    rules:",
            "      footfall: {type: line_crossing, of: people, line: door}",
            "      queue: {type: occupancy, of: people, zone: till, more_than: 5, for: 30s}",
        ]
    return "\n".join(lines) + "\n"


def _corners(x: float, radius: float, count: int) -> str:
    turns = [2 * math.pi * i / count for i in range(count)]
    points = [(x + radius * math.cos(t), 0.5 + radius * math.sin(t)) for t in turns]
    return f"[{', '.join(f'[{x:.4f}, {y:.4f}]' for x, y in points)}]"


def _environment(folder: Path) -> dict[str, str]:
    """This process's own, with byte code and with what the shipped files ask for."""
    (folder / "password").write_text("secret")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return environment | {
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        "SHOP_CAMERA_PASSWORD_FILE": str(folder / "password"),
        "YARD_CAMERA": "rtsp://10.0.0.7/stream2",
        "GUARD_WEBHOOK": "https://guard.example/hook",
    }


def _used_s(command: list[str], environment: dict[str, str]) -> float:
    """User and system time of one fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):  # 2: the file is refused, as it should be
        raise SystemExit(done.stderr.decode())
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _imports(command: list[str], environment: dict[str, str]) -> list[tuple[str, float]]:
    """The heaviest packages with the milliseconds that their own modules take."""
    python = [sys.executable, "-X", "importtime", *command]
    done = subprocess.run(python, env=environment, check=True, capture_output=True, text=True)
    by_package: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
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
