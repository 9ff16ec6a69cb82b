"""A camera's pictures over HTTP: an MJPEG stream, or a still picture asked for again and again."""

import importlib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator

from connectors.sources.live.config import LiveConfig
from connectors.sources.live.login import LoginConfig
from pipeline.core.address import Address, scheme_check
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.config import PositiveDuration

if TYPE_CHECKING:
    from connectors.sources.live.http_source import HttpSource


class HttpConfig(LoginConfig, LiveConfig):
    """A camera with an HTTP address: an MJPEG stream or still pictures."""

    type: Literal["http"] = "http"
    url: Annotated[Address, AfterValidator(scheme_check("http", "https"))]
    """`http://user:password@host:port/path`; shown everywhere without user and password."""
    poll: PositiveDuration | None = None
    """Ask for a still picture this often; left out, the URL is an MJPEG stream."""
    verify: bool = True
    """Whether an https server needs a valid certificate; many cameras have none."""

    def build(self, clock: Clock | None = None) -> "HttpSource":
        """The camera, not yet connected."""
        # What reads it is imported here: `check` need not wait for it.
        module = importlib.import_module("connectors.sources.live.http_source")
        source: HttpSource = module.HttpSource(self, clock or SystemClock())
        return source
