"""What an operator may write under `store:`."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.stores import StoreConfig


@pytest.mark.parametrize(
    "url",
    [
        "mysql://host/db",  # a database we do not know
        "moonwatch.db",  # a path is no URL
        "sqlite://",  # in memory
        "sqlite:///:memory:",  # the same, spelled out
        "sqlite:///",  # no name
    ],
)
def test_unusable_stores_are_refused(url: str) -> None:
    """When the file is checked, and not when the first event comes."""
    with pytest.raises(ValidationError, match=r"sqlite:///"):
        StoreConfig.model_validate({"url": url})


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        (StoreConfig(), "moonwatch.media"),
        (StoreConfig(url="sqlite:////var/lib/mw/shop.db?timeout=3"), "/var/lib/mw/shop.media"),
        (StoreConfig(url="postgresql://db/mw"), "moonwatch.media"),
        (StoreConfig(media=Path("pictures")), "pictures"),
    ],
)
def test_pictures_are_kept_beside_the_database(config: StoreConfig, folder: str) -> None:
    """Unless a folder is named."""
    assert config.media_folder == Path(folder)
    assert config.build_media().folder == Path(folder)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bob:s3cret@db/mw", "postgresql://***@db/mw"),
        ("postgresql://bob:s3c:r/e@db/mw", "postgresql://***@db/mw"),  # not encoded
        ("postgresql://db/mw?user=bob&password=s3cret", "postgresql://db/mw?user=***&password=***"),
        ("postgresql://bob@db/mw", "postgresql://***@db/mw"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_password_is_shown_to_nobody(url: str, shown: str) -> None:
    """Neither in a dump of the config nor in its text."""
    config = StoreConfig.model_validate({"url": url})
    assert str(config.model_dump()["url"]) == shown
    assert "s3c" not in repr(config)


@pytest.mark.parametrize(
    "rest", ["bob:s3cret@s3cret@db/mw", "bob:s3cret@db:port/mw", "bob:s3cret@[db/mw", "s3:cret/mw"]
)
def test_a_server_that_cannot_be_read_is_refused(rest: str) -> None:
    """A piece of the password would be taken for the host, or a traceback be the answer."""
    with pytest.raises(ValidationError, match="no host that could be read") as caught:
        StoreConfig.model_validate({"url": f"postgresql://{rest}"})
    assert "s3" not in str(caught.value)
