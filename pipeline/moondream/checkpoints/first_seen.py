"""Trust on first use: what an unpinned file was when this machine first saw it, and whether it is.

A tag or a branch can be moved and a repository rewritten. For files whose hash this project does
not know, the first copy is recorded in the cache; one that differs later is refused.
"""

import hashlib
import json
import logging
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import constants

from pipeline.moondream.errors import CheckpointError

_log = logging.getLogger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOCK = 1 << 20
# A file below this is hashed whenever it is looked at; the weights only when they arrive.
_SMALL_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Sight:
    """What a file was at one time; `commit` and `sha256` are None where they cannot be told."""

    size: int
    sha256: str | None
    commit: str | None
    seen: str

    @classmethod
    def of(cls, path: Path, *, deep: bool) -> "Sight":
        """Look at a local copy; only `deep` reads all of a large one."""
        size, sha256 = path.stat().st_size, cached_sha256(path)
        if deep or size < _SMALL_BYTES:
            sha256 = sha256_of(path)
        parts = path.absolute().parts
        at = parts.index("snapshots") + 1 if "snapshots" in parts else len(parts)
        commit = parts[at] if at < len(parts) and _COMMIT.fullmatch(parts[at]) else None
        return cls(size, sha256, commit, datetime.now(UTC).isoformat(timespec="seconds"))

    def difference(self, now: "Sight") -> str | None:
        """What is different now, or None; a new commit with the same contents is not."""
        if now.size != self.size:
            return f"it has {now.size} bytes and had {self.size}"
        if None not in (now.sha256, self.sha256) and now.sha256 != self.sha256:
            return f"its sha256 is {now.sha256} and was {self.sha256}"
        return None


def recorded(repo: str, revision: str, path: str, cache_dir: Path | None = None) -> Sight | None:
    """Return the record of a file, or None; CheckpointError where it cannot be read."""
    place = record(repo, revision, path, cache_dir)
    try:
        return Sight(**json.loads(place.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{place}, the record of what {repo}/{path} was when it was first seen, cannot be "
            f"read ({error}); delete it to trust the file anew"
        ) from error


def write(repo: str, revision: str, path: str, sight: Sight, cache_dir: Path | None = None) -> None:
    """Record a file; a cache that cannot be written to is said in the log."""
    place = record(repo, revision, path, cache_dir)
    new = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(asdict(sight), indent=1) + "\n", encoding="utf-8")
        new.replace(place)
    except OSError as error:
        _log.warning(
            "%s/%s at %s has no known hash, and what it is now could not be recorded (%s): "
            "a later change will not be noticed", repo, path, revision, error,
        )  # fmt: skip


def forget(repo: str, revision: str, path: str, cache_dir: Path | None = None) -> None:
    """Drop the record of a file, so that it is trusted anew."""
    record(repo, revision, path, cache_dir).unlink(missing_ok=True)


def record(repo: str, revision: str, path: str, cache_dir: Path | None = None) -> Path:
    """Return where a file's record is: beside the cache, so that it outlives what is in it."""
    cache = Path(cache_dir or constants.HF_HUB_CACHE)
    home = Path(constants.HF_HOME)
    root = home / "moonwatch" if cache == home / "hub" else cache / ".moonwatch"
    names = [quote(part, safe="") for part in (repo, revision, path)]
    return root.joinpath("first-seen", *names[:-1], f"{names[-1]}.json")


def cached_sha256(path: Path) -> str | None:
    """Return the hash that a large file is cached under, or None for others.

    A snapshot links to the repository's own blob, which is named after its sha256. That may be a
    link itself, into a store shared by all repositories, where names are hashes of another kind.
    """
    name = path.readlink().name if path.is_symlink() else path.name
    return name if _SHA256.fullmatch(name) else None


def sha256_of(path: Path) -> str:
    """Return the hash of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
