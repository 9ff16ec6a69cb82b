"""A mail server for tests, which accepts until it is told otherwise."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.redis_server import free_port

LOGIN = LoginPassword(b"shop", b"s3cret-word")


@dataclass
class PostOffice:
    """What it got, and how it answers."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Answers to RCPT, by receiver."""
    always: str | None = None
    """The answer to every DATA."""

    async def handle_RCPT(  # noqa: N802 - the server's names
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Accept a receiver, or not."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the server's names
        self, _server: Any, _session: Any, envelope: Envelope
    ) -> str:
        """Accept a mail, or not."""
        if self.always is not None:
            return self.always
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        self.receivers += envelope.rcpt_tos
        return "250 OK"

    @property
    def ids(self) -> list[str]:
        """The record ids in all mails."""
        return [str(one) for mail in self.mails for one in mail.get_all("X-Moonwatch-Id", [])]


def _authenticate(_server: Any, _session: Any, _envelope: Any, _kind: str, data: Any) -> AuthResult:
    return AuthResult(success=data == LOGIN, handled=False)


@contextmanager
def post_office(
    tls: ssl.SSLContext | None = None, *, begins_with_tls: bool = False, logs_in: bool = False
) -> Iterator[PostOffice]:
    """A server on a free port; with `tls` it offers STARTTLS, or begins with it."""
    office = PostOffice(free_port())
    options: dict[str, Any] = {}
    if tls is not None:
        options = {"ssl_context" if begins_with_tls else "tls_context": tls}
    if tls is not None and not begins_with_tls:
        options["require_starttls"] = True
    if logs_in:
        options |= {"authenticator": _authenticate, "auth_require_tls": not begins_with_tls}
    controller = Controller(office, hostname="127.0.0.1", port=office.port, **options)
    controller.start()
    try:
        yield office
    finally:
        controller.stop()
