"""A frame (pixels + camera + time), and the picture that a source gives the sampler before that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

# Importing NumPy takes as long as a whole `moonwatch check`, and only types need it here.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """RGB, shape (H, W, 3)."""
    Grey = NDArray[np.uint8]
    """Luminance, shape (H, W)."""
else:
    Pixels = Grey = Any


class Picture(Protocol):
    """A decoded picture whose pixels are converted only when they are asked for."""

    @property
    def captured_at(self) -> float:
        """UTC seconds of the moment of capture, from the stream's own timestamps."""
        ...

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels as a person sees it (rotation applied)."""
        ...

    def rgb(self, size_wh: tuple[int, int] | None = None) -> Pixels:
        """The pixels as (H, W, 3) RGB, scaled to `size_wh` when given."""
        ...

    def grey(self, size_wh: tuple[int, int]) -> Grey:
        """A small luminance picture of exactly `size_wh`, cheaper than `rgb`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sampled picture. `seq` counts a camera run's frames without gaps, from 0."""

    camera: str
    run: str
    """The name of one unbroken numbering of a camera: stable for a file, new at each live start."""
    seq: int
    captured_at: float
    """UTC seconds of the moment of capture."""
    pixels: Pixels
    """RGB, (H, W, 3), uint8; privacy masks are already filled."""
    size_wh: tuple[int, int]
    """Width and height of the camera's picture before any resize, in pixels."""


DROP_REASONS = (
    "motion",
    "rate",
    "stale",
    "queue full",
    "queue away",
    "decode error",
    "packet loss",
    "worker failure",
    "duplicate",
    "unusable",
)
LEFT_OUT = ("rate", "motion", "duplicate")
"""Those of pictures that are left out because the file says so; all others are losses."""
