"""The error tree of the Moondream engine; every message is one sentence and says what to do.

MoondreamError
├── CheckpointError   a model, tokenizer, config or variant that cannot be used as given
├── PictureError      one picture that cannot be read
└── RequestError      one request that cannot be answered
"""


class MoondreamError(Exception):
    """The root of all errors this package raises on purpose."""


class CheckpointError(MoondreamError):
    """A model, tokenizer, config or variant cannot be found, read or used together."""


class PictureError(MoondreamError):
    """A picture is neither a uint8 RGB array nor a PIL image, or it is empty."""


class RequestError(MoondreamError):
    """A request asks for something the model or its release cannot do."""
