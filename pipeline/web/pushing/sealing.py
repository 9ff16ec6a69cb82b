"""What a push service is given: a message that it cannot read, and a signature that it can check.

The message is encrypted for the browser by RFC 8291 (`aes128gcm`, RFC 8188); the signature is that
of RFC 8292 (VAPID). The library is loaded where it is used: it is an extra.
"""

import base64
import binascii
import json
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIBRARIES: Final = ("cryptography",)
EXTRA: Final = "push"
MOST_BYTES: Final = 3993
"""Of a message before it is sealed; sealed it has 4096, which every push service takes."""
_RECORD = 4096
_POINT_BYTES, _AUTH_BYTES = 65, 16
_TOKEN_LASTS_S = 12 * 3600


def to_base64url(data: bytes) -> str:
    """As push services want it: without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes, with or without padding; raises ValueError."""
    try:
        data = text.rstrip("=").encode("ascii")
        return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"it is no base64url: {error}") from None


def checked_keys(public_key: str, auth: str) -> tuple[str, str]:
    """The keys of a browser in one spelling; raises ValueError with a sentence."""
    from cryptography.hazmat.primitives.asymmetric import ec

    point, secret = from_base64url(public_key), from_base64url(auth)
    if len(secret) != _AUTH_BYTES:
        raise ValueError(f"`auth` has {len(secret)} bytes and not {_AUTH_BYTES}")
    if len(point) != _POINT_BYTES or point[0] != 4:
        raise ValueError("`p256dh` is no key of a browser: 65 bytes, of which the first is 4")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("`p256dh` is no point of the curve P-256") from None
    return to_base64url(point), to_base64url(secret)


def new_key() -> str:
    """A private key for signing, as PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


class PushSigner:
    """Signs what is sent, so that push services know whom to write to about it."""

    def __init__(self, pem: str, contact: str) -> None:
        """Raises ValueError for what is no key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = serialization.load_pem_private_key(pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of messages is none of the curve P-256")  # noqa: TRY004
        self._key, self._contact = key, contact
        self.public_key = to_base64url(_point_of(key))
        """What browsers subscribe with."""

    def authorization(self, endpoint: str, now: float) -> str:
        """The header for one endpoint."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        parts = urlsplit(endpoint)
        said = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(now) + _TOKEN_LASTS_S,
            "sub": self._contact,
        }
        signed = f"{_json({'typ': 'JWT', 'alg': 'ES256'})}.{_json(said)}"
        der = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        signature = to_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return f"vapid t={signed}.{signature}, k={self.public_key}"


def sealed(
    message: bytes,
    public_key: str,
    auth: str,
    *,
    salt: bytes | None = None,
    own: "EllipticCurvePrivateKey | None" = None,
) -> bytes:
    """A message that this browser alone can read; raises ValueError if it is too long.

    `salt` and `own` are made anew for each message; only examples of the standard fix them.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(message) > MOST_BYTES:
        raise ValueError(f"a message of {len(message)} bytes is too long; {MOST_BYTES} at most")
    salt = secrets.token_bytes(16) if salt is None else salt
    own = ec.generate_private_key(ec.SECP256R1()) if own is None else own
    point, theirs = _point_of(own), from_base64url(public_key)
    there = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
    shared = own.exchange(ec.ECDH(), there)
    both = b"WebPush: info\0" + theirs + point
    secret = _derived(shared, from_base64url(auth), both, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)
    # One record; the byte behind the message says that it is the last.
    record = AESGCM(key).encrypt(nonce, message + b"\x02", None)
    return salt + _RECORD.to_bytes(4, "big") + bytes([len(point)]) + point + record


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def _point_of(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def _json(said: dict[str, object]) -> str:
    return to_base64url(json.dumps(said, separators=(",", ":")).encode())
