"""What a new user meets within the first hour: a machine that lacks something, and small mistakes.

Each mistake has a sentence that shows the right shape, all of them in one run of `check`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import missing_here, parse
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.runtime.clips import cut

HIDE = (
    "import sys; sys.modules.update(dict.fromkeys({libraries!r})); sys.argv[1:] = {arguments!r}; "
)
SHOP = """
version: 1
site: {name: Shop, timezone: Europe/Berlin}
store: {url: "sqlite:///FOLDER/moonwatch.db", media: FOLDER/pictures}
cameras:
  door:
    source: rtsp://10.0.0.7/1
    sample: {every: 500ms}
    tasks: {people: {detect: person}}
    lines: {sill: {from: [0.1, 0.6], to: [0.9, 0.6]}}
    zones: {till: {polygon: [[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]}}
    rules:
      footfall: {type: line_crossing, of: people, line: sill}
      queue: {type: occupancy, of: people, zone: till}
sinks:
  log: {type: jsonl, path: FOLDER/events.jsonl}
"""


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """A deployment that is good, and writes into a folder of the test."""
    return SHOP.replace("FOLDER", str(tmp_path))


def problems(text: str, *overrides: str, **environment: str) -> tuple[Problem, ...]:
    """Everything that is wrong with a deployment."""
    with pytest.raises(ConfigError) as refused:
        parse(text, overrides, environment)
    return refused.value.problems


def here(text: str, *overrides: str, only_fatal: bool = False) -> dict[str, str]:
    """What this machine lacks for a deployment, by place."""
    found = missing_here(parse(text, overrides, {}), only_fatal=only_fatal)
    return {problem.path: problem.message for problem in found}


def advice(text: str, *overrides: str) -> dict[str, str]:
    """The warnings about a deployment, by place."""
    return {problem.path: problem.message for problem in parse(text, overrides, {}).warnings}


def moonwatch(
    *arguments: str, without: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line, in a Python that lacks some libraries."""
    code = HIDE.format(libraries=without, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", f"{code}from pipeline.cli.main import main; main()"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=patience(50),
        check=False,
    )


# This machine.


def test_libraries_that_are_not_installed(shop: str, tmp_path: Path) -> None:
    """`check` warns and ends with 0, `run` refuses with the same: how to install them here."""
    file = tmp_path / "shop.yaml"
    vlm, net = "{type: moondream}", "{type: transformers, model: a/b}"
    more = f"engines: {{coco: {{type: coco}}, vlm: {vlm}, net: {net}}}\n"
    database = f"sqlite:///{tmp_path}/moonwatch.db"
    file.write_text(shop.replace(database, "postgresql://moon@db/x") + more)
    text = file.read_text().replace("{detect: person}", "{detect: person, engine: coco}")
    file.write_text(text)
    without = ("torch", "transformers", "psycopg")
    checked = moonwatch("check", str(file), "--json", without=without)
    assert checked.returncode == 0, checked.stderr
    said = {one["path"]: one["message"] for one in json.loads(checked.stdout)["warnings"]}
    assert "needs torch, which is not installed" in said["engines.vlm.type"]
    assert "needs torch and transformers, which are not" in said["engines.net.type"]
    assert "needs psycopg, which is not" in said["store.url"]
    ran = moonwatch("run", str(file), without=without)
    assert ran.returncode == 2
    for place, extra in (
        ("engines.vlm.type", "moondream"),
        ("engines.net.type", "moondream"),
        ("store.url", "postgresql"),
    ):
        # Of this checkout, never of an index that may have somebody else's package of our name.
        assert f"pip install -e '.[{extra}]'" in said[place]
        assert said[place] in ran.stderr
    assert "Traceback" not in ran.stderr


INSTALLED = """
import sys
from pipeline.core import machine
print(machine.__file__)
print(machine.how_to_install("postgresql"))
"""
METADATA = """Metadata-Version: 2.4
Name: moonwatch
Version: 1.0
Provides-Extra: postgresql
Requires-Dist: numpy>=2
Requires-Dist: psycopg[binary]>=3.2; extra == 'postgresql'
Requires-Dist: supervision>=0.27; extra == "render"
"""


@pytest.mark.parametrize("origin", ["index", "wheel", "folder", "folder that is gone", "unknown"])
def test_advice_of_an_installed_package(origin: str, tmp_path: Path) -> None:
    """Installed from a folder that is still there, it names the folder; else the libraries."""
    site = tmp_path / "site"
    shutil.copytree(ROOT / "pipeline" / "core", site / "pipeline" / "core")
    (site / "pipeline" / "__init__.py").touch()
    about = site / "moonwatch-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA)
    folder = tmp_path / "my checkout"
    folder.mkdir()
    url = {"wheel": "https://files.example/moonwatch-1.0-py3-none-any.whl"}.get(
        origin, f"file://{folder}".replace(" ", "%20")
    )
    if origin == "folder":
        (folder / "pyproject.toml").touch()
    if origin == "unknown":
        (about / "direct_url.json").write_text("[]")
    elif origin != "index":
        (about / "direct_url.json").write_text(json.dumps({"url": url}))
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    place, command = done.stdout.splitlines()
    assert place.startswith(str(site))
    wanted = f"'{folder}[postgresql]'" if origin == "folder" else "'psycopg[binary]>=3.2'"
    assert command.endswith(f"pip install {wanted}")
    assert "moonwatch[" not in command


def test_a_model_that_was_never_downloaded(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that downloads it; one whose files are there is not mentioned."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    # The library reads the variable once, which another test may have made it do.
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    engine = "engines={vlm: {type: moondream, revision: 2025-01-09}}"
    said = here(shop, engine)["engines.vlm.model"]
    assert "models pull vikhyatk/moondream2 --revision 2025-01-09" in said
    snapshot = tmp_path / "cache" / "models--vikhyatk--moondream2" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "2025-01-09").write_text("a" * 40)
    (snapshot / "model.safetensors").touch()
    assert "engines.vlm.model" in here(shop, engine)  # its tokenizer is still missing
    (snapshot / "tokenizer.json").touch()
    assert "engines.vlm.model" not in here(shop, engine)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ("{type: moondream, model: /no/such/folder}", "no folder /no/such/folder"),
        ("{type: moondream, model: FOLDER}", "FOLDER/tokenizer.json"),
        ("{type: transformers, model: ./nowhere}", "no folder ./nowhere"),
        ("{type: transformers, model: a/b}", "downloaded at the first start"),
        ("{type: transformers, model: a/b, local_files_only: yes}", "forbids to download"),
    ],
)
def test_other_models_that_are_not_there(
    settings: str, part: str, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders and repositories alike."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    said = here(shop, f"engines={{net: {settings.replace('FOLDER', str(tmp_path))}}}")
    assert part.replace("FOLDER", str(tmp_path)) in said["engines.net.model"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there(device: str, shop: str) -> None:
    """`auto` and `cpu` are the way out, and are not warned of."""
    engine = f"engines={{vlm: {{type: moondream, device: '{device}'}}}}"
    assert "no GPU driver" in here(shop, engine, only_fatal=True)["engines.vlm.device"]
    assert "engines.vlm.device" not in here(shop, engine.replace(device, "auto"))


def test_what_cannot_be_written_or_read(shop: str, tmp_path: Path) -> None:
    """Database, pictures, events, certificates and devices, each in a sentence at its place."""
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder").mkdir()
    said = here(
        shop,
        f"store.url=sqlite:///{tmp_path}/a-file/moonwatch.db",
        f"store.media={tmp_path}/a-file/deep/pictures",
        f"sinks.log.path={tmp_path}/a-folder",
        f"sinks.more={{type: jsonl, path: {tmp_path}/a-file/events.jsonl}}",
        f"sinks.long={{type: jsonl, path: {tmp_path}/{'x' * 300}}}",
        "sinks.hook={type: webhook, url: 'https://a.example', tls: {ca: nowhere.pem}}",
        "queue={type: redis, url: 'rediss://a.example', ca: nowhere-else.pem}",
        "cameras.door.source=/dev/video97",
    )
    assert {place: part for place, part in said.items() if "disk of" not in part}.keys() == {
        "store.url",
        "store.media",
        "sinks.log.path",
        "sinks.more.path",
        "sinks.long.path",
        "sinks.hook.tls.ca",
        "queue.ca",
        "cameras.door.source.device",
    }
    assert "a-file is a file, not a folder" in said["store.url"]
    assert "is a folder on this machine; name a file in it" in said["sinks.log.path"]
    assert "no disk takes" in said["sinks.long.path"]
    assert "there is no file nowhere.pem" in said["sinks.hook.tls.ca"]


def test_files_of_somebody_else_in_the_place_of_ours(shop: str, tmp_path: Path) -> None:
    """A recording for a database, a letter and a device for the events, links that lead nowhere."""
    (tmp_path / "letter.txt").write_text("Dear Sir", encoding="utf-8")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "gone").symlink_to(tmp_path / "no-folder" / "events.jsonl")
    said = here(
        shop,
        f"store.url=sqlite:///{tmp_path}/letter.txt",
        f"sinks.log.path={tmp_path}/letter.txt",
        "sinks.full={type: jsonl, path: /dev/full}",
        f"sinks.gone={{type: jsonl, path: {tmp_path}/gone}}",
        f"sinks.itself={{type: jsonl, path: {tmp_path}/itself}}",
    )
    assert said["store.url"].endswith("letter.txt is not a database; name another file")
    assert "something else than events; name another file" in said["sinks.log.path"]
    assert "is not a regular file" in said["sinks.full.path"]
    for link in ("gone", "itself"):
        assert "is a link that leads nowhere" in said[f"sinks.{link}.path"]


def test_a_run_starts_although_a_sink_or_a_camera_may_come_later(shop: str, tmp_path: Path) -> None:
    """A disk may be mounted and a camera plugged in later; a database must be there."""
    overrides = [f"sinks.log.path={tmp_path}", "cameras.door.source=/dev/video97"]
    assert here(shop, *overrides, only_fatal=True) == {}
    database = f"store.url=sqlite:///{tmp_path}"
    assert list(here(shop, *overrides, database, only_fatal=True)) == ["store.url"]


def test_a_machine_that_has_everything(shop: str) -> None:
    """Nothing is said, and folders that would be created are no lack."""
    made = [f"sinks.log.path={'new/' * 3}events.jsonl"]
    assert {p: m for p, m in here(shop, *made).items() if "disk of" not in m} == {}
    assert parse(shop, made, {}).warnings == ()


def test_a_folder_of_another_user(shop: str, tmp_path: Path) -> None:
    """Told by permission, which root is not subject to: so the check runs as nobody."""
    if os.geteuid() != 0:
        (tmp_path / "theirs").mkdir(mode=0o500)
        said = here(shop, f"sinks.log.path={tmp_path}/theirs/events.jsonl")
        assert "permission denied" in said["sinks.log.path"]
        return
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    os.seteuid(65534)
    try:
        said = here(SHOP.replace("FOLDER", str(theirs)))
    finally:
        os.seteuid(0)
    assert "permission denied" in said["sinks.log.path"]
    assert "permission denied" in said["store.url"]


# Lines and zones.


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{from: [0, 0], to: [1, 0]}", "`out` side has no room"),
        ("{from: [1, 0], to: [0, 0]}", "`in` side has no room"),
        ("{from: [0, 1], to: [1, 1]}", "`in` side has no room"),
        ("{from: [0.1, 0.995], to: [0.9, 1]}", "`in` side has no room"),
        ("{from: [0, 0], to: [0, 1]}", "`in` side has no room"),
        ("{from: [1, 0.2], to: [0.998, 0.9]}", "`out` side has no room"),
        ("{from: [0.5, 0.5], to: [0.505, 0.5]}", "move its ends apart"),
        ("{from: [0.1, 0.9], to: [0.9, 0.8]}", "completely in a mask"),
    ],
)
def test_a_line_that_nobody_can_cross(line: str, part: str, shop: str) -> None:
    """On the picture's border, as short as a toe, or hidden by a mask."""
    masked = "cameras.door.sample.masks=[[[0, 0.7], [1, 0.7], [1, 0.99], [0, 0.99]]]"
    said = advice(shop, f"cameras.door.lines.sill={line}", masked)
    assert part in said["cameras.door.lines.sill"]


