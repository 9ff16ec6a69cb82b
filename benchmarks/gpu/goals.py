"""What the engine is to reach, and whether a report says that it does."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu.bench import Json

GOAL_DIMS = "2b"


@dataclass(frozen=True, slots=True)
class SpeedGoal:
    """One figure to be reached: at least, or at most where `is_most`."""

    name: str
    goal: float
    got: Callable[[Json], float | None]
    is_most: bool = False


def _frames_per_second(crops: int) -> Callable[[Json], float | None]:
    wanted = {
        "task": "detect",
        "crops": crops,
        "batch": 32,
        "tasks_per_frame": 1,
        "objects": 5,
        "repeated_pictures": False,
    }

    def got(report: Json) -> float | None:
        for row in rows(report, "throughput"):
            if all(row.get(key) == value for key, value in wanted.items()):
                rate: Json = row.get("frames_per_second", {})
                return rate.get("median")
        return None

    return got


def _question(crops: int) -> Callable[[Json], float | None]:
    def got(report: Json) -> float | None:
        for row in rows(report, "latency"):
            alone = row.get("other_rows") == 0 and row.get("crops") == crops
            if alone and str(row.get("task")).startswith("question"):
                median: float | None = row.get("p50_ms")
                return median
        return None

    return got


GOALS = (
    SpeedGoal("frames a second, detect, 1 crop, 5 objects, batch 32", 160.0, _frames_per_second(1)),
    SpeedGoal("frames a second, detect, 9 crops, 5 objects, batch 32", 62.0, _frames_per_second(9)),
    SpeedGoal("ms, one question of 3 tokens, 1 crop, median", 25.0, _question(1), is_most=True),
    SpeedGoal("ms, one question of 3 tokens, 9 crops, median", 25.0, _question(9), is_most=True),
)


def rows(report: Json, key: str) -> list[Json]:
    """Return the rows of a section that is a list, also where it was left out or not run."""
    found = report.get(key, [])
    return found if isinstance(found, list) else []


def goals(report: Json) -> list[Json]:
    """Return the goals with what was reached; they are for the 2B sizes on a GPU alone."""
    machine = report.get("machine", {})
    counts = machine.get("dims") == GOAL_DIMS and machine.get("device") not in (None, "cpu")
    table = []
    for goal in GOALS:
        got = goal.got(report)
        met = None
        if counts and got is not None:
            met = got <= goal.goal if goal.is_most else got >= goal.goal
        table.append({"name": goal.name, "goal": goal.goal, "got": got, "met": met})
    return table
