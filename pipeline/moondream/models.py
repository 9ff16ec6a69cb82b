"""The published checkpoints, where their files are and what is known about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.moondream import hub
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.hub import HubFile

DEFAULT_MODEL = "vikhyatk/moondream2"

_STARMIE = HubFile(
    repo="moondream/starmie-v1",
    revision="35192e10a54e36eabe0a7cc57a2c1aab371cafc5",
    path="tokenizer.json",
    size=3_694_206,
    sha256="0512fdcac4a5f9e7746cbefce4a468dc93bf0f93f11e701b84f8b31bff199e9c",
)
# The weights' own repository still has the tokenizer of the releases before 2025-06-21.
_CODEGEN = HubFile(repo=DEFAULT_MODEL, revision="2025-01-09", path="tokenizer.json", size=2_114_924)
TOKENIZERS = {"starmie-v1": _STARMIE, "codegen": _CODEGEN}


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One published checkpoint: the release it behaves as, its weights and its tokenizer."""

    model: str
    release: str
    weights: HubFile
    tokenizer: HubFile
    note: str

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
    """How one file was found: `state` is ok, unchecked (no hash is known), missing or damaged."""

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
        """Whether every file is present and none is damaged."""
        return all(file.state in ("ok", "unchecked") for file in self.files)


def known_models() -> tuple[KnownModel, ...]:
    """Return the published checkpoints this engine runs, the default first."""
    return tuple(_known())


def find_model(model: str, release: str | None = None) -> KnownModel | None:
    """Return the entry of a repository and release, or None; without a release its newest."""
    for known in _known():
        if known.model == model and release in (None, known.release):
            return known
    return None


def pull(
    model: str = DEFAULT_MODEL, release: str | None = None, cache_dir: Path | None = None
) -> ModelState:
    """Fetch what the cache lacks of a known model, then check every file to the last byte."""
    known = _find(model, release)
    for file in known.files:
        hub.fetch(file, cache_dir)
    return _state(known, cache_dir)


def verify(
    model: str | None = None, release: str | None = None, cache_dir: Path | None = None
) -> tuple[ModelState, ...]:
    """Check the cached files of one known model, or of all, to the last byte; fetch nothing."""
    chosen = known_models() if model is None else (_find(model, release),)
    return tuple(_state(known, cache_dir) for known in chosen)


def _find(model: str, release: str | None) -> KnownModel:
    known = find_model(model, release)
    if known is None:
        names = ", ".join(f"{entry.model} {entry.release}" for entry in _known())
        asked = model if release is None else f"{model} {release}"
        raise CheckpointError(f"{asked} is not a known model; known are {names}")
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
    return FileState(file, path, "unchecked" if file.sha256 is None else "ok")


def _known() -> Iterator[KnownModel]:
    yield KnownModel(
        model=DEFAULT_MODEL,
        release="2025-06-21",
        weights=HubFile(
            repo=DEFAULT_MODEL,
            revision="9a7d4024050840e001defacec2b00727e89149e6",
            path="model.safetensors",
            size=3_854_538_968,
            sha256="70a7d94c0c8349eb58ed2d9e636ef2d0916960f321ecabeac6354b8ba3d7403f",
        ),
        tokenizer=_STARMIE,
        note="2B, bfloat16: the default",
    )
    for release, note in (
        ("2025-04-14", "2B: no reasoning, no spatial references"),
        ("2025-03-27", "2B: the same, made to be read greedily"),
        ("2025-01-09", "2B: linear sizes, no long captions"),
    ):
        yield KnownModel(
            model=DEFAULT_MODEL,
            release=release,
            weights=HubFile(DEFAULT_MODEL, release, "model.safetensors"),
            tokenizer=_CODEGEN,
            note=note,
        )
    yield KnownModel(
        model="moondream/moondream-2b-2025-04-14-4bit",
        release="2025-04-14",
        weights=HubFile("moondream/moondream-2b-2025-04-14-4bit", "main", "model.safetensors"),
        tokenizer=_CODEGEN,
        note="2B in 4 bits: a smaller download, as large as the others in memory",
    )
