"""What goes wrong with a source, as one sentence each: the place, what happened, the way out."""

import socket
import time
from typing import TYPE_CHECKING

from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:  # `check` needs no encryption
    import ssl

_SENTENCES = {
    SourceFailure.REFUSED: "refused the connection; is it switched on, and is the port right?",
    SourceFailure.UNAUTHORISED: "did not accept the user and password; check both",
    SourceFailure.NOT_FOUND: "does not exist; check the path",
    SourceFailure.TIMEOUT: "did not answer in time; check the address and the network",
    SourceFailure.DNS: "has a host name that cannot be resolved; check its spelling",
    SourceFailure.UNREACHABLE: "is out of reach; check the address and the network",
    SourceFailure.ENDED: "ended the stream",
    SourceFailure.UNSUPPORTED: "sends nothing that can be decoded as video",
    SourceFailure.BROKEN: "sent something unreadable",
}


def failure(reason: SourceFailure, place: str, words: str | None = None) -> SourceError:
    """The error for `place`, which must hold no credentials, in the usual words or others."""
    return SourceError(reason, f"{place} {words or _SENTENCES[reason]}")


# As OpenSSL numbers what is wrong with a certificate.
_CERTIFICATES = {
    9: "is not valid yet; set this machine's clock and the camera's",
    10: "has expired; renew it in the camera's settings",
    18: "is self-signed",
    19: "is signed by an authority that is not known here",
    20: "is signed by an authority that is not known here",
    21: "is signed by an authority that is not known here",
    62: "is for another host than {host}; use the name that stands in it",
    64: "is for another address than {host}; use the name that stands in it",
}


def certificate_words(error: "ssl.SSLCertVerificationError", host: str) -> str:
    """What is wrong with a camera's certificate, and the ways out."""
    wrong = _CERTIFICATES.get(error.verify_code, "cannot be verified").format(host=host)
    return (
        f"has a certificate that {wrong}; `verify: false` accepts any, for a network that you trust"
    )


def diagnose(host: str, port: int, within_s: float) -> SourceFailure | None:
    """Why a host cannot be talked to, found by connecting once more; None when it can."""
    deadline = time.monotonic() + within_s
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return SourceFailure.DNS
    reason: SourceFailure | None = SourceFailure.UNREACHABLE
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(max(0.1, deadline - time.monotonic()))
            reason = _connect(probe, address)
        if reason is None:
            break
    return reason


def _connect(probe: socket.socket, address: object) -> SourceFailure | None:
    try:
        probe.connect(address)  # type: ignore[arg-type]
    except ConnectionRefusedError:
        return SourceFailure.REFUSED
    except TimeoutError:
        return SourceFailure.TIMEOUT
    except OSError:
        return SourceFailure.UNREACHABLE
    return None