@pytest.mark.parametrize(
    "line",
    [
        "{from: [0, 0.03], to: [1, 0.03]}",
        "{from: [0, 0.97], to: [1, 0.97]}",
        "{from: [0, 0], to: [1, 1]}",
        "{from: [0.02, 0], to: [0.02, 1]}",
        "{from: [0.1, 0.9], to: [0.9, 0.6]}",
    ],
)
def test_a_line_that_can_be_crossed(line: str, shop: str) -> None:
    """Near an edge, from corner to corner, or half masked: nothing is said."""
    masked = "cameras.door.sample.masks=[[[0, 0.7], [1, 0.7], [1, 0.95], [0, 0.95]]]"
    assert advice(shop, f"cameras.door.lines.sill={line}", masked) == {}


def test_a_wide_margin_needs_room(shop: str) -> None:
    """The margin is that of the rule which uses the line."""
    line = "cameras.door.lines.sill={from: [0, 0.9], to: [1, 0.9]}"
    wide = "cameras.door.rules.footfall.margin=0.2"
    assert advice(shop, line) == {}
    assert "no room for the 20 %" in advice(shop, line, wide)["cameras.door.lines.sill"]


@pytest.mark.parametrize(
    ("polygon", "part"),
    [
        ("[[0.5, 0.5], [0.51, 0.5], [0.51, 0.9]]", "only 1 % of the picture wide"),
        ("[[0.1, 0.1], [0.9, 0.1], [0.9, 0.105]]", "0.5 % high"),
        ("[[0.1, 0.75], [0.9, 0.75], [0.5, 0.9]]", "completely in a mask"),
    ],
)
def test_a_zone_in_which_nobody_is_found(polygon: str, part: str, shop: str) -> None:
    """Smaller than a detector's jitter, or hidden by a mask."""
    masked = "cameras.door.sample.masks=[[[0, 0.7], [1, 0.7], [1, 1], [0, 1]]]"
    said = advice(shop, f"cameras.door.zones.till.polygon={polygon}", masked)
    assert part in said["cameras.door.zones.till"]


