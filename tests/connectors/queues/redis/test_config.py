"""What an operator writes for Redis: every form of address, refusals with sentences, no secrets."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.places.redis_place import RedisPlace, place_of
from connectors.queues import QueueConfig
from connectors.queues.redis import RedisConfig
from connectors.queues.redis.client.scripts import SCRIPTS
from connectors.queues.redis.keys import KINDS, Life
from pipeline.core.clock import SystemClock


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h", RedisPlace("", tls=False, hosts=(("h", 6379),))),
        ("redis://h:1/3", RedisPlace("", tls=False, hosts=(("h", 1),), database=3)),
        ("rediss://h:1/", RedisPlace("", tls=True, hosts=(("h", 1),))),
        ("redis://[::1]:7/0", RedisPlace("", tls=False, hosts=(("::1", 7),))),
        # a password alone, one with a user, and one with what a URL has to encode
        ("redis://:p@h", RedisPlace("", tls=False, hosts=(("h", 6379),), password="p")),
        (
            "redis://u:p@h",
            RedisPlace("", tls=False, hosts=(("h", 6379),), username="u", password="p"),
        ),
        ("redis://u:%2F%40@h", RedisPlace("", False, (("h", 6379),), username="u", password="/@")),
        (
            "redis+sentinel://a,b:2/shop/1",
            RedisPlace("sentinel", False, (("a", 26379), ("b", 2)), service="shop", database=1),
        ),
        ("rediss+sentinel://a/shop", RedisPlace("sentinel", True, (("a", 26379),), service="shop")),
        ("rediss+cluster://a,b:2", RedisPlace("cluster", tls=True, hosts=(("a", 6379), ("b", 2)))),
    ],
)
def test_addresses(url: str, place: RedisPlace) -> None:
    """One server, Sentinel and Cluster, with and without TLS, login and database."""
    assert place_of(url) == place


def config(**keys: Any) -> RedisConfig:
    """A configuration of these keys."""
    return RedisConfig.model_validate({"type": "redis", "url": "redis://h"} | keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"url": "h:6379"}, "is not a Redis address"),
        ({"url": "http://u:s3cret@h"}, "is not a Redis address"),
        ({"url": "redis://u:s3cret/x@h:6379"}, "percent-encoded"),
        ({"url": "redis://h:99999"}, "no host that could be read"),
        ({"url": "redis://"}, "no host that could be read"),
        ({"url": "redis://a,b"}, "several hosts"),
        ({"url": "redis://h/zero"}, "not end in a database number"),
        ({"url": "redis://h/1/2"}, "more than a database"),
        ({"url": "redis+sentinel://h"}, "lacks the service's name"),
        ({"url": "redis+cluster://h/1"}, "not end in a database number"),
        ({"prefix": "a{b}"}, "pattern"),
        ({"prefix": ""}, "pattern"),
        ({"visibility": "5"}, "needs a unit"),
        ({"key": "k.pem", "url": "rediss://h"}, "`key` without a `certificate`"),
        ({"ca": "ca.pem"}, "begin `url` with rediss"),
        ({"sentinel_password": "s3cret"}, "names no Sentinels"),
        ({"vissibility": "5m"}, "Extra inputs"),
    ],
)
def test_refusals(keys: dict[str, str], words: str) -> None:
    """Each says what is wrong and never shows a password."""
    with pytest.raises(ValidationError) as refused:
        config(**keys)
    assert words in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_no_text_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the configuration nor what is built of it, in any form it is printed in."""
    caplog.set_level(logging.DEBUG)
    written = config(
        url="redis+sentinel://u:s3cret@127.0.0.1:1/shop",
        password="s3cret2",
        sentinel_password="s3cret3",
    )
    queues = written.build(SystemClock())
    queues.jobs.claim("fast", 1, 0)
    texts = (written, repr(written), written.model_dump_json(), repr(queues), caplog.text)
    assert "s3cret" not in "".join(map(str, texts))
    assert "redis+sentinel://***@127.0.0.1:1/shop" in repr(written)
    assert "shop of sentinel 127.0.0.1:1 is out of reach" in caplog.text


def test_keys_beside_the_url_count_more() -> None:
    """A login given by its own keys replaces the one in the URL."""
    written = config(url="redis://u:p@h", username="other", password="/@")
    place = written.target().place
    assert (place.username, place.password) == ("other", "/@")


def test_the_union_names_the_redis_queue() -> None:
    """What an operator writes as `type: redis` builds this queue."""
    adapter: TypeAdapter[Any] = TypeAdapter(QueueConfig)
    assert adapter.validate_python({"type": "redis", "url": "redis://h"}) == config()


def test_a_configuration_alone_imports_no_redis() -> None:
    """`moonwatch check` need not load the client, nor OpenCV."""
    code = (
        "import sys; from connectors.queues.redis import RedisConfig; "
        "from pipeline.core.clock import SystemClock; "
        "RedisConfig.model_validate({'url': 'redis://h'}).build(SystemClock()); "
        "print([name for name in ('redis', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_key_is_in_the_table() -> None:
    """What scripts write is what `keys.py` tells of, and every kind says what ends it."""
    folder = Path("connectors/queues/redis/lua")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.lua"))
    named = {part.split("'")[0] for part in sources.split("key('")[1:]}
    assert named - {"none"} == {kind.name for kind in KINDS}
    assert all(kind.meaning and kind.bound and kind.life in Life for kind in KINDS)


def test_every_script_says_what_it_does() -> None:
    """Each file begins with a comment that names its arguments or its keys."""
    for path in Path("connectors/queues/redis/lua").glob("*.lua"):
        head = path.read_text(encoding="utf-8").split("\n\n")[0]
        assert head.startswith("-- "), path
        assert any(word in head for word in ("ARGV", "Writes", "Reads", "KEYS")), path
    assert len(SCRIPTS) == len(list(Path("connectors/queues/redis/lua").glob("*.lua"))) - 1
