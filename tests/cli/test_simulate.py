"""What a file would have counted, from the command line, after a real run of a clip."""

import json
from pathlib import Path

from tests.cli.commands import moonwatch
from tests.runtime.clips import camera, cut, deployment, written


def test_a_clip_is_simulated_as_it_was_and_with_a_line_moved(tmp_path: Path) -> None:
    """The same file gives each event again; another line is compared, and nothing is stored."""
    content = deployment(tmp_path, {"plaza": camera(cut(tmp_path / "clip.mp4", 6.0))})
    stays = {"first": {"rule": "across"}, "then": {"rule": "stay"}, "within": "5s"}
    content["sequences"] = {"stays": stays}
    file = written(tmp_path, content)
    assert moonwatch("run", file)[0] == 0
    happened = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert happened

    code, out, errors = moonwatch("simulate", file, "--every-rule", "--json")
    assert (code, errors) == (0, "")
    *hours, end = map(json.loads, out.splitlines())
    rules = [rule for hour in hours for rule in hour["rules"]]
    assert all(rule["new_events"] == rule["gone_events"] == [] for rule in rules)
    assert all(set(rule["difference"].values()) <= {0, None} for rule in rules)
    assert sum(len(rule["events"]) for rule in rules) == len(happened)
    assert end["cut_short"] is None
    assert {total["rule"] for total in end["totals"]} == {
        *content["cameras"]["plaza"]["rules"],
        "stays",
    }
    (stayed,) = [total for total in end["totals"] if total["rule"] == "stays"]
    assert stayed["type"] == "sequence"
    assert stayed["simulated"]["happenings"] == stayed["stored"]["happenings"] > 0
    assert stayed["simulated"]["known_s"] is None

    (line, shape) = next(iter(content["cameras"]["plaza"]["lines"].items()))
    moved = {**shape, "to": [shape["to"][0] / 2, shape["to"][1] / 2]}
    place = f"cameras.plaza.lines.{line}={json.dumps(moved)}"
    code, out, _ = moonwatch("simulate", file, "--set", place)
    assert code == 0
    assert moonwatch("simulate", file, "--set", place, "--processes", "2") == (0, out, "")
    assert "stored" in out
    assert "the only hour plaza, " in out
    assert " plaza, stays: " in out
    assert "1 events" not in out
    assert "1 records" not in out
    assert moonwatch("simulate", file, "--json")[1].splitlines()[-1] == json.dumps(end)

    other = tmp_path / "other.yaml"
    other.write_text(Path(file).read_text("utf-8"), "utf-8")
    code, out, _ = moonwatch("simulate", file, "--against", str(other), "--json")
    assert code == 0
    assert all(not total["new_events"] for total in json.loads(out.splitlines()[-1])["totals"])

    code, _, errors = moonwatch("simulate", file, "--camera", "yard")
    assert code == 2
    assert "there is no camera 'yard'; the file has plaza" in errors
    code, _, errors = moonwatch("simulate", file, "--since", "sometime")
    assert code == 2
    assert "--since: 'sometime' is not a moment" in errors


def test_a_store_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Before anything ran, and it makes no file."""
    content = deployment(tmp_path, {"plaza": camera(cut(tmp_path / "clip.mp4", 1.0))})
    code, out, errors = moonwatch("simulate", written(tmp_path, content))
    assert (code, out) == (1, "")
    assert errors.count("\n") == 1
    assert not list(tmp_path.glob("*.db"))
