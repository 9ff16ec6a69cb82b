"""Every figure of the Moondream engine on a GPU, by one command.

Examples:
    python -m benchmarks.gpu --seconds 420 --out gpu.json      # all sections on the GPU
    python -m benchmarks.gpu --sections 3,4 --against old.json # some, beside an earlier report
    python -m benchmarks.gpu --device cpu --dims small --seconds 60   # does the script work?
    python -m benchmarks.gpu --table gpu.json                  # the tables of a page

Ends with 0 where everything that was checked is right, 1 where an answer is wrong (figures are
written all the same), 2 where there is no CUDA or the command line cannot be followed.
"""

import argparse
import datetime
import faulthandler
import sys
from pathlib import Path

import torch

from benchmarks.gpu.against import SCHEMA, ReportError, against, check_same_card, read_report
from benchmarks.gpu.bench import ON_A_CPU, ON_A_DEVICE, Bench, Json
from benchmarks.gpu.correctness import correctness, gave_wrong_answers, is_right
from benchmarks.gpu.goals import goals
from benchmarks.gpu.latency import latency
from benchmarks.gpu.live import live
from benchmarks.gpu.load_times import loading
from benchmarks.gpu.machine import card, ceilings, clocks, commit, machine, source_hash
from benchmarks.gpu.options_tried import options_tried
from benchmarks.gpu.profiling import profiles
from benchmarks.gpu.running import GpuSection, run_sections, write_json
from benchmarks.gpu.side_by_side import side_by_side
from benchmarks.gpu.table import page, summary
from benchmarks.gpu.throughput import throughput
from benchmarks.random_model import DIMS

RIGHT, WRONG, CANNOT = 0, 1, 2
# So long after the whole budget something hangs: the process says where, and ends.
HANGS_AFTER = 1.3
HANGS_AFTER_SECONDS = 60.0
# The weights are what each section takes on a large card, in seconds.
SECTIONS = (
    GpuSection(1, "machine", 5, machine),
    GpuSection(2, "ceilings", 10, ceilings),
    GpuSection(3, "correctness", 60, correctness),
    GpuSection(4, "throughput", 120, throughput, is_list=True),
    GpuSection(5, "latency", 20, latency, is_list=True),
    GpuSection(6, "live", 40, live),
    GpuSection(7, "side_by_side", 40, side_by_side, is_list=True),
    GpuSection(8, "profile", 30, profiles),
    GpuSection(9, "loading", 40, loading),
    GpuSection(10, "options", 40, options_tried),
)


def chosen(words: str) -> list[GpuSection]:
    """Return the sections of "3,4"; the machine is always among them."""
    numbers = {1}
    for word in words.split(","):
        if not word.strip().isdigit() or not 1 <= int(word) <= len(SECTIONS):
            raise argparse.ArgumentTypeError(
                f"section {word.strip()!r} is not a number from 1 to {len(SECTIONS)}, such as 3,4"
            )
        numbers.add(int(word))
    return [section for section in SECTIONS if section.number in numbers]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help='"cuda", "cuda:1" or "cpu"')
    parser.add_argument("--dims", choices=DIMS, default="2b")
    parser.add_argument("--seconds", type=float, default=420.0, help="for all sections together")
    parser.add_argument("--out", type=Path, help="the JSON file, written again after each section")
    parser.add_argument("--sections", type=chosen, default=list(SECTIONS), metavar="3,4")
    parser.add_argument("--against", type=Path, metavar="OLD.json", help="print ratios to it")
    parser.add_argument("--anyway", action="store_true", help="compare different cards too")
    parser.add_argument("--commit", help="of this copy, where it is no checkout of git")
    parser.add_argument("--table", type=Path, metavar="GPU.json", help="print a file's tables")
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for and return the exit code."""
    args = parse()
    try:
        old = read_report(args.against) if args.against else None
        if args.table:
            report = read_report(args.table)
            if old is None:
                print(page(report), end="")
            else:
                name = str(report.get("machine", {}).get("device"))
                check_same_card(name, old, args.against, anyway=args.anyway)
                print(against(report, old))
            return RIGHT
        device = device_named(args.device)
        if device is None:
            return CANNOT
        bench = Bench(device, args.dims, ON_A_DEVICE if device.type == "cuda" else ON_A_CPU)
        if old is not None:
            check_same_card(card(bench), old, args.against, anyway=args.anyway)
    except ReportError as error:
        print(error, file=sys.stderr)
        return CANNOT
    faulthandler.dump_traceback_later(
        args.seconds * HANGS_AFTER + HANGS_AFTER_SECONDS,
        exit=True,
        file=sys.__stderr__ or sys.stderr,
    )
    try:
        report = run(bench, args.sections, args.out, args.seconds, args.commit or commit())
    finally:
        faulthandler.cancel_dump_traceback_later()
    print()
    if old is not None:
        print(against(report, old), end="\n\n")
    print(summary(report))
    is_good = is_right(report.get("correctness", {})) and not gave_wrong_answers(report)
    return RIGHT if is_good else WRONG


def device_named(name: str) -> torch.device | None:
    """Return the device, with its number where it is a GPU; None, and a sentence, without it."""
    try:
        device = torch.device(name)
    except RuntimeError:  # what the library says lists all that it was ever built for
        device = torch.device("meta")
    if device.type not in ("cuda", "cpu"):
        print(f"device {name!r} is not valid; write cuda, cuda:1 or cpu", file=sys.stderr)
        return None
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        print(
            "there is no CUDA here; --device cpu --dims small tries the script itself",
            file=sys.stderr,
        )
        return None
    if (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        print(f"there is no {name} here; the last is cuda:{count - 1}", file=sys.stderr)
        return None
    torch.cuda.set_device(device.index or 0)
    return torch.device("cuda", device.index or 0)


def run(
    bench: Bench,
    sections: list[GpuSection],
    path: Path | None,
    seconds: float,
    of_commit: str | None,
) -> Json:
    """Run the sections and return the report, which `path` holds too."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report: Json = {
        "schema": SCHEMA,
        "commit": of_commit,
        "source_sha256": source_hash(),
        "started": started,
        "seconds": 0.0,
        "section_seconds": {},
    }
    run_sections(sections, bench, report, path, seconds=seconds)
    if bench.is_cuda and isinstance(report.get("machine"), dict):
        report["machine"]["clocks_after"] = clocks()
    report["goals"] = goals(report)
    if path is not None:
        write_json(path, report)
    return report


if __name__ == "__main__":
    sys.exit(main())
