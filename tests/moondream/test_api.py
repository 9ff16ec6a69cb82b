"""The class users hold: one or many pictures, streaming, threads, errors."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    FailedResult,
    GraphCounts,
    Moondream,
    MoondreamError,
    PointRequest,
    QueryRequest,
    TextResult,
)
from pipeline.moondream.api import (
    choose_device,
    choose_dtype,
    choose_resizer,
    halves_of_cuda,
)
from pipeline.moondream.batch.engine import EngineOptions
from pipeline.moondream.checkpoints.releases import RELEASES
from pipeline.moondream.numbers import number_in
from pipeline.moondream.skills.objects import distinct
from tests.moondream.tiny import pictures, tiny_language, tiny_network


@pytest.fixture
def model() -> Moondream:
    """The tiny network behind the public class."""
    torch.set_num_threads(1)
    return Moondream(tiny_network(), tiny_language(), EngineOptions(12, 20_000_000))


def test_one_picture_one_result_many_pictures_a_list(model: Moondream) -> None:
    """A picture gives a result, a list gives a list, arrays and PIL images the same."""
    first, second = pictures()[:2]
    both = model.detect([first, Image.fromarray(second)], "person", max_objects=5)
    assert [found.bins.tolist() for found in both] == [
        model.detect(picture, "person", max_objects=5).bins.tolist() for picture in (first, second)
    ]
    assert len(model.point(second, "car", max_objects=2).points_xy) <= 2


def test_boxes_are_clamped_and_distinct_unless_raw(model: Moondream) -> None:
    """Boxes lie in the picture and have an area; raw ones are all the model gave."""
    for picture in pictures():
        boxes = model.detect(picture, "person", max_objects=8)
        raw = model.detect(picture, "person", max_objects=8, raw=True)
        assert len(boxes) <= len(raw)
        assert ((boxes.boxes_xyxy >= 0) & (boxes.boxes_xyxy <= 1)).all()
        assert (boxes.boxes_xyxy[:, 2:] > boxes.boxes_xyxy[:, :2]).all()
        assert len(boxes.scores) == len(boxes.bins) == len(boxes)


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        ([[0, 0, 1, 1], [0, 0, 1, 0.9]], [0.2, 0.9], [1]),  # said twice: the better one stays
        ([[0, 0, 1, 1], [0, 0, 1, 0.7]], [0.2, 0.9], [0, 1]),  # overlap of a crowd
        ([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5]], [0.5, 0.4], [0, 1]),  # order is kept
        ([[0.2, 0.2, 0.2, 0.9]], [0.9], []),  # no area
    ],
)
def test_distinct(boxes: list[list[float]], scores: list[float], kept: list[int]) -> None:
    """Of boxes that cover each other the one with the best score is kept."""
    assert distinct(np.array(boxes, float), np.array(scores)).tolist() == kept


def test_answers_come_in_the_order_asked(model: Moondream) -> None:
    """Many requests about many pictures come back as lists of lists."""
    first, second = pictures()[:2]
    found = model.answer(
        [
            (first, [QueryRequest("what", max_tokens=4), PointRequest("car", 3)]),
            (None, [QueryRequest("hello", max_tokens=3)]),
            (second, []),
            (second, [DetectRequest("car", 2)]),
        ]
    )
    assert [[type(result).__name__ for result in results] for results in found] == [
        ["TextResult", "PointResult"],
        ["TextResult"],
        [],
        ["DetectResult"],
    ]


def test_streamed_pieces_are_the_text(model: Moondream) -> None:
    """Streaming gives the pieces of the same text, and says why where it cannot."""
    request = CaptionRequest("long", max_tokens=25)
    (((whole,),)) = model.answer([(pictures()[1], [request])])
    assert isinstance(whole, TextResult)
    assert tuple(model.stream(pictures()[1], request)) == whole.pieces
    assert "".join(whole.pieces) == whole.text
    with pytest.raises(MoondreamError, match="max_tokens"):
        list(model.stream(pictures()[1], CaptionRequest(max_tokens=0)))


def test_a_stream_that_is_left_gives_its_places_back(model: Moondream) -> None:
    """Closing a stream early cancels its request."""
    stream = model.stream(pictures()[1], CaptionRequest("long", max_tokens=25))
    next(stream)
    stream.close()
    model.detect(pictures()[0], "car", max_objects=1)
    assert model.engine.in_use().rows == 0


def test_threads_share_the_model(model: Moondream) -> None:
    """Requests of several threads run together and give what each gives alone."""
    alone = [model.caption(picture, max_tokens=12).text for picture in pictures()]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda picture: model.caption(picture, max_tokens=12).text, pictures())
        )
    assert together == alone


def test_counting_in_three_ways(model: Moondream) -> None:
    """Detecting and pointing both count and are compared; asking reads the number in the words."""
    picture = pictures()[2]
    by_box = model.count(picture, "person", max_objects=8)
    by_point = model.count(picture, "person", by="point", max_objects=8)
    assert (by_box.detected, by_box.pointed) == (by_point.detected, by_point.pointed)
    assert by_box.count == by_box.detected == len(model.detect(picture, "person", max_objects=8))
    assert by_point.count == by_point.pointed == len(model.point(picture, "person", max_objects=8))
    assert by_box.agreement is not None
    assert 0 <= by_box.agreement <= 1
    asked = model.count(picture, "person", by="ask")
    assert asked.text is not None
    assert asked.count == number_in(asked.text)


def test_failures_are_raised_where_one_result_is_asked_for(model: Moondream) -> None:
    """The convenience methods raise; `answer` puts the failure in its place."""
    with pytest.raises(MoondreamError, match="label"):
        model.detect(pictures()[0], "")
    ((failed, fine),) = model.answer(
        [(pictures()[0], [DetectRequest(""), DetectRequest("car", 1)])]
    )
    assert isinstance(failed, FailedResult)
    assert not isinstance(fine, FailedResult)


def test_yes_probability_and_choices(model: Moondream) -> None:
    """Yes and no are weighed at the first token; choices are probabilities of the words given."""
    answer = model.query(pictures()[0], "is it open?", max_tokens=3)
    assert answer.yes_probability is not None
    assert answer.yes_no_mass is not None
    assert 0 <= answer.yes_probability <= 1
    assert 0 < answer.yes_no_mass <= 1
    chosen = model.query(pictures()[0], "which?", choices=("red", "blue car"))
    assert chosen.choices is not None
    assert sum(chosen.choices.values()) == pytest.approx(1)
    assert chosen.text == max(chosen.choices, key=lambda word: (chosen.choices or {})[word])


def test_global_view_alone_when_asked(model: Moondream) -> None:
    """With max_crops 1 a large picture is seen as one crop, which may change its answers."""
    large = pictures()[2]
    ((fast,),) = model.answer([(large, [QueryRequest("what", max_tokens=8)])], max_crops=1)
    assert isinstance(fast, TextResult)
    assert fast.token_ids != model.query(large, "what", max_tokens=8).token_ids


BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32


@pytest.mark.parametrize(
    ("stored", "halves", "chosen", "said"),
    [
        (BF16, {BF16, F16}, BF16, ""),  # A100, H100, RTX 30 and later
        (BF16, {F16}, F16, "does not compute in bfloat16.*float16 is used, and numbers may overf"),
        (BF16, set(), F32, "computes slowly in half precision: float32 is used"),  # Pascal
        (F16, {BF16, F16}, F16, "stored in float16 and run in it, as they were published"),
        (F16, {F16}, F16, "stored in float16 and run in it"),
        (F16, {BF16}, BF16, "does not compute in float16.*bfloat16 is used, and answers differ"),
        (F16, set(), F32, "float32 is used"),
        (F32, {BF16, F16}, F32, ""),
    ],
)
def test_a_device_is_asked_what_it_computes_in(
    stored: torch.dtype,
    halves: set[torch.dtype],
    chosen: torch.dtype,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Emulated precisions are avoided, and what is taken instead is said with its price."""
    caplog.set_level("INFO")
    cuda = torch.device("cuda")
    assert choose_dtype("auto", cuda, stored, lambda _: frozenset(halves)) is chosen
    assert re.search(said, caplog.text) if said else not caplog.text


