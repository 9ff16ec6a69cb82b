"""Addresses are checked early, and their credentials stay where they are needed."""

import pickle
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from connectors.sources import SourceConfig
from connectors.sources.http import HttpConfig
from connectors.sources.rtsp import RtspConfig
from pipeline.core.address import Address, masked

URLS = [
    # what is written, what is shown
    ("rtsp://10.0.0.7/stream2", "rtsp://10.0.0.7/stream2"),
    ("rtsp://admin:hunter2@10.0.0.7:554/stream2", "rtsp://***@10.0.0.7:554/stream2"),
    ("rtsp://hunter2@10.0.0.7/", "rtsp://***@10.0.0.7/"),
    ("rtsp://admin:hunter2@[fe80::1]:554/a", "rtsp://***@[fe80::1]:554/a"),
    ("rtsp://admin:hunt@hunter2@cam/a", "rtsp://***@cam/a"),
    ("rtsp://admin:hunt/hunter2@cam/a", "rtsp://***@cam/a"),
    ("http://cam/video?user=me&password=hunter2&size=2", None),
    ("http://cam/video?size=2&Token=hunter2", None),
    ("http://cam/video?api_key=hunter2", None),
    ("rtsp://cam/user=me_password=hunter2_channel=1_stream=0.sdp", None),
    ("rtsp://cam/a?pwd=hunter2#x", None),
]


@pytest.mark.parametrize(("written", "shown"), URLS)
def test_no_text_of_an_address_has_its_credentials(written: str, shown: str | None) -> None:
    """Neither text nor repr; what is no credential stays readable."""
    address = Address(written)
    assert address.reveal() == written
    assert "hunter2" not in f"{address}{address!r}"
    assert shown is None or str(address) == shown
    assert masked(written) == str(address)
    assert "cam" in str(address) or "10.0.0.7" in str(address) or "fe80" in str(address)


def test_what_is_no_credential_stays() -> None:
    """A masked address still tells cameras and streams apart."""
    shown = masked("rtsp://cam/user=me_password=hunter2_channel=1_stream=0.sdp?size=2")
    assert shown == "rtsp://cam/user=***_password=***_channel=1_stream=0.sdp?size=2"


@pytest.mark.parametrize("kind", ["rtsp", "http"])
def test_no_dump_of_a_config_has_its_credentials(kind: str) -> None:
    """Not as a value, not as text, not as JSON."""
    config: Any = TypeAdapter[Any](SourceConfig).validate_python(
        {
            "type": kind,
            "url": f"{kind}://user:hunter2@cam/a",
            "username": "u",
            "password": "hunter3",
        }
    )
    for text in (repr(config), str(config), str(config.model_dump()), config.model_dump_json()):
        assert "hunter" not in text
    source = config.build()
    assert "hunter" not in f"{source!r}{vars(source)}"
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://user:hunter/2@cam/a",  # an unescaped slash
        "rtsp://user:hunter#2@cam/a",
        "rtsp://user:hunter2@cam:port/a",
        "rtsp://user:hunter2@cam:99999/a",
        "rtsp://user:hunter2 @cam/a",
        "rtsp:///a",
        "http://user:hunter2@cam/a",
        "/hunter2.mp4",
        "",
    ],
)
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    """With a sentence that says how to write it, and without what was written."""
    with pytest.raises(ValidationError) as caught:
        RtspConfig.model_validate({"url": url})
    assert "rtsp://" in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_a_login_can_stand_beside_the_address() -> None:
    """There it needs no percent-encoding, and counts before the one in the address."""
    url = Address("rtsp://old:login@cam:554/a?b=c")
    config = RtspConfig.model_validate(
        {"url": url.reveal(), "username": "us@r", "password": "p/a#s:s"}
    )
    whole = config.url.with_login(config.username, config.password)
    assert whole == "rtsp://us%40r:p%2Fa%23s%3As@cam:554/a?b=c"
    assert Address(whole).login() == ("us@r", "p/a#s:s")
    assert url.bare() == "rtsp://cam:554/a?b=c"


def test_a_password_needs_a_user() -> None:
    """One without the other is a mistake."""
    with pytest.raises(ValidationError, match="username"):
        HttpConfig.model_validate({"url": "http://cam/a", "password": "hunter2"})
