"""Events that a sink refused are looked at and sent again from the command line."""

import json
from pathlib import Path

from tests.cli.commands import moonwatch
from tests.cli.test_run import ids
from tests.connectors.sinks.receiver import receiving
from tests.runtime.clips import camera, cut, deployment, written


def test_refused_events_are_sent_again(tmp_path: Path) -> None:
    """After a token was mended: each event once, then nothing is left; slips are said."""
    with receiving() as hook:
        content = deployment(tmp_path, {"plaza": camera(cut(tmp_path / "clip.mp4", 5.0))})
        content["sinks"]["ops"] = {"type": "webhook", "url": hook.url}
        file = written(tmp_path, content)
        hook.always = 401
        assert moonwatch("run", file)[0] == 1
        listed = json.loads(moonwatch("undelivered", "list", file, "--json")[1])
        happened = ids((tmp_path / "events.jsonl").read_bytes())
        assert [one["record_id"] for one in listed] == happened
        assert {one["sink"] for one in listed} == {"ops"}
        kept = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
        rules = [one["data"]["rule"] for one in kept]
        assert [one["rule"] for one in listed] == rules
        assert {one["camera"] for one in listed} == {"plaza"}
        assert all(one["phase"] and one["at"] > 0 for one in listed)
        out = moonwatch("undelivered", "list", file)[1]
        rows = [row for row in out.splitlines() if "sink ops" in row]
        assert len(rows) == 1, out
        assert f"events {len(happened)}," in rows[0]
        assert "401" in out
        code, out, _ = moonwatch("status", file)
        refused = f"sink ops refused {len(happened)} events; `moonwatch undelivered list FILE`"
        assert code == 1
        assert refused in out
        assert "all is well" not in out

        code, _, errors = moonwatch("undelivered", "retry", file, "--all")
        assert (code, hook.accepted) == (1, [])
        assert f"ops: {len(happened)} not delivered" in errors
        assert "401" in errors
        code, _, errors = moonwatch("undelivered", "retry", file, "opps")
        assert code == 2
        assert "did you mean ops?" in errors
        assert moonwatch("undelivered", "drop", file)[0] == 2

        hook.always = 200
        code, out, errors = moonwatch("undelivered", "retry", file, "ops")
        assert (code, out) == (0, f"ops: {len(happened)} delivered\n"), errors
        assert hook.accepted == happened
        assert moonwatch("undelivered", "retry", file, "--all")[1] == "no undelivered events\n"
        assert moonwatch("undelivered", "list", file)[1] == "no undelivered events\n"