def test_a_slow_precision_that_is_asked_for_is_kept_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever names a precision gets it."""
    cuda = torch.device("cuda")
    assert choose_dtype("bfloat16", cuda, F16, lambda _: frozenset({F16})) is BF16
    assert "cuda computes slowly in bfloat16; dtype auto avoids it" in caplog.text


@pytest.mark.parametrize(
    ("capability", "has_bf16", "halves"),
    [
        ((6, 1), False, set()),  # GTX 10, P40
        ((7, 0), False, {F16}),  # V100
        ((7, 5), False, {F16}),  # T4
        ((8, 0), True, {F16, BF16}),
        ((9, 0), True, {F16, BF16}),
    ],
)
def test_what_gpus_compute_in(
    capability: tuple[int, int], has_bf16: bool, halves: set[torch.dtype]
) -> None:
    """From Volta on float16 is fast, from Ampere on bfloat16 too."""
    assert halves_of_cuda(capability, has_bf16=has_bf16) == halves


@pytest.mark.parametrize(
    ("resizer", "release", "has_vips", "chosen", "said"),
    [
        ("auto", "2025-06-21", True, "pillow", ""),
        ("auto", "2025-06-21", False, "pillow", ""),
        ("auto", "2025-04-14", True, "vips", ""),
        ("auto", "2025-04-14", False, "pillow", "published with libvips, which is not installed"),
        ("pillow", "2025-01-09", False, "pillow", ""),
        ("vips", "2025-06-21", True, "vips", ""),
    ],
)
def test_the_resizer_is_the_releases_unless_it_is_named(
    resizer: str,
    release: str,
    has_vips: bool,
    chosen: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A release that was published with libvips says so where the library is missing."""
    assert choose_resizer(resizer, RELEASES[release], lambda: has_vips) == chosen
    assert said in caplog.text if said else not caplog.text


