"""`GET /v1/usage`: what a key has used; a key with the scope `admin` sees all."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from pipeline.core.accounts import KeyScope
from pipeline.core.errors import StoreError
from pipeline.server.errors import ApiError
from pipeline.server.limits import KeyGate
from pipeline.server.state import state_of
from pipeline.server.sums import sum_as_json, usage_question

router = APIRouter(tags=["operation"])


class UsageAnswer(BaseModel):
    """Sums, in the order of what they are added up by."""

    object: Literal["list"]
    data: list[dict[str, str | int | None]]
    """Counts and milliseconds by name; the cost is text, as exact as it was written."""


@router.get("/v1/usage", response_model=None)
async def usage(
    request: Request,
    by: Annotated[list[str] | None, Query(description="key, day, model or skill.")] = None,
    since: Annotated[str | None, Query(description="Such as 2026-11-26, yesterday or 2h.")] = None,
    until: Annotated[str | None, Query(description="The same.")] = None,
    key: Annotated[str | None, Query(description="The name of a key; for admins.")] = None,
) -> UsageAnswer:
    """What was used, added up by key, day, model or skill. Days are days of UTC."""
    state = state_of(request)
    gate: KeyGate = state.gate
    async with gate.enter(
        request.headers.get("authorization"),
        request.headers.get("x-moondream-auth"),
        pictures=0,
        client_host=request.client.host if request.client is not None else "",
        is_noted=False,
    ) as entered:
        if KeyScope.ADMIN not in entered.key.scopes:
            if key not in (None, entered.key_name):
                raise ApiError(
                    403,
                    "a key sees its own usage; that of others needs the scope admin",
                    "permission_error",
                    param="key",
                    code="insufficient_permissions",
                    should_retry=False,
                )
            key = entered.key_name
        try:
            question = usage_question(by or (), since, until, key, state.clock.now())
        except ValueError as error:
            param, _, _ = str(error).partition(":")
            raise ApiError(400, str(error), param=param, code="invalid_value") from None
        try:
            sums = await asyncio.to_thread(gate.usage, question)
        except StoreError:
            raise ApiError(
                503,
                "the accounts cannot be read now; try again later",
                "server_error",
                retry_after_s=5.0,
                should_retry=True,
            ) from None
        data = [sum_as_json(total, question.by) for total in sums]
        return UsageAnswer.model_validate({"object": "list", "data": data})
