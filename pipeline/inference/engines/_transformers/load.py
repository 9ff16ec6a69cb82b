"""Detects what kind of detector a checkpoint is, and loads it without running its code."""

from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from pipeline.core.errors import EngineError
from pipeline.inference.engines._transformers.detectors import (
    ClosedSet,
    Detector,
    DetectorParts,
    Grounded,
    OpenSet,
)

_OPEN = ("owlvit", "owlv2")
_GROUNDED = ("grounding-dino", "mm-grounding-dino")


@dataclass(frozen=True, slots=True)
class DetectorToLoad:
    """What to load, and where to put it."""

    model: str
    revision: str | None
    device: str
    dtype: str
    local_files_only: bool


def load(wanted: DetectorToLoad) -> Detector:
    """Return the detector; raises EngineError with what is wrong."""
    # The library's bars and hints are meant for people at a prompt.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    try:
        return _load(wanted)
    # The library raises all of these, at length, for what it cannot find, read or run.
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(f"the detector {wanted.model} cannot be loaded: {first}") from error


def _load(wanted: DetectorToLoad) -> Detector:
    if wanted.model.startswith(("/", ".", "~")) and not Path(wanted.model).is_dir():
        raise EngineError(f"the detector {wanted.model} is not a folder")
    source = {
        "revision": wanted.revision,
        "local_files_only": wanted.local_files_only,
        "trust_remote_code": False,
    }
    config = transformers.AutoConfig.from_pretrained(wanted.model, **source)
    kind: type[ClosedSet | OpenSet | Grounded]
    if config.model_type in (*_OPEN, *_GROUNDED):
        kind = OpenSet if config.model_type in _OPEN else Grounded
        loader = transformers.AutoModelForZeroShotObjectDetection
        processor = transformers.AutoProcessor.from_pretrained(wanted.model, **source)
    elif type(config) in transformers.MODEL_FOR_OBJECT_DETECTION_MAPPING:
        kind, loader = ClosedSet, transformers.AutoModelForObjectDetection
        processor = transformers.AutoImageProcessor.from_pretrained(wanted.model, **source)
    else:
        raise EngineError(
            f"{wanted.model} is a {config.model_type} checkpoint, not a detector this engine "
            f"knows; give one for object detection, or of {', '.join((*_OPEN, *_GROUNDED))}"
        )
    model = loader.from_pretrained(wanted.model, **source).eval()
    device = _device(wanted.device)
    if wanted.dtype == "auto":
        dtype = torch.float32 if device.type == "cpu" else model.dtype
    else:
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
            wanted.dtype
        ]
    return kind(DetectorParts(model.to(device=device, dtype=dtype), processor, device, dtype))


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