def test_a_resizer_that_is_not_here_is_refused() -> None:
    """Asked for by name it must be there, and a name that is none is refused."""
    with pytest.raises(MoondreamError, match=r"needs the library pyvips.*or use resizer pillow"):
        choose_resizer("vips", RELEASES["2025-06-21"], lambda: False)
    with pytest.raises(MoondreamError, match="use auto, pillow or vips"):
        choose_resizer("lanczos", RELEASES["2025-06-21"])


def test_devices_and_dtypes() -> None:
    """Auto is float32 on the CPU and the file's precision elsewhere; float16 is refused there."""
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_dtype("auto", cpu, torch.bfloat16) is torch.float32
    assert choose_dtype("auto", cuda, torch.bfloat16) is torch.bfloat16
    assert choose_dtype("bfloat16", cpu, torch.float32) is torch.bfloat16
    assert choose_device("cpu") == cpu
    with pytest.raises(MoondreamError, match="float16 needs"):
        choose_dtype("float16", cpu, torch.bfloat16)
    with pytest.raises(MoondreamError, match="not known"):
        choose_dtype("int8", cpu, torch.bfloat16)


def test_cycles_are_counted(model: Moondream) -> None:
    """Where nothing is captured every cycle counts as eager, and more of them are more."""
    assert model.graph_counts() == GraphCounts()
    model.detect(pictures()[0], "person", max_objects=3)
    first = model.graph_counts()
    model.detect(pictures()[0], "person", max_objects=3)
    assert first.eager >= 1
    assert model.graph_counts() == GraphCounts(eager=2 * first.eager)
