"""Metrics of answers in words: charts, documents, counts and text in pictures."""

import json
from collections.abc import Sequence

RELATIVE_TOLERANCE = 0.05
ANLS_THRESHOLD = 0.5
# Of OCRBench's data sets the one of handwritten mathematics, in which spaces mean nothing.
SPACELESS = "HME100k"


def relaxed_match(answer: str, gold: str) -> bool:
    """ChartQA as the literature has it: numbers within 5 %, anything else equal but for its case.

    A trailing % divides by a hundred. A gold answer of zero is compared as text.
    """
    said, right = _number(answer), _number(gold)
    if said is not None and right:
        return abs(said - right) / abs(right) <= RELATIVE_TOLERANCE
    return answer.lower() == gold.lower()


def relaxed_match_official(answer: str, gold: str) -> bool:
    """ChartQA as Moondream's own script has it.

    Both are stripped and put in small letters first. Where both are JSON lists of one length, each
    element has to match its counterpart.
    """
    answers, golds = [answer], [gold]
    try:
        right = json.loads(gold)
        said = json.loads(answer)
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(right, list) and isinstance(said, list) and len(right) == len(said):
            answers, golds = [str(value) for value in said], [str(value) for value in right]
    pairs = zip(answers, golds, strict=True)
    return all(relaxed_match(a.strip().lower(), g.strip().lower()) for a, g in pairs)


def _number(text: str) -> float | None:
    try:
        if text.endswith("%"):
            return float(text.rstrip("%")) / 100.0
        return float(text)
    except ValueError:
        return None


def edit_distance(one: str, other: str) -> int:
    """How many characters have to be inserted, removed or replaced to get from one to the other."""
    if len(one) < len(other):
        one, other = other, one
    row = list(range(len(other) + 1))
    for above, left in enumerate(one, 1):
        diagonal, row[0] = row[0], above
        for at, right in enumerate(other, 1):
            cost = diagonal if left == right else 1 + min(diagonal, row[at], row[at - 1])
            diagonal, row[at] = row[at], cost
    return row[-1]


def anls_official(answer: str, golds: Sequence[str]) -> float:
    """DocVQA as Moondream's own script has it: the best similarity, none below one half.

    Two empty strings, by which that script would fail, are equal.
    """
    return max((_similarity(answer, gold) for gold in golds), default=0.0)


def _similarity(answer: str, gold: str) -> float:
    said, right = answer.lower().strip(), gold.lower().strip()
    longest = max(len(said), len(right))
    similarity = 1.0 - edit_distance(said, right) / longest if longest else 1.0
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def anls_lmms(answer: str, golds: Sequence[str]) -> float:
    """DocVQA as lmms-eval has it: inner white space collapses, lengths are those before that."""
    said = " ".join(answer.lower().split())
    least = 1.0
    for gold in golds:
        right = " ".join(gold.lower().split())
        # Capitals may be longer than small letters: "ß" becomes "SS".
        longest = max(len(gold.upper()), len(answer.upper()))
        least = min(least, edit_distance(said, right) / longest if longest else 0.0)
    similarity = 1.0 - least
    return similarity if similarity >= ANLS_THRESHOLD else 0.0


def same_count(answer: str, gold: int) -> bool:
    """CountBenchQA: the answer is the number in digits and nothing else."""
    return answer.strip().lower() == str(gold)


def contains(answer: str, golds: Sequence[str], dataset: str) -> bool:
    """OCRBench as it was published: one of the gold texts is part of the answer."""
    return any(_comparable(gold, dataset) in _comparable(answer, dataset) for gold in golds)


def contains_lmms(answer: str, golds: Sequence[str], dataset: str) -> bool:
    """OCRBench as lmms-eval has it: full-width letters are first made ordinary ones."""
    if dataset == SPACELESS:
        return contains(answer, golds, dataset)
    answer = answer.strip().translate(_FULL_WIDTH)
    return contains(answer, [gold.translate(_FULL_WIDTH) for gold in golds], dataset)


_FULL_WIDTH = {0x3000: " "} | {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}


def _comparable(text: str, dataset: str) -> str:
    if dataset == SPACELESS:
        return text.strip().replace("\n", " ").replace(" ", "")
    return text.lower().strip().replace("\n", " ")
