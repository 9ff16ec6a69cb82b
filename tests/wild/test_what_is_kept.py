"""What moonwatch forgets, and everything else on the disk that it leaves alone."""

import hashlib
import logging
import os
import shutil
import sqlite3
import tempfile
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.stores import StoreConfig
from connectors.stores.files import FileMediaStore, ForgottenPictures
from connectors.stores.sql import SqlStore
from pipeline.core.errors import StoreError
from pipeline.core.store import Commit, Forgotten
from pipeline.deployment.loader import parse
from pipeline.processing.snapshots import reference_of
from pipeline.runtime.stages.retention import Retention
from pipeline.testing import ManualClock
from tests.cli.commands import moonwatch
from tests.contracts.event_tools import an_event
from tests.runtime.clips import camera, cut, deployment
from tests.runtime.clips import written as deployment_file

DAY = 86400.0
TEXT = """
version: 1
store: {url: "sqlite:///FOLDER/events.db", media: "FOLDER/home", keep: 30d}
cameras:
  door:
    source: {type: rtsp, url: "rtsp://127.0.0.1:9/door"}
"""


class Shop:
    """A store and its pictures in somebody's own folder, with the retention that looks after it."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.folder = folder
        self.home = folder / "home"
        self.deployment = parse(TEXT.replace("FOLDER", str(folder))).deployment
        self.store: SqlStore = self.deployment.store.build(self.clock)
        self.start()

    def start(self) -> None:
        """Another process begins."""
        self.media: FileMediaStore = self.deployment.store.build_media(self.store)
        self.retention = Retention(self.deployment, self.store, self.media, self.clock)

    def keep(
        self,
        number: int,
        content: bytes = b"picture",
        *,
        stored: bool = True,
        at: float | None = None,
    ) -> Path:
        """Keep an event's picture, and the event unless moonwatch is killed in between."""
        event = replace(an_event(number), camera="door", at=at or self.clock.now())
        reference = reference_of(event)
        self.media.put(reference, content)
        path = self.media.path(reference)
        os.utime(path, (self.clock.now(), self.clock.now()))
        if stored:
            self.store.commit(Commit(events=[event.with_media(reference)]))
        return path

    def pass_days(self, days: int) -> None:
        """Days of being at work, and the next time that retention looks."""
        self.clock.advance(days * DAY)
        self.retention.look()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop."""
    return Shop(tmp_path)


def contents(folder: Path) -> dict[str, str | bytes]:
    """Every file, link and empty folder, with what is in it."""
    found: dict[str, str | bytes] = {}
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(place, name)
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            elif path.is_file():
                found[key] = path.read_bytes()
            elif not any(path.iterdir()):
                found[key] = "an empty folder"
    return found


def written(path: Path, content: bytes = b"mine", age_at: float = 1000.0) -> Path:
    """A file of the owner's, last changed long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (age_at, age_at))
    return path


