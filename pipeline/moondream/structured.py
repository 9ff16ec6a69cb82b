"""Answers in a form: JSON, or JSON of a schema, by masks of the tokens that may come next."""

from collections.abc import Mapping
from typing import Any

from pipeline.moondream.skills.base import Language
from pipeline.moondream.types import TokenMask


def json_mask(schema: Mapping[str, Any] | None, language: Language) -> TokenMask:
    """Return the mask of answers that are JSON of a schema, or any JSON object where it is None.

    Call it outside of the engine's thread: a large schema takes up to some hundred milliseconds.
    Raises MaskError with a sentence where the schema cannot be followed, or is too much work.
    """
    raise NotImplementedError