@pytest.mark.parametrize(
    ("polygon", "part"),
    [
        ("[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]", "cross"),
        ("[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]", "has no area"),
        ("[[0.1, 0.1], [1.5, 0.5], [0.9, 0.9]]", "outside 0..1"),
        ("[]", "at least 3"),
    ],
)
def test_a_zone_that_is_none(polygon: str, part: str, shop: str) -> None:
    """Self-crossing, flat, outside or empty: refused."""
    found = problems(shop, f"cameras.door.zones.till.polygon={polygon}")
    assert any(part in problem.message for problem in found)


def test_a_picture_that_is_masked_as_a_whole(shop: str) -> None:
    """By one mask or by several together."""
    masks = "[[[0, 0], [1, 0], [1, 0.5], [0, 0.5]], [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]"
    said = advice(shop, f"cameras.door.sample.masks={masks}")
    assert "nothing is seen" in said["cameras.door.sample.masks"]


# The right shape of what was written wrong.


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("site=[Shop]", "{name: Shop, timezone: Europe/Berlin}"),
        ("sites=Shop", "{north: {name: North, timezone: Europe/Berlin}}"),
        ("engines=coco", "{fast: {type: coco}}"),
        ("engines=[{type: coco}]", "{fast: {type: coco}}"),
        ("engines={fast: coco}", "write it like {type: coco}"),
        ("queue=memory", "write it like {type: memory}"),
        ("queue=redis://10.0.0.7", "{type: redis, url: redis://127.0.0.1:6379/0}"),
        ("store=sqlite:///a.db", "{url: sqlite:///moonwatch.db}"),
        ("cameras=rtsp://a/b", "{door: {source: rtsp://10.0.0.7/1}}"),
        ("cameras.door=rtsp://a/b", "{source: rtsp://10.0.0.7/1"),
        ("cameras.door.source=10.0.0.7", "rtsp://10.0.0.7/1, or {type: rtsp,"),
        ("cameras.door.source={url: rtsp://a/b}", "{type: rtsp, url: rtsp://10.0.0.7/1}"),
        ("cameras.door.source={type: mjpeg, url: http://a}", "did you mean 'http'?"),
        ("cameras.door.source={type: rtsp, url: 10.0.0.7}", "rtsp://camera.local/path"),
        ("cameras.door.sample=500ms", "{every: 500ms}"),
        ("cameras.door.sample.every=500", "write 500s, 500ms or 500m"),
        ("cameras.door.sample.every=2 seconds", "write 2s"),
        ("cameras.door.sample.motion=maybe", "yes, or {sensitivity: 0.5"),
        ("cameras.door.sample.masks=[[0, 0], [1, 0], [1, 1]]", "a point is [x, y]"),
        ("cameras.door.sample.masks=5", "[[[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]]"),
        ("cameras.door.tasks=[{detect: person}]", "{people: {detect: person}}"),
        ("cameras.door.tasks.people=person", "{detect: person}, or {ask: "),
        ("cameras.door.tasks.people={detect: [person, car]}", "cars: {detect: car}"),
        ("cameras.door.tasks.people={type: detect}", "{detect: person}"),
        ("cameras.door.lines=[[0, 0.5], [1, 0.5]]", "{door: {from: [0.1, 0.6], to:"),
        ("cameras.door.lines.sill=[[0, 0.5], [1, 0.5]]", "{from: [0, 0.5], to: [1, 0.5]}"),
        ("cameras.door.lines.sill=[0, 0.5, 1, 0.5]", "{from: [0, 0.5], to: [1, 0.5]}"),
        ('cameras.door.lines.sill.from="0.1,0.2"', "such as [0.1, 0.2]"),
        ("cameras.door.lines.sill.from={x: 0.3, y: 0.4}", "such as [0.3, 0.4]"),
        ("cameras.door.lines.sill.from=10% 20%", "such as [0.1, 0.2]"),
        ('cameras.door.lines.sill.from=["10%", "20%"]', "10 % is 0.1"),
        ("cameras.door.lines.sill.from=[640, 360]", "640 of 1280 pixels is 0.5"),
        ("cameras.door.lines.sill.from=[0.1, 0.2, 0.3]", "a point is [x, y]"),
        ("cameras.door.zones.till=[[0, 0], [1, 0], [1, 1]]", "{polygon: [[0, 0], [1, 0], [1, 1]]}"),
        ("cameras.door.zones.till.polygon=0.5", "[[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]"),
        ("cameras.door.rules=[line_crossing]", "{visitors: {type: line_crossing, of: people"),
        ("cameras.door.rules.queue=occupancy", "{type: line_crossing, of: people, line: door}"),
        ("cameras.door.rules.queue.type=loitering", "did you mean 'dwell'?"),
        ("cameras.door.rules.queue.of=[people]", "write it like people"),
        ("cameras.door.rules.queue.snapshot=please", "must be yes or no, not 'please'"),
        ("cameras.door.rules.queue.schedule=night", "{days: mon-fri, from: 22:00, to: 6:00}"),
        ("cameras.door.rules.queue.schedule={days: weekdays}", "write mon-fri"),
        ("cameras.door.rules.queue.schedule={from: 9}", "write 9:00"),
        ("cameras.door.rules.footfall.margin=1%", "1 % is 0.01"),
        ("cameras.door.rules.footfall.names=in", "{in: "),
        ("engines={fast: {type: coco, min_score: 30%}}", "30 % is 0.3"),
        ("engines={fast: {type: yolo}}", "did you mean 'onnx'?"),
        ("sinks=stdout", "{log: {type: stdout}}"),
        ("sinks.log=stdout", "write it like {type: stdout}"),
        ("sinks.log=alarms.jsonl", "{type: jsonl, path: alarms.jsonl}"),
        ("sinks.log=https://a.example", "{type: webhook, url: https://"),
        ("sinks.log={type: email}", "did you mean 'mail'?"),
        ("sinks.log={type: webhook, url: a.example}", "begins with https or http"),
        ("sinks.log={type: webhook, url: 'https://a b.example'}", "no spaces"),
        ("sinks.log={type: webhook, url: 'https://a..example'}", "a host"),
        ("sinks.log={type: webhook, url: 'https://a.example', headers: a}", "{Authorization: "),
        ("store={media: {type: s4, url: s3://x}}", "{type: s3, url: s3://BUCKET/PREFIX}"),
        ("sinks.log.only={a: b}", "[visitors, camera_offline]"),
        ("version='1'", "must be 1, without quotes"),
    ],
)
def test_the_right_shape_is_shown(override: str, part: str, shop: str) -> None:
    """An example that can be copied, with the own values where it is plain what was meant."""
    found = problems(shop, override)
    assert part in found[0].message, found


