"""The `web:` section of a deployment file: where the application answers, and to whom."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, field_validator

from pipeline.core.address import Secret
from pipeline.core.config import Config, PositiveDuration, parse_duration
from pipeline.core.machine import Lack, missing_libraries, unreadable_file
from pipeline.core.people import Role

LOOPBACK = "127.0.0.1"
DEFAULT_LISTEN = ":8090"


def listen_address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`; `:PORT` is this machine only. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"{text!r} is not a valid address; use :8090 (this machine only) or 0.0.0.0:8090 (all)"
        )
    return host.strip("[]") or LOOPBACK, int(port)


def _listens(value: str) -> str:
    listen_address(value)
    return value.strip()


def is_this_machine_alone(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
# What a browser takes as a source that may show a page in a frame.
_FRAME_SOURCE = re.compile(r"https?://[A-Za-z0-9.*\[\]:-]+", re.ASCII)
_SHORTEST_SECRET = 16


def _is_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header; write it like Remote-User")
    return name


HeaderName = Annotated[str, AfterValidator(_is_header)]


class WebTlsConfig(Config):
    """Https by the application itself. Both files are read again when they change."""

    certificate: Path = Field(
        description="The certificate, and those above it, as PEM; a renewed one is taken at once."
    )
    key: Path = Field(description="Its private key, as PEM, without a password.")

    def lacks(self) -> Iterator[Lack]:
        """Whether both files can be read here."""
        yield from unreadable_file("certificate", self.certificate)
        yield from unreadable_file("key", self.key)


class WebProxyConfig(Config):
    """A proxy before the application, which says where a request comes from, and perhaps whom.

    Its headers count only where it connects from one of the networks in `trust` and sends the
    secret as `X-Moonwatch-Proxy`; from anybody else they are passed over.
    """

    trust: list[str] = Field(
        min_length=1, description="Its addresses, such as 127.0.0.1 or 10.0.4.0/24."
    )
    secret: Secret = Field(
        description=(
            "What it sends as the header `X-Moonwatch-Proxy`; at least 16 characters that nobody "
            "else knows."
        )
    )
    user_header: HeaderName | None = Field(
        None,
        description=(
            "The header with the name of whoever has signed in at the proxy, such as "
            "`Remote-User`; without it people sign in at the application."
        ),
    )
    groups_header: HeaderName = Field(
        "Remote-Groups", description="The header with his groups, separated by commas."
    )
    map: dict[Role, list[str]] = Field(
        default_factory=dict,
        description="The groups of each role; who is in several has the highest.",
    )
    default: Role | None = Field(
        None, description="The role of whoever is in none of these groups; none by default."
    )
    cameras: dict[str, list[str]] = Field(
        default_factory=dict,
        description="The cameras of a group: who is in such a group and no admin sees only these.",
    )
    sign_out_url: str | None = Field(
        None, description="Where the browser goes to sign out at the proxy."
    )

    @field_validator("trust")
    @classmethod
    def _are_networks(cls, trust: list[str]) -> list[str]:
        for network in trust:
            try:
                found = ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ValueError(
                    f"{network!r} is not an address or a network; write 10.0.4.7 or 10.0.4.0/24"
                ) from None
            if found.prefixlen == 0:
                raise ValueError(f"{network} is everybody; name the addresses of the proxy")
        return trust

    @field_validator("secret")
    @classmethod
    def _is_long(cls, secret: Secret) -> Secret:
        if len(secret.reveal()) < _SHORTEST_SECRET or not secret.reveal().isascii():
            raise ValueError(
                f"needs at least {_SHORTEST_SECRET} characters of ASCII; `openssl rand -hex 24` "
                "makes some"
            )
        return secret

    @field_validator("sign_out_url")
    @classmethod
    def _leads_somewhere(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"(https?://[^/\s]|/(?!/))", url):
            raise ValueError(f"{url!r} is not an address; write https://HOST/... or /...")
        return url

    def trusts(self, address: str) -> bool:
        """Whether the proxy may be at this address."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any(
            (mapped or found) in ipaddress.ip_network(network, strict=False)
            for network in self.trust
        )

    def role_of(self, groups: Iterable[str]) -> Role | None:
        """The highest role of somebody in these groups; None for nobody who may come in."""
        return _highest_role(self.map, groups) or self.default

    def cameras_of(self, groups: Iterable[str]) -> tuple[str, ...] | None:
        """The cameras that somebody in these groups may see; None for all."""
        return _cameras_of_groups(self.cameras, groups)


def _highest_role(roles: Mapping[Role, Sequence[str]], groups: Iterable[str]) -> Role | None:
    there = set(groups)
    found = [role for role in Role if there & set(roles.get(role, []))]
    return found[-1] if found else None


def _cameras_of_groups(
    cameras: Mapping[str, Sequence[str]], groups: Iterable[str]
) -> tuple[str, ...] | None:
    found = [cameras[group] for group in groups if group in cameras]
    return tuple(sorted({camera for some in found for camera in some})) if found else None


