"""A report as Markdown: one short table for the end of a run, and the tables of a page.

Every part may be missing, left out or cut off by an error, and is then said to be so.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu.bench import Json
from benchmarks.gpu.goals import goals, rows

MOST_LINES = 60
STAGES = ("resize", "vision", "prefill", "decode", "host")


def summary(report: Json) -> str:
    """Return one table of at most 60 lines."""
    lines = ["| figure | value |", "|---|---|"]
    for name, value in _facts(report):
        lines.append(f"| {name} | {value} |")
    if len(lines) > MOST_LINES:
        cut = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"| {cut} more lines | in the file |"]
    return "\n".join(lines)


def page(report: Json) -> str:
    """Return all tables, for a page of benchmarks."""
    machine = report.get("machine", {})
    parts = [
        f"### {machine.get('device', 'unknown device')}, {str(report.get('started'))[:10]}",
        _machine_line(report),
        _table(("goal", "at least or at most", "got", "met"), _goal_rows(report)),
        _table(("check", "right"), _check_rows(report)),
        _table(("ceiling", "value"), [(k, shown(v)) for k, v in _plain(report, "ceilings")]),
        _table(("engine", "value"), [(k, shown(v)) for k, v in _plain(report, "engine")]),
        _throughput_table(report),
        _table(
            ("latency", "crops", "other rows", "p50", "p95", "p99", "first run"),
            _latency_rows(report),
        ),
        _table(("cameras on a clock", "value"), _live_rows(report)),
        _table(
            (
                "8 frames, detect, 5 objects",
                "engine",
                "over encoding for every request",
                "over encoding once",
            ),
            _side_rows(report),
        ),
        _table(
            ("piece", "kernels", "ms on the device", "ms of the host", "ms passed", "launches"),
            _profile_rows(report),
        ),
        _table(("loading", "value"), _loading_rows(report)),
        _table(("tried by itself", "figures"), _option_rows(report)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(report: Json) -> Iterator[tuple[str, str]]:
    """The lines of the short table, the most wanted first."""
    yield "machine", _machine_line(report)
    if "running" in report:
        yield "ended in", f"section {report['running']}: the run did not come to its end"
    for name, goal, got, met in _goal_rows(report):
        yield f"goal: {name}", f"{got} of {goal}: {met}"
    for name, said in _check_rows(report):
        yield f"right: {name}", said
    plain = [f"{name} {shown(value)}" for name, value in _plain(report, "ceilings")]
    if "ceilings" in report:
        yield "ceilings", _missing(report, "ceilings") or ", ".join(plain)
    if engine := report.get("engine"):
        yield "engine", ", ".join(f"{name} {shown(value)}" for name, value in engine.items())
    yield from _figures_of_speed(report)
    for name, said in [*_loading_rows(report)[:4], *_option_rows(report)]:
        yield name, said
    for key in ("throughput", "latency", "side_by_side"):
        for said in _wrongs(report, key):
            yield key, said


def _figures_of_speed(report: Json) -> Iterator[tuple[str, str]]:
    for work, by_batch in _by_batch(report).items():
        said = ", ".join(f"{batch}: {rate}" for batch, rate in sorted(by_batch.items()))
        yield f"frames a second by batch, {work}", said
    for row in _latency_rows(report):
        yield f"ms p50/p95/p99, {row[0]}, {row[1]}, {row[2]} beside", "/".join(row[3:6])
    for name, said in _live_rows(report)[:6]:
        yield f"live: {name}", said
    for row in _side_rows(report):
        said = f"{row[1]}: {row[2]} over encoding for every request, {row[3]} over once a frame"
        yield f"side by side, {row[0]}", said if row[1] else f"{row[2]}, {row[3]}"
    for name, kernels, device, host, passed, _ in _profile_rows(report):
        yield name, f"{kernels} kernels, {device} ms on the device, {host} host, {passed} passed"


def _wrongs(report: Json, key: str) -> list[str]:
    """Return what kept a section of rows from being whole."""
    missing = _missing(report, key)
    if missing:
        return [missing]
    wrong = [row for row in rows(report, key) if "error" in row]
    return [f"{_work(row) if 'batch' in row else 'the section'}: {row['error']}" for row in wrong]


def _missing(report: Json, key: str) -> str:
    """Return why a section has no figures; nothing where it has some."""
    found = report.get(key)
    if found is None:
        return ""
    if isinstance(found, dict):
        if "error" in found:
            return f"error: {found['error']}"
        if "skipped" in found:
            return f"left out: {found['skipped']}"
    return ""


def _machine_line(report: Json) -> str:
    machine = report.get("machine", {})
    parts = [str(machine.get("device", "unknown")), f"{machine.get('dims')} dims"]
    parts += [f"{machine.get('dtype')}", f"torch {machine.get('torch')}"]
    if machine.get("cuda"):
        parts.append(f"CUDA {machine['cuda']}")
    parts.append(f"{machine.get('cpu')} × {machine.get('cpu_count')}")
    parts.append(f"commit {str(report.get('commit'))[:12]}")
    parts.append(f"{report.get('seconds')} s on {str(report.get('started'))[:16]}")
    return ", ".join(parts)


def _goal_rows(report: Json) -> list[tuple[str, str, str, str]]:
    met = {True: "met", False: "missed", None: "not decided"}
    return [
        (goal["name"], shown(goal["goal"]), shown(goal["got"]), met[goal["met"]])
        for goal in goals(report)
    ]


def _check_rows(report: Json) -> list[tuple[str, str]]:
    found = report.get("correctness", {})
    if missing := _missing(report, "correctness"):
        return [("correctness", missing)]
    return [(name, _check(check)) for name, check in found.items() if isinstance(check, dict)]


def _check(check: Json) -> str:
    if "skipped" in check:
        return f"left out: {check['skipped']}"
    if "error" in check:
        return f"WRONG: {check['error'][:120]}"
    said = f"{check.get('equal')} of {check.get('of')}"
    if check.get("ok"):
        return said
    first = str(next(iter(check.get("differences", [])), ""))[:120].replace("|", "/")
    return f"WRONG: {said}; {first}"


def _plain(report: Json, key: str) -> list[tuple[str, Any]]:
    found = report.get(key, {})
    return list(found.items()) if isinstance(found, dict) else []


def _work(row: Json) -> str:
    if row.get("objects") is not None:
        length = f"{row['objects']} objects"
    else:
        length = f"{row.get('tokens')} tokens"
    tasks = f", {row['tasks_per_frame']} tasks a frame" if row.get("tasks_per_frame", 1) > 1 else ""
    again = ", the same pictures again" if row.get("repeated_pictures") else ""
    return f"{row.get('task')}, {_crops(row)}, {length}{tasks}{again}"


def _crops(row: Json) -> str:
    return f"{row.get('crops')} crop{'' if row.get('crops') == 1 else 's'}"


def _by_batch(report: Json) -> dict[str, dict[int, str]]:
    table: dict[str, dict[int, str]] = {}
    for row in rows(report, "throughput"):
        if "batch" in row:
            rate = row.get("frames_per_second")
            said = shown(rate["median"]) if rate else f"none ({row.get('skipped', 'error')})"
            table.setdefault(_work(row), {})[row["batch"]] = said
    return table


def _throughput_table(report: Json) -> str:
    made = []
    for row in rows(report, "throughput"):
        if "frames_per_second" not in row:
            continue
        rate, stages, roof = row["frames_per_second"], row["stages_ms"], row["roofline"]
        made.append(
            (
                _work(row),
                str(row["batch"]),
                f"{shown(rate['median'])} ({shown(rate['min'])} to {shown(rate['max'])})",
                *(_stage(name, stages, roof) for name in STAGES),
                f"{roof['whole']:.0%}",
                f"{row['memory_gb']:.1f}",
                f"{row['graphs']['replays']} / {row['graphs']['eager']}",
            )
        )
    head = (
        "work",
        "frames",
        "frames a second",
        *STAGES,
        "of the roofline",
        "GB",
        "replays / eager",
    )
    return _table(head, made)


def _stage(name: str, stages: Json, roof: Json) -> str:
    if name not in stages:
        return ""
    share = f" ({roof[name]:.0%})" if name in roof else ""
    return f"{stages[name]:.1f} ms{share}"


def _latency_rows(report: Json) -> list[tuple[str, ...]]:
    return [
        (
            row["task"],
            _crops(row),
            str(row["other_rows"]),
            *(shown(row[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "first_ms")),
        )
        for row in rows(report, "latency")
        if "p50_ms" in row
    ]


def _live_rows(report: Json) -> list[tuple[str, str]]:
    found = report.get("live", {})
    if missing := _missing(report, "live"):
        return [("live mix", missing)]
    if "graphs" not in found:
        return []
    graphs = found["graphs"]
    busy = found["gpu_busy_share"]
    return [
        ("cameras", f"{found['cameras']} at {found['fps_a_camera']} fps, {found['size']}"),
        ("answers a second", shown(found["answers_per_second"])),
        ("frames, dropped", f"{found['frames']}, {found['dropped']}"),
        (
            "age of an answer p50 / p95 / p99",
            " / ".join(shown(found[f"age_{name}_ms"]) for name in ("p50", "p95", "p99")) + " ms",
        ),
        ("GPU busy", "unknown" if busy is None else f"{busy:.0%}"),
        (
            "cycles replayed / eager, captures, evictions",
            f"{graphs['replays']} / {graphs['eager']}, {graphs['captures']} in "
            f"{graphs['capture_seconds'] * 1e3:.0f} ms, {graphs['evictions']}",
        ),
    ]


def _side_rows(report: Json) -> list[tuple[str, str, str, str]]:
    made = []
    for row in rows(report, "side_by_side"):
        name = f"{row.get('tasks_per_frame')} a frame, {_crops(row)}"
        for engine in ("engine_eager", "engine_graphs"):
            ratio = [row.get(f"{engine}_over_{loop}") for loop in LOOP_NAMES]
            if all(ratio):
                every, once = (f"{one['median']:.2f} ×" for one in ratio if one)
                made.append((name, engine.replace("_", ", "), every, once))
        if all(loop in row for loop in LOOP_NAMES):
            equal = [f"{row[loop]['equal']} of {row[loop]['of']} equal" for loop in LOOP_NAMES]
            made.append((str(row["task"]), "", *equal))  # type: ignore[arg-type]
    return made


LOOP_NAMES = ("encode_per_request", "encode_once")


def _profile_rows(report: Json) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = []
    for name, piece in _plain(report, "profile"):
        if not isinstance(piece, dict) or "wall_ms" not in piece:
            continue
        launches = sum(piece["launches"].values())
        times = (piece[key] for key in ("cuda_ms", "cpu_ms", "wall_ms"))
        made.append((name, shown(piece["kernels"]), *map(shown, times), str(launches)))
    return made


def _loading_rows(report: Json) -> list[tuple[str, str]]:
    if missing := _missing(report, "loading"):
        return [("loading", missing)]
    made = []
    for name, value in _plain(report, "loading"):
        if isinstance(value, dict):
            said = ", ".join(f"{key} {shown(one)}" for key, one in value.items())
            made.append((name.replace("_", " "), said))
        else:
            made.append((name.replace("_", " "), shown(value)))
    return made


def _option_rows(report: Json) -> list[tuple[str, str]]:
    if missing := _missing(report, "options"):
        return [("options tried", missing)]
    made = []
    for name, tried in _plain(report, "options"):
        if not isinstance(tried, dict):
            continue
        parts = []
        for key, value in tried.items():
            if isinstance(value, dict):
                inner = " ".join(f"{k} {shown(v)}" for k, v in value.items())
                parts.append(f"{key}: {inner}"[:160])
            else:
                parts.append(f"{key} {shown(value)}"[:160])
        made.append((name.replace("_", " "), "; ".join(parts).replace("|", "/")))
    return made


def shown(value: Any) -> str:
    """Return a figure with three digits that count."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:#.3g}".rstrip(".")


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    if not body:
        return ""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in body)])
