"""Minutes that an earlier release left open in its checkpoints are counted to their end."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.architecture.source_tree import ROOT
from tests.rules.scene import config, context

FORMATS = ROOT / "tests" / "formats" / "35f8f1b"
RULES = {
    "line_crossing": {"line": "across"},
    "dwell": {"zone": "left", "gap": "1s"},
    "occupancy": {},
    "count": {},
}


@pytest.mark.parametrize("kind", RULES)
def test_a_minute_that_was_left_open_is_finished(kind: str) -> None:
    """It holds what the release that began it would have said of it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((FORMATS / "counts.sqlite.sql").read_text(encoding="utf-8"))
        wanted = "SELECT state FROM moonwatch_checkpoints WHERE engine = ?"
        (state,) = connection.execute(wanted, [kind]).fetchone()
    (then,) = json.loads((FORMATS / "open_minutes.json").read_text(encoding="utf-8"))[kind]
    rule = config(type=kind, **RULES[kind]).build(context(0.5, camera="plaza", rule=kind))
    rule.restore(json.loads(state))
    (bucket,) = rule.finish(6.0).buckets
    assert bucket.values == {
        name: then[name] for name in ("entered", "left", "mean", "maximum") if name in then
    }
    assert (bucket.minute, bucket.samples) == (then["minute"], then["samples"])
    assert bucket.coverage == then["coverage"]
