"""Pictures and clips in a bucket, over HTTP to a server that speaks S3: Moto's, in this process."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from connectors.stores import StoreConfig
from connectors.stores.buckets import BucketMediaStore
from connectors.stores.clip_files import ClipFileStore
from connectors.stores.files import FileMediaStore
from connectors.stores.media import FolderMediaConfig, S3MediaConfig
from connectors.stores.sql import SqlStore
from pipeline.core.errors import StoreError
from pipeline.core.store import Commit, EventFilter
from pipeline.deployment.loader import parse
from pipeline.processing.snapshots import MISSING, Snapshots
from pipeline.runtime.past_questions import event_pictures
from pipeline.testing import ManualClock, frame
from tests.contracts.event_tools import an_event
from tests.processing.test_processor import Desk, result

NOW = 1_780_000_000.0
KEY, PASSWORD = "the-id-of-a-key", "the-key-itself-which-is-secret"
REFERENCE = "door/2026-05-28/a.jpg"


def _free_port() -> int:
    """One that no system gives to whoever asks for any: it must still be free after an outage."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


class Cloud:
    """A server of buckets that can go away and come back with all that it had."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=PASSWORD,
        )
        self.s3.create_bucket(Bucket="shop")

    def stop(self) -> None:
        """Go away."""
        self._server.stop()

    def start(self) -> None:
        """Come back."""
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def objects(self) -> list[str]:
        """What is in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="shop")
        return [one["Key"] for page in pages for one in page.get("Contents", [])]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An empty bucket."""
    yield from empty_bucket()


def empty_bucket() -> Iterator[Cloud]:
    """One that is there until the test is over; all servers of a process have the same content."""
    made = Cloud()
    yield made
    made.stop()
    made.start()
    made.s3.delete_objects(
        Bucket="shop", Delete={"Objects": [{"Key": key} for key in ("none", *made.objects())]}
    )
    made.s3.delete_bucket(Bucket="shop")
    made.stop()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands."""
    return ManualClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SqlStore]:
    """The store that records what is written."""
    made = StoreConfig.model_validate({"url": f"sqlite:///{tmp_path}/m.db"}).build(clock)
    yield made
    made.close()


def config(cloud: Cloud, bucket: str = "shop") -> S3MediaConfig:
    """Settings of a bucket."""
    return S3MediaConfig.model_validate(
        {
            "type": "s3",
            "url": f"s3://{bucket}/eye",
            "endpoint": cloud.url,
            "access_key": KEY,
            "secret_key": PASSWORD,
            "timeout": "2s",
        }
    )


def test_pictures_are_kept_read_and_forgotten(
    tmp_path: Path, cloud: Cloud, store: SqlStore, clock: ManualClock
) -> None:
    """Each is an object below the prefix; what somebody else put there is never touched."""
    media = BucketMediaStore(config(cloud), tmp_path / "here", store)
    media.put(REFERENCE, b"first")
    media.put(REFERENCE, b"second")
    media.put("door/2026-05-28/b.jpg", b"changed later")
    cloud.s3.put_object(Bucket="shop", Key="eye/door/2026-05-28/b.jpg", Body=b"somebody else's")
    cloud.s3.put_object(Bucket="shop", Key="eye/door/2026-05-28/c.jpg", Body=b"somebody else's")
    assert cloud.s3.head_object(Bucket="shop", Key=f"eye/{REFERENCE}")["ContentType"] == (
        "image/jpeg"
    )
    assert media.has(REFERENCE)
    assert not media.has("door/2026-05-28/none.jpg")
    assert media.local(REFERENCE).read_bytes() == b"second"
    assert media.read(REFERENCE) == b"second"
    assert media.read("door/2026-05-28/none.jpg") is None
    with pytest.raises(StoreError, match="an object that this store did not record"):
        media.put("door/2026-05-28/c.jpg", b"ours")
    assert media.prune(NOW - 1).pictures == 0
    done = media.prune(NOW + 1)
    assert (done.pictures, done.bytes, done.left_alone, done.failed) == (1, 6, 1, 0)
    assert sorted(cloud.objects()) == ["eye/door/2026-05-28/b.jpg", "eye/door/2026-05-28/c.jpg"]


def test_a_clip_goes_up_when_it_is_whole(tmp_path: Path, cloud: Cloud, store: SqlStore) -> None:
    """It grows in a folder of this machine, and is only in the bucket afterwards."""
    media = BucketMediaStore(config(cloud), tmp_path / "here", store)
    clips = ClipFileStore(media)
    assert clips.folder == "s3://shop/eye"
    content = os.urandom(12_000_000)
    placed = clips.place("door/2026-05-28/a.mp4")
    placed.write_bytes(content)
    clips.keep("door/2026-05-28/a.mp4", placed)
    assert [one.reference for one in clips.held()] == ["door/2026-05-28/a.mp4"]
    clips.send("door/2026-05-28/a.mp4")
    assert not list((tmp_path / "here").iterdir())
    assert not clips.held()
    assert media.size("door/2026-05-28/a.mp4") == len(content)
    assert media.local("door/2026-05-28/a.mp4").read_bytes() == content
    assert clips.share("door/2026-05-28/a.mp4", "door/2026-05-28/b.mp4")
    assert not clips.share("door/2026-05-28/none.mp4", "door/2026-05-28/c.mp4")
    assert [one.reference for one in clips.held()] == ["door/2026-05-28/b.mp4"]
    clips.send("door/2026-05-28/b.mp4")
    assert media.read("door/2026-05-28/b.mp4") == content
    assert media.size("door/2026-05-28/a.mp4") == len(content)


