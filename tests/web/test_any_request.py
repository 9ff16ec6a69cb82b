"""Requests of any form that the description of the API allows, and of many that it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from pipeline.core.people import TokenScope
from pipeline.testing import patience
from pipeline.web.app import interface_description
from tests.web.houses import House, house, shop_file

_EXAMPLES = 8
_QUICK = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """The application of the shop."""
    with house(shop_file(tmp_path)) as opened:
        yield opened


@pytest.mark.slow
def test_no_request_makes_the_application_fail(home: House) -> None:
    """Each is answered or refused with a sentence, and what is answered is what is described."""
    program = home.program("fuzz", TokenScope.ADMIN)
    headers = dict(program.headers)
    described = schemathesis.openapi.from_dict(interface_description())
    found: list[str] = []

    def call(case: Case[Any]) -> None:
        answer = case.call(base_url=home.url, headers=headers, timeout=patience(20))
        named = f"{case.method} {case.path} {case.path_parameters} {case.query} {case.body!r:.200}"
        if answer.status_code >= 500:
            found.append(f"{named}: {answer.status_code} {answer.text:.300}")
        elif answer.status_code >= 400 and not answer.json()["error"]["message"]:
            found.append(f"{named}: refused without a sentence")

    for result in described.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            strategy: st.SearchStrategy[Case[Any]] = operation.as_strategy(generation_mode=mode)
            try:
                _QUICK(given(case=strategy)(call))()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:
                    raise
    assert found == []
