"""A checkpoint: finds and checks weights, sizes, release and tokenizer that belong together."""

import logging
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipeline.moondream.checkpoints import hub
from pipeline.moondream.checkpoints.models import (
    DEFAULT_MODEL,
    KnownModel,
    fetch_config,
    find_model,
    model_at,
    read_config,
)
from pipeline.moondream.checkpoints.releases import release_from_config, release_named
from pipeline.moondream.checkpoints.revisions import (
    NO_SMALL_MODEL,
    FolderSigns,
    Wanted,
    release_of_folder,
    wanted,
    wanted_of_folder,
)
from pipeline.moondream.checkpoints.tensors import tensor_table
from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.checkpoints.weights import DTYPES, WeightFile, open_weights
from pipeline.moondream.dims import Dims, config_groups
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.templates import Release

_log = logging.getLogger(__name__)

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Everything that makes up a model; the weights are still in their file.

    `config` are the groups of its config file, empty where all of them have the release's values.
    """

    name: str
    dims: Dims
    release: Release
    tokenizer: TextTokenizer
    weights: WeightFile
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored_dtype(self) -> torch.dtype:
        """The dtype of most of the weights in the file."""
        return self.weights.stored_dtype

    def read(
        self, device: torch.device | str, dtype: torch.dtype | None = None
    ) -> dict[str, torch.Tensor]:
        """Return every tensor by name on `device`, in `dtype` or the file's own."""
        return self.weights.read(device, dtype)


def open_checkpoint(
    model: str | Path = DEFAULT_MODEL,
    revision: str | None = None,
    cache_dir: Path | None = None,
    release: str | None = None,
) -> CheckpointFile:
    """Find a model by repository or folder, and check that its parts belong together.

    A folder has `model.safetensors`, `tokenizer.json` and, where it differs from the release,
    `config.json`. `revision` is the name of a release; for a repository also a commit, tag or
    branch, or `RELEASE@COMMIT` to say both. `release` says the release apart from that. Files
    whose release is neither said nor known are refused. Raises CheckpointError with one sentence.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder, revision, release)
    if folder.exists():
        raise CheckpointError(f"{model} is a file; give the folder that contains it")
    if not _REPOSITORY.fullmatch(str(model)):
        raise CheckpointError(
            f"{model} is neither a folder nor a repository name such as {DEFAULT_MODEL}"
        )
    return _from_hub(str(model), wanted(str(model), revision, release), cache_dir)


def _from_folder(folder: Path, revision: str | None, release: str | None) -> CheckpointFile:
    said = wanted_of_folder(folder, revision, release)
    path = folder / "config.json"
    config = read_config(path) if path.is_file() else {}
    tokenizer = TextTokenizer.open(folder / "tokenizer.json")
    weights = _open_weights(folder, Dims.from_config(config))
    stored = str(weights.stored_dtype).removeprefix("torch.")
    signs = FolderSigns(stored, weights.is_packed, tokenizer.control)
    name = release_of_folder(folder, config, said, signs)
    _check_stored(str(folder), release_named(name), weights, said)
    release_ = release_from_config(release_named(name), config)
    return _assembled(str(folder), config, release_, tokenizer, weights)


def _open_weights(folder: Path, dims: Dims) -> WeightFile:
    path = folder / "model.safetensors"
    if not path.is_file():
        if others := sorted(folder.glob("*.mf*")):
            raise CheckpointError(f"{others[0]} cannot be loaded: {NO_SMALL_MODEL}")
        others = sorted(folder.glob("*.safetensors"))
        if len(others) == 1:
            raise CheckpointError(f"{path} does not exist; rename {others[0].name} to that")
        if others:
            raise CheckpointError(
                f"{path} does not exist; join the {len(others)} safetensors files of {folder} "
                "into one of that name"
            )
    return open_weights(path, tensor_table(dims))


def _from_hub(model: str, asked: Wanted, cache_dir: Path | None) -> CheckpointFile:
    config: Mapping[str, Any] = {}
    if asked.files is None:
        found = find_model(model, asked.release)
        assert found is not None, "only known repositories need no revision"
        name = f"{model} {found.release}"
    else:
        config = fetch_config(model, asked.files, cache_dir)
        found = model_at(model, asked, config)
        name = f"{model} at {asked.files}"
    try:
        weights, tokenizer = (hub.fetch(file, cache_dir) for file in found.files)
    except hub.NotDownloadedError as error:
        raise CheckpointError(_not_downloaded(found, asked, error)) from error
    release = release_from_config(release_named(found.release), config)
    opened = open_weights(weights, tensor_table(Dims.from_config(config)))
    _check_stored(name, release, opened, asked, is_official=model == DEFAULT_MODEL)
    return _assembled(name, config, release, TextTokenizer.open(tokenizer), opened)


def _not_downloaded(found: KnownModel, asked: Wanted, error: hub.NotDownloadedError) -> str:
    moonwatch = "moonwatch" if shutil.which("moonwatch") else f"{sys.executable} -m pipeline"
    revision = found.release if asked.files is None else f"{found.release}@{asked.files}"
    pull = f"{moonwatch} models pull {found.model} --revision {revision}"
    if asked.files is not None:
        return f"{error}; fetch it with `{pull}`"
    return f"release {found.release} of {found.model} is not downloaded: run `{pull}` ({error.why})"


def _check_stored(
    place: str, release: Release, weights: WeightFile, asked: Wanted, *, is_official: bool = False
) -> None:
    """Compare the precision of the weights with the one the release was published in."""
    published = DTYPES[release.stored]
    if weights.is_packed or weights.stored_dtype in (published, torch.float32):
        return
    stored = str(weights.stored_dtype).removeprefix("torch.")
    said = (
        f"the weights of {place} are stored in {stored}, but release {release.name} was published "
        f"in {release.stored}"
    )
    if is_official and (release.stored == "bfloat16" or not asked.is_certain):
        raise CheckpointError(
            f"{said}: they are of another release; give the name of that release as the revision"
        )
    if asked.release is not None:
        _log.warning("%s; if they are of another release, its answers are fluent nonsense", said)


def _assembled(
    name: str,
    config: Mapping[str, Any],
    release: Release,
    tokenizer: TextTokenizer,
    weights: WeightFile,
) -> CheckpointFile:
    dims = Dims.from_config(config)
    tokenizer.check(release, dims.text.vocab_size)
    return CheckpointFile(name, dims, release, tokenizer, weights, config_groups(config))
