"""TLS to a server that gets events: whom we trust, and who we are."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.config import Config
from pipeline.core.errors import SinkError

if TYPE_CHECKING:
    import ssl


class TlsConfig(Config):
    """How the server proves who it is, and we to it."""

    verify: bool = True
    """`false` trusts any server, which makes TLS no safer than none."""
    ca: Path | None = None
    """PEM file of the authorities to trust instead of the usual ones."""
    certificate: Path | None = None
    """PEM file of our own certificate."""
    key: Path | None = None
    """PEM file of its key, if that is a separate file."""


def tls_context(tls: TlsConfig, place: str) -> "ssl.SSLContext":
    """What a connection to `place` is made with; raises SinkError for unusable files."""
    import ssl

    import certifi

    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.ca is None:
            # Lean containers come without authorities of their own.
            context.load_verify_locations(certifi.where())
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        files = ", ".join(str(file) for file in (tls.ca, tls.certificate, tls.key) if file)
        raise SinkError(
            f"{place}: the files of tls ({files}) cannot be used: {error.strerror}",
            retryable=False,
        ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
