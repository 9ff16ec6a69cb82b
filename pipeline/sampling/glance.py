"""A glance is a small grey picture: enough to detect motion, likeness, freezing and blackness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.frames import Grey, Picture
from pipeline.sampling.masks import Masks
from pipeline.sampling.resize import fitted

# A person of 3 % of a picture's height has about 3 pixels here; a glance takes about 1 ms.
MAX_SIDE = 160


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """Luminance (h, w), at most 160 pixels a side, with what is masked set to 0."""

    at: float
    grey: Grey
    hidden: NDArray[np.bool_] | None
    """True where a privacy mask lies, shape (h, w); None without masks."""

    @property
    def visible(self) -> Grey:
        """The luminance of everything not masked, flat."""
        return self.grey.ravel() if self.hidden is None else self.grey[~self.hidden]


def glance_at(picture: Picture, masks: Masks) -> Glance:
    """Make the glance of a picture once, for everything that examines it."""
    size_wh = fitted(picture.size_wh, MAX_SIDE)
    grey = picture.grey(size_wh)
    hidden = masks.hidden(size_wh)
    if hidden is not None:
        grey = np.where(hidden, np.uint8(0), grey)
    return Glance(picture.captured_at, grey, hidden)


def alike(a: Glance, b: Glance) -> bool:
    """Whether two glances look the same: no pixel differs by more than noise."""
    if a.grey.shape != b.grey.shape:
        return False
    difference = np.abs(a.grey.astype(np.int16) - b.grey)
    # Sensor noise averages down to well under one level; the smallest mover changes tens of them.
    return float(difference.mean()) < 0.8 and int(difference.max()) < 14


def identical(a: Glance, b: Glance) -> bool:
    """Whether two glances show the very same picture, up to rounding in its encoding."""
    if a.grey.shape != b.grey.shape:
        return False
    difference = np.abs(a.grey.astype(np.int16) - b.grey)
    return float(difference.mean()) < 0.02 and int(difference.max()) <= 2
