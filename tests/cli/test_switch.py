"""`moonwatch switch`."""

import json
from pathlib import Path

import pytest

from pipeline.core.arming import EFFECTIVE_AFTER_S
from pipeline.core.switching import ENABLED, MORE_THAN, FileLimit
from pipeline.deployment.loader import load
from pipeline.insight.status import status_of
from pipeline.testing import ManualClock
from tests.cli.commands import moonwatch
from tests.cli.test_arm import written


def test_what_was_switched_is_seen(tmp_path: Path) -> None:
    """By the one who did it, and by everybody who asks."""
    file = written(tmp_path, "always")
    code, _, errors = moonwatch("switch", file, "door", "anyone")
    assert (code, "there is no store" in errors) == (1, True)  # to look makes none
    moonwatch("arm", file)
    code, said, _ = moonwatch("switch", file, "door", "anyone")
    assert (code, said.splitlines()) == (
        0,
        ["camera door, rule anyone: on", "camera door, rule anyone: more_than 0"],
    )
    code, said, _ = moonwatch(
        "switch", file, "door", "anyone", "--off", "--more-than", "7", "--by", "Anna"
    )
    lines = said.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert "rule anyone: off from 20" in lines[0]
    assert "rule anyone: more_than 7 from 20" in lines[1]
    assert lines[1].endswith("by Anna")
    code, said, _ = moonwatch("switch", file, "door", "anyone", "--json")
    told = json.loads(said)
    assert (code, told["enabled"], told["more_than"], told["file"]) == (0, False, 7, 0)
    assert {one["by"] for one in told["by_hand"].values()} == {"Anna"}
    code, said, _ = moonwatch("switch", file, "door", "anyone")
    assert "off, since" in said
    assert "(the file says 0)" in said
    code, said, _ = moonwatch("switch", file, "door", "anyone", "--as-file", "--json")
    told = json.loads(said)
    assert (code, told["enabled"], told["more_than"], told["by_hand"]) == (0, True, 0, {})
    assert [one["value"] for one in told["changes"]] == [True, None]


def test_the_status_says_which_rules_are_switched(tmp_path: Path) -> None:
    """In its notes, from the moment on at which it holds."""
    clock = ManualClock(1_780_000_000.0)
    deployment = load(written(tmp_path, "always"), [])
    store = deployment.store.build(clock)
    store.switch("door", "anyone", ENABLED, False, "Anna")
    store.switch("door", "anyone", MORE_THAN, 7, "Anna", instead_of=FileLimit(0))
    store.close()

    def notes() -> list[str]:
        return [note for note in status_of(deployment, clock).notes if "rule anyone" in note]

    assert notes() == []
    clock.advance(EFFECTIVE_AFTER_S)
    off, limit = notes()
    assert "camera door, rule anyone is off since 20" in off
    assert "by Anna" in off
    assert "has more_than 7 since 20" in limit
    assert limit.endswith("by Anna; the file says 0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dor", "anyone", "--off"), "there is no camera 'dor'; did you mean door?"),
        (("door", "anyon", "--off"), "no rule of camera door 'anyon'; did you mean anyone?"),
        (("door", "anyone", "--more-than", "-1"), "a whole number from 0 to 1000000, not -1"),
        (("door", "anyone", "--as-file", "--off"), "leave out --on, --off and --more-than"),
        (("door", "anyone", "--off", "--by", " "), "a name of 1 to 200 letters"),
    ],
)
def test_bad_input_switches_nothing(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """It is refused with a sentence that names the way out."""
    file = written(tmp_path, "always")
    code, _, errors = moonwatch("switch", file, *arguments)
    assert code == 2
    assert words in " ".join(errors.split())
    assert not (tmp_path / "moonwatch.db").exists()
