"""Answers in a form: JSON, or JSON of a schema, by masks of the tokens that may come next.

The library `llguidance` (extra `server`) turns a schema into a grammar, and says after each token
which ones may follow. It is imported when a mask is first made.
"""

import json
import math
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pipeline.moondream.checkpoints.tokenizer import TextTokenizer
from pipeline.moondream.device.rows import mask_words
from pipeline.moondream.errors import MaskError
from pipeline.moondream.skills.base import Language
from pipeline.moondream.types import TokenMask

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# What a schema may be at most: its JSON's length, how deep it is, and its `multipleOf`, of which
# the library makes a machine of as many states.
MAX_SCHEMA_BYTES = 128 * 1024
MAX_SCHEMA_DEPTH = 64
MAX_MULTIPLE = 10_000
# Seconds until a schema is given up. The library's own limits end it soon after.
WITHIN_S = 2.0
# The library's limits of work: some ten milliseconds for a token, whatever the grammar.
LIMITS = {
    "initial_lexer_fuel": 500_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 30_000,
    "max_lexer_states": 50_000,
    "max_grammar_size": 200_000,
}
# One space at most between two parts: a model that likes white space could else write it for ever.
FORM = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": " ?",
    "coerce_one_of": False,
    "lenient": False,
}
# Words of the library's where a limit was reached.
TOO_MUCH = ("too large", "fuel", "complex", "max is", "too many", "unable to determine")
# Tokens of an answer that are tried when a mask is made.
PROBED = 8
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}

_tokenizers: "WeakKeyDictionary[TextTokenizer, LLTokenizer]" = WeakKeyDictionary()
_making_tokenizers = threading.Lock()
# Schemas prepared at the same time, those among them whose callers have given up.
_places = threading.BoundedSemaphore(4)


def json_mask(
    schema: Mapping[str, Any] | None, language: Language, within_s: float = WITHIN_S
) -> TokenMask:
    """Return the mask of answers that are JSON of a schema, or any JSON object where it is None.

    Call it outside of the engine's thread: a large schema takes up to some hundred milliseconds.
    Raises MaskError with a sentence where the schema cannot be followed, or is too much work.
    """
    try:
        import llguidance  # noqa: F401 - here it is said in words that it is missing
    except ImportError as error:
        raise MaskError(
            "answers in JSON need the library llguidance, which is not installed here; install the "
            "extra `server`"
        ) from error
    text = _checked(ANY_OBJECT if schema is None else schema)
    _tokenizer_of(language)
    made: list[JsonMask | MaskError] = []

    def make() -> None:
        try:
            made.append(JsonMask(text, language))
        except MaskError as error:
            made.append(error)
        # What the library raises of a schema that it did not foresee, also as it panics.
        except BaseException as error:  # noqa: BLE001 - it is this schema's alone
            made.append(MaskError(f"the JSON schema cannot be followed: {_short(error)}"))
        finally:
            _places.release()

    if not _places.acquire(timeout=within_s):
        raise MaskError("other JSON schemas are still being prepared; try again in a moment")
    worker = threading.Thread(target=make, name="json-mask", daemon=True)
    worker.start()
    worker.join(within_s)
    if not made:
        raise MaskError(
            f"the JSON schema takes more than {within_s:g} s to prepare; make it smaller"
        )
    if isinstance(made[0], MaskError):
        raise made[0]
    return made[0]


