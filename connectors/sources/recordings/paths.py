"""Which files a path means: one way to tell, for `check` and for playing alike."""

import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.core.errors import SourceError, SourceFailure

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".dav",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".ivf",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".nut",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
PICTURE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp"])
"""Pictures that play as a film when there is no video beside them."""
# How copying programs and browsers call what is not there in full yet.
_UNFINISHED = (".part", ".tmp", ".temp", ".partial", ".filepart", ".crdownload", ".download")
_BRACES = re.compile(r"\{([^{}/]*,[^{}/]*)\}")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a path, in order of their names."""

    files: Sequence[str]
    unfinished: Sequence[str] = ()
    """Files that are just being copied, by their names; they are not among `files`."""


def find_files(path: str) -> FoundFiles:
    """The videos that a path means; raises SourceError where there are none.

    Numbers in names count as numbers: `part2.mp4` comes before `part10.mp4`. Hidden files are not
    meant, nor are those being copied. Pictures are where there is no video.
    """
    path = os.path.expanduser(path)  # noqa: PTH111  a Path would lose the glob's last slash
    try:
        if Path(path).is_dir():
            found = [str(entry) for entry in Path(path).iterdir() if _is_visible_file(entry)]
        elif Path(path).exists() or not (glob.has_magic(path) or _BRACES.search(path)):
            return FoundFiles([path])
        else:
            found = list(dict.fromkeys(itertools.chain(*map(_matching, _without_braces(path)))))
    except PermissionError:
        words = "cannot be read by this user (permission denied)"
        raise SourceError(SourceFailure.UNAUTHORISED, f"{path} {words}") from None
    chosen = _chosen(found, any_kind=not Path(path).is_dir())
    if not chosen:
        raise SourceError(SourceFailure.NOT_FOUND, f"{path} {_why_none(path, found)}")
    unfinished = [name for name in found if name.lower().endswith(_UNFINISHED)]
    return FoundFiles(sorted(chosen, key=_natural), sorted(unfinished, key=_natural))


def is_picture(path: str) -> bool:
    """Whether a file is one picture, by its name."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def _chosen(found: Sequence[str], *, any_kind: bool) -> list[str]:
    """The videos; without any, the pictures; without those, whatever a glob asks for by name."""
    whole = [name for name in found if not name.lower().endswith((*_UNFINISHED, "~"))]
    for suffixes in (VIDEO_SUFFIXES, PICTURE_SUFFIXES):
        of_kind = [name for name in whole if Path(name).suffix.lower() in suffixes]
        if of_kind:
            return of_kind
    return whole if any_kind else []


def _why_none(path: str, found: Sequence[str]) -> str:
    folder = Path(path)
    if not folder.is_dir():
        if any(name.lower().endswith(_UNFINISHED) for name in found):
            return "matches only files that are still being copied"
        if any(Path(name).is_dir() for name in glob.glob(path)):  # noqa: PTH207
            return f"matches folders only; write {Path(path, '*.mp4')}"
        return "matches no file"
    for inside, _, names in _walk(folder):
        kinds = {Path(name).suffix.lower() for name in names}
        suffix = next(iter(sorted(kinds & VIDEO_SUFFIXES) or sorted(kinds & PICTURE_SUFFIXES)), "")
        if inside != str(folder) and suffix:
            deep = str(folder / "**" / f"*{suffix}")
            return f"holds no video files itself, but folders in it do; write {deep}"
    return "holds no video files"


def _without_braces(pattern: str) -> Iterator[str]:
    """`*.{mp4,mkv}` as two globs, as shells understand it."""
    found = _BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for choice in found[1].split(","):
        yield from _without_braces(pattern[: found.start()] + choice + pattern[found.end() :])


def _is_visible_file(entry: Path) -> bool:
    return entry.name[0] != "." and entry.is_file()


def _matching(pattern: str) -> Iterator[str]:
    """The files that a glob means; `**` is any number of folders, each looked into once."""
    parts = [_either_case(part) for part in Path(pattern).parts]
    if "**" not in parts:
        # Path.glob takes no absolute ones.
        names = glob.glob(str(Path(*parts)))  # noqa: PTH207
        yield from (name for name in names if _is_visible_file(Path(name)))
        return
    nth = parts.index("**")
    bases = glob.glob(str(Path(*parts[:nth]))) if nth else ["."]  # noqa: PTH207
    for base in bases:
        for inside, steps, names in _walk(Path(base)):
            for name in names:
                if _matches([*steps, name], parts[nth:]):
                    yield str(Path(inside, name)) if nth else str(Path(*steps, name))


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every folder below, with the steps that lead there and its visible files.

    Links are followed, each folder once: one that leads back up does not go round for ever.
    """
    seen: set[str] = set()
    waiting: list[tuple[str, list[str]]] = [(str(folder), [])]
    while waiting:
        place, steps = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(Path(place).iterdir())
        except OSError:
            continue  # what this user may not see holds nothing for him
        visible = [entry for entry in entries if entry.name[0] != "."]
        yield place, steps, [entry.name for entry in visible if entry.is_file()]
        inner = [entry for entry in visible if entry.is_dir()]
        # Links last: a folder is found under its own name before it is under another.
        inner.sort(key=lambda entry: not entry.is_symlink())
        waiting.extend((str(entry), [*steps, entry.name]) for entry in inner)


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        rest = pattern[1:] or ("*",)
        return any(_matches(names[nth:], rest) for nth in range(len(names)))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _either_case(part: str) -> str:
    """`*.mp4` also means `*.MP4`, as cameras write it on their cards."""
    suffix = Path(part).suffix
    if suffix.lower() not in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
        return part
    letters = [f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in suffix]
    return part[: -len(suffix)] + "".join(letters)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
