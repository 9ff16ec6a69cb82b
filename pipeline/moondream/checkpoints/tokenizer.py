"""Text to ids and back, and the pieces in which generated text is streamed."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pipeline.moondream.checkpoints.revisions import CONTROL_TOKEN
from pipeline.moondream.errors import CheckpointError
from pipeline.moondream.templates import Release

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Ideographs are complete words on their own, so nothing is held back after them.
_IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x2F800, 0x2FA1F))


class TextTokenizer:
    """A `tokenizer.json` file. Control tokens come from prompts alone: never from anybody's words.

    Whoever writes <|endoftext|> into a question asks about these letters, and cannot end the
    prompt with them. Control tokens are never written out either.
    """

    def __init__(self, tokenizer: "Tokenizer", place: str) -> None:
        self._tokenizer = tokenizer
        self.place = place
        control = {
            token: added.content
            for token, added in tokenizer.get_added_tokens_decoder().items()
            if added.special or CONTROL_TOKEN.fullmatch(added.content)
        }
        self._control = frozenset(control)
        spellings = sorted(control.values(), key=len, reverse=True)
        self._added = {
            token: added.content for token, added in tokenizer.get_added_tokens_decoder().items()
        }
        self._spelt_out = re.compile("|".join(map(re.escape, filter(None, spellings))) or r"(?!)")

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file in the format of the `tokenizers` library."""
        from tokenizers import Tokenizer

        if not path.is_file():
            raise CheckpointError(f"{path} does not exist; the model needs its tokenizer.json")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        # The library raises a bare Exception for anything wrong with a file.
        except Exception as error:
            raise CheckpointError(f"{path} is not a tokenizer file: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # as the text they are spelt with
        return cls(tokenizer, str(path))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; never a control token, whatever the text spells."""
        ids = self._ids(text)
        if self._control.isdisjoint(ids):
            return ids
        # Files that do not mark their control tokens as special: cut inside the spelling of one,
        # both halves are ordinary text.
        ids = [token for piece in self._cut(text) for token in self._ids(piece)]
        return [token for token in ids if token not in self._control]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _cut(self, text: str) -> Iterator[str]:
        start = 0
        for found in self._spelt_out.finditer(text):
            yield text[start : found.start() + 1]
            start = found.start() + 1
        yield text[start:]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without control tokens; half a character shows as U+FFFD."""
        text: str = self._tokenizer.decode([i for i in ids if i not in self._control])
        return text

    def token_bytes(self, token: int) -> bytes:
        """Return what a token adds to a text, in UTF-8: half a character has bytes too.

        None of a control token, nor of an id that is no token.
        """
        if token in self._control:
            return b""
        spelling = self._added.get(token)
        if spelling is not None:
            return spelling.encode()
        spelling = self._tokenizer.id_to_token(token)
        if spelling is None:
            return b""
        try:
            return bytes(_BYTE_OF[letter] for letter in spelling)
        except KeyError:  # not spelt in bytes
            text: str = self._tokenizer.decode([token])
            return text.encode()

    def token_text(self, token: int) -> str:
        """Return a token as text: U+FFFD for half a character, a control token spelt out."""
        if token in self._control:
            return self._added[token]
        return self.token_bytes(token).decode(errors="replace")

    def to_json(self) -> str:
        """Return the file."""
        text: str = self._tokenizer.to_str()
        return text

    @property
    def control(self) -> frozenset[int]:
        """The ids of all control tokens."""
        return self._control

    def check(self, release: Release, vocab_size: int) -> None:
        """Raise CheckpointError unless this is a tokenizer for the release and the model."""
        size = self._tokenizer.get_vocab_size()
        if size > vocab_size:
            raise CheckpointError(
                f"{self.place} has {size} tokens but the model's table has {vocab_size} rows; "
                "give the tokenizer the model was trained with"
            )
        for token in release.ids.known():
            if token not in self._control:
                raise CheckpointError(
                    f"{self.place} is not the tokenizer of release {release.name}: id {token} is "
                    f"{self._tokenizer.id_to_token(token)!r} there, not a special token; "
                    + _TOKENIZER_HELP[release.tokenizer]
                )
        words = (release.prompts.query, release.prompts.detect, release.prompts.point)
        used = {i for template in words for i in (*template.prefix, *template.suffix)}
        used.update(*release.prompts.captions.values())
        if max(used) >= vocab_size:
            raise CheckpointError(
                f"the prompts of release {release.name} use id {max(used)}, but the model's table "
                f"has {vocab_size} rows; give config.json with the group 'tokenizer'"
            )


def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter stands for in the vocabulary of a byte-level tokenizer.

    Printable Latin-1 stands for itself, the other bytes for the letters from U+0100 on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + place): byte for place, byte in enumerate(others)},
    }


_BYTE_OF = _byte_letters()

_TOKENIZER_HELP = {
    "starmie-v1": "this release needs tokenizer.json of moondream/starmie-v1, and the file beside "
    "the published weights is an older one (releases up to 2025-04-14)",
    "codegen": "releases up to 2025-04-14 need the tokenizer.json of "
    "vikhyatk/moondream2 at 2025-01-09",
}


class TextStream:
    """Turns tokens into pieces of text that never need to be taken back.

    A word is held back until a space follows it, a line until it ends; ideographs go out at
    once. The pieces joined are the whole text.
    """

    def __init__(
        self, tokenizer: TextTokenizer, streaming: Literal["words", "tokens"] = "words"
    ) -> None:
        self._tokenizer = tokenizer
        self._by_token = streaming == "tokens"
        self._ids: list[int] = []
        self._given = 0

    def push(self, token: int) -> str:
        """Take one token and return the text that is now certain, often none."""
        if self._by_token:
            return self._tokenizer.decode([token])
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        if text.endswith("\n"):
            piece = text[self._given :]
            self._ids, self._given = [], 0
            return piece
        if text and _is_ideograph(text[-1]):
            return self._up_to(text, len(text))
        return self._up_to(text, text.rfind(" ", self._given) + 1)

    @property
    def pending(self) -> str:
        """What is held back, as far as it is known: half a character shows as U+FFFD."""
        return self._tokenizer.decode(self._ids)[self._given :] if self._ids else ""

    def finish(self) -> str:
        """Return what was held back; the stream can be used for a new text afterwards."""
        piece = self.pending
        self._ids, self._given = [], 0
        return piece

    def _up_to(self, text: str, end: int) -> str:
        if end <= self._given:
            return ""
        piece = text[self._given : end]
        self._given = end
        return piece


def _is_ideograph(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)
