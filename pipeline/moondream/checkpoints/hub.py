"""Files of Hugging Face repositories: fetched once, cached, checked where their hash is known.

The cache, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` are those of the huggingface_hub library.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from huggingface_hub import (
    _CACHED_NO_EXIST,
    constants,
    hf_hub_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.moondream.checkpoints import first_seen
from pipeline.moondream.checkpoints.first_seen import Sight, cached_sha256, sha256_of
from pipeline.moondream.errors import CheckpointError

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_REACH_S = 5.0


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at one revision; size in bytes and sha256 where they are known."""

    repo: str
    revision: str
    path: str
    size: int | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.repo}/{self.path} at {self.revision}"


class MissingFileError(CheckpointError):
    """The repository exists, but not this file."""


class NotDownloadedError(CheckpointError):
    """The file is not in the cache, and cannot be downloaded from here; `why` says why not."""

    def __init__(self, file: HubFile, why: str) -> None:
        self.why = why
        super().__init__(f"{file} is not in the cache and {why}")


def locate(file: HubFile, cache_dir: Path | None = None) -> Path | None:
    """Return the file's path in the cache, or None; fetches nothing."""
    found = _cached(file, cache_dir)
    return Path(found) if isinstance(found, str) else None


def fetch(file: HubFile, cache_dir: Path | None = None) -> Path:
    """Return a local copy, fetching it where the cache has none.

    A file that was just fetched is hashed; of a cached one only the size is checked, as hashing
    takes longer than loading. A file whose hash is not known must be what it was when it was first
    seen. Raises CheckpointError, and MissingFileError where only the file is missing.
    """
    cached = _cached(file, cache_dir)
    if cached is _CACHED_NO_EXIST:
        raise MissingFileError(_absent(file))
    path = Path(cached) if isinstance(cached, str) else _download(file, cache_dir)
    problem = damage(path, file, deep=cached is None)
    if problem:
        raise CheckpointError(
            f"{file} is damaged: {problem}; delete {path.resolve()} and fetch it again"
        )
    if file.sha256 is None:
        now = Sight.of(path, deep=cached is None)
        before = sight_of(file, cache_dir)
        if before is None:
            first_seen.write(file.repo, file.revision, file.path, now, cache_dir)
        elif changed := change(file, before, now):
            raise CheckpointError(changed)
    return path


def sight_of(file: HubFile, cache_dir: Path | None = None) -> Sight | None:
    """Return what an unpinned file was when it was first fetched here, or None."""
    return first_seen.recorded(file.repo, file.revision, file.path, cache_dir)


def change(file: HubFile, before: Sight, now: Sight) -> str | None:
    """Return a sentence about what has changed since a file was first seen, or None."""
    difference = before.difference(now)
    if difference is None:
        return None
    commit = (
        f" the first was at commit {before.commit}, which can be given as the revision;"
        if before.commit and before.commit != file.revision
        else ""
    )
    return (
        f"{file} has changed since it was first seen on {before.seen}: {difference};{commit} if "
        f"you trust the new file, run `moonwatch models pull {file.repo} --revision "
        f"{file.revision} --trust-changed`"
    )


def damage(path: Path, file: HubFile, *, deep: bool) -> str | None:
    """Return what is wrong with a local copy, or None; only `deep` reads all of it."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"it has {size} bytes and should have {file.size}"
    if file.sha256 is None:
        return None
    # A name that differs is another file.
    blob = cached_sha256(path)
    if blob is not None and blob != file.sha256:
        return f"it is {blob} and should be {file.sha256}"
    if deep and (found := sha256_of(path)) != file.sha256:
        return f"its sha256 is {found} and should be {file.sha256}"
    return None


def _cached(file: HubFile, cache_dir: Path | None) -> object:
    """Return a path, None, or the library's mark for a file known not to exist."""
    try:
        return try_to_load_from_cache(
            file.repo, file.path, cache_dir=cache_dir, revision=file.revision
        )
    except HFValidationError as error:
        raise CheckpointError(
            f"{file.repo!r} is not a repository name; write it as owner/name"
        ) from error


def _download(file: HubFile, cache_dir: Path | None) -> Path:
    """Fetch a file; errors of the network and the library are translated only here."""
    if constants.HF_HUB_OFFLINE or not _is_reachable(constants.ENDPOINT):
        raise NotDownloadedError(file, _unreachable())
    try:
        path = hf_hub_download(file.repo, file.path, revision=file.revision, cache_dir=cache_dir)
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise NotDownloadedError(file, _unreachable()) from error
        raise MissingFileError(_absent(file)) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{file.repo} has no revision {file.revision}; give a commit or a tag of it"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{file.repo} is not a public repository of {constants.ENDPOINT}; check the name, or "
            "set HF_TOKEN for a private one"
        ) from error
    except (OfflineModeIsEnabled, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise NotDownloadedError(file, f"{_unreachable()} ({type(error).__name__})") from error
    return Path(str(path))


def _absent(file: HubFile) -> str:
    return f"there is no {file}; check the name and the revision"


def _unreachable() -> str:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set; fetch it while online"
    return (
        f"{constants.ENDPOINT} could not be reached; connect this machine, or download the model "
        "on another one and give its folder here as `model`"
    )


def _is_reachable(endpoint: str) -> bool:
    """Whether the hub, or the proxy before it, can be connected to: the library tries six times."""
    parts = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = parts.port or _PORTS.get(parts.scheme, 443)
        socket.create_connection((parts.hostname or "", port), _REACH_S).close()
    except (OSError, ValueError):
        return False
    return True
