"""Keys and accounts from the command line, in this user's store and in a deployment's."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.accounts import DAY_S
from pipeline.core.clock import SystemClock
from pipeline.server.ledger import Ledger
from pipeline.server.limits import KeyGate
from pipeline.server.place import accounts_store
from tests.cli.commands import moonwatch
from tests.contracts.accounts import entry


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's data, for each test another."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "moonwatch"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A deployment with a store of its own."""
    content = {
        "version": 1,
        "store": {"url": f"sqlite:///{tmp_path}/shop.db"},
        "cameras": {"door": {"source": {"type": "file", "path": "clip.mp4"}}},
    }
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_key_is_shown_once_and_opens(own_data: Path) -> None:
    """Alone on the standard output; its hash is in a file that only we can read."""
    code, out, errors = moonwatch("token", "add", "shop", "--expires", "90d", "--at-once", "2")
    assert code == 0, errors
    key = out.strip()
    assert out == f"{key}\n"
    assert key.startswith("mw_")
    assert f"the key shop is kept in the store {own_data / 'serve.db'}, as a hash" in errors
    database = own_data / "serve.db"
    assert database.stat().st_mode & 0o077 == 0
    secret = key.split("_")[2].encode()
    assert not [one for one in own_data.iterdir() if secret in one.read_bytes()]
    assert key not in moonwatch("token", "list", "--json")[1]
    store = SqlStore(f"sqlite:///{database}")
    try:
        ledger = Ledger(store.accounts, SystemClock())
        gate = KeyGate(store.accounts, ledger, SystemClock())
        found = gate.identify(f"Bearer {key}", None, client_host="")
        assert (found.name, found.limits.at_once) == ("shop", 2)
        assert moonwatch("token", "revoke", "shop")[:2] == (
            0, f"the key shop in the store {database} is revoked\n",
        )  # fmt: skip
        gate.follow()
        assert not store.accounts.keys()[0].is_valid(time.time())
    finally:
        store.close()


def test_a_file_s_store_has_its_own_keys(file: Path, own_data: Path) -> None:
    """Named by the file, or by its address."""
    assert moonwatch("token", "add", file, "till", "--scope", "admin")[0] == 0
    url = f"sqlite:///{file.parent}/shop.db"
    [by_file] = json.loads(moonwatch("token", "list", file, "--json")[1])
    [by_url] = json.loads(moonwatch("token", "list", "--store", url, "--json")[1])
    assert by_file == by_url
    assert (by_file["name"], by_file["scopes"], by_file["state"]) == ("till", ["admin"], "valid")
    code, _, errors = moonwatch("token", "list")
    assert code == 1
    assert f"there is no store {own_data / 'serve.db'} yet" in errors
    code, _, errors = moonwatch("token", "list", file, "--store", url)
    assert code == 2
    assert "the file names a store already" in errors


def test_a_key_that_is_made_anew(own_data: Path) -> None:
    """Has the limits of the old one, which ends in its time; revoking ends both."""
    del own_data
    old = moonwatch("token", "add", "shop", "--pictures-per-day", "7", "--expires", "30d")[1]
    code, new, errors = moonwatch("token", "rotate", "shop", "--keep-old", "2h")
    assert code == 0, errors
    assert new != old
    assert "the old key ends in 2h" in errors
    first, second = json.loads(moonwatch("token", "list", "--json")[1])
    assert first["limits"] == second["limits"]
    assert first["expires_at"] == pytest.approx(time.time() + 7200, abs=60)
    assert second["expires_at"] == pytest.approx(time.time() + 30 * DAY_S, abs=60)
    assert moonwatch("token", "revoke", "shop")[0] == 0
    assert moonwatch("token", "revoke", "shop")[1].endswith("was revoked before\n")
    assert moonwatch("token", "rotate", "shop")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "mw_x"), "looks like a key"),
        (("add", "shop.yaml"), "shop.yaml is a file; write the key's name after it"),
        (("add", "a", "b", "c"), "write it in quotes"),
        (("add", "a", "--scope", "root"), "'root' is not one of serve, read:metrics, admin"),
        (("add", "a", "--expires", "90"), "needs a unit"),
        (("add", "a", "--expires", "1s"), "is over at once"),
        (("add", "a", "--pictures-per-day", "0"), "would let nothing through"),
        (("add", "a", "--store", "postgresql://u:geheim@h:x/d"), "has no host"),
        (("add", "a", "--store", "somewhere"), "a store is sqlite:///FILE or"),
        (("revoke", "nobody"), "has no key named nobody; it has none"),
        (("rotate", "nobody"), "has no key named nobody"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], sentence: str) -> None:
    """In a sentence, with exit code 2, and without a password."""
    code, out, errors = moonwatch("token", *arguments)
    assert (code, out) == (2, "")
    assert sentence in errors
    assert "geheim" not in errors


