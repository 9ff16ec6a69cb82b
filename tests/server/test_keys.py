"""How keys look, what is kept of them, and which names and limits are refused."""

import re
from datetime import timedelta

import pytest

from pipeline.core.accounts import NO_LIMITS, KeyLimits, KeyScope
from pipeline.core.address import without_secrets
from pipeline.core.errors import ConfigError
from pipeline.server.keys import KeyFaultError, check_limits, fits, key_id, make_key

NOW = 1_795_000_000.0


def test_a_key_finds_its_record_and_fits_it() -> None:
    """By its id; of the secret nothing is in the record, in its repr, or in a foreign text."""
    secret, record = make_key("shop", NOW, limits=NO_LIMITS, lasts=timedelta(days=90))
    text = secret.reveal()
    assert re.fullmatch(r"mw_[a-z2-9]{10}_[0-9A-Za-z]{49}", text)
    assert key_id(text) == record.id
    assert fits(text, record)
    assert text.split("_")[2] not in repr((secret, record))
    assert text not in without_secrets(f"no route for {text}")
    assert record.expires_at == NOW + 90 * 86400


def test_keys_are_all_different() -> None:
    """In their ids and in their secrets."""
    texts = [make_key("shop", NOW, limits=NO_LIMITS)[0].reveal() for _ in range(200)]
    assert len({text.split("_")[1] for text in texts}) == 200
    assert len({text.split("_")[2] for text in texts}) == 200


def test_every_slip_of_one_letter_is_a_typo() -> None:
    """Changed, left out, doubled or exchanged: the sentence is not that of an unknown key."""
    text = make_key("shop", NOW, limits=NO_LIMITS)[0].reveal()
    slips = []
    for place in range(14, len(text)):
        other = "a" if text[place] != "a" else "b"
        slips += [
            text[:place] + other + text[place + 1 :],
            text[:place] + text[place + 1 :],
            text[:place] + text[place] + text[place:],
        ]
        if place + 1 < len(text) and text[place] != text[place + 1]:
            slips.append(text[:place] + text[place + 1] + text[place] + text[place + 2 :])
    for slip in slips:
        with pytest.raises(KeyFaultError, match=r"mistyped|not a key") as caught:
            key_id(slip)
        assert slip not in str(caught.value)


@pytest.mark.parametrize("text", ["", "mw_", "sk-123", "Bearer mw_x", "mw_" + "é" * 60, "\0" * 63])
def test_what_is_no_key(text: str) -> None:
    """Is told from one."""
    with pytest.raises(KeyFaultError, match="not a key"):
        key_id(text)


def test_another_key_does_not_fit() -> None:
    """Nor does one that is not known at all, or one with the same id and another secret."""
    one, record = make_key("shop", NOW, limits=NO_LIMITS)
    two, _ = make_key("lab", NOW, limits=NO_LIMITS)
    assert not fits(two.reveal(), record)
    assert not fits(one.reveal(), None)
    assert not fits(one.reveal()[:-1], record)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "is empty"),
        (" shop", "blank at an end"),
        ("x" * 65, "65 characters"),
        ("a\x1b[31m", "cannot be seen"),
        ("a\u202eb", "cannot be seen"),
        ("a\nb", "cannot be seen"),
        ("mw_abc", "looks like a key"),
        ("local", "without keys"),
    ],
)
def test_names_that_are_refused(name: str, sentence: str) -> None:
    """Each with why."""
    with pytest.raises(ConfigError, match=sentence):
        make_key(name, NOW, limits=NO_LIMITS)


@pytest.mark.parametrize("name", ["Müller & Söhne", "店", "a:b/c", "[red]x", "'; DROP TABLE", "😀"])
def test_odd_names_are_taken_as_they_are(name: str) -> None:
    """What can be seen can be a name."""
    assert make_key(name, NOW, limits=NO_LIMITS)[1].name == name


def test_a_name_is_the_same_however_it_was_typed() -> None:
    """An é of two code points is that of one."""
    assert make_key("cafe\u0301", NOW, limits=NO_LIMITS)[1].name == "caf\u00e9"


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (KeyLimits(requests_per_second=0), "would let nothing through"),
        (KeyLimits(requests_per_second=-1), "-1 is not from"),
        (KeyLimits(requests_per_second=float("nan")), "nan is not from"),
        (KeyLimits(requests_per_second=float("inf")), "inf is not from"),
        (KeyLimits(pictures_per_day=0), "would let nothing through"),
        (KeyLimits(tokens_per_day=-5), "-5 is not from"),
        (KeyLimits(at_once=10**13), "10000000000000 is not from"),
        (KeyLimits(pictures_per_day=10**5000), "more than 40 digits"),
        (KeyLimits(burst=3), "without --requests-per-second"),
    ],
)
def test_limits_that_are_refused(limits: KeyLimits, sentence: str) -> None:
    """None lets nothing through, and none is a number that cannot be meant."""
    with pytest.raises(ConfigError, match=sentence):
        check_limits(limits)


def test_scopes_come_once() -> None:
    """Whatever was given how often."""
    scopes = [KeyScope.ADMIN, KeyScope.SERVE, KeyScope.ADMIN]
    record = make_key("shop", NOW, scopes=scopes, limits=NO_LIMITS)[1]
    assert record.scopes == (KeyScope.SERVE, KeyScope.ADMIN)
