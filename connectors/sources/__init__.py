"""Where pictures come from. To add a source: one file with its config and class, and a name below.

Knows no sampler: a source gives every picture that may be of use, and says when a stream breaks.
Opening it again, and how soon, is the sampler's decision.
"""

from typing import Annotated

from pydantic import Field

from connectors.sources.file import FileConfig
from connectors.sources.http import HttpConfig
from connectors.sources.live.reader import ReconnectConfig
from connectors.sources.rtsp import RtspConfig
from connectors.sources.webcam import WebcamConfig

SourceConfig = Annotated[
    FileConfig | HttpConfig | RtspConfig | WebcamConfig, Field(discriminator="type")
]
"""Any source, told apart by `type`."""

__all__ = [
    "FileConfig",
    "HttpConfig",
    "ReconnectConfig",
    "RtspConfig",
    "SourceConfig",
    "WebcamConfig",
]
