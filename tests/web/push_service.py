"""A push service for tests, over real https, and a browser that can read what it is sent.

The reading end follows RFC 8291 by itself: of the product's code it uses nothing.
"""

import base64
import datetime
import hashlib
import hmac
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

CONTACT = "mailto:ada@shop.example"


def unpadded(data: bytes) -> str:
    """Base64url as browsers write it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def padded(text: str) -> bytes:
    """The bytes of it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _expanded(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]


@dataclass
class ReceivingBrowser:
    """What a browser knows of its own subscription."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = bytes(range(16))

    @property
    def point(self) -> bytes:
        """Its public key."""
        form = serialization.PublicFormat.UncompressedPoint
        return self.key.public_key().public_bytes(serialization.Encoding.X962, form)

    def subscription(self, url: str, language: str = "en") -> dict[str, Any]:
        """What its page sends to the application."""
        keys = {"p256dh": unpadded(self.point), "auth": unpadded(self.auth)}
        return {"endpoint": f"{url}/{self.name}", "keys": keys, "language": language}

    def read(self, body: bytes) -> bytes:
        """What somebody has written to it."""
        salt, length = body[:16], body[20]
        point, record = body[21 : 21 + length], body[21 + length :]
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = self.key.exchange(ec.ECDH(), theirs)
        info = b"WebPush: info\x00" + self.point + point
        secret = _expanded(self.auth, shared, info, 32)
        key = _expanded(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _expanded(salt, secret, b"Content-Encoding: nonce\x00", 12)
        plain = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\x00")
        assert plain[-1:] == b"\x02"
        return plain[:-1]


@dataclass(frozen=True)
class Arrival:
    """A request that has come."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def signed_claims(self, public_key: str) -> dict[str, Any]:
        """What the sender says of himself, after his signature was checked."""
        scheme, _, rest = self.headers["authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert (scheme, parts["k"]) == ("vapid", public_key)
        signed, _, signature = parts["t"].rpartition(".")
        raw = padded(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), padded(public_key))
        point.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
        header, _, claims = signed.partition(".")
        assert json.loads(padded(header)) == {"typ": "JWT", "alg": "ES256"}
        found: dict[str, Any] = json.loads(padded(claims))
        return found


@dataclass
class PushServiceForTests:
    """What came, and what is answered."""

    url: str
    certificates: Path
    arrivals: list[Arrival] = field(default_factory=list)
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)

    def take(self) -> list[Arrival]:
        """What has come since the last time."""
        taken, self.arrivals = self.arrivals, []
        return taken

    def section(self) -> str:
        """What a file says so that messages may come here."""
        return (
            f"web: {{push: {{contact: '{CONTACT}', networks: [127.0.0.0/8], "
            f"certificates: '{self.certificates}'}}}}\n"
        )


@contextmanager
def push_service(folder: Path) -> Iterator[PushServiceForTests]:
    """A push service on a free port of loopback, with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(folder)
    context.load_cert_chain(certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.arrivals.append(Arrival(self.path, headers, self.rfile.read(length)))
            self.send_response(service.status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    service = PushServiceForTests(f"https://127.0.0.1:{server.server_port}/push", certificate)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "push service of a test")])
    now = datetime.datetime.now(datetime.UTC)
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([local]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "push.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