@pytest.mark.parametrize(
    "override",
    [
        "cameras.door.zones.till.polygon=[[64, 48], [320, 48], [320, 240]]",
        "cameras.door.sample.masks=[[[64, 48], [320, 48], [320, 240]]]",
        "cameras.door.lines.sill.from=[640, 360]",
    ],
)
def test_a_shape_in_pixels_is_told_once(override: str, shop: str) -> None:
    """Not once for each of its coordinates."""
    (problem,) = problems(shop, override)
    assert "shares of the picture from 0 to 1" in problem.message


def test_short_forms(shop: str) -> None:
    """A site as a name, a source as an address, a schedule of one window."""
    night = "cameras.door.rules.queue.schedule={from: 22:00, to: 6:00}"
    loaded = parse(shop, ["site=Shop", "cameras.door.source=rtsp://a/b", night], {}).deployment
    assert loaded.site.name == "Shop"
    assert loaded.cameras["door"].source.type == "rtsp"
    assert len(loaded.cameras["door"].rules["queue"].schedule) == 1


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("face", ["the nearest are person, ", "{type: moondream} takes any label"]),
        ("license plate", ["the nearest are car, truck, ", "{type: moondream}"]),
        ("fire", ["the nearest are ", "{type: moondream}"]),
        ("peron", ["did you mean person"]),
        ("staff", ["did you mean person?"]),
    ],
)
def test_things_that_the_bundled_engine_does_not_know(
    label: str, parts: list[str], shop: str
) -> None:
    """Three names that are near, and the engine that could, instead of all eighty."""
    (problem,) = problems(shop, f"cameras.door.tasks.people.detect={label}")
    for part in parts:
        assert part in problem.message
    assert len(problem.message) < 250


