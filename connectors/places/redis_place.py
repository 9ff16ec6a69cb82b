"""Where Redis is and how to get in: one server, a Sentinel's, or a cluster."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, model_validator

from pipeline.core.address import Address, Secret
from pipeline.core.config import Config, PositiveDuration
from pipeline.core.machine import Lack, unreadable_file

if TYPE_CHECKING:
    import redis

_DEFAULT_PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
_SCHEME = re.compile(r"redis(?P<tls>s?)(?:\+(?P<form>sentinel|cluster))?")
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+)(?::(?P<port>\d{1,5}))?")
EXAMPLES = (
    "redis://host:6379/0, rediss://host:6379/0, "
    "redis+sentinel://host1:26379,host2:26379/service/0 or redis+cluster://host1:6379,host2:6379"
)


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """What a Redis URL says."""

    form: str
    """`""` for one server, `sentinel` or `cluster`."""
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    """The name by which a Sentinel knows the server."""
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def with_login(self, username: str | None, password: str | None) -> "RedisPlace":
        """The same place, with what is given in place of its own login."""
        return replace(self, username=username or self.username, password=password or self.password)

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{self.service} of sentinel {hosts}" if self.form == "sentinel" else hosts


def place_of(url: str) -> RedisPlace:
    """The parts of a URL; raises ValueError with a sentence that does not quote it."""
    scheme, slashes, rest = url.partition("://")
    known = _SCHEME.fullmatch(scheme)
    if not slashes or known is None:
        raise ValueError(f"is not a Redis address; write it like {EXAMPLES}")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    form = known["form"] or ""
    username, colon, password = login.partition(":")
    *service, database = path.split("/") if path else ("",)
    if form == "sentinel" and path and not service:
        service, database = [database], ""
    return RedisPlace(
        form=form,
        tls=bool(known["tls"]),
        hosts=_hosts(hosts, form),
        service=_service(form, service),
        database=_database(form, database),
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
    )


def _hosts(text: str, form: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in text.split(","):
        one = _HOST.fullmatch(part)
        if one is None or int(one["port"] or 1) not in range(1, 65536):
            raise ValueError(
                f"has no host that could be read; write it like {EXAMPLES}, with special "
                "characters of the password percent-encoded (@ is %40, / is %2F), or give "
                "`username` and `password` as keys of their own"
            )
        found.append((one["host"].strip("[]"), int(one["port"] or _DEFAULT_PORTS[form])))
    if not form and len(found) > 1:
        raise ValueError(
            "names several hosts; write redis+sentinel:// or redis+cluster:// before them"
        )
    return tuple(found)


def _service(form: str, parts: list[str]) -> str:
    if form != "sentinel":
        if parts:
            raise ValueError(f"ends in more than a database number; write it like {EXAMPLES}")
        return ""
    if len(parts) != 1 or not parts[0]:
        raise ValueError(
            "lacks the service's name; write redis+sentinel://host1:26379,host2:26379/service"
        )
    return parts[0]


def _database(form: str, text: str) -> int:
    if text and (not text.isdecimal() or (form == "cluster" and int(text))):
        raise ValueError(f"does not end in a database number; write it like {EXAMPLES}")
    return int(text or 0)


@dataclass(frozen=True, slots=True)
class Target:
    """A Redis, and how to open a client for it."""

    place: RedisPlace
    base: str
    timeout_s: float
    tls_files: Mapping[str, str] = field(default_factory=dict)
    """redis-py's `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`."""
    sentinel_login: tuple[str | None, str | None] = field(default=(None, None), repr=False)

    @property
    def name(self) -> str:
        """How sentences call it."""
        return f"redis at {self.place}"

    def connect(self) -> "redis.Redis | redis.RedisCluster":
        """A client; nothing is sent before it is used, except to find out a cluster's nodes."""
        import redis

        place, options = self.place, self._options()
        if place.form == "cluster":
            node: Any = redis.cluster.ClusterNode
            nodes = [node(host, port) for host, port in place.hosts]
            # Once more, because the first error may only mean that the nodes have changed places.
            options["retry"] = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
            return redis.RedisCluster(startup_nodes=nodes, **options)
        options["db"] = place.database
        if place.form == "sentinel":
            username, password = self.sentinel_login
            own = self._options() | {"username": username, "password": password}
            sentinel: Any = redis.sentinel.Sentinel
            found = sentinel(place.hosts, sentinel_kwargs=own, **options)
            master: redis.Redis = found.master_for(place.service)
            return master
        [(host, port)] = place.hosts
        return redis.Redis(host=host, port=port, **options)

    def _options(self) -> dict[str, Any]:
        import redis

        tls = {"ssl": True, **self.tls_files} if self.place.tls else {}
        return {
            "username": self.place.username,
            "password": self.place.password,
            "socket_timeout": self.timeout_s,
            "socket_connect_timeout": self.timeout_s,
            "socket_keepalive": True,
            # Trying again is the link's business, which knows what may be done twice.
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            "protocol": 2,
            **tls,
        }


def _readable(url: Address) -> Address:
    place_of(url.reveal())
    return url


class RedisAccess(Config):
    """The fields that say where a Redis is and how to get in."""

    url: Annotated[Address, AfterValidator(_readable)]
    """`redis://user:password@host:6379/0`; `rediss://` with TLS; `redis+sentinel://a,b/service`;
    `redis+cluster://a,b`."""
    username: str | None = None
    """User, instead of the one in the URL; needs no percent-encoding here."""
    password: Secret | None = None
    """Password, instead of the one in the URL."""
    sentinel_username: str | None = None
    """User for the Sentinels themselves, if they require one."""
    sentinel_password: Secret | None = None
    """Password for the Sentinels themselves."""
    ca: Path | None = None
    """File of the certificate authorities to trust; the system's unless given."""
    certificate: Path | None = None
    """File of this client's certificate, if the server requires one."""
    key: Path | None = None
    """File of the key for `certificate`."""
    timeout: PositiveDuration = timedelta(seconds=2)
    """How long connecting, or waiting for a reply, may take."""

    @model_validator(mode="after")
    def _fits_together(self) -> "RedisAccess":
        if self.key is not None and self.certificate is None:
            raise ValueError("has a `key` without a `certificate`")
        if not self._place().tls and (self.ca or self.certificate):
            raise ValueError(
                "has certificates but no TLS: begin `url` with rediss instead of redis"
            )
        if self.sentinel_password is not None and self._place().form != "sentinel":
            raise ValueError("has a `sentinel_password`, but `url` names no Sentinels")
        return self

    def lacks(self) -> Iterator[Lack]:
        """Whether the certificates can be read here."""
        for name in ("ca", "certificate", "key"):
            yield from unreadable_file(name, getattr(self, name))

    def target(self, base: str = "") -> Target:
        """How to open a client; `base` is what its keys begin with."""
        files = {"ssl_ca_certs": self.ca, "ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        return Target(
            place=self._place().with_login(self.username, _revealed(self.password)),
            base=base,
            timeout_s=self.timeout.total_seconds(),
            tls_files={name: str(path) for name, path in files.items() if path is not None},
            sentinel_login=(self.sentinel_username, _revealed(self.sentinel_password)),
        )

    def _place(self) -> RedisPlace:
        return place_of(self.url.reveal())


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