class JsonMask:
    """A schema that was made ready for one model; requests start from copies of it."""

    def __init__(self, schema: str, language: Language) -> None:
        """`schema` is its JSON. Raises MaskError where it cannot be followed."""
        from llguidance import LLMatcher, LLParserLimits

        self.vocab_size = language.dims.text.vocab_size
        self._end = language.release.ids.eos
        tokenizer = _tokenizer_of(language)
        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=FORM)  # type: ignore[arg-type]
        except ValueError as error:
            raise MaskError(f"the JSON schema cannot be followed: {_short(error)}") from error
        limits = LLParserLimits(**LIMITS, verbose_errors=False)  # type: ignore[arg-type]
        self._matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
        if self._matcher.is_error():
            raise MaskError(_sentence(self._matcher.get_error()))
        # Never a control token, which is no text, but for the end.
        self._text = np.full(mask_words(self.vocab_size), -1, dtype=np.int32)
        bits = self._text.view(np.uint32)
        for token in language.tokenizer.control - {self._end}:
            bits[token // 32] &= ~np.uint32(1 << (token % 32))
        self._probe()

    def _probe(self) -> None:
        """Begin an answer, so that what is too much work is refused now and not in its midst."""
        answer = self.begin()
        for _ in range(PROBED):
            bits = np.unpackbits(answer.allowed().view(np.uint8), bitorder="little")
            token = int(bits.argmax())
            if token == self._end:
                return
            answer.take(token)
            if answer.is_complete:
                return

    def begin(self) -> "JsonAnswer":
        """Return the state before the first token of an answer."""
        return JsonAnswer(self._matcher.deep_copy(), self._text)


class JsonAnswer:
    """How far one answer has come."""

    def __init__(self, matcher: "LLMatcher", text: NDArray[np.int32]) -> None:
        """`text` has the bits of the tokens that may come at all."""
        self._matcher, self._text = matcher, text

    @property
    def is_complete(self) -> bool:
        """Whether only the end may follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self) -> NDArray[np.int32]:
        """Return which tokens may come next; MaskError where there is none, or it is too hard."""
        found = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.int32)
        self._check()
        words = self._text & found[: len(self._text)]
        if not words.any():
            raise MaskError("no token of the model can go on with the JSON that was begun")
        return words

    def take(self, token: int) -> None:
        """Note a token; MaskError where it was not allowed, or what follows is too hard."""
        if not self._matcher.consume_token(token):
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise MaskError(_sentence(self._matcher.get_error()))


def _tokenizer_of(language: Language) -> "LLTokenizer":
    """Return the library's form of a tokenizer, which takes a moment to make."""
    from llguidance import LLTokenizer

    with _making_tokenizers:
        made = _tokenizers.get(language.tokenizer)
        if made is None:
            made = LLTokenizer(
                language.tokenizer.to_json(),
                n_vocab=language.dims.text.vocab_size,
                eos_token=language.release.ids.eos,
            )
            _tokenizers[language.tokenizer] = made
        return made


def _checked(schema: Mapping[str, Any]) -> str:
    """Return a schema as JSON, or raise MaskError where it is larger than any that is meant."""
    if not isinstance(schema, Mapping):
        raise MaskError(f"the JSON schema is {schema!r:.60}; it must be an object")
    if "x-guidance" in schema:
        raise MaskError("the JSON schema has 'x-guidance', which is not its to say; leave it out")
    multiples: set[Decimal] = set()
    for depth, key, value in _entries(schema):
        if depth > MAX_SCHEMA_DEPTH:
            raise MaskError(f"the JSON schema is more than {MAX_SCHEMA_DEPTH} levels deep")
        if key == "multipleOf" and type(value) in (int, float):
            multiples.add(Decimal(str(value)))
    if not _are_few(multiples):
        raise MaskError(
            f"the JSON schema has multipleOf {', '.join(map(str, sorted(multiples))):.100}; "
            f"counted in its last digit, what all of them divide may be {MAX_MULTIPLE} at most"
        )
    try:
        text = json.dumps(schema, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise MaskError(f"the JSON schema is not JSON: {_short(error)}") from error
    if size > MAX_SCHEMA_BYTES:
        raise MaskError(f"the JSON schema has {size} bytes; it may have {MAX_SCHEMA_BYTES} at most")
    return text


def _entries(schema: object) -> Iterator[tuple[int, object, object]]:
    """Every value in a schema, how deep it lies and its key, without recursion."""
    stack: list[tuple[int, object, object]] = [(0, None, schema)]
    while stack:
        depth, _, value = entry = stack.pop()
        yield entry
        if isinstance(value, Mapping):
            stack += [(depth + 1, name, inner) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            stack += [(depth + 1, None, inner) for inner in value]


def _are_few(multiples: Collection[Decimal]) -> bool:
    """Whether the least number that several divide is small, in units of their last digit."""
    common, unit = 1, Decimal(1)
    for multiple in multiples:
        if not multiple.is_finite() or multiple.adjusted() > 9:
            return False
        exponent = multiple.normalize().as_tuple().exponent
        unit = min(unit, Decimal(1).scaleb(min(int(exponent), 0)))
        if unit.adjusted() < -9:
            return False
    for multiple in multiples:
        common = math.lcm(common, max(abs(int(multiple / unit)), 1))
    return common <= MAX_MULTIPLE


def _sentence(error: str) -> str:
    """Return what the library says of a schema as a sentence that says what to do."""
    unknown = re.match(r"Unimplemented keys: \[(.*)\]", error)
    if unknown:
        return (
            f"the JSON schema uses {unknown[1]:.200}, to which answers cannot be held; leave it out"
        )
    if error.startswith("oneOf"):
        return (
            "the JSON schema has a oneOf whose choices do not exclude each other by their type or "
            "by a required constant text; use anyOf"
        )
    if any(word in error.lower() for word in TOO_MUCH):
        return f"the JSON schema is too much work ({_short(error)}); make it smaller"
    return f"the JSON schema cannot be followed: {_short(error)}"


def _short(error: object) -> str:
    """Return what an error says in one line, without the place of the library's own code."""
    words = " ".join(str(error).replace("<non-verbose/>", "").split())
    return f"{words[:200]}…" if len(words) > 200 else words or type(error).__name__
