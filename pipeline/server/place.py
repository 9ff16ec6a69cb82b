"""Where keys and accounts are: in a deployment's store, in one that is named, or in this user's."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from connectors.stores import StoreConfig
from pipeline.core.errors import ConfigError, Problem
from pipeline.deployment.loader import load


def data_folder() -> Path:
    """Where moonwatch keeps what belongs to this user and to no deployment; raises ConfigError."""
    named = os.environ.get("XDG_DATA_HOME", "")
    try:
        home = Path(named) if Path(named).is_absolute() else Path("~/.local/share").expanduser()
    except RuntimeError:
        raise ConfigError(
            [Problem("--store", "this user has no home; name a store, such as sqlite:///serve.db")]
        ) from None
    return home / "moonwatch"


def accounts_store(
    file: Path | None = None, url: str | None = None, overrides: Sequence[str] = ()
) -> StoreConfig:
    """Where keys and accounts are: in a deployment's store, in the one named, or in this user's.

    `serve`, `token` and `usage` all ask this. Raises ConfigError.
    """
    if file is not None and url is not None:
        raise ConfigError([Problem("--store", "the file names a store already; leave one out")])
    if file is not None:
        return _usable(load(file, overrides).store, "store")
    if url is None:
        return StoreConfig.model_validate({"url": f"sqlite:///{data_folder() / 'serve.db'}"})
    try:
        named = StoreConfig.model_validate({"url": url})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError([Problem("--store", said)]) from None
    return _usable(named, "--store")


def _usable(store: StoreConfig, place: str) -> StoreConfig:
    """The store, unless the driver of its database is not installed; raises ConfigError."""
    lacks = list(store.lacks()) if store.file is None else []
    if lacks:
        where = place if place.startswith("--") else f"{place}.{lacks[0].key}"
        raise ConfigError([Problem(where, lacks[0].message)])
    return store


def shown_store(store: StoreConfig) -> str:
    """A store as it is said in messages, without its password."""
    return f"the store {store.file}" if store.file is not None else f"the store {store.url}"
