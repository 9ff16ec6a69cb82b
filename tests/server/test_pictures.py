"""Pictures as callers send them, good and hostile."""

import asyncio
import base64
import struct
import threading
import tracemalloc
import zlib
from io import BytesIO
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.server.fetching import Fetcher, PictureRefused
from pipeline.server.pictures import CallersPicture, PictureReader, decoded
from pipeline.testing import patience

PIXELS = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)


def encoded(kind: str = "PNG", image: Image.Image | None = None, **options: object) -> bytes:
    """The bytes of a picture."""
    file = BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, kind, **options)
    return file.getvalue()


def base64_of(data: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(data).decode()


def read(text: str, most_bytes: int = 1_000_000) -> CallersPicture:
    """Read one picture."""
    reader = PictureReader(Fetcher(), most_bytes)
    try:
        return asyncio.run(reader.read(text))
    finally:
        reader.close()


def png(width: int, height: int) -> bytes:
    """A PNG whose header says any size, with hardly any data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "before",
    ["data:image/png;base64,", "data:;base64,", "DATA:image/png;BASE64,", "",
     "data:image/png;charset=utf-8;base64,", "data:application/octet-stream;base64,", "  "],
)  # fmt: skip
def test_data_uris_and_bare_base64(before: str) -> None:
    """The pixels are those that were sent, whatever is said of their type."""
    data = encoded()
    found = read(before + base64_of(data))
    assert np.array_equal(found.pixels, PIXELS)
    assert found.bytes_in == len(data)


def test_base64_in_lines() -> None:
    """As mail programs and `base64` write it."""
    text = base64.encodebytes(encoded()).decode().replace("\n", "\r\n")
    assert np.array_equal(read(text).pixels, PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_the_formats(kind: str) -> None:
    """Each is read; what is animated by its first frame."""
    flat = Image.new("RGB", (24, 16), (200, 100, 50))
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    if kind in ("GIF", "WEBP"):
        options |= {"save_all": True, "append_images": [Image.new("RGB", (24, 16))]}
    found = read(base64_of(encoded(kind, flat, **options))).pixels
    assert found.shape == (16, 24, 3)
    assert np.abs(found.astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_the_modes(mode: str) -> None:
    """White is white in every way to say it."""
    value = {"1": 1, "I;16": 65535, "LA": (255, 255), "RGBA": (255,) * 4}.get(mode, 255)
    image = Image.new(mode, (5, 4), value)  # type: ignore[arg-type]
    if mode == "P":
        image = Image.new("L", (5, 4), 255).convert("P")
    assert decoded(encoded("PNG", image)).min() == 255


def test_cmyk() -> None:
    """As printers' pictures are."""
    found = decoded(encoded("JPEG", Image.new("CMYK", (16, 16), (0, 0, 0, 0))))
    assert found.min() >= 250


def test_a_picture_stands_upright() -> None:
    """A phone's picture is turned as it would be seen."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decoded(encoded("PNG", exif=exif))
    assert np.array_equal(found, np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("data:image/png;base64", "comma"),
        ("data:image/png,abc", "base64"),
        ("data:text/html;base64,AAAA", "text/html"),
        ("data:image/png;base64,&&&&", "base64"),
        ("data:image/png;base64,AAAAA", "base64"),
        ("data:image/png;base64,", "cannot be read"),
        ("päng", "base64"),
        ("file:///etc/passwd", "file:"),
        ("ftp://a.example/b.png", "ftp:"),
        ("/etc/passwd", "neither an address"),
        ("https://a.example/b.png", "fetches no pictures"),
        ("data:" + ";a" * 2000, "comma"),
    ],
)
def test_what_is_no_picture(text: str, said: str) -> None:
    """Each is refused with a sentence that says what to send."""
    with pytest.raises(PictureRefused, match=said):
        read(text)


def test_too_large_by_length_alone() -> None:
    """Nothing is decoded of what is too long."""
    with pytest.raises(PictureRefused, match="larger than 1000 bytes") as caught:
        read(base64_of(bytes(2000)), 1000)
    assert caught.value.code == "image_too_large"
    with pytest.raises(PictureRefused, match="larger than 1000 bytes"):
        read("data:image/png;base64," + base64_of(bytes(1001)), 1000)


@pytest.mark.parametrize(
    "size", [(60_000, 60_000), (20_000, 10), (10, 20_000), (2**31 - 1, 2**31 - 1), (8000, 8000),
             (12_000, 12_000)],
)  # fmt: skip
def test_a_picture_that_grows_is_refused_by_its_header(size: tuple[int, int]) -> None:
    """60000 x 60000 pixels in a few kilobytes take no memory."""
    data = png(*size)
    tracemalloc.start()
    try:
        with pytest.raises(PictureRefused) as caught:
            decoded(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "image_too_large"
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"8BPS\0\1",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9", b"II*\0\x08\0\0\0", b"P6 1 1 255\nabc",
        png(0, 5), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBPVP8 ",
        b"<html>not a picture</html>",
    ],
)  # fmt: skip
def test_other_formats_and_rubbish(data: bytes) -> None:
    """Formats with languages inside, and formats nobody sends, are not even tried."""
    with pytest.raises(PictureRefused, match="cannot be read"):
        decoded(data)


def test_a_cut_picture_is_refused() -> None:
    """Half a picture would be half grey."""
    for kind in ("JPEG", "PNG"):
        data = encoded(kind, Image.effect_noise((200, 200), 50).convert("RGB"))
        with pytest.raises(PictureRefused, match="damaged"):
            decoded(data[: len(data) // 2])


def test_a_polyglot_is_what_its_pixels_are() -> None:
    """A picture with a web page behind it gives its pixels, and no more."""
    assert np.array_equal(decoded(encoded() + b"<script>alert(1)</script>PK\x03\x04"), PIXELS)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    """Each scan would be decoded over the whole picture again."""
    data = encoded("JPEG") + b"\xff\xda\0\x08" * 1000
    with pytest.raises(PictureRefused, match="scans"):
        decoded(data)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP"]), st.randoms(use_true_random=False))
def test_damaged_files_are_pictures_or_refused(kind: str, random: Random) -> None:
    """Whatever a decoder raises becomes a sentence."""
    data = bytearray(encoded(kind))
    for _ in range(random.randrange(1, 12)):
        data[random.randrange(len(data))] = random.randrange(256)
    try:
        found = decoded(bytes(data))
    except PictureRefused:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3


def test_many_at_once() -> None:
    """All are read though only two are decoded at a time; too many are told to come again."""

    async def run() -> list[object]:
        reader = PictureReader(Fetcher())
        text = base64_of(encoded())
        found = await asyncio.gather(
            *(reader.read(text) for _ in range(200)), return_exceptions=True
        )
        again = await reader.read(text)
        reader.close()
        return [*found, again]

    found = asyncio.run(run())
    refused = [one for one in found if isinstance(one, PictureRefused)]
    read = [one for one in found if isinstance(one, CallersPicture)]
    assert len(refused) + len(read) == 201
    assert all(one.is_transient for one in refused)
    assert len(read) >= 64
    assert isinstance(found[-1], CallersPicture)


def test_whoever_waits_for_the_pictures_of_others_is_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not their picture that takes too long."""
    monkeypatch.setattr("pipeline.server.pictures.DECODE_S", 0.3)
    both_began, go_on = threading.Barrier(2), threading.Event()

    def slow() -> bool:
        both_began.wait(patience(20))
        return go_on.wait(patience(20))

    async def run() -> list[object]:
        reader = PictureReader(Fetcher())
        busy = [asyncio.create_task(reader._apart(slow)) for _ in range(2)]
        # They come before it in the line of the threads.
        while reader._waiting < 2:
            await asyncio.sleep(0)
        late = reader.read(base64_of(encoded()))
        found = await asyncio.gather(late, *busy, return_exceptions=True)
        go_on.set()
        reader.close()
        return list(found)

    late, *busy = asyncio.run(run())
    assert isinstance(late, PictureRefused)
    assert late.is_transient
    assert all(isinstance(one, PictureRefused) and not one.is_transient for one in busy)
