"""How a release of Moondream 2 is prompted: special ids, prompts and defaults, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.moondream.errors import RequestError

Ids = tuple[int, ...]
PointRef = tuple[float, float]
BoxRef = tuple[float, float, float, float]
SpatialRef = PointRef | BoxRef
Resizer = Literal["pillow", "vips"]
PixelPrecision = Literal["bfloat16", "float16"]


class Encoder(Protocol):
    """What prompts need of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, with no start or end token added."""
        ...


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Token ids with a special meaning; None where a release has none."""

    bos: int
    eos: int
    answer: int | None = None
    thinking: int | None = None
    coord: int | None = None
    size: int | None = None
    start_ground: int | None = None
    end_ground: int | None = None

    def known(self) -> tuple[int, ...]:
        """Every id that is set."""
        ids = (self.bos, self.eos, self.answer, self.thinking, self.coord, self.size)
        return tuple(
            sorted({i for i in (*ids, self.start_ground, self.end_ground) if i is not None})
        )


@dataclass(frozen=True, slots=True)
class Template:
    """The ids before and after the words of one kind of request."""

    prefix: Ids
    suffix: Ids

    def wrap(self, words: Sequence[int]) -> list[int]:
        """Return the whole prompt."""
        return [*self.prefix, *words, *self.suffix]


@dataclass(frozen=True, slots=True)
class Prompts:
    """The templates of a release; `captions` has one whole prompt per length."""

    captions: Mapping[str, Ids]
    query: Template
    detect: Template
    point: Template


@dataclass(frozen=True, slots=True)
class Release:
    """How one release of the model is asked and read; two releases may share all their tensors.

    `size_decoding`: "log" is 2^(10 bin/1023 - 10), "linear" is bin/1024. `temperature`, `top_p`
    and `max_tokens` are what the release itself defaults to. `streaming`: "words" holds a word
    back until it is complete, "tokens" gives every token on its own. `extras`: reasoning, spatial
    references, text-only questions and variants, which came together. `stored` is the precision
    its weights were published in, `pixels` the one in which its code normalises pictures whatever
    the precision of the model, `resizer` the library its code resizes them with.
    """

    name: str
    ids: SpecialIds
    prompts: Prompts
    tokenizer: Literal["starmie-v1", "codegen"]
    size_decoding: Literal["log", "linear"] = "log"
    question_space: bool = False
    object_space: bool = True
    double_suffix: bool = False
    temperature: float = 0.5
    top_p: float = 0.3
    max_tokens: int = 768
    streaming: Literal["words", "tokens"] = "words"
    extras: bool = False
    stored: Literal["bfloat16", "float16"] = "bfloat16"
    pixels: PixelPrecision = "bfloat16"
    resizer: Resizer = "pillow"

    @property
    def caption_lengths(self) -> tuple[str, ...]:
        """The lengths a caption can be asked in."""
        return tuple(self.prompts.captions)

    def detect_prompt(self, tokenizer: Encoder, label: str) -> list[int]:
        """Return the ids that ask for boxes of `label`."""
        return self.prompts.detect.wrap(tokenizer.encode(self._spaced(label)))

    def point_prompt(self, tokenizer: Encoder, label: str) -> list[int]:
        """Return the ids that ask for points on `label`."""
        return self.prompts.point.wrap(tokenizer.encode(self._spaced(label)))

    def caption_prompt(self, length: str) -> list[int]:
        """Return the ids that ask for a caption; RequestError where the length is not known."""
        if length not in self.prompts.captions:
            raise RequestError(
                f"caption length {length!r} is not one of {', '.join(self.caption_lengths)}, "
                f"which release {self.name} has"
            )
        return list(self.prompts.captions[length])

    def query_prompt(
        self,
        tokenizer: Encoder,
        question: str,
        spatial_refs: Sequence[SpatialRef] = (),
        reasoning: bool = False,
    ) -> list[int]:
        """Return the ids of a question; with `reasoning` those of its first phase."""
        if (spatial_refs or reasoning) and not self.extras:
            asked = "spatial references" if spatial_refs else "reasoning"
            raise RequestError(f"release {self.name} has no {asked}; use release 2025-06-21")
        words = tokenizer.encode(" " + question if self.question_space else question)
        template = self.prompts.query
        prompt = [*template.prefix, *self.spatial_ids(spatial_refs), *words, *template.suffix]
        if reasoning:
            return [*prompt, _known(self.ids.thinking)]
        # The released model was trained with its closing id twice here, and answers best that way.
        return [*prompt, *template.suffix] if self.double_suffix else prompt

    def answer_prompt(self) -> list[int]:
        """Return the ids that ask for the answer once the reasoning has ended."""
        return list(self.prompts.query.suffix)

    def text_only_prompt(self, tokenizer: Encoder, question: str) -> list[int]:
        """Return the ids of a question without a picture, start token included."""
        if not self.extras:
            raise RequestError(
                f"release {self.name} cannot answer a question without a picture; "
                "use release 2025-06-21"
            )
        return [self.ids.bos, *self.query_prompt(tokenizer, question)]

    def spatial_ids(self, refs: Sequence[SpatialRef]) -> list[int]:
        """Return two coordinate ids for each point and two with a size id for each box."""
        ids: list[int] = []
        for ref in refs:
            if len(ref) not in (2, 4):
                raise RequestError(
                    f"spatial reference {ref!r} must be a point (x, y) or a box "
                    "(x_min, y_min, x_max, y_max)"
                )
            ids += [_known(self.ids.coord)] * 2
            if len(ref) == 4:
                ids.append(_known(self.ids.size))
        return ids

    def _spaced(self, label: str) -> str:
        return " " + label if self.object_space else label


def _known(token: int | None) -> int:
    """Return an id that `extras` promises."""
    if token is None:
        raise RequestError("this release does not support reasoning or spatial references")
    return token
