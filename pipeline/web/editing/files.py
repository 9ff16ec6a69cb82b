"""The file that a camera is written in: read with its hash, and replaced in one step."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.web.problems import WebError

MOST_BYTES = 1024 * 1024
"""A larger file is edited by hand."""
KEPT_VERSIONS = 10
"""So many earlier versions stay beside a file, as FILE.~1~, FILE.~2~, the highest the newest."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileText:
    """A file as it is now."""

    path: Path
    """As the deployment names it."""
    text: str
    """With the line ends that it has."""
    base: str
    """Identifies exactly these bytes."""
    has_mark: bool = False
    """It begins with a byte order mark, which is no part of the text."""

    def bytes_of(self, text: str) -> bytes:
        """Another text as this file has it."""
        return (_BOM if self.has_mark else b"") + text.encode()


def read_file(path: Path) -> FileText:
    """A file to be edited; raises WebError with a sentence where it cannot be."""
    try:
        if not path.is_file():
            raise WebError(409, f"{path.name} is not a file that can be edited")
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise WebError(503, f"cannot read {path.name}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise WebError(409, f"{path.name} is larger than 1 MB; edit it by hand")
    has_mark = content.startswith(_BOM)
    try:
        text = content.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        raise WebError(409, f"{path.name} is not UTF-8 text; edit it by hand") from None
    return FileText(path, text, base_of(content), has_mark)


def base_of(content: bytes) -> str:
    """What identifies the bytes of a file."""
    return hashlib.sha256(content).hexdigest()[:32]


def why_read_only(path: Path) -> str | None:
    """Why a file cannot be replaced, as a sentence; None where it can be."""
    real = Path(os.path.realpath(path))
    # A mounted config map is a link into a folder whose name begins with two dots.
    if any(part.startswith("..") for part in real.parts) or (path.parent / "..data").exists():
        return (
            f"{path.name} is mounted from a config map, which is replaced as a whole; make the "
            "change where the config map is made"
        )
    if os.path.ismount(real):
        return (
            f"{path.name} is mounted as a single file, which cannot be replaced in one step; mount "
            "its folder, or make the change by hand"
        )
    if not os.access(real.parent, os.W_OK):
        return (
            f"the folder of {path.name} cannot be written by this process; make the change by "
            "hand, or let the user that moonwatch runs as write there"
        )
    if not os.access(real, os.W_OK):
        return (
            f"{path.name} cannot be written by this process; make the change by hand, or let the "
            "user that moonwatch runs as write it"
        )
    return None


def replace_file(file: FileText, text: str) -> str:
    """Put a new text in a file's place, the earlier version beside it; returns its new base.

    Raises WebError 409 where the file is no longer what was read, or cannot be replaced. Whatever
    happens, the file is one or the other version as a whole.
    """
    real = Path(os.path.realpath(file.path))
    content = file.bytes_of(text)
    handle, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=_folder(real))
    placed = Path(name)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            _as_before(opened.fileno(), real.stat())
            opened.flush()
            os.fsync(opened.fileno())
        if read_file(file.path).base != file.base:
            raise WebError(409, changed(file.path))
        _keep(real)
        placed.replace(real)
        _sync(real.parent)
    except OSError as error:
        raise WebError(409, f"{real.name} cannot be replaced: {error.strerror}") from None
    finally:
        with suppress(OSError):
            placed.unlink(missing_ok=True)
    return base_of(content)


def changed(path: Path) -> str:
    """The sentence for a file that is no longer what was read."""
    return (
        f"{path.name} was changed meanwhile, by somebody else or by hand; load it again, and make "
        "your change to what it says now"
    )


def _folder(real: Path) -> Path:
    reason = why_read_only(real)
    if reason is not None:
        raise WebError(409, reason)
    return real.parent


def _as_before(handle: int, was: os.stat_result) -> None:
    os.fchmod(handle, stat.S_IMODE(was.st_mode))
    with suppress(PermissionError):  # another owner's file that this one may write
        os.fchown(handle, was.st_uid, was.st_gid)
    os.fchmod(handle, stat.S_IMODE(was.st_mode))


def _keep(real: Path) -> None:
    """Keep the present version beside the file, and let the oldest go."""
    kept = versions_of(real)
    newest = kept[-1][0] if kept else 0
    content = real.read_bytes()
    target = real.with_name(f"{real.name}.~{newest + 1}~")
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        _as_before(opened.fileno(), real.stat())
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    for _, old in kept[: max(0, len(kept) + 1 - KEPT_VERSIONS)]:
        old.unlink(missing_ok=True)


def versions_of(path: Path) -> list[tuple[int, Path]]:
    """The earlier versions beside a file, the newest last."""
    found = []
    start, end = f"{path.name}.~", "~"
    for beside in path.parent.iterdir():
        number = beside.name.removeprefix(start).removesuffix(end)
        if beside.name == f"{start}{number}{end}" and number.isdecimal() and number.isascii():
            found.append((int(number), beside))
    return sorted(found)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