def test_an_invoice_in_the_media_folder_is_not_deleted(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The pictures lie in a shared folder: after a month only they go, which is said in numbers."""
    caplog.set_level(logging.INFO)
    written(shop.home / "invoice.pdf")
    written(shop.home / "holiday" / "2019.jpg")
    before = contents(shop.home)
    shop.retention.look()
    assert contents(shop.home) == before
    for number in range(3):
        shop.keep(number, b"x" * 500_000)
    assert contents(shop.home) != before
    shop.pass_days(31)
    assert contents(shop.home) == before
    (said,) = [record.message for record in caplog.records if "forgot" in record.message]
    assert said == "forgot 3 events and 3 pictures (2 MB) older than 30d"
    assert shop.retention.trouble is None


NAMES = ("door", "2023-11-14", "a.jpg", "invoice.pdf", "x.jpg.1234.part", ".hidden", "häufig\n.jpg")
FOREIGN = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=5),
        st.sampled_from(["file", "folder", "link to a file", "link to a folder", "like ours"]),
    ),
    max_size=12,
)


def litter(home: Path, archive: Path, foreign: list[tuple[list[str], str]]) -> None:
    """Put somebody's files, folders and links where they fit."""
    for place, kind in foreign:
        path = home.joinpath(*place)
        try:
            match kind:
                case "folder":
                    # An empty one on the way to a picture could be ours.
                    written(path / "theirs" / "note.txt")
                case "link to a file":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(archive / "kept.jpg")
                case "link to a folder":
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(archive)
                case "like ours":
                    record = f"{hashlib.sha256(path.name.encode()).hexdigest()[:26]}.jpg"
                    written(home / "door" / "2023-11-14" / record)
                case _:
                    written(path)
        except OSError:
            continue  # something is in the way


def touch(path: Path, how: str, archive: Path, at: float) -> None:
    """What an owner does to a picture."""
    match how:
        case "changed":
            written(path, b"painted", at)
        case "longer":
            written(path, b"picture and a signature", at)
        case "linked":
            path.rename(archive / path.name)
            path.symlink_to(archive / path.name)
        case "folder":
            path.unlink()
            written(path / "note.txt")
        case "copied":
            shutil.copy2(path, path.with_name(f"best {path.name}"))
        case "gone":
            path.unlink()


@settings(max_examples=25, deadline=None)
@given(
    foreign=FOREIGN,
    touched=st.lists(
        st.sampled_from(["changed", "linked", "copied", "longer", "folder", "gone", "same"]),
        max_size=6,
    ),
    late=st.booleans(),
)
def test_no_file_of_anybody_else_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory,
    foreign: list[tuple[list[str], str]],
    touched: list[str],
    late: bool,
) -> None:
    """Names like ours, deep folders, links, and pictures that their owner replaced."""
    root = tmp_path_factory.mktemp("shop")
    archive = written(root / "archive" / "kept.jpg", b"archive").parent
    shop = Shop(root)
    shop.home.mkdir()

    if not late:
        litter(shop.home, archive, foreign)
    pictures: list[Path | None] = []
    for number in range(len(touched)):
        try:
            pictures.append(shop.keep(number))
        except StoreError:
            pictures.append(None)  # somebody's file is in the way
    if late:
        litter(shop.home, archive, foreign)
    for path, how in zip(pictures, touched, strict=True):
        if path is not None:
            touch(path, how, archive, shop.clock.now())
    ours = {
        str(path.relative_to(shop.home))
        for path, how in zip(pictures, touched, strict=True)
        if path is not None and how in ("same", "copied")
    }
    before = {name: seen for name, seen in contents(shop.home).items() if name not in ours}
    kept = contents(archive)
    shop.pass_days(45)
    empty = "an empty folder"
    after = {name: seen for name, seen in contents(shop.home).items() if seen != empty}
    assert after == {name: seen for name, seen in before.items() if seen != empty}
    assert contents(archive) == kept
    shop.store.close()


