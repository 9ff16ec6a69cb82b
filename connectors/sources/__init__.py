"""Where pictures come from. To add a source: one file with its config, another with its class.

The config imports the class in `build`, so that `check` does not wait for what reads pictures; its
name goes below.

Knows no sampler: a source gives every picture that may be of use, and says when a stream breaks.
Opening it again, and how soon, is the sampler's decision.
"""

from typing import TYPE_CHECKING, TypeAlias

from pipeline.core.one_of import one_of

if TYPE_CHECKING:
    from connectors.sources.file import FileConfig
    from connectors.sources.http import HttpConfig
    from connectors.sources.rtsp import RtspConfig
    from connectors.sources.webcam import WebcamConfig

    SourceConfig: TypeAlias = FileConfig | HttpConfig | RtspConfig | WebcamConfig
    """Any source, told apart by `type`."""
else:
    SourceConfig = one_of(
        __name__, file="FileConfig", http="HttpConfig", rtsp="RtspConfig", webcam="WebcamConfig"
    )

__all__ = ["SourceConfig"]
