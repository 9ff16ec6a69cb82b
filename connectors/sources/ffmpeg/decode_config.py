"""How pictures are decoded, as a file says it; `check` reads it without what decodes."""

from typing import Literal

from pydantic import Field

from pipeline.core.config import Config


class DecodeConfig(Config):
    """How a source's pictures are decoded."""

    threads: int = Field(default=1, ge=0, le=64)
    """Decoding threads; 1 is best for many cameras on one machine, 0 is one per CPU."""
    hwaccel: (
        Literal["cuda", "vaapi", "qsv", "drm", "videotoolbox", "vulkan", "d3d11va", "d3d12va"]
        | None
    ) = None
    """Decode on this hardware if it is available, otherwise in software."""
