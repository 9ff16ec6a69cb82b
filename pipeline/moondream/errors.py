"""The error tree of the Moondream engine; every message is one sentence and says what to do.

MoondreamError
├── CheckpointError   a model, tokenizer, config or variant that cannot be used as given
├── PictureError      one picture that cannot be read
└── RequestError      one request that cannot be answered
    ├── TooLongError  its prompt has more tokens than the model has positions left
    └── MaskError     the form that its answer must have cannot be followed
"""


class MoondreamError(Exception):
    """The root of all errors this package raises on purpose."""


class CheckpointError(MoondreamError):
    """A model, tokenizer, config or variant cannot be found, read or used together."""


class PictureError(MoondreamError):
    """A picture is neither a uint8 RGB array nor a PIL image, or it is empty."""


class RequestError(MoondreamError):
    """A request asks for something the model or its release cannot do."""


class TooLongError(RequestError):
    """A prompt has more tokens than the model has positions left."""

    def __init__(self, message: str, tokens: int = 0, room: int = 0) -> None:
        """The prompt has `tokens`, and there is `room` for so many."""
        super().__init__(message)
        self.tokens, self.room = tokens, room


class MaskError(RequestError):
    """The form that an answer must have cannot be followed, or takes too much work."""
