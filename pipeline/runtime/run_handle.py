"""What a deployment at work looks like from outside, in one process or in many."""

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
    """How a run is doing."""

    figures: Figures
    sinks: Sequence[LaneStatus]
    up_s: float


class RunHandle(Protocol):
    """A deployment at work. `start`, look at `finished` and `failure` now and then, `stop`."""

    deployment: Deployment
    store: "SqlStore"

    def start(self) -> None:
        """Begin."""
        ...

    @property
    def finished(self) -> bool:
        """Whether every camera was a file, and all of them are judged to their end."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it cannot go on; None while all is well."""
        ...

    @property
    def shortfall(self) -> str | None:
        """What did not work although the rest went on; None where all did."""
        ...

    def hang_up(self) -> None:
        """Read the file again."""
        ...

    def progress(self) -> float | None:
        """How far the files are, 0..1; None where that is not known."""
        ...

    def status(self) -> Status:
        """How the cameras and sinks are doing."""
        ...

    def poll(self) -> None:
        """What has to be done now and then."""
        ...

    def stop(self) -> None:
        """Stop sampling, finish what is under way, deliver what is there."""
        ...

    def close(self) -> None:
        """Let go of the store, which can be asked until then what the run found."""
        ...
