"""An edit that is saved is applied by what runs, and what is new begins to count."""

from pathlib import Path

import pytest

from pipeline.testing import wait_until
from tests.cli.test_reload import ENGINES, endless, judged, running
from tests.runtime.clips import deployment, written
from tests.web.applications import application


@pytest.mark.timeout(240)
def test_what_runs_applies_a_saved_edit(tmp_path: Path) -> None:
    """It answers, and judges by the new terms from then on."""
    content = deployment(tmp_path, {"door": endless()}, engines=ENGINES)
    file = written(tmp_path, content)
    with running(file) as process, application(file) as app:
        wait_until(lambda: judged(file).get("door", 0) > 5, 60)
        now = app.client.get("/edit/cameras/door").json()
        rules = {
            "crowd": {**now["rules"]["crowd"], "more_than": 7},
            "many": {"type": "count", "of": "people", "more_than": 0},
        }
        request = {"camera": "door", "base": now["base"], "rules": rules}
        answer = app.client.post("/edit/save", json=request)
        assert answer.status_code == 200, answer.text
        saved = answer.json()
        assert [(one["rule"], one["kind"]) for one in saved["begins_anew"]] == [
            ("crowd", "edited"),
            ("many", "added"),
        ]

        def answers() -> list[str]:
            asked = {"request": saved["reload"]["request"]}
            told = app.client.get("/edit/answers", params=asked).json()
            return [one["outcome"] for one in told["processes"] if one["good"]]

        wait_until(lambda: answers() == ["applied"], 60)
        history = app.state.store.history
        wait_until(lambda: bool(history.buckets("door", "many")), 120)
        assert process.poll() is None
