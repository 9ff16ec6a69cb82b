"""An archive holds every event in one object, whatever is killed; in a bucket and a folder."""

import gzip
import json
import logging
import random
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sinks import SinkConfig, _appending
from connectors.sinks import archive as archiving
from connectors.sinks.archive import ArchiveConfig
from connectors.stores.sql import SqlStore
from pipeline.core.errors import SinkError, StoreError
from pipeline.core.events import REPORT, Event
from pipeline.core.sinks import NotesInMemory, Sink, SinkContext
from pipeline.core.store import Commit
from pipeline.delivery import Route, SinkLane
from pipeline.deployment.loader import parse
from pipeline.deployment.problems.machine import problems
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.connectors.stores.test_buckets import KEY, PASSWORD, Cloud, empty_bucket
from tests.contracts.event_tools import an_event, odd_events
from tests.contracts.sinks import SITE, SinkContract

NOW = 1_700_000_000.0
"""14 November 2023, 22:13:20 UTC, which is when the plain events begin."""
PICTURE, CLIP = "door/2023-11-14/a.jpg", "door/2023-11-14/a.mp4"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A bucket."""
    yield from empty_bucket()


def in_bucket(cloud: Cloud, **fields: Any) -> ArchiveConfig:
    """Settings of an archive in a bucket."""
    given = {
        "url": "s3://shop/eye",
        "endpoint": cloud.url,
        "access_key": KEY,
        "secret_key": PASSWORD,
        "timeout": "2s",
        **fields,
    }
    return ArchiveConfig.model_validate(given)


def ids(objects: dict[str, bytes]) -> list[str]:
    """The ids in all objects of events, in the order of their names."""
    return [
        json.loads(line)["id"]
        for name, content in sorted(objects.items())
        if name.startswith("events/") and name.endswith(".jsonl.gz")
        for line in gzip.decompress(content).splitlines()
    ]


def files(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def objects(cloud: Cloud) -> dict[str, bytes]:
    """What is below the prefix of the bucket."""
    return {
        name.removeprefix("eye/"): cloud.s3.get_object(Bucket="shop", Key=name)["Body"].read()
        for name in cloud.objects()
    }


@dataclass
class Numbering:
    """Gives events the positions that a store would have given them."""

    sink: Sink
    known: dict[str, int] = field(default_factory=dict)

    def send(self, events: Sequence[Event]) -> None:
        """Send them with their positions."""
        for event in events:
            self.known.setdefault(event.record_id, len(self.known) + 1)
        self.sink.send([replace(one, position=self.known[one.record_id]) for one in events])

    def close(self) -> None:
        """Close the sink."""
        self.sink.close()


def in_order(found: list[str]) -> list[str]:
    """As they were sent: objects are by hour, and the odd events are of several."""
    order = {event.record_id: number for number, event in enumerate(odd_events())}
    return sorted(found, key=lambda one: order.get(one, 0))


class TestFolder(SinkContract):
    """What it shares with every sink, in a folder."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder, self.aside = tmp_path / "new" / "archive", tmp_path / "aside"

    def built(self) -> Sink:
        """A sink with a folder that is not there yet."""
        return Numbering(ArchiveConfig(url=str(self.folder)).build(SinkContext(SITE)))

    def received(self) -> list[str]:
        """The ids in the files."""
        return in_order(ids(files(self.folder)))

    def fail(self) -> None:
        """Put a file in the folder's place."""
        self.folder.rename(self.aside)
        self.folder.write_text("")

    def heal(self) -> None:
        """Put the folder back."""
        self.folder.unlink()
        self.aside.rename(self.folder)


