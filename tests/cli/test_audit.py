"""`moonwatch audit`, from the drawn clips to the figures in the store."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml

from connectors.stores import StoreConfig
from pipeline.core.audits import Audit
from pipeline.core.clock import SystemClock
from pipeline.core.store import Commit
from pipeline.deployment.loader import load
from pipeline.insight.summary import audit_json
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.cli.commands import moonwatch
from tests.contracts.event_tools import an_event
from tests.runtime.clips import camera, cut, deployment, written

MASK = [[0.02, 0.05], [0.3, 0.05], [0.3, 0.4], [0.02, 0.4]]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seconds of the bundled clip, counted; a mask hides a part of the picture."""
    folder = tmp_path_factory.mktemp("plaza")
    plaza = camera(cut(folder / "plaza.mp4", 16.0))
    plaza["sample"]["masks"] = [MASK]
    plaza["rules"]["calm"] = {**plaza["rules"]["middle"], "cooldown": "5s"}
    made = written(folder, deployment(folder, {"plaza": plaza}))
    code, _, errors = moonwatch("run", made)
    assert code == 0, errors
    return made


def draw(file: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """An audit that is drawn; its id and page."""
    code, out, errors = moonwatch(
        "audit", file, "plaza", "across", "--clip", "8s", "--out", folder, "--json", *arguments
    )
    assert code == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def kept(file: Path, audit_id: str) -> Audit:
    """The audit in the store."""
    store = load(file).store.build_reader(SystemClock())
    try:
        found = store.audits.audit(audit_id)
    finally:
        store.close()
    assert found is not None
    return found


def truth(audit: Audit) -> dict[str, int]:
    """What an auditor would say who agrees with the rule."""
    plan: Any = audit.plan
    return {clip["name"]: clip["counted"] for clip in plan["clips"]}


def test_an_audit_from_the_clips_to_the_figures(file: Path, tmp_path: Path) -> None:
    """Whoever agrees with everything finds no error; who does not, finds it."""
    drawn = draw(file, tmp_path / "audit", "--seed", "5")
    audit = kept(file, drawn["audit"])
    assert audit.judged_at is None
    agreed = truth(audit)
    assert sum(agreed.values()) > 0
    saved = tmp_path / "verdicts.json"
    saved.write_text(json.dumps({"audit": audit.id, "by": "Ada", "verdicts": agreed}))
    code, out, errors = moonwatch("audit", file, "plaza", "across", "--verdicts", saved, "--json")
    assert code == 0, errors
    found = json.loads(out)
    # Everything was drawn, so nothing is left to guess.
    assert found["precision"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["accuracy"]["value"] == 1.0
    closed = kept(file, audit.id)
    assert closed.by == "Ada"
    assert json.loads(json.dumps(audit_json(closed))) == found
    # Running the file again adds nothing, and quotes what was found.
    code, out, _ = moonwatch("run", file, "--json")
    assert code == 0
    # Other tests audit other rules in the same store.
    quoted = [one for one in json.loads(out)["audits"] if one["rule"] == "across"]
    assert quoted == [found]

    some = next(name for name, counted in agreed.items() if counted)
    agreed[some] = 0
    saved.write_text(json.dumps({"audit": audit.id, "verdicts": agreed}))
    code, out, _ = moonwatch("audit", file, "plaza", "across", "--verdicts", saved)
    assert code == 0
    assert re.search(r"precision +\d\d\.\d %", out)
    assert "100.0 %" in out.splitlines()[2], "recall"


def test_the_page_gives_nothing_away(file: Path, tmp_path: Path) -> None:
    """It holds all clips, nothing of what the rule has counted, and needs nothing else."""
    drawn = draw(file, tmp_path / "audit")
    page = Path(drawn["page"]).read_text(encoding="utf-8")
    data = json.loads(re.findall(r'type="application/json">(.*?)</script>', page)[0])
    assert set(data) == {"audit", "directions", "items"}
    assert data["directions"] == ["in", "out"]
    assert all(set(item) == {"name", "video", "src"} for item in data["items"])
    assert len(data["items"]) == drawn["clips"] == len(truth(kept(file, drawn["audit"])))
    bare = re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)
    assert not re.search(r"counted\W+\d|busy|silent|https?://", bare)
    assert "in each direction?" in bare


def test_the_question_is_the_one_of_the_rule(file: Path, tmp_path: Path) -> None:
    """Who goes the wrong way is not everybody who crosses; the terms of the rule are told."""
    against = "{type: wrong_way, of: people, line: across, wrong: in, snapshot: true}"
    folder = tmp_path / "audit"
    arguments = ("--set", f"cameras.plaza.rules.across={against}", "--clip", "8s", "--out", folder)
    code, _, errors = moonwatch("audit", file, "plaza", "across", *arguments)
    assert code == 0, errors
    page = (folder / "audit.html").read_text(encoding="utf-8")
    assert "does this begin: across (wrong way of person, line across, wrong in)?" in page


def test_a_rule_without_events_cannot_be_audited(file: Path) -> None:
    """A heat map has nothing that happens."""
    heat = "cameras.plaza.rules.across={type: heat_map, of: people}"
    code, _, errors = moonwatch("audit", file, "plaza", "across", "--set", heat)
    assert code == 2
    assert "rule 'across' reports no events that a person could count" in errors


def test_clips_play_and_hide_what_is_masked(file: Path, tmp_path: Path) -> None:
    """Every clip is decoded to its end, and black under the mask."""
    drawn = draw(file, tmp_path / "audit")
    clips = sorted((tmp_path / "audit" / "clips").iterdir())
    assert len(clips) == drawn["clips"]
    for clip in clips:
        with av.open(str(clip)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            assert container.duration is not None
        assert len(pictures) > 20
        height, width = pictures[0].shape[:2]
        for picture in pictures[:: len(pictures) // 4]:
            inside = picture[
                round(0.12 * height) : round(0.33 * height),
                round(0.06 * width) : round(0.26 * width),
            ]
            assert np.asarray(inside).mean() < 12


def test_verdicts_are_typed_in_the_terminal(file: Path, tmp_path: Path) -> None:
    """Letters and numbers; what is neither is asked again, and an empty line ends it."""
    arguments = ("--clip", "8s", "--out", tmp_path / "audit", "--answer", "--by", "Grace")
    with start_typing("audit", file, "plaza", "across", *arguments) as process:
        out, errors = process.communicate("maybe\ny\nn\n\n", timeout=patience(60))
    assert process.returncode == 0, errors
    assert "'maybe' is no verdict" in errors
    assert "2 clips judged" in out


@pytest.mark.slow
def test_directions_are_typed_in_the_terminal(file: Path, tmp_path: Path) -> None:
    """A letter for each; with a number in between, directions are not told apart."""
    arguments = ("--clip", "8s", "--seed", "5", "--out", tmp_path / "a", "--answer", "--json")
    with start_typing("audit", file, "plaza", "across", *arguments) as process:
        out, errors = process.communicate("io\nn\niio\n\n", timeout=patience(60))
    assert process.returncode == 0, errors
    found = json.loads(out)
    assert found["judged"] == 3
    assert set(found["directions"]) == {"in", "out"}
    with start_typing("audit", file, "plaza", "across", *arguments) as process:
        out, errors = process.communicate("io\n2\n\n", timeout=patience(60))
    assert json.loads(out)["directions"] == {}


def start_typing(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command that reads what is typed."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not what the page saves"),
        ('{"audit": "a0", "verdicts": []}', "must be a map of clips to numbers"),
        ('{"audit": "a0", "verdicts": {"clip-1": -1}}', "'-1' is no verdict"),
        ('{"audit": "a0", "verdicts": {"clip-1": true}}', "'True' is no verdict"),
        ('{"audit": "a0", "verdicts": {"clip-1": {"up": 1}}}', 'of a line {"in": 1, "out": 0}'),
        ('{"audit": "a0", "verdicts": {"clip-1": {"in": -1}}}', "is no verdict"),
        ('{"audit": "a0", "verdicts": {"clip-1": 1}}', "the store has no audit 'a0' of this rule"),
    ],
)
def test_verdicts_that_are_none_are_refused(
    file: Path, tmp_path: Path, content: str, said: str
) -> None:
    """With what is wrong, and where."""
    saved = tmp_path / "verdicts.json"
    saved.write_text(content)
    code, _, errors = moonwatch("audit", file, "plaza", "across", "--verdicts", saved)
    assert code == 2
    assert said in errors


def test_verdicts_belong_to_what_was_drawn(file: Path, tmp_path: Path) -> None:
    """Not to another rule, not to other clips, and at least one clip is judged."""
    drawn = draw(file, tmp_path / "audit")
    saved = tmp_path / "verdicts.json"
    for rule, verdicts, said in (
        ("middle", {"clip-1": 1}, "are for plaza across, not for plaza middle"),
        ("across", {"clip-999": 1}, "name clips that were not drawn: clip-999"),
        ("across", {"clip-1": None}, "judge no clip"),
    ):
        saved.write_text(json.dumps({"audit": drawn["audit"], "verdicts": verdicts}))
        code, _, errors = moonwatch("audit", file, "plaza", rule, "--verdicts", saved)
        assert code == 2
        assert said in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plazza", "across"], "did you mean 'plaza'?"),
        (["plaza", "acros"], "did you mean 'across'?"),
        (["plaza", "calm"], "keeps back events by its `cooldown`"),
        (["plaza", "across", "--since", "2h"], "nothing is known of this rule then"),
        (["plaza", "across", "--clip", "1s"], "is not from 8s to 5m"),
        (["plaza", "across", "--video", "x.mp4"], "is a recording itself"),
        (["plaza", "across", "--verdicts", "gone.json"], "cannot be read"),
        (["plaza", "across", "--out", "/dev/null/a"], "name another folder"),
    ],
)
def test_bad_input_is_a_sentence(file: Path, arguments: list[str], said: str) -> None:
    """With the way out, and exit code 2; nothing is written."""
    code, _, errors = moonwatch("audit", file, *arguments)
    assert code == 2, errors
    assert said in errors


