"""Webcams: what can be checked without one, and a real one where there is one."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sources.webcam import WebcamConfig
from pipeline.core.errors import SourceError, SourceFailure
from pipeline.core.sources import Need


@pytest.mark.parametrize(
    "keys",
    [
        {"resolution": "1280*720"},
        {"resolution": "0x720"},
        {"fps": 0},
        {"pixel_format": "MJPEG; rm"},
        {"device": True},
        {"read_timeout": 10},
    ],
)
def test_wishes_that_make_no_sense_are_refused(keys: dict[str, Any]) -> None:
    """When the configuration is read, not when the camera is opened."""
    with pytest.raises(ValidationError):
        WebcamConfig.model_validate(keys)


@pytest.mark.parametrize("device", [2, "2", "/dev/video2"])
def test_a_device_may_be_a_number(device: object) -> None:
    """As webcams are usually counted."""
    assert WebcamConfig.model_validate({"device": device}).device == "/dev/video2"


def _failure(device: Path | str, **keys: Any) -> SourceError:
    source = WebcamConfig.model_validate({"device": str(device), **keys}).build()
    with pytest.raises(SourceError) as caught:
        source.open(Need())
    source.close()
    return caught.value


def test_a_missing_device_is_said() -> None:
    """With the devices that are there."""
    error = _failure("/dev/video-none")
    assert error.reason is SourceFailure.NOT_FOUND
    assert "webcam /dev/video-none does not exist" in str(error)
    assert "present" in str(error)


@pytest.mark.parametrize(
    "wish", [{}, {"resolution": "640x480", "fps": 15, "pixel_format": "mjpeg"}]
)
def test_a_device_that_is_no_camera_is_said(wish: dict[str, Any]) -> None:
    """With what may be wrong; the driver itself was asked."""
    error = _failure("/dev/null", **wish)
    assert error.reason is SourceFailure.UNSUPPORTED
    assert "is not a camera" in str(error)


def test_a_real_camera_gives_pictures() -> None:
    """Five of them, in the size it says."""
    if not Path("/dev/video0").exists():
        pytest.skip("this machine has no webcam: /dev/video0 does not exist")
    source = WebcamConfig().build()
    source.open(Need())
    pictures = list(islice(source.pictures(), 5))
    source.close()
    assert len(pictures) == 5
    assert pictures[0].rgb().shape[1::-1] == pictures[0].size_wh
