"""The inference stage of a worker whose engine answers callers too."""

from collections.abc import Collection, Sequence

from pipeline.core.errors import EngineError
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import used_engines
from pipeline.runtime.stages.base import StageContext
from pipeline.runtime.stages.inference import InferenceStage
from pipeline.server.accounts import Accounts
from pipeline.server.config import ServeConfig
from pipeline.server.run import ModelServer, open_callers, served_engine, settings_of


class ServingStage:
    """Both at once: cameras by the queue, callers over HTTP, one running batch."""

    name = "inference"

    def __init__(
        self, inference: InferenceStage, server: ModelServer, engine: str, settings: ServeConfig
    ) -> None:
        """`engine` is the name of the one that answers callers, `settings` what the file says."""
        self._inference, self._server, self._engine = inference, server, engine
        self._settings = settings

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
        if deployment.server != self._settings:
            raise EngineError("server: has changed; restart the process that answers callers")
        self._inference.update(deployment)

    def poll(self) -> None:
        """Do the regular work."""
        self._inference.poll()

    def stop(self, within_s: float) -> None:
        """Finish the requests of callers, as long as the file allows, then the cameras' work."""
        self._server.stop(self._settings.finish_within.total_seconds())
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


def check_serving(
    deployment: Deployment, listen: str | None, loaded: Collection[str], *, no_auth: bool
) -> None:
    """Refuse, before anything is loaded, what could not be served; raises ConfigError.

    `loaded` are the engines that this process is going to load.
    """
    settings_of(deployment, listen, no_auth=no_auth, option="--serve")
    served_engine(deployment, None, loaded)


def serving_stage(
    inference: InferenceStage, context: StageContext, listen: str | None, *, no_auth: bool
) -> ServingStage:
    """The stage with a server in front of one of its engines.

    Raises ConfigError, EngineError and StoreError; then the engines are closed.
    """
    deployment = context.deployment
    try:
        settings = settings_of(deployment, listen, no_auth=no_auth, option="--serve")
        name = served_engine(deployment, None, inference.engines)
        accounts = Accounts(
            deployment.store,
            context.clock,
            prices=settings.prices,
            ledger=settings.ledger,
            wants_keys=not no_auth,
        )
        try:
            callers = open_callers(inference.engine(name), name, settings)
            server = ModelServer(callers, accounts, settings, context.metrics, context.clock)
        except BaseException:
            accounts.close()
            raise
    except BaseException:
        inference.stop(0.0)
        raise
    return ServingStage(inference, server, name, deployment.server)