# Everything at once.


def paths(text: str, *overrides: str) -> list[str]:
    """The places of all mistakes."""
    return [problem.path for problem in problems(text, *overrides)]


def test_a_broken_engine_still_has_its_name(shop: str) -> None:
    """Its own mistakes and a task that misspells it, in one run."""
    found = problems(
        shop,
        "engines={fast: {type: cocoo, min_scor: 5}}",
        "cameras.door.tasks.people.engine=fats",
    )
    assert [problem.path for problem in found] == [
        "engines.fast",
        "engines.fast.min_scor",
        "engines.fast.min_score",
        "cameras.door.tasks.people.engine",
    ]
    assert "did you mean 'fast'?" in found[-1].message


def test_broken_shapes_rules_and_sinks_and_references_to_them(shop: str) -> None:
    """What refers to a broken part is right; what misspells it is told beside its own mistake."""
    told = paths(
        shop,
        "cameras.door.zones.till.polygon=[[2, 0], [1, 1], [0, 1]]",
        "cameras.door.rules.a={type: occupancy, of: people, zone: tll}",
        "cameras.door.rules.b={type: linecrossing, of: peopel, line: sil}",
        "cameras.door.rules.c={type: nonsense, of: peopel, line: sil}",
        "cameras.door.rules.d={of: people, zone: tll}",
        "cameras.door.rules.e={type: condition, of: peopel}",
        "cameras.door.rules.f={type: line_crossing, of: people, margin: 5}",
        "sinks.log={type: jsnl, only: [footfal, f]}",
        "sinks.hook={type: webhook, url: nowhere, not: [dor]}",
        "sinks.more={type: nonsense, only: [dor]}",
    )
    assert set(told) == {
        "cameras.door.zones.till.polygon.0.0",
        "cameras.door.rules.a.zone",
        "cameras.door.rules.b",
        "cameras.door.rules.b.of",
        "cameras.door.rules.b.line",
        "cameras.door.rules.c",
        "cameras.door.rules.c.of",
        "cameras.door.rules.c.line",
        "cameras.door.rules.d",
        "cameras.door.rules.d.zone",
        "cameras.door.rules.e.is",
        "cameras.door.rules.e.of",
        "cameras.door.rules.f.line",
        "cameras.door.rules.f.margin",
        "sinks.log",
        "sinks.log.path",
        "sinks.log.only",
        "sinks.hook.url",
        "sinks.hook.not",
        "sinks.more",
        "sinks.more.only",
    }
    assert len(told) == len(set(told))


