"""Requests made up from the description of the interface: none of them makes the server fail."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance

from tests.server.serving import PATIENCE_S, Serving

OPERATIONS = (
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "POST /v1/query",
    "POST /v1/caption",
    "POST /v1/detect",
    "POST /v1/point",
    "GET /v1/models",
    "GET /v1/models/{name}",
)


def test_every_route_is_described(served: Serving) -> None:
    """What is tried below is all there is."""
    schema = _schema(served)
    found = {
        f"{found.ok().method.upper()} {found.ok().path}" for found in schema.get_all_operations()
    }
    assert set(OPERATIONS) <= found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_request_makes_it_fail(served: Serving, operation: str) -> None:
    """Neither what fits the description nor what does not is answered with a 500."""
    method, path = operation.split()
    described = _schema(served)[path][method]
    headers = {"authorization": f"Bearer {served.key}"}

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy())
    def attempt(case: Any) -> None:
        if path in ("/v1/query", "/v1/caption") and isinstance(case.body, dict):
            how = case.body.get("settings")
            # Answers of the random network would go on for hundreds of tokens.
            if how is None or (isinstance(how, dict) and how.get("max_tokens") is None):
                case.body["settings"] = {**(how or {}), "max_tokens": 4}
        answer = case.call(headers=headers, timeout=PATIENCE_S)
        case.validate_response(
            answer, checks=[not_a_server_error, content_type_conformance], headers=headers
        )

    attempt()


def _schema(served: Serving) -> Any:
    """The description, where the server is."""
    schema = schemathesis.openapi.from_dict(served.openapi())
    schema.config.update(base_url=served.url.removesuffix("/v1"))
    return schema
