"""By what an earlier release judged a camera is recognised, so that an upgrade edits nothing."""

import json
from hashlib import blake2b

import pytest

from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import plans_of
from tests.processing.life_scene import shop


@pytest.mark.parametrize(
    ("track", "fingerprint", "terms"),
    [
        (None, "ad4eadc8fa6ac28cfd0f9712", "f3e0ed833257"),
        ({"speed": 0.7}, "ad4eadc8fa6ac28cfd0f9712", "f3e0ed833257"),
        ({"speed": 0.7, "start_score": 0.3}, "eee525d4ba92851c239f8578", "d038d447be28"),
        ({"speed": 5.0}, "13bd454840db753541f07ab8", "7f5f1e47c670"),
        ({"forget_after": "3s"}, "8861cff0b437e0e217e2e469", "2694d0f346b7"),
    ],
)
def test_an_unedited_file_has_the_terms_it_had(
    track: dict[str, object] | None, fingerprint: str, terms: str
) -> None:
    """Of a lane as a whole (the first layout), and of its tasks and rules, as 60a9c40 wrote them.

    There `speed` was .7 where the file did not say; today it is learned.
    """
    scene = shop() if track is None else shop(cameras__door__tasks__people__track=track)
    (plan,) = plans_of(Deployment.model_validate(scene))
    (lane,) = (lane for lane in plan.lanes if lane.engine == "fast")
    text = json.dumps(lane.terms(), sort_keys=True)
    assert lane.fingerprint == fingerprint
    assert blake2b(text.encode(), digest_size=6).hexdigest() == terms