def test_slips_wrong_values_and_references_in_one_camera(shop: str) -> None:
    """Behind a misspelled key its value is checked, as the short form that it may be."""
    text = shop.replace("    source: rtsp://10.0.0.7/1", "    sorce: rtsp://10.0.0.7/1")
    told = paths(
        text,
        "cameras.door.sample={evry: 5, motion: maybe}",
        "cameras.door.site=nrth",
        "sites={north: {timezone: Nowhere}}",
        "queue={type: rediss}",
    )
    assert set(told) == {
        "cameras.door.sorce",
        "cameras.door.sample.evry",
        "cameras.door.sample.every",
        "cameras.door.sample.motion",
        "cameras.door.site",
        "sites.north.timezone",
        "queue",
        "queue.url",
    }


def test_what_is_wrong_under_a_misspelled_key_is_told_at_its_line(shop: str) -> None:
    """`camera:` for `cameras:` hides neither a reference to nothing nor its line."""
    text = shop.replace("cameras:", "camera:").replace("line: sill", "line: sil")
    told = {one.path: one.line for one in problems(text)}
    written = next(n for n, line in enumerate(text.splitlines(), 1) if "line: sil}" in line)
    assert told["cameras.door.rules.footfall.line"] == written


def test_a_broken_camera_in_an_included_file(shop: str, tmp_path: Path) -> None:
    """Its mistakes are told in its own file, beside those of the deployment file."""
    (tmp_path / "yard.yaml").write_text(
        "engines: {slow: {type: cocoo}}\n"
        "cameras:\n"
        "  yard: {source: 5, tasks: {people: {detect: person, engine: slwo}}}\n"
    )
    file = tmp_path / "shop.yaml"
    file.write_text(shop + "include: yard.yaml\n")
    with pytest.raises(ConfigError) as refused:
        parse(file.read_text(), ["sinks.log.only=[yrd]"], {}, file)
    assert [(p.file, p.path) for p in refused.value.problems] == [
        (None, "sinks.log.only"),
        ("yard.yaml", "engines.slow"),
        ("yard.yaml", "cameras.yard.source"),
        ("yard.yaml", "cameras.yard.tasks.people.engine"),
    ]


