"""What a provider of OpenID Connect says of somebody, believed only when it is proven."""

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

KEY_TYPES: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
"""The signatures that are believed, with the type of their keys: those with a public key alone.

One by a shared secret could be made by whoever knows that; with a public key as the secret, by
anybody.
"""
LEEWAY_S: Final = 60.0
"""How much the clocks may differ."""
_OLDEST_S = 600.0
_LONGEST_TOKEN = 100_000
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 64
_MOST_GROUPS = 2000
_MOST_TRIED = 10
_LEAST_RSA_BITS = 2048


class OidcFailure(StrEnum):
    """Why somebody does not come in by the provider; the page has a sentence for each."""

    AWAY = "away"
    """The provider does not answer, or not as one does."""
    BUSY = "busy"
    """Too many sign in at the same time."""
    STALE = "stale"
    """What comes back does not belong to what this browser began, or is too late."""
    REFUSED = "refused"
    """The provider did not let him in, or he has given up there."""
    UNPROVEN = "unproven"
    """What the provider says cannot be believed."""
    NO_ROLE = "no_role"
    """None of his groups has a role."""
    TOO_MANY = "too_many"
    """Too many attempts have failed from this address."""


class OidcError(Exception):
    """Somebody does not come in by the provider; the text is for the log."""

    def __init__(
        self, failure: OidcFailure, detail: str, person: "OidcPerson | None" = None
    ) -> None:
        self.failure = failure
        self.person = person
        """Who it is, where that is proven."""
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class OidcPerson:
    """Somebody whom a provider knows."""

    issuer: str
    subject: str
    """With the issuer it is who somebody is; names change, and are given to others."""
    name: str
    groups: tuple[str, ...]

    @property
    def who(self) -> str:
        """What he is called here, which no user of the store or of a proxy can be: their names
        have small letters alone.
        """
        return f"{self.name}{self._signs}"

    def is_called(self, who: str) -> bool:
        """Whether this is what he is called here, or was before he had another name."""
        return who.endswith(self._signs)

    @property
    def _signs(self) -> str:
        digest = hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()
        return f" (SSO {digest[:12]})"


def signing_key_id(token: str) -> tuple[str, str | None]:
    """The algorithm and the key that an ID token says it is signed by; raises OidcError.

    Nothing is believed yet: this only finds the key.
    """
    if len(token) > _LONGEST_TOKEN:
        raise _unproven(f"the ID token has more than {_LONGEST_TOKEN} characters")
    try:
        header = json.loads(_decoded(token.partition(".")[0]))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or token.count(".") != 2:
        raise _unproven("the ID token is no signed token")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise _unproven(f"the ID token is signed by {_shown(algorithm)}, which is not believed")
    if key_id is not None and not isinstance(key_id, str):
        raise _unproven("the ID token names its key by what is no text")
    return algorithm, key_id


def keys_for(
    keys: Sequence[Mapping[str, Any]], algorithm: str, key_id: str | None
) -> list[Mapping[str, Any]]:
    """Those of a provider's keys that may have signed; without an id all of the right type."""
    return [
        key
        for key in keys
        if key.get("kty") == KEY_TYPES[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
        and _is_long_enough(key)
    ]


def proven_claims(token: str, algorithm: str, keys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a token says, if one of these keys has signed it; raises OidcError."""
    from joserfc import jwk, jwt
    from joserfc.errors import JoseError

    why = "no key of the provider fits"
    for key in keys[:_MOST_TRIED]:
        try:
            found = jwk.import_key(dict(key))
            return jwt.decode(token, found, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            why = type(error).__name__
    raise _unproven(f"the signature of the ID token is wrong ({why})")


def person_of(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: float,
    name_claim: str,
    groups_claim: str,
) -> OidcPerson:
    """Who it is that proven claims speak of; raises OidcError where they are not meant for this.

    `now` is in UTC seconds.
    """
    if claims.get("iss") != issuer:
        raise _unproven(f"the ID token is of {_shown(claims.get('iss'))} and not of {issuer}")
    _check_audience(claims, client_id)
    _check_times(claims, now)
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise _unproven("the ID token was not made for this sign-in (nonce)")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise _unproven("the ID token does not say of whom it speaks (sub)")
    return OidcPerson(
        issuer, subject, _name_of(claims, name_claim), _groups_of(claims, groups_claim)
    )


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    said = claims.get("aud")
    audience = said if isinstance(said, list) else [said]
    if client_id not in audience:
        raise _unproven(f"the ID token is meant for {_shown(said)} (aud)")
    party = claims.get("azp")
    if party != client_id and (party is not None or len(audience) > 1):
        raise _unproven(f"the ID token was given to {_shown(party)} (azp)")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _time_of(claims, "exp"), _time_of(claims, "iat")
    if expires is None or issued is None:
        raise _unproven("the ID token does not say from when until when it holds (iat, exp)")
    if now >= expires + LEEWAY_S:
        raise _unproven(f"the ID token ended {now - expires:.0f} s ago; is the clock right?")
    begins = max(issued, _time_of(claims, "nbf") or issued)
    if now < begins - LEEWAY_S:
        raise _unproven(f"the ID token begins in {begins - now:.0f} s; is the clock right?")
    if now > issued + _OLDEST_S + LEEWAY_S:
        raise _unproven(f"the ID token was made {now - issued:.0f} s ago; is the clock right?")


def _time_of(claims: Mapping[str, Any], name: str) -> float | None:
    said = claims.get(name)
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        return None
    return float(said)


def _name_of(claims: Mapping[str, Any], name_claim: str) -> str:
    said = _found(claims, name_claim)
    text = said if isinstance(said, str) else ""
    printable = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * _LONGEST_NAME])
    return " ".join(printable.split())[:_LONGEST_NAME].strip() or "somebody"


def _groups_of(claims: Mapping[str, Any], groups_claim: str) -> tuple[str, ...]:
    said = _found(claims, groups_claim)
    groups = said if isinstance(said, list) else [said]
    return tuple(group for group in groups[:_MOST_GROUPS] if isinstance(group, str) and group)


def _found(claims: Mapping[str, Any], name: str) -> Any:
    """What stands under a name, or under its parts within each other."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _is_long_enough(key: Mapping[str, Any]) -> bool:
    if key.get("kty") != "RSA":
        return True
    try:
        return 8 * len(_decoded(str(key.get("n"))).lstrip(b"\0")) >= _LEAST_RSA_BITS
    except ValueError:
        return False


def _decoded(text: str) -> bytes:
    """What base64url stands for; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _unproven(detail: str) -> OidcError:
    return OidcError(OidcFailure.UNPROVEN, detail)


def _shown(said: object) -> str:
    return repr(said)[:100]
