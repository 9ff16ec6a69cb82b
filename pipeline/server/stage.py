"""The inference stage of a worker whose engine answers callers too."""

from collections.abc import Collection, Sequence

from pipeline.core.errors import EngineError
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.server.run import ModelServer


class ServingStage:
    """Both at once: cameras by the queue, callers over HTTP, one running batch."""

    name = "inference"

    def __init__(self, inference: InferenceStage, server: ModelServer, engine: str) -> None:
        """`engine` is the name of the one that answers callers."""
        self._inference, self._server, self._engine = inference, server, engine

    @property
    def finished(self) -> bool:
        """Whether all work is done."""
        return self._inference.finished

    @property
    def engines(self) -> Collection[str]:
        """The engines that are loaded, by name."""
        return self._inference.engines

    def start(self) -> None:
        """Begin to answer."""
        self._inference.start()
        self._server.start()

    def update(self, deployment: Deployment) -> None:
        """Continue with another version of the file; raises EngineError."""
        if self._engine not in used_engines(deployment):
            raise EngineError(
                f"engine {self._engine!r} answers callers on {self._server.address}, and no camera "
                "of the new file uses it; restart this process without --serve, or let a task use "
                "it"
            )
        self._inference.update(deployment)

    def poll(self) -> None:
        """Do the regular work."""
        self._inference.poll()

    def stop(self, within_s: float) -> None:
        """Finish the requests of callers, then the cameras' work."""
        self._server.stop(within_s)
        self._inference.stop(within_s)

    @property
    def failure(self) -> str | None:
        """Why it cannot continue; None while it can."""
        return self._inference.failure or self._server.failure

    def ready(self) -> str | None:
        """Why it is not ready; None if it is."""
        return self._inference.ready() or self._server.ready()

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know of its engines and of its server."""
        trouble = self._server.ready() or self._server.remark()
        said = f"engine {self._engine} answers callers on {self._server.address}"
        return [*self._inference.notes, f"{said}, but {trouble}" if trouble else said]

    def remark(self) -> str | None:
        """What is wrong although it is ready; None if nothing is."""
        found = (self._inference.remark(), self._server.remark())
        return "; ".join(one for one in found if one) or None