def test_pictures_behind_a_link_to_an_archive_are_left_alone(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner moved a day to another disk and left a link: that is said, and nothing goes."""
    picture = shop.keep(1)
    day = picture.parent
    shutil.move(day, tmp_path / "archive")
    day.symlink_to(tmp_path / "archive")
    shop.pass_days(31)
    assert (tmp_path / "archive" / picture.name).exists()
    assert day.is_symlink()
    assert "not what moonwatch wrote any more: 1; they are left alone" in caplog.text


def test_killed_between_a_picture_and_its_event(shop: Shop) -> None:
    """A picture whose event was never stored is forgotten as well, and so is half of one."""
    half = shop.keep(1, stored=False)
    unfinished = half.with_name(f"{half.name}.{hashlib.sha256(b'picture').hexdigest()[:16]}.part")
    half.rename(unfinished)
    unfinished.write_bytes(b"pic")
    whole = shop.keep(2, stored=False)
    foreign = written(half.with_name("mine.jpg.77.part"))
    shop.pass_days(31)
    assert not whole.exists()
    assert not unfinished.exists()
    assert foreign.exists()


def test_killed_between_deleting_a_picture_and_its_record(shop: Shop) -> None:
    """The record of a picture that is gone goes too, once no other host could have the file."""
    shop.keep(1).unlink()
    shop.pass_days(45)
    assert shop.store.old_pictures(2e9, 10) == []


def test_a_picture_is_kept_as_long_as_its_event(shop: Shop) -> None:
    """A sink was away for two months: what it has not got yet is whole when it comes back."""
    shop.store.register_sinks(["ops"])
    picture = shop.keep(1)
    shop.pass_days(60)
    assert picture.exists()
    shop.store.advance("ops", 1)
    shop.pass_days(1)
    assert not picture.exists()


def test_a_picture_drawn_on_by_its_owner_is_not_written_over(shop: Shop) -> None:
    """A recording is judged again after a kill: the event goes without, the drawing stays."""
    picture = shop.keep(1)
    picture.write_bytes(b"drawn on")
    with pytest.raises(StoreError, match="in its place is a file that this store did not record"):
        shop.keep(1, stored=False)
    assert picture.read_bytes() == b"drawn on"


def test_a_picture_written_twice_with_another_content(shop: Shop) -> None:
    """A recording is judged again by a release that draws otherwise: both are its own."""
    shop.keep(1, b"first", stored=False)
    picture = shop.keep(1, b"second")
    assert picture.read_bytes() == b"second"
    shop.pass_days(31)
    assert contents(shop.home) == {}


def test_the_media_folder_was_moved(shop: Shop, tmp_path: Path) -> None:
    """Pictures in the old place and in the new one are forgotten; the folders themselves stay."""
    shop.keep(1)
    stayed = shop.keep(2)
    shop.home = tmp_path / "new"
    store = shop.deployment.store.model_copy(update={"media": shop.home})
    shop.deployment = shop.deployment.model_copy(update={"store": store})
    shop.start()
    shop.keep(3)
    shop.pass_days(31)
    assert contents(tmp_path / "home") == {}
    assert contents(tmp_path / "new") == {}
    assert not stayed.exists()


def test_another_host_with_a_folder_of_its_own(shop: Shop, tmp_path: Path) -> None:
    """It neither deletes the first one's pictures nor forgets that they are there."""
    picture = shop.keep(1)
    hidden = tmp_path / "on the other host"
    shop.home.rename(hidden)
    shop.home.mkdir()
    shop.pass_days(31)
    shop.home.rmdir()
    hidden.rename(shop.home)
    shop.pass_days(1)
    assert not picture.exists()


def earlier(folder: Path) -> None:
    """Make a store look as an earlier release left it: it knew pictures only by their events."""
    with closing(sqlite3.connect(folder / "events.db")) as connection:
        connection.executescript("DROP TABLE moonwatch_pictures; DROP TABLE moonwatch_marks;")


def test_pictures_of_an_earlier_release(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of stored events are forgotten, those replaced since and all others are not."""
    picture, replaced = shop.keep(1), shop.keep(2)
    orphan = shop.keep(3, stored=False)
    foreign = written(picture.with_name("invoice.jpg"))
    shop.store.close()
    earlier(tmp_path)
    written(replaced, b"mine", shop.clock.now() + 5 * DAY)
    shop.store = shop.deployment.store.build(shop.clock)
    shop.start()
    shop.pass_days(31)
    assert not picture.exists()
    assert replaced.read_bytes() == b"mine"
    assert foreign.exists()
    assert orphan.exists()
    shop.start()
    shop.pass_days(2)  # it is not said at every start
    assert caplog.text.count("for another store: 1;") == 1
    assert "delete them by hand" in caplog.text


def test_a_record_that_leads_out_of_the_folder(shop: Shop, tmp_path: Path) -> None:
    """Somebody wrote `../invoice.pdf` into the table of pictures: nothing outside is touched."""
    invoice = written(tmp_path / "invoice.pdf", b"mine")
    shop.keep(1)
    digest = hashlib.sha256(b"mine").hexdigest()
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        row = ("../invoice.pdf", digest, 4, str(shop.home), shop.clock.now())
        connection.execute("INSERT INTO moonwatch_pictures VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    shop.pass_days(31)
    assert invoice.exists()


def test_pictures_without_the_store_that_recorded_them(tmp_path: Path) -> None:
    """The database was deleted: a new one knows of no picture, so none is deleted."""
    shop = Shop(tmp_path)
    picture = shop.keep(1)
    shop.store.close()
    (tmp_path / "events.db").unlink()
    store = StoreConfig(url=f"sqlite:///{tmp_path}/other.db").build(shop.clock)
    assert FileMediaStore(shop.home, store).prune(2e9) == ForgottenPictures()
    assert store.prune(2e9) == Forgotten()
    assert picture.exists()
    store.close()


def test_the_database_was_deleted_and_the_recording_played_again(tmp_path: Path) -> None:
    """The same picture is there already: the event has it, and it goes when it is old."""
    shop = Shop(tmp_path)
    picture = shop.keep(1)
    shop.store.close()
    for file in tmp_path.glob("events.db*"):
        file.unlink()
    shop = Shop(tmp_path)
    assert shop.keep(1) == picture
    shop.pass_days(31)
    assert not picture.exists()
    shop.store.close()


def as_nobody(work: Callable[[], None]) -> None:
    """Do it as a user without rights: in a process of its own where this one is root's."""
    if os.geteuid() != 0:
        work()
        return
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            work()
        except BaseException:  # noqa: BLE001 - whatever it was, the parent is told
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_old_pictures_of_which_one_cannot_be_deleted() -> None:
    """A folder was made read-only: all others go, and it is said until that is undone."""

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            shop = Shop(Path(folder))
            locked, free = shop.keep(1), shop.keep(2, at=shop.clock.now() + DAY)
            locked.parent.chmod(0o500)
            shop.pass_days(31)
            assert locked.exists()
            assert not free.exists()
            assert (
                f"cannot be deleted (1): door/2023-11-14/{locked.name}: Permission denied"
                in str(shop.retention.trouble)
            )
            locked.parent.chmod(0o700)
            shop.pass_days(1)
            assert not locked.exists()
            assert shop.retention.trouble is None
            shop.store.close()

    as_nobody(work)


def test_all_was_kept_for_years_until_somebody_set_a_limit(shop: Shop) -> None:
    """Then what is older goes at once: the clock was seen to be right all the time."""
    endless = shop.deployment.store.model_copy(update={"keep": None})
    limited = shop.deployment
    shop.retention.update(limited.model_copy(update={"store": endless}))
    picture = shop.keep(1)
    for _ in range(20):
        shop.pass_days(30)
    assert picture.exists()
    shop.retention.update(limited)
    shop.pass_days(1)
    assert not picture.exists()
    assert shop.retention.trouble is None


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_whose_pictures_lie_among_the_owners_files(tmp_path: Path) -> None:
    """The next run forgets what the first one wrote, and nothing else."""
    clip = cut(tmp_path / "plaza.mp4", 3.0)
    content = deployment(tmp_path, {"plaza": camera(clip)})
    content["store"] |= {"keep": "1s", "media": str(tmp_path / "home")}
    invoice = written(tmp_path / "home" / "invoice.pdf")
    photo = written(tmp_path / "home" / "plaza" / "2026-06-01" / "holiday.jpg")
    file = deployment_file(tmp_path, content)
    assert moonwatch("run", file)[0] == 0
    assert len(list((tmp_path / "home" / "plaza" / "2026-06-01").iterdir())) > 1
    with closing(sqlite3.connect(tmp_path / "events.db")) as connection:
        for table in ("events", "pictures", "buckets", "health"):
            connection.execute(f"UPDATE moonwatch_{table} SET kept_at = kept_at - 60")
        connection.commit()
    code, _, errors = moonwatch("run", file)
    assert code == 0
    assert "forgot " in errors
    assert list(photo.parent.iterdir()) == [photo]
    assert invoice.exists()
