"""The routes of this interface."""

from fastapi import APIRouter

from pipeline.server.described import ERRORS
from pipeline.server.openai import chat, models, responses

router = APIRouter(tags=["openai"], responses=ERRORS)
for part in (chat, models, responses):
    router.include_router(part.router)
