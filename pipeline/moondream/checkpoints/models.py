"""The published checkpoints, where their files are and what is known about them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.moondream.checkpoints import first_seen, hub
from pipeline.moondream.checkpoints.first_seen import Sight
from pipeline.moondream.checkpoints.hub import HubFile
from pipeline.moondream.checkpoints.releases import LATEST_RELEASE, RELEASES
from pipeline.moondream.checkpoints.revisions import (
    FOUR_BIT,
    OFFICIAL,
    Wanted,
    check_config,
    stated_release,
    wanted,
)
from pipeline.moondream.dims import config_groups
from pipeline.moondream.errors import CheckpointError

DEFAULT_MODEL = OFFICIAL

_STARMIE = HubFile(
    repo="moondream/starmie-v1",
    revision="35192e10a54e36eabe0a7cc57a2c1aab371cafc5",
    path="tokenizer.json",
    size=3_694_206,
    sha256="0512fdcac4a5f9e7746cbefce4a468dc93bf0f93f11e701b84f8b31bff199e9c",
)
# The weights' own repository still has the tokenizer of the releases before 2025-06-21.
_CODEGEN = HubFile(
    repo=DEFAULT_MODEL,
    revision="2025-01-09",
    path="tokenizer.json",
    size=2_114_924,
    sha256="337da36be7a71a6e88aa9148967a7bc8736f4b47c7de8e19ba92b89e80734cfc",
)
_JUNE_WEIGHTS = HubFile(
    repo=DEFAULT_MODEL,
    revision="9a7d4024050840e001defacec2b00727e89149e6",
    path="model.safetensors",
    size=3_854_538_968,
    sha256="70a7d94c0c8349eb58ed2d9e636ef2d0916960f321ecabeac6354b8ba3d7403f",
)
# Later commits with the same weights, whose hash was seen there.
_SAME_WEIGHTS = ("5d6c926f44e26b07957b0dd315bbedcb4c17a5fe",)
TOKENIZERS = {"starmie-v1": _STARMIE, "codegen": _CODEGEN}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One checkpoint of a hub: the release it behaves as, its weights and its tokenizer."""

    model: str
    release: str
    weights: HubFile
    tokenizer: HubFile
    note: str
    stored: str = ""

    def __post_init__(self) -> None:
        """Take the precision of the weights from the release where it is not given."""
        if not self.stored:
            object.__setattr__(self, "stored", RELEASES[self.release].stored)

    @property
    def files(self) -> tuple[HubFile, HubFile]:
        """All files the checkpoint needs."""
        return (self.weights, self.tokenizer)

    @property
    def is_pinned(self) -> bool:
        """Whether the hash of every file is known, so that no change goes unnoticed."""
        return all(file.sha256 is not None for file in self.files)


@dataclass(frozen=True, slots=True)
class FileState:
    """How one file was found.

    `state` is "ok" (its hash is known here and right), "first seen" (not known, but as it was
    when it was first fetched), "unchecked" (neither), "missing", "damaged", or "changed" (since it
    was first seen).
    """

    file: HubFile
    path: Path | None
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ModelState:
    """How the files of a model were found."""

    model: KnownModel
    files: tuple[FileState, ...]

    @property
    def is_usable(self) -> bool:
        """Whether every file is present and none is damaged or changed."""
        return all(file.state in ("ok", "first seen", "unchecked") for file in self.files)


def known_models() -> tuple[KnownModel, ...]:
    """Return the published checkpoints this engine runs, the default first."""
    return tuple(_known())


def find_model(model: str, release: str | None = None) -> KnownModel | None:
    """Return the entry of a repository and release, or None; without a release its newest."""
    for known in _known():
        if known.model == model and release in (None, known.release):
            return known
    return None


def model_at(model: str, asked: Wanted, config: Mapping[str, Any]) -> KnownModel:
    """Return the files of a repository at a revision, given its config.

    A repository without ids of its own has weights for the release's tokenizer, and often an older
    tokenizer beside them. Raises CheckpointError where nothing says which release it is.
    """
    assert asked.files is not None
    release = asked.release or stated_release(config)
    if release is None:
        raise CheckpointError(
            f"{model} at {asked.files} does not say which release of Moondream 2 it was made "
            "from, and read as another one it gives fluent nonsense; give revision "
            f"RELEASE@{asked.files}, or `release:`; known releases: {', '.join(RELEASES)}"
        )
    check_config(f"{model} at {asked.files}", config, release)
    own = "tokenizer" in config_groups(config)
    tokenizer = TOKENIZERS[RELEASES[release].tokenizer]
    return KnownModel(
        model,
        release,
        weights_file(model, asked.files),
        HubFile(model, asked.files, "tokenizer.json") if own else tokenizer,
        note="",
        stored="as stored",
    )


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a config file; raises CheckpointError where it is none."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a mapping with text, vision and region")
    return config


