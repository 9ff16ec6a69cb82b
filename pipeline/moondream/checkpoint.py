"""A checkpoint: finds and checks weights, sizes, release and tokenizer that belong together."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.moondream import hub
from pipeline.moondream.dims import Dims, config_groups
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.hub import HubFile
from pipeline.moondream.models import DEFAULT_MODEL, TOKENIZERS, KnownModel, find_model
from pipeline.moondream.releases import (
    LATEST_RELEASE,
    RELEASES,
    is_early_config,
    release_from_config,
    release_named,
)
from pipeline.moondream.templates import Release
from pipeline.moondream.tensors import tensor_table
from pipeline.moondream.tokenizer import TextTokenizer
from pipeline.moondream.weights import WeightFile, open_weights

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
# The newest release with the tokenizer and prompts that a config without an answer token means.
_EARLY_RELEASE = "2025-04-14"


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Everything that makes up a model; the weights are still in their file."""

    name: str
    dims: Dims
    release: Release
    tokenizer: TextTokenizer
    weights: WeightFile

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
) -> CheckpointFile:
    """Find a model by repository or folder, and check that its parts belong together.

    A folder has `model.safetensors`, `tokenizer.json` and, where it differs from the release,
    `config.json`. `revision` is the name of a release; for a repository also a commit, tag or
    branch, or `RELEASE@COMMIT` to say both. Raises CheckpointError with one sentence.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder, revision)
    if folder.exists():
        raise CheckpointError(f"{model} is a file; give the folder that contains it")
    if not _REPOSITORY.fullmatch(str(model)):
        raise CheckpointError(
            f"{model} is neither a folder nor a repository name such as {DEFAULT_MODEL}"
        )
    return _from_hub(str(model), revision, cache_dir)


def _from_folder(folder: Path, revision: str | None) -> CheckpointFile:
    path = folder / "config.json"
    config = _config(path) if path.is_file() else {}
    release = _release(revision, config)
    return _assembled(
        str(folder), config, release, (folder / "model.safetensors", folder / "tokenizer.json")
    )


def _from_hub(model: str, revision: str | None, cache_dir: Path | None) -> CheckpointFile:
    name, _, commit = (revision or "").rpartition("@")
    if not name and (revision is None or revision in RELEASES):
        known = find_model(model, revision)
        if known is not None:
            try:
                weights, tokenizer = (hub.fetch(file, cache_dir) for file in known.files)
            except hub.NotDownloadedError as error:
                raise CheckpointError(_not_downloaded(known, error.why)) from error
            release = release_named(known.release)
            return _assembled(f"{model} {release.name}", {}, release, (weights, tokenizer))
    if revision is None:
        raise CheckpointError(
            f"{model} needs a revision: give a commit, so that its files cannot change unnoticed"
        )
    try:
        config = _config(hub.fetch(HubFile(model, commit, "config.json"), cache_dir))
    except hub.MissingFileError:
        config = {}
    release = _release(name or None, config)
    # A repository without ids of its own has weights for the release's tokenizer, and often an
    # older tokenizer beside them.
    own = "tokenizer" in config_groups(config)
    tokenizer_file = (
        HubFile(model, commit, "tokenizer.json") if own else TOKENIZERS[release.tokenizer]
    )
    weights = hub.fetch(HubFile(model, commit, "model.safetensors"), cache_dir)
    tokenizer = hub.fetch(tokenizer_file, cache_dir)
    return _assembled(f"{model} at {commit}", config, release, (weights, tokenizer))


def _not_downloaded(known: KnownModel, why: str) -> str:
    moonwatch = "moonwatch" if shutil.which("moonwatch") else f"{sys.executable} -m pipeline"
    pull = f"{moonwatch} models pull {known.model} --revision {known.release}"
    return f"release {known.release} of {known.model} is not downloaded: run `{pull}` ({why})"


def _release(name: str | None, config: Mapping[str, Any]) -> Release:
    if name is None:
        name = _EARLY_RELEASE if is_early_config(config) else LATEST_RELEASE
    return release_from_config(release_named(name), config)


def _assembled(
    name: str, config: Mapping[str, Any], release: Release, paths: tuple[Path, Path]
) -> CheckpointFile:
    dims = Dims.from_config(config)
    tokenizer = TextTokenizer.open(paths[1])
    tokenizer.check(release, dims.text.vocab_size)
    weights = open_weights(paths[0], tensor_table(dims))
    return CheckpointFile(name, dims, release, tokenizer, weights)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a mapping with text, vision and region")
    return config
