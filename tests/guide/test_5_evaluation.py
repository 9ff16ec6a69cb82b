"""Can the counts be trusted?

Count a few minutes of your own recording by hand, write the result down and let `evaluate` compare.
"""

import json

from tests.guide.conftest import Command, WriteFile
from tests.guide.test_1_deployment import SHOP

COUNTED = """
{
  "source": "counted by hand, twice",
  "lines": [{"name": "sill", "in": 1, "out": 2}]
}
"""


def test_a_manual_count_is_compared(file: WriteFile, moonwatch: Command) -> None:
    """Each direction by itself: one too many in does not make up for one too few out."""
    file("shop.yaml", SHOP)
    file("counted.json", COUNTED)

    report = json.loads(moonwatch("evaluate shop.yaml counted.json --json"))

    (line,) = report["rows"]
    assert line["name"] == "sill"
    assert line["error"] == 0


def test_an_error_can_fail_a_script(file: WriteFile, moonwatch: Command) -> None:
    """With `--max-error` the exit code says whether the counts are good enough."""
    file("shop.yaml", SHOP)
    file("counted.json", COUNTED.replace('"in": 1', '"in": 10'))

    moonwatch("evaluate shop.yaml counted.json --max-error 0.1", fails=1)
