"""VQA accuracy: an answer against those of ten people.

The rules of normalisation are those of the VQA challenge, quirks included: scores are only
comparable where every quirk is kept.
"""

import re
from collections.abc import Sequence

PEOPLE_NEEDED = 3
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS_IN_WORDS = "zero one two three four five six seven eight nine ten"
_DIGITS = {word: str(number) for number, word in enumerate(_DIGITS_IN_WORDS.split())} | {
    "none": "0"
}
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
# The rules pass a flag of `re` where a count is expected, whose value is 32: no more periods than
# that are removed.
_PERIODS_REMOVED = 32

# Contractions as they are written. Answers spell them without an apostrophe, or without one of two.
_ONE_APOSTROPHE = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd
how'll how's I'm I've isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've
o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's
something'd something'll that's there'd there're there's they'd they'll they're they've 'twas wasn't
we've weren't what'll what're what's what've when's where'd where's where've who'd who'll who's
who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
_TWO_APOSTROPHES = """
couldn't've hadn't've he'd've I'd've it'd've mightn't've she'd've shouldn't've somebody'd've
someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll you'd've
"""


def _contractions() -> dict[str, str]:
    spelled = {word.replace("'", ""): word for word in _ONE_APOSTROPHE.split()}
    for word in _TWO_APOSTROPHES.split():
        first, second = word.index("'"), word.rindex("'")
        spelled[word[:first] + word[first + 1 :]] = word
        spelled[word[:second] + word[second + 1 :]] = word
    # The rest follows no rule, or the contrary one.
    spelled |= {"somebody'd": "somebodyd"}
    spelled |= dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at")
    spelled |= dict.fromkeys(("yall'd've", "y'alld've", "y'all'dve"), "y'all'd've")
    return spelled


_CONTRACTIONS = _contractions()


def vqa_official(answer: str, golds: Sequence[str]) -> float:
    """TextVQA as Moondream's own script has it: a third for each of the ten who agree, at most 1.

    Nobody is left out. The answer is always normalised, the gold answers only where they differ
    from each other, so ten times "Pepsi" does not match "pepsi".
    """
    said = _normalised(answer)
    right = [gold.replace("\n", " ").replace("\t", " ").strip() for gold in golds]
    if len(set(right)) > 1:
        said = _without_articles(_without_punctuation(said))
        right = [_without_punctuation(_without_articles(gold)) for gold in right]
    return min(1.0, right.count(said) / PEOPLE_NEEDED)


def vqa_accuracy(answer: str, golds: Sequence[str]) -> float:
    """TextVQA as the challenge and lmms-eval have it: the mean over the ten ways to leave one out.

    Answer and gold answers are normalised alike.
    """
    if not golds:
        return 0.0
    said = _challenge(answer)
    agreeing = sum(_challenge(gold) == said for gold in golds)
    others = len(golds) - agreeing
    # Leaving out one who agrees leaves one fewer, leaving out another leaves all of them.
    total = agreeing * min(1.0, max(agreeing - 1, 0) / PEOPLE_NEEDED)
    total += others * min(1.0, agreeing / PEOPLE_NEEDED)
    return total / len(golds)


def _challenge(text: str) -> str:
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return _normalised(text)


def _normalised(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    return _without_articles(_without_punctuation(text))


def _without_punctuation(text: str) -> str:
    cleaned = text
    has_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        is_at_edge = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if is_at_edge or has_number else " ")
    return _PERIOD.sub("", cleaned, count=_PERIODS_REMOVED)


def _without_articles(text: str) -> str:
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
