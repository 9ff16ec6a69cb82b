"""`GET /v1/usage`, and what the server says of keys and accounts, over HTTP."""

import logging
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from pipeline.core.accounts import NO_LIMITS, KeyScope
from pipeline.server.keys import make_key
from pipeline.testing import wait_until
from tests.server.serving import PATIENCE_S, Serving, data_uri


def get(served: Serving, path: str, presented: str | None, /, **asked: Any) -> httpx.Response:
    """Ask as a plain client."""
    headers: Mapping[str, str] = (
        {} if presented is None else {"authorization": f"Bearer {presented}"}
    )
    return httpx.get(
        served.url + path, params=asked, headers=headers, timeout=PATIENCE_S, trust_env=False
    )


def ask(served: Serving, key: str, picture: str) -> httpx.Response:
    """One question about one picture."""
    settings = {"max_tokens": 3}
    return put(served, {"question": "Why?", "image_url": picture, "settings": settings}, key)


def put(served: Serving, body: Mapping[str, Any], key: str) -> httpx.Response:
    """One question."""
    return served.post_as("/query", body, {"authorization": f"Bearer {key}"})


def test_a_key_sees_itself_and_an_admin_sees_all(served: Serving) -> None:
    """Pictures and tokens as the answers said them; what failed only that it was there."""
    shop, lab = served.new_key("shop"), served.new_key("lab")
    assert ask(served, shop, data_uri()).status_code == 200
    assert ask(served, shop, "data:image/png;base64,AAAA").status_code == 400
    assert ask(served, lab, data_uri()).status_code == 200

    def seen(presented: str, /, **asked: Any) -> list[dict[str, Any]]:
        answer = get(served, "/usage", presented, **asked)
        assert answer.status_code == 200
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    served.ledger.write()
    [own] = seen(shop)
    assert (own["key"], own["requests"], own["failed"], own["pictures"]) == ("shop", 2, 1, 1)
    assert own["completion_tokens"] == 3
    assert own["image_tokens"] == 730
    assert own["cost"] == "0.00"
    by = seen(shop, by=["skill", "day"], since="today")
    assert [(row["skill"], row["requests"]) for row in by] == [("query", 2)]
    assert seen(shop, since="2001-01-01", until="2001-01-02") == []
    assert {row["key"] for row in seen(served.key)} >= {"shop", "lab"}
    assert [row["key"] for row in seen(served.key, key="lab")] == ["lab"]
    error = get(served, "/usage", shop, key="lab")
    assert error.status_code == 403
    assert error.json()["error"]["code"] == "insufficient_permissions"


def test_questions_that_cannot_be_answered(served: Serving) -> None:
    """400 with the parameter's name, never 500."""
    for asked, param in (
        ({"by": "colour"}, "by"),
        ({"since": "soon"}, "since"),
        ({"until": "99999999999999d"}, "until"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "since"),
        ({"since": "0001-01-01"}, "since"),
        ({"since": "9" * 5000 + "s"}, "since"),
    ):
        answer = get(served, "/usage", served.key, **asked)
        assert answer.status_code == 400, asked
        assert answer.json()["error"]["param"] == param
    assert get(served, "/usage", served.key, key="\0nobody").json()["data"] == []


def test_nothing_but_health_is_open(served: Serving) -> None:
    """Metrics have names of keys in them, and want a scope of their own."""
    assert httpx.get(served.url.removesuffix("/v1") + "/health", trust_env=False).status_code == 200
    serve = served.new_key("curious")
    for path in ("/usage", "/models", "/../metrics", "/../version"):
        assert get(served, path, None).status_code == 401, path
        assert get(served, path, "mw_wrong").status_code == 401, path
    assert get(served, "/../metrics", serve).status_code == 403
    secret, record = make_key(
        "prometheus", served.state.clock.now(), scopes=[KeyScope.METRICS], limits=NO_LIMITS
    )
    served.store.accounts.add_key(record)
    served.state.gate.follow()
    text = get(served, "/../metrics", secret.reveal()).text
    assert 'moonwatch_server_refused_total{reason="key"}' in text
    assert 'moonwatch_server_refused_total{reason="scope"} 1.0' in text
    assert secret.reveal() not in text


def test_limits_are_headers_and_exceptions(served: Serving) -> None:
    """Beside the answers, and with what is refused."""
    key = served.new_key("limited", requests_per_second=0.01, burst=2, pictures_per_day=1)
    answer = ask(served, key, data_uri())
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert answer.headers["x-ratelimit-remaining-pictures"] == "0"
    answer = ask(served, key, data_uri())
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert put(served, {"question": "Why?"}, key).status_code == 200
    answer = put(served, {"question": "Why?"}, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) > 50
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


def test_keys_are_in_no_log_and_no_answer(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in a ledger's row, whatever becomes of the request."""
    caplog.set_level(logging.DEBUG)
    key = served.new_key("quiet")
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    texts = [ask(served, key, data_uri()).text, ask(served, key, key).text]
    texts += [ask(served, wrong, data_uri()).text]
    served.ledger.write()
    with served.store._database.read("look at the ledger") as connection:
        for table in ("ledger", "usage", "spent", "keys"):
            rows = connection.exec_driver_sql(f"SELECT * FROM moonwatch_{table}").all()
            texts.append(repr(rows))
    secret = key.split("_")[2][:20]
    assert not [text for text in (*texts, caplog.text) if secret in text]


def test_health_says_when_accounts_cannot_be_written(served: Serving) -> None:
    """And callers are answered all the same; nothing of where the store is."""
    health = served.url.removesuffix("/v1") + "/health"
    key = served.new_key("patient")
    with served.store._database.write("hold the lock"):
        assert ask(served, key, data_uri()).status_code == 200
        served.store.accounts._database._patience_s = 0.1
        served.ledger._store_trouble = None
        served.state.gate.follow()
        answer = httpx.get(health, trust_env=False)
        assert answer.status_code == 200
        assert answer.json()["remarks"] == ["keys and limits are as they were last known"]
        assert "accounts.db" not in answer.text
    served.state.gate.follow()
    wait_until(lambda: "remarks" not in httpx.get(health, trust_env=False).json())