@pytest.fixture(scope="module")
def live(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store, of a camera that is called live: its past is only what was kept."""
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    address = {"type": "http", "url": "http://127.0.0.1:9/picture.jpg"}
    content["cameras"]["plaza"]["source"] = address
    return written(tmp_path_factory.mktemp("live"), content)


def test_of_a_live_camera_pictures_of_events_are_judged(live: Path, tmp_path: Path) -> None:
    """That gives precision; what was missed is nowhere to be seen."""
    arguments = ("audit", live, "plaza", "crowd")
    code, out, errors = moonwatch(*arguments, "--out", tmp_path / "audit", "--json")
    assert code == 0, errors
    assert "recall stays unknown" in errors
    drawn = json.loads(out)
    pictures = list((tmp_path / "audit" / "clips").iterdir())
    assert drawn["clips"] == len(pictures) > 0
    assert {picture.suffix for picture in pictures} == {".jpg"}
    saved = tmp_path / "verdicts.json"
    verdicts = dict.fromkeys(truth(kept(live, drawn["audit"])), 1)
    saved.write_text(json.dumps({"audit": drawn["audit"], "verdicts": verdicts}))
    code, out, errors = moonwatch(*arguments, "--verdicts", saved, "--json")
    assert code == 0, errors
    found = json.loads(out)
    assert found["precision"]["value"] == 1.0
    assert found["recall"] is None
    assert found["accuracy"] is None


def test_what_events_kept_is_masked_by_the_masks_of_today(tmp_path: Path) -> None:
    """A picture and a clip from before the camera had a mask: by their colour."""
    content = deployment(tmp_path, {"plaza": camera(cut(tmp_path / "plaza.mp4", 3.0))})
    content["cameras"]["plaza"]["source"] = {"type": "http", "url": "http://127.0.0.1:9/a.jpg"}
    config = StoreConfig.model_validate(content["store"])
    store = config.build()
    media = config.build_media(store)
    done, data = cv2.imencode(".jpg", np.full((240, 320, 3), 180, np.uint8))
    assert done
    media.put("a.jpg", data.tobytes())
    media.put("b.mp4", (tmp_path / "plaza.mp4").read_bytes())
    for number, name in enumerate(("a.jpg", "b.mp4")):
        event = replace(an_event(number), camera="plaza", rule="crowd", type="occupancy")
        store.commit(Commit(events=[replace(event, at=event.at + 60 * number).with_media(name)]))
    store.close()
    content["cameras"]["plaza"]["sample"]["masks"] = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]
    file = written(tmp_path, content)
    code, _, errors = moonwatch("audit", file, "plaza", "crowd", "--out", tmp_path / "audit")
    assert code == 0, errors

    seen = {}
    for path in (tmp_path / "audit" / "clips").iterdir():
        if path.suffix == ".jpg":
            seen[path.suffix] = [np.asarray(cv2.imread(str(path)))]
        else:
            with av.open(str(path)) as container:
                frames = container.decode(video=0)
                seen[path.suffix] = [frame.to_ndarray(format="rgb24") for frame in frames]
    assert seen.keys() == {".jpg", ".mp4"}
    for pictures in seen.values():
        assert pictures
        for pixels in pictures:
            width = pixels.shape[1]
            assert pixels[:, : width // 2 - 20].mean() < 8
            assert pixels[:, width // 2 + 20 :].mean() > 60


@pytest.mark.slow
def test_a_live_camera_is_judged_by_recordings_of_another_device(
    file: Path, live: Path, tmp_path: Path
) -> None:
    """Whose times are in their names; without any, and without pictures, the way out is said."""
    videos = tmp_path / "nvr"
    videos.mkdir()
    cut(videos / "nvr_2026-06-01_13-00-00.mp4", 16.0)
    code, out, errors = moonwatch(
        "audit", live, "plaza", "across", "--clip", "8s", "--seed", "5",
        "--video", videos, "--out", tmp_path / "audit", "--json",
    )  # fmt: skip
    assert code == 0, errors
    here = kept(live, json.loads(out)["audit"])
    there = kept(file, draw(file, tmp_path / "other", "--seed", "5")["audit"])
    assert sum(truth(here).values()) == sum(truth(there).values()) > 0
    code, _, errors = moonwatch("audit", live, "plaza", "across", "--out", tmp_path / "none")
    assert code == 2
    assert "name recordings of another device with --video" in errors