def test_a_name_is_taken(file: Path) -> None:
    """Also that of a key that was revoked; odd names are shown as they are."""
    name = "[red]Müller & Söhne"
    assert moonwatch("token", "add", file, name)[0] == 0
    assert moonwatch("token", "revoke", file, name)[0] == 0
    code, _, errors = moonwatch("token", "add", file, name)
    assert code == 2
    assert f"has, or had, a key named {name}" in errors
    assert f"name {name}, " in moonwatch("token", "list", file)[1]


def test_usage_is_added_up(file: Path, tmp_path: Path) -> None:
    """By what is asked for, exactly, for people and for machines."""
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    now = time.time()
    store.accounts.keep([entry(1, now - 3 * DAY_S), entry(2, now - 60), entry(3, now - 30)])
    store.close()
    code, out, errors = moonwatch("usage", file)
    assert code == 0, errors
    assert out == (
        "usage (days of UTC): key shop, requests 3, failed 0, cancelled 0, pictures 3, crops 9, "
        "tokens in 2226, tokens out 15, seconds 0.2, cost 0.001878 USD\n"
    )
    rows = json.loads(moonwatch("usage", file, "--by", "day", "--by", "skill", "--json")[1])
    assert sum(row["requests"] for row in rows) == 3
    assert {row["skill"] for row in rows} == {"query"}
    assert {row["cost"] for row in rows} <= {"0.000626", "0.001252"}
    [recent] = json.loads(moonwatch("usage", file, "--since", "1h", "--json")[1])
    assert (recent["requests"], recent["cost"], recent["currency"]) == (2, "0.001252", "USD")
    assert moonwatch("usage", file, "--key", "lab")[1].startswith("nothing was used")
    for arguments in (("--by", "colour"), ("--since", "soon"), ("--since", "1h", "--until", "2h")):
        code, _, errors = moonwatch("usage", file, *arguments)
        assert code == 2
        assert arguments[0] in errors


def test_parts_of_days_that_are_forgotten_are_said(file: Path, tmp_path: Path) -> None:
    """A part of a day needs its requests one by one."""
    store = SqlStore(f"sqlite:///{tmp_path}/shop.db")
    day = int(time.time() // DAY_S) - 10
    store.accounts.keep([entry(1, day * DAY_S), entry(2, (day + 5) * DAY_S)])
    store.accounts.forget_entries((day + 1) * DAY_S, 100)
    store.close()
    code, out, errors = moonwatch("usage", file, "--until", str((DAY_S * 9 + 60) // 60) + "m")
    assert code == 0, errors
    assert "kept as totals of whole days alone" in errors
    assert "requests 1," in out


def test_commands_need_no_server_extra() -> None:
    """The web framework is not imported, so that a key is made at once."""
    code = (
        "import sys, pipeline.cli.token, pipeline.cli.usage; "
        "print([name for name in ('fastapi', 'uvicorn', 'torch', 'sqlalchemy') if name in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "[]\n"


def test_the_default_store_is_one_for_all_commands(own_data: Path) -> None:
    """`serve`, `token` and `usage` ask the same function."""
    assert accounts_store() == StoreConfig.model_validate({"url": f"sqlite:///{own_data}/serve.db"})
