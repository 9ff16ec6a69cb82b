"""Writes a folder of the present tree's formats, to be read for ever.

python -m tests.formats.write NAME
"""

import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np

from pipeline.core.events import event_to_json
from pipeline.core.frames import Frame
from pipeline.core.jobs import Job
from pipeline.core.store import Undelivered
from pipeline.core.wire import encode_job, encode_result
from pipeline.runtime.reports import Report
from pipeline.telemetry.figures import CameraFigures
from tests.formats import scene
from tests.formats.present import FOLDER, deployment, judge
from tests.formats.test_old_messages import AT, LAST, OFFLINE, RESULT, RUN, TASKS


def write(folder: Path) -> None:
    """Every format, in a new folder."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as work:
        made = deployment(Path(work))
        judge(made, 0, scene.BREAK)
        store = made.store.build()
        events = store.events_after(0, 10_000)
        refused = events[2]
        letter = Undelivered(
            "hook", refused.position, refused.event.record_id, "answers 400", attempts=1
        )
        store.advance("log", events[9].position)
        store.advance("hook", events[4].position, [letter])
        store.close()
        database = sqlite3.connect(Path(work) / "store.db")
        database.execute("PRAGMA journal_mode=DELETE")
        database.execute("VACUUM")
        database.close()
        shutil.copy(Path(work) / "store.db", folder / "store.db")
    pixels = np.zeros((0, 0, 3), np.uint8)
    frame = Frame("hall", RUN, 12345, AT, pixels, (1920, 1080))
    (folder / "job.bin").write_bytes(encode_job(Job(frame, "fake", 678, TASKS, live=True)))
    for name, result in (("result", RESULT), ("last", LAST), ("health", OFFLINE)):
        (folder / f"{name}.bin").write_bytes(encode_result(result))
    told = next(e.event for e in events if e.event.subject is not None and e.event.data)
    (folder / "event.json").write_text(event_to_json(told), encoding="utf-8")
    report = Report(
        stage="processing",
        host="host-1",
        pid=4711,
        up_s=12.3,
        figures={"hall": CameraFigures(sampled=5, judged=4, dropped={"stale": 1})},
        rates={"hall": {"sampled": 1.5}},
        judged={"hall": {"fake": ("run", 7, False), "vlm": None}},
        partitions=[0, 3],
        sinks={"log": {"sink": "log", "behind": 2}},
        progress=0.5,
    )
    (folder / "report.json").write_bytes(report.to_bytes())


if __name__ == "__main__":
    write(FOLDER / sys.argv[1])
