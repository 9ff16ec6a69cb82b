"""`verify:` at a rule: what can be written, and what `check` says of what cannot be."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.deployment.loader import load
from pipeline.deployment.model import Deployment
from pipeline.rules.verify import VerifyConfig
from pipeline.runtime.assembly import plans_of, snapshot_cameras, used_engines
from tests.runtime.clips import written


def content(verify: Any, **wise: Any) -> dict[str, Any]:
    """A camera with one rule that is looked at twice."""
    answers = {"crowd.verify": ["yes"], "spare": [1]}
    rule = {"type": "occupancy", "of": "people", "more_than": 0, "verify": verify}
    return {
        "version": 1,
        "engines": {
            "eyes": {"type": "scripted", "answers": {"people": [[]]}},
            "wise": {"type": "scripted", "answers": answers, **wise},
        },
        "cameras": {
            "yard": {
                "source": {"type": "file", "path": "x.mp4"},
                "tasks": {"people": {"detect": "person"}},
                "rules": {"crowd": rule},
            }
        },
    }


def loaded(folder: Path, verify: Any) -> Deployment:
    """The deployment with it."""
    return load(written(folder, content(verify)), [])


def looked(deployment: Deployment) -> VerifyConfig:
    """The `verify` of the one rule."""
    verify = deployment.cameras["yard"].rules["crowd"].verify
    assert verify is not None
    return verify


def test_a_question_is_enough(tmp_path: Path) -> None:
    """Yes confirms it, the subject is shown, and the only engine that can answer is asked."""
    verify = looked(loaded(tmp_path, "Is somebody there?"))
    assert (verify.ask, verify.engine, verify.is_) == ("Is somebody there?", "wise", ("yes",))
    assert (verify.of, verify.rejected, verify.deadline.total_seconds()) == ("subject", "keep", 20)


def test_its_engine_is_started_and_its_pictures_are_kept(tmp_path: Path) -> None:
    """Although no task uses the one, and no rule wants a snapshot."""
    deployment = loaded(tmp_path, {"ask": "Is somebody there?", "is": False, "at_least": 0.6})
    assert used_engines(deployment).keys() == {"eyes", "wise"}
    assert snapshot_cameras(deployment) == {"yard"}
    (plan,) = plans_of(deployment)
    assert plan.engines == {"eyes", "wise"}
    assert plan.verify["crowd"].wanted == ("no",)


def test_it_does_not_change_what_the_rule_concludes(tmp_path: Path) -> None:
    """A rule whose `verify` is edited resumes."""
    plans = [
        plans_of(loaded(tmp_path / name, verify))[0].lanes[0].terms()
        for name, verify in (("a", "Is somebody there?"), ("b", "Is it a cat?"), ("c", None))
    ]
    assert plans[0] == plans[1] == plans[2]


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        ("What is there?", "not a yes/no question; name its answers"),
        ("yes", "'yes' is not a question"),
        ("  ", "must not be empty"),
        ({"ask": "Is it?", "is": "maybe"}, "never answered 'maybe'; the answers are yes, no"),
        ({"ask": "Is it?", "is": ["yes", "no"]}, "nothing would be rejected"),
        ({"ask": "Is it?", "engine": "wize"}, "no engine 'wize'; did you mean 'wise'?"),
        ({"ask": "Is it?", "engine": "eyes"}, "engine 'eyes' cannot answer this"),
        ({"ask": "Is it?", "at_least": 60}, "must be at most 1"),
        ({"ask": "Is it?", "deadline": "0s"}, "must be longer than 0s"),
        ({"ask": "Which?", "choices": ["a", "A."], "is": "a"}, "at least two different answers"),
        ({"ask": "Which?", "choices": ["a", "b"], "is": "c"}, "the answers are a, b"),
        ({"ask": "Which?", "choices": ["a", "b"], "is": "a", "at_least": 0.5}, "yes or no"),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, verify: Any, said: str) -> None:
    """In a sentence with the place and the way out."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, verify)
    assert said in str(caught.value)
    assert "cameras.yard.rules.crowd.verify" in str(caught.value)


def with_staff(folder: Path, staff: Any) -> Deployment:
    """The deployment with a rule that tells staff by it, and looks at its events a second time."""
    written_out = content("Is somebody there?")
    yard = written_out["cameras"]["yard"]
    yard["lines"] = {"gate": {"from": [0.0, 0.5], "to": [1.0, 0.5]}}
    yard["rules"]["crowd"] |= {"type": "line_crossing", "line": "gate", "staff": staff}
    del yard["rules"]["crowd"]["more_than"]
    written_out["engines"]["wise"]["answers"]["crowd.staff"] = ["no"]
    return load(written(folder, written_out), [])


def test_a_question_about_tracks(tmp_path: Path) -> None:
    """The only engine that can answer is asked; it is started, and pictures are kept for it."""
    deployment = with_staff(tmp_path, {"ask": "Is it a red apron?"})
    rule = deployment.cameras["yard"].rules["crowd"]
    staff = getattr(rule, "staff", None)
    assert staff is not None
    assert rule.verify is not None
    assert (staff.engine, rule.verify.engine) == ("wise", "wise")
    assert (staff.is_, staff.deadline.total_seconds()) == (("yes",), 10)
    assert used_engines(deployment).keys() == {"eyes", "wise"}
    assert snapshot_cameras(deployment) == {"yard"}


@pytest.mark.parametrize(
    ("staff", "said"),
    [
        ({"ask": "What does it wear?"}, "not a yes/no question; name its answers"),
        ({"ask": "Is it?", "engine": "wize"}, "no engine 'wize'; did you mean 'wise'?"),
        ({"ask": "Is it?", "engine": "eyes"}, "engine 'eyes' cannot answer this"),
        ({"ask": "Is it?", "deadline": "0s"}, "must be longer than 0s"),
    ],
)
def test_what_is_wrong_with_a_question_about_tracks(tmp_path: Path, staff: Any, said: str) -> None:
    """In a sentence with the place and the way out."""
    with pytest.raises(ConfigError) as caught:
        with_staff(tmp_path, staff)
    assert said in str(caught.value)
    assert "cameras.yard.rules.crowd.staff" in str(caught.value)
