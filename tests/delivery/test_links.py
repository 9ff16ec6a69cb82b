"""A link shows one file for some days, and nobody can make one, change one or guess one."""

import base64
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

from pipeline.core.errors import StoreError
from pipeline.core.sinks import NotesInMemory
from pipeline.delivery.links import LinkOverError, MediaLinks, NoSuchLinkError, NotedKeys
from pipeline.delivery.media_pages import MediaPages
from pipeline.telemetry.http import HttpPage
from pipeline.testing import ManualClock

PICTURE = "door/2026-11-26/5a1e0c6b4b1f7d2e8f90a1b2c3.start.jpg"
CLIP = "Tür/2026-11-26/5a1e0c6b4b1f7d2e8f90a1b2c3.start.mp4"
WEEK_S = 7 * 86400.0


@dataclass
class Desk:
    """Who makes links, and who serves them: two processes with one store."""

    notes: NotesInMemory = field(default_factory=NotesInMemory)
    clock: ManualClock = field(default_factory=ManualClock)
    files: dict[str, bytes] = field(default_factory=lambda: {PICTURE: b"JPEG", CLIP: b"0123456789"})

    def links(self) -> MediaLinks:
        """A process's own."""
        return MediaLinks(NotedKeys(self.notes), self.clock, "https://shop.example/cams/", WEEK_S)

    def path(self, reference: str) -> str:
        """The path of a link, as it arrives behind the address's own."""
        return urlsplit(self.links().link(reference)).path.removeprefix("/cams")

    def page(self, path: str, **headers: str) -> HttpPage:
        """What is answered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return MediaPages(self.links(), self.files.get).page(path, named)


@pytest.fixture
def desk() -> Desk:
    """Both."""
    return Desk()


def test_a_link_shows_its_file(desk: Desk) -> None:
    """With its kind, for this reader alone, and as nothing else."""
    link = desk.links().link(PICTURE)
    assert link.startswith("https://shop.example/cams/media/")
    assert link.endswith("/5a1e0c6b4b1f7d2e8f90a1b2c3.start.jpg")
    page = desk.page(desk.path(PICTURE))
    assert (page.status, page.body, page.kind) == (HTTPStatus.OK, b"JPEG", "image/jpeg")
    assert page.headers["Cache-Control"].startswith("private")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in page.headers["Content-Security-Policy"]
    assert desk.page(desk.path(CLIP)).kind == "video/mp4"


def test_a_link_is_the_same_all_day(desk: Desk) -> None:
    """So that a message that is repeated is the same; it holds for a week at least."""
    path = desk.path(PICTURE)
    desk.clock.advance(60)
    assert desk.path(PICTURE) == path
    desk.clock.advance(WEEK_S - 61)
    assert desk.page(path).status == HTTPStatus.OK
    desk.clock.advance(86400)
    page = desk.page(path)
    assert page.status == HTTPStatus.GONE
    assert page.body == b"this link is over; newer events have newer links\n"
    assert page.headers["Cache-Control"] == "no-store"


def test_every_letter_of_a_link_counts(desk: Desk) -> None:
    """One that is changed anywhere, cut or made longer is none."""
    path = desk.path(PICTURE)
    for place in range(len("/media/"), len(path)):
        other = "A" if path[place] != "A" else "B"
        for changed in (
            path[:place] + other + path[place + 1 :],
            path[:place],
            path[:place] + path[place + 1 :],
        ):
            assert desk.page(changed).status == HTTPStatus.NOT_FOUND
    assert desk.page(path + "x").status == HTTPStatus.NOT_FOUND
    assert desk.page(path + "/").status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "path",
    ["/media/", "/media//", "/media/../../etc/passwd", "/media/%2e%2e/x", "/media/AAAA/x.jpg",
     f"/media/{PICTURE}", "/media/" + "A" * 5000 + "/x", "/media/ü/x", "/media/=/x"],
)  # fmt: skip
def test_what_is_no_link_is_not_found(desk: Desk, path: str) -> None:
    """Before and after there is a key; nothing is listed."""
    assert desk.page(path).status == HTTPStatus.NOT_FOUND
    desk.links().link(PICTURE)
    assert desk.page(path).status == HTTPStatus.NOT_FOUND


def test_another_key_signs_other_links(desk: Desk) -> None:
    """A store that was made anew does not know the links of the one before."""
    path = desk.path(PICTURE)
    desk.notes.take_down({"key": None})
    with pytest.raises(NoSuchLinkError):
        desk.links().reference(path)
    assert desk.notes.notes() == {}
    assert desk.path(PICTURE) != path


def test_the_key_is_made_once_and_long(desk: Desk) -> None:
    """256 bits, the same for all processes."""
    desk.links().link(PICTURE)
    key = desk.notes.note("key")
    assert key is not None
    assert len(bytes.fromhex(key)) == 32
    desk.links().link(CLIP)
    assert desk.notes.note("key") == key


def test_a_token_that_is_written_otherwise_is_none(desk: Desk) -> None:
    """Base64 knows several ways to write the same bytes; only ours is taken."""
    path = desk.path(PICTURE)
    token = path.split("/")[2]
    content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    padded = base64.urlsafe_b64encode(content + b"\0").decode().rstrip("=")
    for other in (token + "=", token + "==", padded, token + "\n"):
        assert desk.page(path.replace(token, other)).status == HTTPStatus.NOT_FOUND


def test_links_end(desk: Desk) -> None:
    """That is an answer of its own, for who has the right link."""
    path = desk.path(PICTURE)
    desk.clock.advance(9 * 86400)
    with pytest.raises(LinkOverError):
        desk.links().reference(path)


def test_a_file_that_is_not_there_is_said(desk: Desk) -> None:
    """It may come: a clip is cut later than its event is sent."""
    path = desk.path("door/2026-11-26/later.mp4")
    page = desk.page(path)
    assert page.status == HTTPStatus.NOT_FOUND
    assert b"a clip is ready some seconds after its event" in page.body
    desk.files["door/2026-11-26/later.mp4"] = b"video"
    assert desk.page(path).body == b"video"


def test_what_is_out_of_reach_is_said(desk: Desk) -> None:
    """Store or media folder; nothing of the reason, which is not for everybody."""

    class Broken:
        def make(self) -> bytes:
            raise StoreError("postgresql://db.internal is out of reach")

        def known(self) -> bytes | None:
            raise StoreError("postgresql://db.internal is out of reach")

    path = desk.path(PICTURE)

    def unreadable(_: str) -> bytes | None:
        raise StoreError("s3://secret-bucket is out of reach")

    pages = [
        MediaPages(MediaLinks(Broken(), desk.clock, "https://x", 1.0), desk.files.get),
        MediaPages(desk.links(), unreadable),
    ]
    for one in pages:
        page = one.page(path, {})
        assert page.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert b"secret" not in page.body
        assert b"internal" not in page.body


@pytest.mark.parametrize(
    ("asked", "status", "body", "said"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=10-", 416, b"the file has 10 bytes\n", "bytes */10"),
        ("bytes=-0", 416, b"the file has 10 bytes\n", "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=0-99999999999999999999", 200, b"0123456789", None),
    ],
)
def test_players_can_seek(
    desk: Desk, asked: str, status: int, body: bytes, said: str | None
) -> None:
    """A part of a file, as HTTP has it; of what is not understood all of it."""
    page = desk.page(desk.path(CLIP), range=asked)
    assert (page.status, page.body) == (status, body)
    assert page.headers.get("Content-Range") == said
    assert page.headers["Accept-Ranges"] == "bytes"


def test_a_part_is_of_the_same_file(desk: Desk) -> None:
    """Where it was replaced meanwhile the whole is sent."""
    path = desk.path(CLIP)
    tag = desk.page(path).headers["ETag"]
    assert desk.page(path, range="bytes=0-3", if_range=tag).status == HTTPStatus.PARTIAL_CONTENT
    desk.files[CLIP] = b"abcdefghij"
    page = desk.page(path, range="bytes=0-3", if_range=tag)
    assert (page.status, page.body) == (HTTPStatus.OK, b"abcdefghij")


def test_odd_names_can_be_linked(desk: Desk) -> None:
    """Whatever a camera is called."""
    for reference in ("a b/2026/x y.jpg", "ü/ü.jpg", "%2f/%2f.jpg", "x/\ud83d.jpg"):
        desk.files[reference] = b"here"
        assert desk.page(desk.path(reference)).body == b"here"


def test_garbage_does_not_wear_out_the_store(desk: Desk) -> None:
    """Before there is a key, the store is not asked for each request; a new key is found soon."""
    asked = 0

    class Counting(NotedKeys):
        def known(self) -> bytes | None:
            nonlocal asked
            asked += 1
            return super().known()

    links = MediaLinks(Counting(desk.notes), desk.clock, "https://x", 1.0)
    wrong = "/media/" + "A" * 100 + "/x"
    for _ in range(100):
        with pytest.raises(NoSuchLinkError):
            links.reference(wrong)
    assert asked == 1
    path = desk.path(PICTURE)
    desk.clock.advance(3)
    assert links.reference(path) == PICTURE