def test_an_outage_is_said_and_over_when_it_is(
    tmp_path: Path, cloud: Cloud, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails says so at once afterwards, and is tried again; nothing is deleted meanwhile."""
    monkeypatch.setattr("connectors.stores.buckets._AGAIN_AFTER_S", 0.0)
    media = BucketMediaStore(config(cloud), tmp_path / "here", store)
    media.put(REFERENCE, b"kept")
    cloud.stop()
    with pytest.raises(StoreError, match=r"s3://shop/eye: .*cannot be reached") as told:
        media.put("door/2026-05-28/b.jpg", b"lost")
    assert PASSWORD not in str(told.value)
    assert KEY not in str(told.value)
    done = media.prune(NOW + 1)
    assert done.failed == 1
    assert "cannot be reached" in (done.trouble or "")
    cloud.start()
    media.put("door/2026-05-28/b.jpg", b"kept too")
    assert media.prune(NOW + 1).pictures == 2
    assert cloud.objects() == []


def test_an_outage_in_mid_run_costs_no_event(
    tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events go on without pictures and say why, as `status` does; later ones have them again."""
    monkeypatch.setattr("connectors.stores.buckets._AGAIN_AFTER_S", 0.0)
    desk = Desk(tmp_path)
    for nth in range(1, 6):
        desk.shelf.keep(replace(frame("door", nth), run="clip"))
    media = BucketMediaStore(config(cloud), tmp_path / "here", desk.store)
    snapshots = Snapshots(desk.shelf, media)
    desk.processor = desk.make(desk.store, snapshots=snapshots)
    desk.feed(result(0), result(1))
    cloud.stop()
    desk.feed(result(2), result(3))
    assert "events are stored without pictures: " in (snapshots.trouble or "")
    assert PASSWORD not in (snapshots.trouble or "")
    cloud.start()
    desk.feed(result(4), result(5))
    assert snapshots.trouble is None
    events = [kept.event for kept in desk.events()]
    assert [len(event.media) for event in events] == [1, 0, 1]
    assert MISSING in events[1].data
    assert {f"eye/{event.media[0]}" for event in (events[0], events[2])} == set(cloud.objects())


def test_a_bucket_is_tried_and_left_as_it_was(tmp_path: Path, cloud: Cloud) -> None:
    """An object is put, read and deleted; what is wrong with the bucket is said."""
    media = BucketMediaStore(config(cloud), tmp_path)
    assert media.try_out() == "takes, gives and deletes objects"
    assert "Contents" not in cloud.s3.list_objects_v2(Bucket="shop")
    with pytest.raises(StoreError, match="there is no such bucket"):
        BucketMediaStore(config(cloud, "other"), tmp_path).try_out()


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, cloud: Cloud) -> None:
    """With the way out, and at once for the next picture."""
    media = BucketMediaStore(config(cloud, "shopp"), tmp_path / "here")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"s3://shopp/eye: there is no such bucket; create"):
            media.put(REFERENCE, b"x")


def test_the_forms_of_media(tmp_path: Path) -> None:
    """A plain path is the short form of a folder."""
    short = StoreConfig.model_validate({"media": "here"})
    long = StoreConfig.model_validate({"media": {"type": "folder", "path": "here"}})
    assert isinstance(long.media, FolderMediaConfig)
    assert short.media_folder == long.media_folder == Path("here")
    assert type(long.build_media()) is FileMediaStore


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "shop"}, "a bucket is s3://BUCKET/PREFIX"),
        ({"url": "s3://shop/../x"}, "a bucket is s3://BUCKET/PREFIX"),
        ({"url": "s3://shop", "endpoint": "ftp://x"}, "an endpoint is https"),
        ({"url": "s3://shop", "access_key": "x"}, "needs both"),
        ({"url": "gs://shop", "region": "x"}, "`region` is for s3:// only"),
        ({"url": "az://shop", "region": "x"}, "`region` is for s3:// only"),
        (
            {"url": "gs://shop", "access_key": "x", "secret_key": "y"},
            "GOOGLE_SERVICE_ACCOUNT in the environment",
        ),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, str], said: str) -> None:
    """Each with a sentence."""
    with pytest.raises(ValueError, match=said):
        S3MediaConfig.model_validate({"type": "s3", **settings})


def test_a_picture_that_is_asked_about_is_named_by_its_object(
    tmp_path: Path, cloud: Cloud, clock: ManualClock
) -> None:
    """Its copy is read, and gone with the command."""
    text = f"""
version: 1
store:
  url: sqlite:///{tmp_path}/m.db
  media: {{type: s3, url: s3://shop/eye, endpoint: {cloud.url}, access_key: {KEY}, secret_key: s}}
cameras: {{door: {{source: {{type: rtsp, url: rtsp://192.0.2.1/a}}}}}}
"""
    deployment = parse(text, [], {}).deployment
    store = deployment.store.build(clock)
    deployment.store.build_media(store).put(REFERENCE, b"a picture")
    store.commit(Commit(events=[an_event(1, camera="door").with_media(REFERENCE)]))
    found = event_pictures(deployment, store.history, EventFilter(), 10)
    store.close()
    (picture,) = found.pictures
    assert picture.reference == f"s3://shop/eye/{REFERENCE}"
    assert Path(picture.file).read_bytes() == b"a picture"
