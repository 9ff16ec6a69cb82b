"""The official code of Moondream 2 on the CPU in float32, one question at a time.

It is Python from the model's repository, fetched file by file at the commit of the weights, or from
a folder. What is changed of it is little: weights and tokenizer are the files already here; the
normalised pictures, which it casts to half precision whatever the model is in, are cast on to
float32; and where it names a half precision besides (the caches of January, coordinates), it gets
float32. Nothing of it is part of this project.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL.Image import Image

from pipeline.moondream.checkpoints import hub
from pipeline.moondream.checkpoints.checkpoint import CheckpointFile
from pipeline.moondream.checkpoints.hub import HubFile

ENTRY = "moondream.py"


class OfficialError(Exception):
    """The official code cannot be fetched or used; one sentence."""


def fetch_code(repo: str, revision: str) -> Path:
    """Fetch the entry file and every file of the repository it imports; return their folder."""
    entry = hub.fetch(HubFile(repo, revision, ENTRY))
    wanted, seen = [entry], {ENTRY}
    while wanted:
        for name in _imported(wanted.pop()) - seen:
            seen.add(name)
            wanted.append(hub.fetch(HubFile(repo, revision, name)))
    return entry.parent


def _imported(path: Path) -> set[str]:
    """Return the files beside this one that it imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            names |= {f"{module.replace('.', '/')}.py" for module in modules if module}
    return names


class OfficialCode:
    """The modules of the official code, imported from a folder; importing it runs it."""

    def __init__(self, folder: Path) -> None:
        if not (folder / ENTRY).is_file():
            raise OfficialError(
                f"{folder} has no {ENTRY}; give the folder of the official code that has it, such "
                "as moondream/torch of its repository, or the files of a release on the hub"
            )
        name = "official_" + re.sub(r"\W", "_", str(folder.resolve()))
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            self.main = importlib.import_module(f"{name}.{ENTRY.removesuffix('.py')}")
        except ImportError as error:
            raise OfficialError(
                f"the official code in {folder} needs {error.name or error}, which cannot be "
                "imported; install it beside this project"
            ) from error
        finally:
            sys.dont_write_bytecode = writes
        self._name = name
        self._crops = sys.modules.get(f"{name}.image_crops")

    @property
    def resizer(self) -> str | None:
        """What it resizes pictures with here; None where it has no such module."""
        if self._crops is None:
            return None
        found = getattr(self._crops, "HAVE_PYVIPS", hasattr(self._crops, "pyvips"))
        return "vips" if found else "pillow"

    def model(self, checkpoint: CheckpointFile, config: Mapping[str, Any]) -> "OfficialModel":
        """Return its network with the weights and the tokenizer of a checkpoint."""
        main: Any = self.main
        main.Tokenizer = _TokenizerOf(checkpoint.tokenizer.place)
        if hasattr(main, "prepare_crops"):
            main.prepare_crops = _in_float32(main.prepare_crops)
        # Not its vision module: what pixels are rounded to is part of the release.
        for name in ("moondream", "text", "region", "layers", "rope"):
            module = sys.modules.get(f"{self._name}.{name}")
            if module is not None and getattr(module, "torch", None) is torch:
                module.torch = _TorchInFloat32()  # type: ignore[attr-defined]
        network = main.MoondreamModel(main.MoondreamConfig.from_dict(config), dtype=torch.float32)
        left, unknown = network.load_state_dict(
            checkpoint.read("cpu", torch.float32), strict=False, assign=True
        )
        left = [name for name in left if "kv_cache" not in name]
        if left or unknown:
            raise OfficialError(
                f"the official code does not have the tensors of {checkpoint.name}: "
                f"{', '.join([*left, *unknown][:3])}; is it the code of this release?"
            )
        return OfficialModel(network)


class OfficialModel:
    """Asks the official network, which encodes each picture once."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._encoded: tuple[Image, Any] | None = None

    def answer(self, picture: Image, kind: str, words: str, limit: int) -> Any:
        """Return boxes or points as tuples, or the text of an answer or a caption."""
        if self._encoded is None or self._encoded[0] is not picture:
            self._encoded = (picture, self._network.encode_image(picture))
        ask = getattr(self._network, kind)
        is_text = kind in ("query", "caption")
        # Greedy, as this engine is; "variant" must be there in release 2025-06-21.
        settings = {"temperature": 0, "top_p": 0.3, "max_tokens": limit}
        if not is_text:
            settings = {"max_objects": limit}
        takes = "settings" in inspect.signature(ask).parameters
        how = {"settings": {**settings, "variant": None}} if takes else {}
        found = ask(self._encoded[1], words, **how)
        if is_text:
            return found["answer" if kind == "query" else "caption"]
        fields = ("x_min", "y_min", "x_max", "y_max") if kind == "detect" else ("x", "y")
        objects = found["objects" if kind == "detect" else "points"]
        return [tuple(float(one[field]) for field in fields) for one in objects]


class _TokenizerOf:
    """Stands where the official code downloads its tokenizer by name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def from_pretrained(self, *_: object, **__: object) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(self._path)


class _TorchInFloat32:
    """The library torch, whose half precisions are float32."""

    float16 = bfloat16 = half = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _in_float32(prepare: Any) -> Any:
    def prepared(*given: Any, **named: Any) -> Any:
        crops, tiling = prepare(*given, **named)
        return crops.float(), tiling

    return prepared
