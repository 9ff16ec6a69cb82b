"""How the benchmarks' questions are put: a table with versions.

`official` is the form of Moondream's own evaluation scripts (moondream/eval at 44146f1), by which
the published figures were made; `plain` is the default form of lmms-eval 0.7, which other models
are measured with. A version changes whenever a template does: answers to two versions are not
comparable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PromptStyle = Literal["official", "plain"]
STYLES: tuple[PromptStyle, ...] = ("official", "plain")

# The model's own limit, which the official scripts leave as it is.
_ALL_TOKENS = 768


@dataclass(frozen=True, slots=True)
class PromptForm:
    """How a benchmark's questions are put.

    `template` has `{question}`, `{question_capitalised}` (first letter large, all others small) or
    `{caption_and_question}` (the row's caption, an empty line and the question; without a caption
    the question alone).
    """

    benchmark: str
    style: PromptStyle
    version: int
    source: str
    template: str
    max_tokens: int = _ALL_TOKENS

    @property
    def name(self) -> str:
        """Style and version, as records name it."""
        return f"{self.style} v{self.version}"

    def put(self, fields: Mapping[str, str]) -> str:
        """The prompt for a row's `question` and, where it has one, `caption`."""
        question, caption = fields["question"], fields.get("caption", "")
        return self.template.format(
            question=question,
            question_capitalised=question.capitalize(),
            caption_and_question=f"{caption}\n\n{question}" if caption else question,
        )


_EVAL, _LMMS = "moondream/eval/{}.py", "lmms-eval {}"

PROMPTS: tuple[PromptForm, ...] = (
    PromptForm(
        "chartqa", "official", 1, _EVAL.format("chartqa"),
        "Analyze the chart carefully, consider both visual features and data values, and provide "
        "a precise answer without any additional explanation or formatting. {question}",
    ),
    PromptForm(
        "chartqa", "plain", 1, _LMMS.format("chartqa"),
        "{question}\nAnswer the question with a single word.", max_tokens=16,
    ),
    PromptForm(
        "docvqa", "official", 1, _EVAL.format("docvqa"),
        "{question} The answer should be a short text span taken verbatim from the document.",
    ),
    PromptForm(
        "docvqa", "plain", 1, _LMMS.format("docvqa_val"),
        "{question}\nAnswer the question using a single word or phrase.", max_tokens=32,
    ),
    PromptForm(
        "textvqa", "official", 1, _EVAL.format("textvqa"),
        "Read the text in the image and provide a brief lowercase answer. Respond 'unanswerable' "
        "only if there is no plausible answer. {question}",
    ),
    PromptForm(
        "textvqa", "plain", 1, _LMMS.format("textvqa_val"),
        "{question_capitalised}\nAnswer the question using a single word or phrase.",
    ),
    PromptForm(
        "countbenchqa", "official", 1, _EVAL.format("countbenchqa"),
        "Look at the image carefully and count the objects. Answer with just a number, without "
        "any additional text. {question}",
    ),
    PromptForm(
        "countbenchqa", "plain", 1, _LMMS.format("countbenchqa"),
        "{caption_and_question}\nAnswer with a single number.", max_tokens=32,
    ),
    PromptForm(
        "ocrbench", "official", 1, "no official script: the question as it is", "{question}"
    ),
    PromptForm("ocrbench", "plain", 1, _LMMS.format("ocrbench"), "{question}", max_tokens=128),
    PromptForm("coco", "official", 1, _EVAL.format("coco_map"), "{question}"),
    PromptForm("coco", "plain", 1, "the name of the class", "{question}"),
    PromptForm("screenspot", "official", 1, "the instruction as it is", "{question}"),
    PromptForm("screenspot", "plain", 1, "the instruction as it is", "{question}"),
)  # fmt: skip


def prompt_form(benchmark: str, style: PromptStyle) -> PromptForm:
    """The form of a benchmark's prompts in a style."""
    return next(p for p in PROMPTS if p.benchmark == benchmark and p.style == style)
