"""What holds is one happening, also where answers come more rarely than was asked for."""

from datetime import timedelta

from pipeline.rules.holding import Ended, Holding, HoldingTerms, Started


def terms(every_s: float) -> HoldingTerms:
    """For half a minute, without a gap or cooldown."""
    return HoldingTerms.of(timedelta(seconds=30), timedelta(0), timedelta(0), every_s)


def test_an_engine_that_cannot_keep_up_does_not_blind_a_rule() -> None:
    """Asked four times a second and answered every 1.5 s: half a minute still passes."""
    holding = Holding(terms(0.25))
    changes = [change for n in range(40) for change in holding.see(n * 1.5, holds=True)]
    assert len(changes) == 1
    assert isinstance(changes[0], Started)


def test_an_outage_is_still_an_outage() -> None:
    """One long pause among short ones ends what held, as unknown."""
    holding = Holding(terms(0.25))
    for n in range(200):
        holding.see(n * 0.25, holds=True)
    assert holding.started
    [change] = holding.see(60.0, holds=None)
    assert isinstance(change, Ended)
    assert change.reason == "unknown"


def test_one_outage_does_not_make_a_rule_patient() -> None:
    """After a minute's silence the usual interval is still the short one."""
    holding = Holding(terms(0.25))
    for at in (0.0, 60.0, 60.25, 60.5):
        holding.see(at, holds=True)
    holding.see(70.0, holds=None)
    assert holding.since is None
