"""The interface of a running deployment, in one process or in many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.delivery import LaneStatus
from pipeline.deployment.model import Deployment
from pipeline.telemetry.figures import Figures

if TYPE_CHECKING:
    from connectors.stores.sql import SqlStore


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a run."""

    figures: Figures
    sinks: Sequence[LaneStatus]
    up_s: float


class RunHandle(Protocol):
    """A running deployment: `start` it, check `finished` and `failure` regularly, `stop` it."""

    deployment: Deployment
    store: "SqlStore"

    def start(self) -> None:
        """Begin."""
        ...

    @property
    def finished(self) -> bool:
        """Whether all cameras are files, and all of them are judged to their end."""
        ...

    @property
    def is_delivering(self) -> bool:
        """Whether events are left that a sink is still accepting; asked once it is finished."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot continue; None while all is well."""
        ...

    @property
    def shortfall(self) -> str | None:
        """What failed although the rest went on; None if nothing did."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What is wrong with recordings that were played, as sentences."""
        ...

    def hang_up(self) -> None:
        """Read the file again."""
        ...

    def progress(self) -> float | None:
        """Progress through the files, 0..1; None if unknown."""
        ...

    def status(self) -> Status:
        """The state of cameras and sinks."""
        ...

    def poll(self) -> None:
        """Do the regular work."""
        ...

    def stop(self) -> None:
        """Stop sampling, finish work in progress, deliver what is left."""
        ...

    def close(self) -> None:
        """Close the store, which can be queried for results until then."""
        ...