def fetch_config(model: str, revision: str, cache_dir: Path | None = None) -> Mapping[str, Any]:
    """Return the config of a repository at a revision; empty where it has none."""
    try:
        return read_config(hub.fetch(HubFile(model, revision, "config.json"), cache_dir))
    except hub.MissingFileError:
        return {}


def pull(
    model: str = DEFAULT_MODEL,
    revision: str | None = None,
    cache_dir: Path | None = None,
    *,
    trust_changed: bool = False,
) -> ModelState:
    """Fetch what the cache lacks of a model, then check every file to the last byte.

    With `trust_changed` files without a known hash are taken as they are now.
    """
    asked = _asked(model, revision)
    if asked.files is None:
        known = _find(model, asked.release)
    else:
        if trust_changed:
            first_seen.forget(model, asked.files, "config.json", cache_dir)
        known = model_at(model, asked, fetch_config(model, asked.files, cache_dir))
    for file in known.files:
        if trust_changed and file.sha256 is None:
            first_seen.forget(file.repo, file.revision, file.path, cache_dir)
        hub.fetch(file, cache_dir)
    return _state(known, cache_dir)


def verify(
    model: str | None = None, revision: str | None = None, cache_dir: Path | None = None
) -> tuple[ModelState, ...]:
    """Check the cached files of one model, or of all known, to the last byte; fetch nothing."""
    if model is None:
        return tuple(_state(known, cache_dir) for known in known_models())
    asked = _asked(model, revision)
    if asked.files is None:
        return (_state(_find(model, asked.release), cache_dir),)
    config = hub.locate(HubFile(model, asked.files, "config.json"), cache_dir)
    known = model_at(model, asked, read_config(config) if config else {})
    return (_state(known, cache_dir),)


def _asked(model: str, revision: str | None) -> Wanted:
    """Understand a revision; an unknown repository without one is told which are known."""
    if Path(model).expanduser().is_dir() or model.startswith(("/", ".", "~")):
        raise CheckpointError(
            f"{model} is a folder of this machine and no repository: an engine reads it as it is, "
            f"with `model: {model}`, and `moonwatch check` says what it lacks"
        )
    if revision is None and find_model(model) is None:
        return Wanted(None, None)
    return wanted(model, revision)


def _find(model: str, release: str | None) -> KnownModel:
    known = find_model(model, release)
    if known is None:
        names = ", ".join(f"{entry.model} {entry.release}" for entry in _known())
        asked = model if release is None else f"{model} {release}"
        raise CheckpointError(
            f"{asked} is not a known model; known are {names}; any other needs "
            "--revision RELEASE@COMMIT"
        )
    return known


def _state(known: KnownModel, cache_dir: Path | None) -> ModelState:
    return ModelState(known, tuple(_file_state(file, cache_dir) for file in known.files))


def _file_state(file: HubFile, cache_dir: Path | None) -> FileState:
    path = hub.locate(file, cache_dir)
    if path is None:
        return FileState(file, None, "missing")
    problem = hub.damage(path, file, deep=True)
    if problem:
        return FileState(file, path, "damaged", problem)
    if file.sha256 is not None:
        return FileState(file, path, "ok")
    before = hub.sight_of(file, cache_dir)
    if before is None:
        return FileState(file, path, "unchecked", "its hash is not known, and was not recorded")
    changed = hub.change(file, before, Sight.of(path, deep=True))
    if changed:
        return FileState(file, path, "changed", changed)
    return FileState(file, path, "first seen", f"on {before.seen} at commit {before.commit}")


def weights_file(model: str, revision: str) -> HubFile:
    """Return the weights of a repository at a revision, with their hash where it is known."""
    if model == DEFAULT_MODEL and revision in (_JUNE_WEIGHTS.revision, *_SAME_WEIGHTS):
        return replace(_JUNE_WEIGHTS, revision=revision)
    return HubFile(model, revision, "model.safetensors")


def _known() -> Iterator[KnownModel]:
    yield KnownModel(DEFAULT_MODEL, LATEST_RELEASE, _JUNE_WEIGHTS, _STARMIE, "2B: the default")
    for release, note in (
        ("2025-04-14", "2B: no reasoning, no spatial references"),
        ("2025-03-27", "2B: the same, made to be read greedily"),
        ("2025-01-09", "2B: linear sizes, no long captions"),
    ):
        weights = HubFile(DEFAULT_MODEL, release, "model.safetensors")
        yield KnownModel(DEFAULT_MODEL, release, weights, _CODEGEN, note)
    yield KnownModel(
        model=FOUR_BIT,
        release="2025-04-14",
        weights=HubFile(FOUR_BIT, "main", "model.safetensors"),
        tokenizer=_CODEGEN,
        note="2B in 4 bits: a smaller download, as large as the others in memory",
        stored="4-bit",
    )