def guarded_address(text: str) -> SplitResult:
    """An address that others cannot listen in to; raises ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or "@" in parts.netloc or re.search(r"[\s<>\"\\]", text) or not text.isascii():
        raise ValueError(f"{text!r} is not an address; write https://HOST, perhaps with a path")
    if parts.query or parts.fragment:
        raise ValueError(f"{text!r} has a question mark or a #; leave out what begins there")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine_alone(host)):
        raise ValueError(f"{text!r} is not https, so that others can read and change what is said")
    return parts


class WebOidcConfig(Config):
    """Signing in at a provider of OpenID Connect, such as Keycloak, Entra ID or Google.

    Who comes from there is somebody else than a user of the same name here. The role is found
    anew at each sign-in.
    """

    issuer: str = Field(
        description=(
            "The provider, as it calls itself; `/.well-known/openid-configuration` below it says "
            "the rest. By https, unless it is on this machine."
        )
    )
    client_id: str = Field(
        min_length=1, max_length=512, description="What the provider calls the application."
    )
    client_secret: Secret = Field(
        description="What the application proves itself to the provider by."
    )
    application_url: str = Field(
        description=(
            "Where browsers reach the application, such as `https://shop.example`: the provider "
            "sends them back to `/api/v1/session/oidc/back` there, which has to be registered "
            "with it."
        )
    )
    label: str | None = Field(
        None,
        min_length=1,
        max_length=40,
        description="What follows *Sign in with*; the provider's host by default.",
    )
    scopes: list[str] = Field(
        default_factory=lambda: ["openid", "profile", "email"],
        description="What is asked of the provider; `openid` has to be among it.",
    )
    name_claim: str = Field(
        "preferred_username",
        min_length=1,
        description="What of the provider's ID token is the name, such as `email`.",
    )
    groups_claim: str = Field(
        "groups",
        min_length=1,
        description=(
            "What of it are the groups; dots lead into what is nested: `realm_access.roles`."
        ),
    )
    map: dict[Role, list[str]] = Field(
        default_factory=dict,
        description="The groups of each role; who is in several has the highest.",
    )
    default: Role | None = Field(
        None, description="The role of whoever is in none of these groups; none by default."
    )
    cameras: dict[str, list[str]] = Field(
        default_factory=dict,
        description="The cameras of a group: who is in such a group and no admin sees only these.",
    )
    ca: Path | None = Field(
        None,
        description=(
            "PEM file of the authorities that the provider's certificate may be from, instead of "
            "the usual ones."
        ),
    )
    signed_in_for: PositiveDuration = Field(
        default_factory=lambda: parse_duration("1d"),
        description="After so long one signs in again, and may be refused or have another role.",
    )

    @field_validator("issuer")
    @classmethod
    def _is_guarded(cls, issuer: str) -> str:
        guarded_address(issuer)
        return issuer

    @field_validator("client_secret")
    @classmethod
    def _is_something(cls, secret: Secret) -> Secret:
        if not secret.reveal().strip():
            raise ValueError("is empty; copy it from the provider's page of the application")
        return secret

    @field_validator("application_url")
    @classmethod
    def _is_server(cls, url: str) -> str:
        if guarded_address(url).path.strip("/"):
            raise ValueError(f"{url!r} has a path; the application is at https://HOST[:PORT]")
        return url.rstrip("/")

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, scopes: list[str]) -> list[str]:
        for scope in scopes:
            if not re.fullmatch(r"[!#-\[\]-~]{1,256}", scope):
                raise ValueError(f"{scope!r} is not a scope; write each one by itself")
        if "openid" not in scopes:
            raise ValueError("need `openid`, without which a provider does not say who it is")
        return scopes

    @property
    def shown_label(self) -> str:
        """What follows "Sign in with"."""
        return self.label or urlsplit(self.issuer).hostname or self.issuer

    @property
    def back(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.application_url}/api/v1/session/oidc/back"

    def role_of(self, groups: Iterable[str]) -> Role | None:
        """The highest role of somebody in these groups; None for nobody who may come in."""
        return _highest_role(self.map, groups) or self.default

    def cameras_of(self, groups: Iterable[str]) -> tuple[str, ...] | None:
        """The cameras that somebody in these groups may see; None for all."""
        return _cameras_of_groups(self.cameras, groups)

    def lacks(self) -> Iterator[Lack]:
        """The library that reads what the provider signs, and whether anybody has a role."""
        yield from missing_libraries("signing in by OpenID Connect", ["joserfc"], "oidc", "issuer")
        yield from unreadable_file("ca", self.ca)
        if self.default is None and not any(self.map.values()):
            yield Lack("map", "has no groups, so that nobody who comes from the provider is let in")


_LIBRARY_OF_PUSH = "cryptography"


def _is_network(value: str) -> str:
    try:
        found = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(
            f"{value!r} is not a network; write it like 10.0.5.0/24 ({error})"
        ) from None
    if found.prefixlen == 0:
        raise ValueError(f"{value} is everybody; name the network of your push service")
    return str(found)


class WebPushConfig(Config):
    """Messages of events to browsers, also while no page is open there.

    They go through the push service of each browser's maker, encrypted for the browser alone.
    """

    contact: str = Field(
        max_length=200,
        description=(
            "Whom push services may write to about the messages: `mailto:ADDRESS` or "
            "`https://...`. They see it with each message."
        ),
    )
    networks: tuple[Annotated[str, AfterValidator(_is_network)], ...] = Field(
        (),
        max_length=20,
        description=(
            "Private networks in which a push service of your own may be, such as 10.0.5.0/24; "
            "otherwise only public addresses are sent to, at port 443."
        ),
    )
    certificates: Path | None = Field(
        None,
        description=(
            "The certificates, as PEM, by which push services are known; by default those that "
            "the machine trusts."
        ),
    )

    @field_validator("contact")
    @classmethod
    def _is_contact(cls, contact: str) -> str:
        contact = contact.strip()
        if not re.fullmatch(r"(mailto:[^@\s]+@[^@\s]+|https://[^\s/@]+(/\S*)?)", contact):
            raise ValueError(f"{contact!r} is no contact; write mailto:NAME@HOST or https://HOST/")
        return contact

    def lacks(self) -> Iterator[Lack]:
        """What encrypts the messages; without it everything but them works."""
        lacks = list(missing_libraries("web push", [_LIBRARY_OF_PUSH], "push", "contact"))
        if self.certificates is not None:
            lacks += unreadable_file("certificates", self.certificates)
        for lack in lacks:
            yield replace(lack, is_fatal=False)


class WebShareConfig(Config):
    """Links that show one picture or clip to whoever has them, without signing in."""

    days: int = Field(7, ge=1, le=7, description="How many days a link opens, at most.")


class WebConfig(Config):
    """What others reach over the web."""

    listen: Annotated[str, AfterValidator(_listens)] | None = Field(
        None,
        description=(
            "Where the application answers, HOST:PORT; without a host, on this machine only. With "
            "it, `run` serves the application too; `moonwatch web` uses :8090 by default."
        ),
    )

    tls: WebTlsConfig | None = Field(
        None, description="Answer by https; without it by http, which others can read on their way."
    )
    proxy: WebProxyConfig | None = Field(
        None, description="The proxy that people come through, and perhaps sign in at."
    )
    oidc: WebOidcConfig | None = Field(
        None, description="The provider of OpenID Connect that people may sign in at."
    )
    passwords: bool = Field(
        True,
        description=(
            "Whether users of the store sign in by their passwords; without, they come by the "
            "proxy or the provider alone."
        ),
    )
    push: WebPushConfig | None = Field(
        None,
        description="Tell browsers of events, also while no page is open; off without it.",
    )
    share: WebShareConfig | None = Field(
        None,
        description=(
            "Lets operators make links that show one picture or clip to whoever has them, without "
            "signing in; without it there are none, and none opens."
        ),
    )
    frame_ancestors: list[str] = Field(
        default_factory=list,
        description=(
            "Pages of other servers that may show the application in a frame, such as "
            "`https://home.example:8123`; none by default."
        ),
    )
    public_url: str | None = Field(
        None,
        description=(
            "Address at which `--http` of `run` or `deliver` can be reached from elsewhere, such "
            "as `https://shop.example`: links to pictures and clips begin with it."
        ),
    )
    links_for: PositiveDuration = Field(
        default_factory=lambda: parse_duration("7d"),
        description="How long a link can be used, at least; it ends at midnight UTC.",
    )

    @property
    def is_signed_in_elsewhere(self) -> bool:
        """Whether somebody may come whom another service knows."""
        by_proxy = self.proxy is not None and self.proxy.user_header is not None
        return by_proxy or self.oidc is not None

    def lacks(self) -> Iterator[Lack]:
        """What signing in needs; nothing that the cameras would stop for."""
        if self.oidc is not None:
            for lack in self.oidc.lacks():
                yield replace(lack, key=f"oidc.{lack.key}", is_fatal=False)
        if not self.passwords and not self.is_signed_in_elsewhere:
            yield Lack(
                "passwords",
                "nobody can sign in: passwords are not taken, and there is neither `web.oidc` nor "
                "`web.proxy` with `user_header`",
                is_fatal=False,
            )

    @field_validator("frame_ancestors")
    @classmethod
    def _are_sources(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if not _FRAME_SOURCE.fullmatch(source):
                raise ValueError(f"{source!r} is not the address of a server: https://HOST[:PORT]")
        return sources

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname)
            valid = valid and (parts.port or 1) > 0 and "@" not in parts.netloc
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment or re.search(r"[\s<>\"]", url):
            raise ValueError(
                "a public address is https://HOST, perhaps with a port and a path, and without a "
                "login, a question mark or spaces"
            )
        return url.rstrip("/")