# Values from variables.


@pytest.mark.parametrize(
    ("word", "is_on"),
    [
        *((word, True) for word in ("true", "True", "TRUE", "yes", "Yes", "on", "1", "y")),
        *((word, False) for word in ("false", "False", "no", "NO", "off", "0", "n")),
    ],
)
def test_a_switch_from_a_variable(word: str, is_on: bool, shop: str) -> None:
    """Of settings that can be switched, and of plain switches."""
    names = ("sample.motion", "sample.frozen", "sample.black", "rules.queue.snapshot")
    overrides = [f"cameras.door.{name}=${{M}}" for name in names]
    camera = parse(shop, overrides, {"M": word}).deployment.cameras["door"]
    sample = camera.sample
    assert {bool(sample.motion), bool(sample.frozen), bool(sample.black)} == {is_on}
    assert camera.rules["queue"].snapshot is is_on


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("cameras.door.sample.every=${V}", "5s"),
        ("cameras.door.sample.max_side=${V}", "640"),
        ("cameras.door.sample.duplicates=${V}", "drop"),
        ("cameras.door.lines.sill.from=[0.1, '${V}']", "0.6"),
        ("cameras.door.rules.footfall.margin=${V}", "0.05"),
        ("cameras.door.rules.queue.schedule={from: '${V}'}", "9:00"),
        ("cameras.door.rules.queue.more_than=${V}", "4"),
        (
            "cameras.door.source={type: file, path: a.mp4, starts_at: '${V}'}",
            "2026-01-01T00:00:00Z",
        ),
        ("cameras.door.source=${V}", "rtsp://10.0.0.9/1"),
        ("engines={fast: {type: '${V}'}}", "coco"),
        ("engines={fast: {type: coco, min_score: '${V}'}}", "0.4"),
        ("sinks.log.max_size=${V}", "100MB"),
        ("sinks.log.only=${V}", "camera_offline"),
        ("sinks.log.keep=${V}", "31"),
        ("site=${V}", "Shop 12"),
        ("site.timezone=${V}", "Europe/Berlin"),
        ("store.keep=${V}", "30d"),
    ],
)
def test_any_value_from_a_variable(override: str, value: str, shop: str) -> None:
    """Numbers, durations, times, words and addresses are read as if they stood there."""
    written = parse(shop, [override.replace("'${V}'", "${V}").replace("${V}", f"'{value}'")], {})
    assert parse(shop, [override], {"V": value}).deployment == written.deployment