class TestBucket(SinkContract):
    """What it shares with every sink, in a bucket whose server goes away."""

    @pytest.fixture(autouse=True)
    def _cloud(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def built(self) -> Sink:
        """A sink with an empty prefix."""
        return Numbering(in_bucket(self.cloud).build(SinkContext(SITE)))

    def received(self) -> list[str]:
        """The ids in the objects."""
        return in_order(ids(objects(self.cloud)))

    def fail(self) -> None:
        """The server goes away."""
        self.cloud.stop()

    def heal(self) -> None:
        """It comes back."""
        self.cloud.start()


class Desk:
    """An archive in a folder, and what its events refer to."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self.media: dict[str, bytes | Exception] = {}
        self.notes = NotesInMemory()
        self.clock = ManualClock(NOW)
        self.config = ArchiveConfig.model_validate({"url": folder.as_uri(), **fields})

    def read(self, reference: str) -> bytes | None:
        """What the media folder has."""
        content = self.media.get(reference)
        if isinstance(content, Exception):
            raise content
        return content

    def sink(self) -> Sink:
        """The sink of a process."""
        return self.config.build(
            SinkContext(SITE, clock=self.clock, read=self.read, notes=self.notes, name="lake")
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An archive in a folder."""
    return Desk(tmp_path / "archive")


def late(number: int) -> Event:
    """The `number`-th event of a store: they are of three hours, in no order."""
    return replace(an_event(number), at=NOW + number + 3600 * (number * 7 % 3), position=number)


def test_an_object_has_the_events_of_an_hour(desk: Desk) -> None:
    """It is named by the UTC day and hour and the first position; the bytes are always the same."""
    for _ in range(2):
        desk.sink().send([late(number) for number in range(1, 6)])
    found = files(desk.folder)
    stem = "events/dt=2023-11-1"
    own = desk.notes.note("id")
    assert sorted(found) == [
        f"{stem}4/22-000000000003-{own}.jsonl.gz",
        f"{stem}4/23-000000000001-{own}.jsonl.gz",
        f"{stem}5/00-000000000002-{own}.jsonl.gz",
    ]
    first = found[f"{stem}4/23-000000000001-{own}.jsonl.gz"]
    lines = [json.loads(line) for line in gzip.decompress(first).splitlines()]
    assert [line["id"] for line in lines] == [late(1).record_id, late(4).record_id]
    assert lines[0]["source"] == "/moonwatch/Shop%2012/door"
    assert lines[0]["time"] == "2023-11-14T23:13:21.000Z"
    assert first[4:8] == bytes(4)  # no time of its making


def accepted(sink: Sink, events: Sequence[Event]) -> bool:
    """Whether they were sent; otherwise they can be sent again."""
    try:
        sink.send(events)
    except SinkError as error:
        if not error.retryable:
            raise
        return False
    return True


class KilledError(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("seed", range(40))
def test_no_event_is_twice_whatever_is_killed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """At any object, before it, after it, or before the cursor moves; with loads of any size."""
    chance = random.Random(seed)
    events = [late(number) for number in range(1, 41)]
    write = archiving._FolderShelf._write
    left = 0

    def write_or_die(shelf: Any, key: str, content: bytes, is_as_seen: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0 and chance.random() < 0.5:
            raise KilledError
        write(shelf, key, content, is_as_seen)
        if left <= 0:
            raise KilledError

    monkeypatch.setattr(archiving._FolderShelf, "_write", write_or_die)
    cursor, kills = 0, 0
    while cursor < len(events):
        load = events[cursor : cursor + chance.randint(1, 15)]
        left = chance.choice((1, 2, 3, 99))
        sink = desk.sink()
        with suppress(KilledError):
            while not accepted(sink, load):  # there is an object with more events
                desk.clock.advance(60)
            if chance.random() < 0.7:  # or it is killed before the cursor moves
                cursor += len(load)
                continue
        kills += 1
    assert kills
    assert sorted(ids(files(desk.folder))) == sorted(event.record_id for event in events)


def test_who_stood_still_before_it_wrote_replaces_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it saw nothing there, or less than is there by now; what it began is removed."""
    events = [replace(an_event(number), position=number) for number in (1, 2, 3)]
    alone_in = _appending.alone_in
    more: list[Sequence[Event]] = []

    def overtaken(folder: Path) -> Any:
        if more:
            desk.sink().send(more.pop())
        return alone_in(folder)

    monkeypatch.setattr(archiving, "alone_in", overtaken)
    for before in ([], events[:1]):
        if before:
            desk.sink().send(before)
        more.append(events[: len(before) + 2])
        sink = desk.sink()
        with pytest.raises(SinkError, match="replaced it just now") as told:
            sink.send(events[: len(before) + 1])
        assert told.value.retryable
        (name,) = files(desk.folder)
        assert len(ids(files(desk.folder))) == len(before) + 2, name
        assert not list(desk.folder.rglob("*.part"))
        (desk.folder / name).unlink()


def test_what_a_crash_left_is_removed(desk: Desk) -> None:
    """An object that was not put in its place yet."""
    events = [replace(an_event(number), position=number) for number in (1, 2)]
    desk.sink().send(events[:1])
    (name,) = files(desk.folder)
    rest = (desk.folder / name).with_name(".something.jsonl.gz.00112233.part")
    rest.write_bytes(b"half")
    desk.sink().send(events[1:])
    assert not rest.exists()


def test_who_stood_still_replaces_nothing(desk: Desk) -> None:
    """Another process has put up more under the same name meanwhile, and its cursor has moved."""
    stood_still, goes_on = desk.sink(), desk.sink()
    events = [replace(an_event(number), position=number) for number in (1, 2, 3)]
    stood_still.send(events[:1])
    goes_on.send(events)
    for _ in range(3):
        with pytest.raises(SinkError, match="where another process delivers by now") as told:
            stood_still.send(events[:2])
        assert told.value.retryable
        desk.clock.advance(19)
    assert len(ids(files(desk.folder))) == 3


def test_who_stood_still_replaces_nothing_in_a_bucket(cloud: Cloud) -> None:
    """Nor between its look and its putting up: the bucket itself compares."""
    clock, notes = ManualClock(NOW), NotesInMemory()
    sink = in_bucket(cloud).build(SinkContext(SITE, clock=clock, notes=notes))
    events = [replace(an_event(number), position=number) for number in (1, 2, 3)]
    sink.send(events)
    with pytest.raises(SinkError, match="where another process delivers by now"):
        sink.send(events[:2])
    assert len(ids(objects(cloud))) == 3
    clock.advance(60)
    sink.send(events[:2])
    assert len(ids(objects(cloud))) == 2
    shelf = archiving._BucketShelf(in_bucket(cloud))
    (key,) = (name.removeprefix("eye/") for name in cloud.objects())
    found = shelf.create(key, b"mine")
    assert found is not None
    shelf.put(key, b"another's", found)
    with pytest.raises(SinkError, match="another process has replaced it just now"):
        shelf.put(key, b"mine", found)
    assert objects(cloud)[key] == b"another's"


def test_two_stores_never_replace_each_others_objects(desk: Desk) -> None:
    """Another shop, or a new database: its positions begin with 1 again."""
    desk.sink().send([late(1)])
    desk.notes = NotesInMemory()
    desk.sink().send([replace(late(1), id="another")])
    assert sorted(ids(files(desk.folder))) == sorted([late(1).record_id, "another"])


def test_pictures_go_with_their_events(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Once; one that is gone is told of once, and one that cannot be read now is waited for."""
    with_picture = late(1).with_media(PICTURE)
    desk.media[PICTURE] = StoreError("the disk is gone")
    sink = desk.sink()
    with pytest.raises(SinkError, match="a picture cannot be read: the disk is gone") as told:
        sink.send([with_picture])
    assert told.value.retryable
    assert files(desk.folder) == {}
    desk.media[PICTURE] = b"a picture"
    with caplog.at_level(logging.WARNING):
        sink.send([with_picture, late(2).with_media("door/gone.jpg"), late(3).with_media("../x")])
        sink.send([late(4).with_media("door/gone-too.jpg", PICTURE)])
    assert files(desk.folder)[f"media/{PICTURE}"] == b"a picture"
    assert len(ids(files(desk.folder))) == 4
    assert [record.getMessage() for record in caplog.records] == [
        "sink lake: picture door/gone.jpg is gone, so its event is archived without it; further "
        "ones that are gone are not told of",
        "sink lake: '../x' is not a reference to a picture, and is left out",
    ]


def test_without_media_only_events_are_kept(tmp_path: Path) -> None:
    """`media: no`."""
    desk = Desk(tmp_path / "archive", media="no")
    desk.media[PICTURE] = b"a picture"
    sink = desk.sink()
    sink.send([replace(late(1), data={"clip": {"reference": CLIP}}).with_media(PICTURE)])
    sink.close()
    assert all(name.startswith("events/") for name in files(desk.folder))
    assert desk.notes.notes("clip/") == {}


def test_a_picture_that_was_replaced_is_replaced(desk: Desk) -> None:
    """As when a recording is judged again; the same one is left alone."""
    event = late(1).with_media(PICTURE)
    desk.media[PICTURE] = b"first"
    desk.sink().send([event])
    before = (desk.folder / "media" / PICTURE).stat()
    desk.sink().send([event])
    assert (desk.folder / "media" / PICTURE).stat() == before
    desk.media[PICTURE] = b"second"
    desk.sink().send([event])
    assert files(desk.folder)[f"media/{PICTURE}"] == b"second"


def clipped(number: int, reference: str = CLIP) -> Event:
    """An event with a clip."""
    return replace(late(number), data={"clip": {"reference": reference}})


def test_a_clip_follows_when_it_is_ready(desk: Desk) -> None:
    """With a later load, also of another process, and with all of its files."""
    sink = desk.sink()
    sink.send([clipped(1)])
    assert list(desk.notes.notes("clip/")) == [f"clip/{CLIP}"]
    desk.media[CLIP] = b"a clip"
    desk.media["door/2023-11-14/a.2.mp4"] = b"and more"
    again = desk.sink()
    again.send([late(2)])
    found = files(desk.folder)
    assert found[f"media/{CLIP}"] == b"a clip"
    assert found["media/door/2023-11-14/a.2.mp4"] == b"and more"
    assert desk.notes.notes("clip/") == {}


def test_a_clip_follows_when_the_sink_is_closed(desk: Desk) -> None:
    """A quiet shop has no later load."""
    sink = desk.sink()
    sink.send([clipped(1)])
    sink.close()
    assert f"media/{CLIP}" not in files(desk.folder)
    desk.media[CLIP] = b"a clip"
    sink.close()
    assert files(desk.folder)[f"media/{CLIP}"] == b"a clip"


def test_clips_that_never_come_are_given_up(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day, or when too many wait; events never wait for them."""
    monkeypatch.setattr(archiving, "_MOST_WAITING", 2)
    sink = desk.sink()
    desk.media["c.mp4"] = StoreError("it is out of reach")
    with caplog.at_level(logging.WARNING):
        sink.send([clipped(number, f"{letter}.mp4") for number, letter in enumerate("abc", 1)])
        assert sorted(desk.notes.notes("clip/")) == ["clip/b.mp4", "clip/c.mp4"]
        desk.clock.advance(2 * 86_400)
        sink.send([clipped(9, "d.mp4")])
    assert desk.notes.notes("clip/") == {}
    said = [record.getMessage().removeprefix("sink lake: ") for record in caplog.records]
    assert said == [
        "clip c.mp4 waits: it is out of reach",
        "more than 2 clips are not ready; a.mp4 and others that have waited longest are not "
        "archived",
        "clip d.mp4 of an old event is not there: not archived",
        "clip b.mp4 was not ready within a day: not archived",
    ]
    assert len(ids(files(desk.folder))) == 4


def a_report(reference: str) -> Event:
    """A report's event."""
    event = Event("r" * 26, REPORT, "single", "", "daily", NOW, position=1)
    return event.with_media(reference)


def test_a_report_is_kept_by_its_name(desk: Desk) -> None:
    """Under `reports/`, also without `media`; one whose file is gone becomes a dead letter."""
    reference = "reports/daily/daily-2023-11-13.parquet"
    desk.media[reference] = b"PAR1"
    desk.sink().send([a_report(reference)])
    assert files(desk.folder)[reference] == b"PAR1"
    del desk.media[reference]
    with pytest.raises(SinkError, match="make it again") as told:
        desk.sink().send([a_report(reference)])
    assert not told.value.retryable


def test_an_outage_in_mid_run_loses_nothing(tmp_path: Path, cloud: Cloud) -> None:
    """Nor doubles anything: what waited in the store goes up once the server is back."""
    clock = ManualClock(NOW)
    store = SqlStore(f"sqlite:///{tmp_path}/m.db", clock)
    config = in_bucket(cloud)
    context = SinkContext(
        SITE, clock=clock, notes=store.notes_of("lake"), read={PICTURE: b"jpeg"}.get
    )
    lane = SinkLane(Route.of("lake", config), config.build(context), store, clock, Metrics())
    events = [late(number).with_media(PICTURE) for number in range(1, 8)]
    store.register_sinks(["lake"])
    store.commit(Commit(events=events[:2]))
    assert lane.step() == 0.0
    cloud.stop()
    store.commit(Commit(events=events[2:5]))
    rest_s = lane.step()
    assert rest_s > 0
    error = lane.status().error or ""
    assert "cannot be reached" in error
    assert KEY not in error
    assert PASSWORD not in error
    store.commit(Commit(events=events[5:]))
    cloud.start()
    clock.advance(rest_s)
    assert lane.step() == 0.0  # what was read before the outage ended
    assert lane.step() == 0.0
    assert lane.status().error is None
    assert store.cursor("lake").behind == 0
    found = objects(cloud)
    assert sorted(ids(found)) == sorted(event.record_id for event in events)
    assert found[f"media/{PICTURE}"] == b"jpeg"
    head = cloud.s3.head_object(Bucket="shop", Key=f"eye/media/{PICTURE}")
    assert head["ContentType"] == "image/jpeg"
    lane.close()
    store.close()


def test_an_object_that_is_there_is_not_put_up_again(cloud: Cloud) -> None:
    """A picture that went up before a crash is recognised by its digest, and replaced if other."""
    content = {PICTURE: b"first"}

    def send() -> Any:
        context = SinkContext(SITE, read=content.get, notes=notes)
        in_bucket(cloud).build(context).send([late(1).with_media(PICTURE)])
        return cloud.s3.head_object(Bucket="shop", Key=f"eye/media/{PICTURE}")["LastModified"]

    notes = NotesInMemory()
    cloud.s3.put_object(Bucket="shop", Key=f"eye/media/{PICTURE}", Body=b"first")
    send()  # nothing says what that one is
    assert send() == send()
    content[PICTURE] = b"second"
    send()
    assert objects(cloud)[f"media/{PICTURE}"] == b"second"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "s3://nowhere/eye"}, "there is no such bucket; create it, or correct `url`"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said(
    cloud: Cloud, fields: dict[str, str], said: str
) -> None:
    """With the way out, and it is tried again: an operator can mend it."""
    with pytest.raises(SinkError, match=said) as told:
        in_bucket(cloud, **fields).build(SinkContext(SITE)).send([late(1)])
    assert told.value.retryable


def test_a_full_disk_leaves_no_half_of_an_object(desk: Desk) -> None:
    """And what was refused is written once there is room."""
    content = random.Random(1).randbytes(50_000)
    desk.media[PICTURE] = content
    sink = desk.sink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(SinkError, match="cannot be written"):
            sink.send([late(1).with_media(PICTURE)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(desk.folder) == {}
    sink.send([late(1).with_media(PICTURE)])
    assert files(desk.folder)[f"media/{PICTURE}"] == content


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "archive"}, "an archive is s3://BUCKET/PREFIX"),
        ({"url": "s3:/shop"}, "an archive is s3://BUCKET/PREFIX"),
        ({"url": "file://host/x"}, "file:///FOLDER"),
        ({"url": "s3://shop/../x"}, "an archive is s3://BUCKET/PREFIX"),
        ({"url": "/srv/x", "endpoint": "https://x"}, "`endpoint` is for buckets"),
        ({"url": "/srv/x", "access_key": "x", "secret_key": "y"}, "`access_key` is for buckets"),
        ({"url": "s3://shop", "access_key": "x"}, "needs both"),
        ({"url": "gs://shop", "region": "x"}, "`region` is for s3:// only"),
        ({}, "Field required"),
    ],
)
def test_bad_settings_are_named(fields: dict[str, Any], words: str) -> None:
    """With what is possible instead."""
    with pytest.raises(ValidationError) as told:
        TypeAdapter(SinkConfig).validate_python({"type": "archive", **fields})
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/srv/shop/", Path("/srv/shop")),
        ("./shop", Path("shop")),
        ("file:///srv/my%20shop", Path("/srv/my shop")),
        ("s3://shop/eye/", None),
    ],
)
def test_the_forms_of_places(url: str, folder: Path | None) -> None:
    """A folder may be written as a path or as an address."""
    assert ArchiveConfig(url=url).folder == folder


