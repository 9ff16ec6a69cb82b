"""Questions of a processor about a picture: jobs beside those of the cameras' frames.

A question goes to its engine like any frame, is batched with them, and its result comes back to
whoever owns the camera. It belongs to no numbering: its run names what it is about, so that asking
twice while the answer is on its way is asking once.

Whoever asks keeps what is asked in the store until it is answered, puts it again when no answer
comes, and tells its own answers from others' by the first word of their key: `event/` are second
looks at events (`pipeline.processing.verifying`), `track/` are questions about tracks
(`pipeline.processing.asking`). Those of a visitor of the application, `visitor/`, are passed on to
him and forgotten (`pipeline.processing.live`).

The answer about a track becomes an answer of the next result of its lane, under the key of its
question: so it is judged, kept and judged again at its place in the order like any other.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.core.answers import Answer
from pipeline.core.frames import Frame, Pixels
from pipeline.core.geometry import Box
from pipeline.core.jobs import QUESTION_RUN, Job, Result
from pipeline.core.rules import TrackAnswer, TrackQuestion
from pipeline.core.tasks import Task

TRACK = "track/"
"""What the keys of questions about tracks begin with. No task is named so."""
JPEG_QUALITY = 92
# How much of what surrounds a subject is shown on each side, in its own sizes, and at least.
_SURROUNDINGS = 0.5
_LEAST_SIDE = 0.2
_MOST_PIXELS_A_SIDE = 1600


def question_job(
    about: str, camera: str, at: float, question: Task, pixels: Pixels, attempt: int = 0
) -> Job:
    """The job that asks a question about a picture, (H, W, 3) RGB; `about` is its unique key.

    It never takes the place of another frame, and none takes its own. A queue remembers for days
    that it was asked, so where the answer must have been lost it is asked with another `attempt`.
    """
    height, width = pixels.shape[:2]
    frame = Frame(camera, QUESTION_RUN + about, attempt, at, pixels, (width, height))
    return Job(frame, question.engine, attempt, (question,), live=False)


def asked_about(result: Result) -> str | None:
    """The key of the question that a result answers; None for the result of a camera's frame."""
    return result.run[len(QUESTION_RUN) :] if result.run.startswith(QUESTION_RUN) else None


def track_key(question: TrackQuestion) -> str:
    """The name of a question about a track among the answers of a result."""
    return f"{TRACK}{question.task}/{question.track}/{question.look.key}"


def track_answers(answers: Mapping[str, Answer]) -> Mapping[str, tuple[TrackAnswer, ...]]:
    """The answers about tracks among those of a result, by the track's task."""
    found: dict[str, tuple[TrackAnswer, ...]] = {}
    for key, answer in answers.items():
        if not key.startswith(TRACK):
            continue
        task, _, rest = key.removeprefix(TRACK).partition("/")
        track, _, question = rest.partition("/")
        found[task] = (*found.get(task, ()), TrackAnswer(track, question, answer))
    return found


def with_tasks(answers: Mapping[str, Answer], names: Mapping[str, str]) -> Mapping[str, Answer]:
    """Answers about tracks of tasks that are called otherwise now; `names` has the earlier ones."""
    found: dict[str, Answer] = {}
    for task, source in names.items():
        for key, answer in answers.items():
            if key.startswith(f"{TRACK}{source}/"):
                found[TRACK + task + key.removeprefix(TRACK + source)] = answer
    return found


def region_around(box: Box, aspect: float) -> Box:
    """A subject's box with its surroundings, within the picture; `aspect` is width ÷ height.

    What is small is shown with more around it, and what is narrow becomes about square.
    """
    x_min, y_min, x_max, y_max = box
    height = (y_max - y_min) * (1 + 2 * _SURROUNDINGS)
    width = (x_max - x_min) * (1 + 2 * _SURROUNDINGS)
    side = max(height, width * aspect, _LEAST_SIDE)
    half_x, half_y = max(width, side * 0.75 / aspect) / 2, max(height, side * 0.75) / 2
    centre_x, centre_y = (x_min + x_max) / 2, (y_min + y_max) / 2
    return (
        min(max(centre_x - half_x, 0.0), 1.0),
        min(max(centre_y - half_y, 0.0), 1.0),
        max(min(centre_x + half_x, 1.0), 0.0),
        max(min(centre_y + half_y, 1.0), 0.0),
    )


def picture_of(pixels: Pixels, box: Box | None) -> bytes:
    """What is asked about, as a JPEG: a subject with its surroundings, or the whole picture.

    Raises ValueError if no JPEG can hold it.
    """
    if box is not None:
        height, width = pixels.shape[:2]
        x_min, y_min, x_max, y_max = region_around(box, width / height)
        left, top = min(int(x_min * width), width - 1), min(int(y_min * height), height - 1)
        right, bottom = max(round(x_max * width), left + 1), max(round(y_max * height), top + 1)
        pixels = pixels[top:bottom, left:right]
    height, width = pixels.shape[:2]
    scale = _MOST_PIXELS_A_SIDE / max(height, width)
    shown = np.ascontiguousarray(pixels[:, :, ::-1])
    try:
        if scale < 1:
            size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
            shown = np.asarray(cv2.resize(shown, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        done, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    except cv2.error as error:
        raise ValueError(f"a picture of {width}×{height} cannot be cut: {error}") from None
    if not done:
        raise ValueError(f"a picture of {width}×{height} could not be written as JPEG")
    return data.tobytes()


def pixels_of(picture: bytes) -> Pixels | None:
    """The pixels (H, W, 3) RGB of a JPEG; None if it is damaged."""
    try:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)
