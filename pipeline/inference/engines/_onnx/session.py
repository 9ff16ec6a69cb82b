"""A net in an ONNX file, loaded where it is to run: by the first provider that can."""

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime
from numpy.typing import NDArray

from pipeline.core.errors import EngineError
from pipeline.core.machine import usable_cores
from pipeline.inference.engines._onnx.file import Tensor

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Array = NDArray[Any]

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
_BUILDS = {
    "cuda": "the package onnxruntime-gpu instead of onnxruntime has it",
    "tensorrt": "the package onnxruntime-gpu instead of onnxruntime has it",
    "openvino": "the package onnxruntime-openvino instead of onnxruntime has it",
    "coreml": "only builds for macOS have it",
}
# What is logged by the library itself; its exceptions come to us and are said once.
_ERRORS = 3


class Net:
    """A loaded net.

    On the CPU each picture is worked on by one core, as many pictures as `threads` at a time: on
    two cores that answers almost twice as many as two cores that share every layer.
    """

    def __init__(
        self, path: Path, providers: Sequence[str] = ("cpu",), threads: int | None = None
    ) -> None:
        """Load it; raises EngineError with what is wrong with the file or the providers."""
        self.path = path
        self.threads = threads or usable_cores()
        self._session, self.provider, self.fell_back = _session(path, providers)
        self.inputs = tuple(map(_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor, self._session.get_outputs()))
        self.metadata: Mapping[str, str] = dict(
            self._session.get_modelmeta().custom_metadata_map or {}
        )
        self._pool = (
            ThreadPoolExecutor(self.threads, "engine core")
            if self.provider == "cpu" and self.threads > 1
            else None
        )

    def run(self, **inputs: Array) -> list[Array]:
        """All outputs, in the file's order. Every thread may call it."""
        given: list[Array] = self._session.run(None, inputs)
        return given

    def side_by_side(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do something for each item, as many at a time as there are threads."""
        given = list(items)
        if self._pool is None or len(given) < 2:
            return [work(item) for item in given]
        return list(self._pool.map(work, given))

    def close(self) -> None:
        """End the threads; the garbage collector frees the rest."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _session(path: Path, providers: Sequence[str]) -> tuple[Any, str, str | None]:
    """The session, the provider that runs it, and why those before it cannot."""
    if not path.is_file():
        raise EngineError(
            f"there is no file {path}" if not path.is_dir() else f"{path} is a folder"
        )
    passed_over: list[str] = []
    for provider in providers:
        wanted = _PROVIDERS[provider]
        if wanted not in onnxruntime.get_available_providers():
            way_out = _BUILDS.get(provider, "install onnxruntime again")
            passed_over.append(f"{provider} is not in this build of ONNX Runtime ({way_out})")
            continue
        try:
            session = _opened(path, wanted)
        except Exception as error:  # its errors have no common class
            if provider == "cpu":
                raise EngineError(f"{path} cannot be loaded: {plain_error(error)}") from error
            passed_over.append(f"{provider} cannot load it: {plain_error(error)}")
            continue
        # What cannot load its libraries is left out of a session without an exception.
        if wanted not in session.get_providers():
            passed_over.append(f"{provider} cannot start on this machine (its libraries or device)")
            continue
        fell_back = None
        if passed_over:
            fell_back = f"{path.name} runs on {provider}: {'; '.join(passed_over)}"
            logger.warning("%s", fell_back)
        return session, provider, fell_back
    raise EngineError(
        f"{path.name} cannot run: {'; '.join(passed_over)}; add cpu to `providers` to fall back to"
    )


def _opened(path: Path, provider: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Planning memory ahead takes more of it, and no less time, where pictures come one by one.
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS
    # A CPU behind another provider runs the operators that this one lacks.
    order = list(dict.fromkeys((provider, _PROVIDERS["cpu"])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Without `enable_fallback=0` it would print to the console and go on elsewhere.
        return onnxruntime.InferenceSession(str(path), options, providers=order, enable_fallback=0)


def plain_error(error: Exception) -> str:
    """What an exception of the library says, in one line and without its own marks."""
    said = " ".join(str(error).split())
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", said)
    said = re.sub(r"^Load model from \S+ failed:\s*", "", said)
    # Where in its own code it stood, up to the end of the function's signature.
    said = re.sub(r"^/\S+\.(?:h|cc|cpp|cu):\d+ [^()]*\([^()]*\) (?=\S)", "", said)
    too_new = re.search(
        r"Unsupported model IR version|under development and support for this", said
    )
    if too_new:
        return f"{said[:200]}; install a newer onnxruntime, or export it with an older opset"
    return said[:300] or type(error).__name__


def _tensor(given: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in given.shape)
    return Tensor(given.name, shape, given.type.removeprefix("tensor(").removesuffix(")"))