def test_two_sinks_of_the_same_place_are_known(tmp_path: Path) -> None:
    """However it is written."""
    (tmp_path / "link").symlink_to(tmp_path)

    def named(url: str) -> str | None:
        return ArchiveConfig(url=url).resource()

    assert named(f"{tmp_path}/link/x") == named(f"file://{tmp_path}/x")
    assert named("s3://shop/eye/") == named("s3://shop/eye")
    assert named("s3://shop/eye") != named("s3://shop/ear")


def test_what_is_missing_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket needs its library, a folder a place where it can be made, which may come later."""
    assert list(ArchiveConfig(url="s3://shop").lacks()) == []
    assert list(ArchiveConfig(url=f"{tmp_path}/new").lacks()) == []
    monkeypatch.setitem(sys.modules, "obstore", None)  # as where it is not installed
    (lack,) = ArchiveConfig(url="s3://shop").lacks()
    assert "an archive in a bucket needs obstore" in lack.message
    (tmp_path / "file").write_text("")
    (lack,) = ArchiveConfig(url=f"{tmp_path}/file").lacks()
    assert (lack.key, lack.is_fatal) == ("url", False)


def test_the_example_is_whole() -> None:
    """`configs/shop-reports.yaml`: a mail with the page, and an archive that gets the counts."""
    given = {"SHOP_CAMERA": "rtsp://10.0.0.7/1", "MAIL_PASSWORD": "x", "MAIL_TO": "a@example.org"}
    for archive in ("./archive", "s3://shop/12"):
        text = Path("configs/shop-reports.yaml").read_text("utf-8")
        deployment = parse(text, [], given | {"ARCHIVE": archive}).deployment
        assert deployment.reports_to("boss") == ("morning",)
        assert deployment.reports_to("archive") == ("counts",)
        assert list(problems(deployment, only_fatal=True)) == []
