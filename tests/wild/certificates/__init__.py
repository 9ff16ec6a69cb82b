"""Certificates of cameras, each signed by itself: one that holds, and others that do not."""

import ssl
from pathlib import Path

CERTIFICATES = Path(__file__).parent


def tls(name: str) -> ssl.SSLContext:
    """TLS for a camera with one of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context