def test_the_version_from_a_variable(shop: str) -> None:
    """A number that is written as text, as every value of a variable is."""
    assert parse(shop, ["version=${V}"], {"V": "1"}).deployment.version == 1
    (problem,) = problems(shop, "version=${V}", V="2")
    assert "must be one of 1" in problem.message


def test_a_short_value_of_a_variable_does_not_cut_up_the_sentence(shop: str) -> None:
    """What came from outside is not quoted; its letters stay in all other words."""
    (problem,) = problems(shop, "cameras.door.sample.motion=${V}", V="e")
    assert problem.message.startswith("must be a map of keys and values; write it like yes")


def test_alarms_about_cameras_alone(shop: str) -> None:
    """The types of a camera's health can be filtered by, with and without `*`."""
    only = "sinks.log.only=[camera_offline, camera_frozen, camera_black, camera, 'camera_*']"
    assert parse(shop, [only], {}).warnings == ()


# The end of a first run.


def walks() -> list[Any]:
    """Three people, one after the other, who come in over the line at half the height."""
    steps = [[[0.45, round(0.1 + 0.05 * n, 2), 0.55, round(0.4 + 0.05 * n, 2)]] for n in range(9)]
    return [*steps, [], [], [], [], *steps, [], [], [], [], *steps, *[[] for _ in range(60)]]


def pretended(folder: Path, clip: Path, **source: Any) -> Path:
    """The shop with a recording and boxes from a list."""
    content = yaml.safe_load(SHOP.replace("FOLDER", str(folder)))
    content["engines"] = {"pretend": {"type": "scripted", "answers": {"people": walks()}}}
    content["cameras"]["door"]["source"] = {"type": "file", "path": str(clip), **source}
    content["sinks"]["terminal"] = {"type": "stdout"}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_first_run_of_twenty_seconds_has_counts(tmp_path: Path) -> None:
    """A recording of less than a minute is counted; without a terminal there are no boxes."""
    file = pretended(tmp_path, cut(tmp_path / "clip.mp4", 22.0))
    done = moonwatch("run", str(file))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(" door footfall single person" in line for line in lines) == 3
    assert "footfall: camera door, rule footfall, in 3, out 0, known 0:00:22" in lines
    assert "events: camera door, rule footfall, events 3" in lines
    frames = next(line for line in lines if line.startswith("frames: "))
    assert "sampled 44, left out " in frames
    assert "dropped none" in frames
    assert not {"│", "┃", "┏"} & set(done.stdout)


def test_tables_are_lines_without_a_terminal(tmp_path: Path) -> None:
    """`status` and the other commands with tables too; nothing is cut, nothing is framed."""
    file = pretended(tmp_path, tmp_path / "clip.mp4")
    assert moonwatch("run", str(file)).returncode == 1  # there is no clip
    done = moonwatch("status", str(file))
    assert "sinks: sink terminal, behind 0, " in done.stdout
    assert "undelivered 0" in done.stdout
    assert not {"│", "┃", "┏"} & set(done.stdout)


@pytest.mark.slow
def test_a_run_that_is_stopped_in_its_first_minute_has_counts(tmp_path: Path) -> None:
    """The running minute is counted, and marked as unfinished."""
    clip = cut(tmp_path / "clip.mp4", 22.0)
    file = pretended(tmp_path, clip, loop=True, speed="realtime")
    command = [sys.executable, "-m", "pipeline", "run", str(file)]
    override = ["--set", "cameras.door.sample.every=40ms"]
    with subprocess.Popen(
        [*command, *override], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        crossings = 0
        for line in process.stdout:
            crossings += " footfall single " in line
            if crossings == 3:
                break
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=patience(50))
    assert process.returncode == 0, errors
    counted = next(line for line in out.splitlines() if line.startswith("footfall: "))
    assert "in 3, out 0, known 0:00:0" in counted
    assert counted.endswith(", last minute unfinished")
