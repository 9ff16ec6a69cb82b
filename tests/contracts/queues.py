"""What every queue promises about jobs; subclass each class to hold a queue to it."""

import threading
import time
from dataclasses import replace

import pytest

from pipeline.core.answers import Failed
from pipeline.core.jobs import (
    Job,
    failed_result,
    result_of,
)
from pipeline.core.queues import Backlog, Claim, Queues
from pipeline.testing import patience, wait_until
from tests.contracts.queue_tools import (
    ENGINE,
    NOT_LONG_S,
    SIZE_WH,
    SOON_S,
    TASKS,
    BuiltQueues,
    Limits,
    a_job,
    a_question,
    answer,
    finish,
    named,
)


class JobContract(BuiltQueues):
    """Handing jobs over, in order and to one worker at a time."""

    def test_a_job_arrives_as_it_was_put(self, queues: Queues) -> None:
        """Camera, times, sizes, tasks and picture reach the worker."""
        put = a_job(ordinal=3)
        assert queues.jobs.put(put, 0).accepted
        (claim,) = queues.jobs.claim(ENGINE, 5, SOON_S)
        got = claim.job
        assert (got.engine, got.ordinal, got.tasks, got.live) == (ENGINE, 3, TASKS, False)
        assert (got.frame.camera, got.frame.run, got.frame.seq) == ("door", "run-1", 6)
        assert got.frame.captured_at == put.frame.captured_at
        assert got.frame.size_wh == (1920, 1080)
        assert got.frame.pixels.shape == put.frame.pixels.shape
        # A picture may be compressed on the way, and yet it is the same picture.
        difference = got.frame.pixels.astype(int) - put.frame.pixels.astype(int)
        assert abs(difference).mean() < 2

    def test_a_camera_s_jobs_come_in_order(self, queues: Queues) -> None:
        """Within one camera the oldest is claimed first, over several claims."""
        for ordinal in range(3):
            queues.jobs.put(a_job(ordinal=ordinal), 0)
        first = queues.jobs.claim(ENGINE, 2, SOON_S)
        second = queues.jobs.claim(ENGINE, 2, SOON_S)
        assert named(first + second) == [("door", 0), ("door", 1), ("door", 2)]

    def test_engines_have_lanes_of_their_own(self, queues: Queues) -> None:
        """A worker is handed its own engine's jobs alone."""
        queues.jobs.put(a_job(ordinal=0, engine="slow"), 0)
        queues.jobs.put(a_job(ordinal=0, engine=ENGINE), 0)
        (claim,) = queues.jobs.claim("slow", 5, SOON_S)
        assert claim.job.engine == "slow"
        assert queues.jobs.claim("slow", 5, 0) == []

    def test_claiming_from_nothing_ends_within_the_wait(self, queues: Queues) -> None:
        """No job means an empty list after the wait, and neither before nor long after."""
        started = time.monotonic()
        assert queues.jobs.claim(ENGINE, 5, NOT_LONG_S) == []
        assert NOT_LONG_S * 0.9 <= time.monotonic() - started < patience(5)

    def test_a_waiting_worker_wakes_for_a_job(self, queues: Queues) -> None:
        """A claim that waits returns as soon as somebody puts a job."""
        claims: list[Claim] = []
        worker = threading.Thread(
            target=lambda: claims.extend(queues.jobs.claim(ENGINE, 5, SOON_S))
        )
        worker.start()
        queues.jobs.put(a_job(ordinal=4), 0)
        worker.join(SOON_S)
        assert named(claims) == [("door", 4)]

    def test_a_claimed_job_is_nobody_else_s(self, queues: Queues) -> None:
        """While one worker has a job, another is not given it."""
        queues.jobs.put(a_job(), 0)
        assert len(queues.jobs.claim(ENGINE, 1, SOON_S)) == 1
        assert queues.jobs.claim(ENGINE, 1, NOT_LONG_S) == []

    def test_answered_jobs_never_come_again(self, queues: Queues) -> None:
        """Answering ends a job and hands its result on, and doing it twice is the same as once."""
        queues.jobs.put(a_job(), 0)
        claims = queues.jobs.claim(ENGINE, 1, SOON_S)
        answer(queues, claims)
        answer(queues, claims)
        self.expire()
        assert queues.jobs.claim(ENGINE, 1, NOT_LONG_S) == []
        assert queues.jobs.dead_letters() == []
        assert [one.result.ordinal for one in queues.results.take(9, SOON_S)] == [0]

    def test_without_room_for_results_nothing_is_done(self, queues: Queues) -> None:
        """All or none: the jobs stay in the worker's hands, and go with their results later."""
        for ordinal in range(3):
            queues.jobs.put(a_job(ordinal=ordinal), 0)
        claims = queues.jobs.claim(ENGINE, 3, SOON_S)
        fillers = [result_of(a_job(ordinal=n), {}) for n in range(10, 12)]
        assert queues.results.publish(fillers, 0)
        results = [result_of(claim.job, {}) for claim in claims]
        assert not queues.jobs.answer(claims, results, NOT_LONG_S)
        taken = queues.results.take(9, SOON_S)
        assert [one.result.ordinal for one in taken] == [10, 11]
        queues.results.acknowledge(taken)
        assert queues.jobs.answer(claims, results, SOON_S)
        assert [one.result.ordinal for one in queues.results.take(9, SOON_S)] == [0, 1, 2]

    def test_two_workers_who_answer_the_same_job_hand_one_result_on(self, queues: Queues) -> None:
        """A slow worker's result is passed over where another one took its job and was faster."""
        queues.jobs.put(a_job(), 0)
        slow = queues.jobs.claim(ENGINE, 1, SOON_S)
        self.expire()
        fast = queues.jobs.claim(ENGINE, 1, SOON_S)
        answer(queues, fast)
        answer(queues, slow)
        assert len(queues.results.take(9, SOON_S)) == 1

    def test_two_workers_who_wait_for_room_hand_one_result_on(self, queues: Queues) -> None:
        """Also where both answer the same job while there is no room for its result."""
        queues.jobs.put(a_job(), 0)
        workers = []
        for _ in range(2):
            claims = queues.jobs.claim(ENGINE, 1, SOON_S)
            self.expire()
            results = [result_of(claim.job, {}) for claim in claims]
            workers.append(
                threading.Thread(target=queues.jobs.answer, args=(claims, results, SOON_S))
            )
        fillers = [result_of(a_job(ordinal=n), {}) for n in range(10, 14)]
        assert queues.results.publish(fillers, 0)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(2 * NOT_LONG_S)
        taken = queues.results.take(4, SOON_S)
        queues.results.acknowledge(taken)
        for worker in workers:
            worker.join(SOON_S)
        assert [one.result.ordinal for one in queues.results.take(9, SOON_S)] == [0]

    def test_pictures_for_events_outlive_their_jobs(self, queues: Queues) -> None:
        """Those of the cameras a worker names can be fetched after their jobs were answered."""
        for camera in ("door", "yard"):
            queues.jobs.put(a_job(camera), 0)
        claims = queues.jobs.claim(ENGINE, 2, SOON_S)
        results = [result_of(claim.job, {}) for claim in claims]
        assert queues.jobs.answer(claims, results, SOON_S, keep={"door"})
        pixels = queues.shelf.fetch("door", "run-1", 0)
        assert pixels is not None
        assert pixels.shape == (SIZE_WH[1], SIZE_WH[0], 3)
        assert queues.shelf.fetch("yard", "run-1", 0) is None

    def test_backlog_tells_length_and_oldest(self, queues: Queues) -> None:
        """What waits is reported by engine, with the time of its oldest live frame.

        A recording was taken long ago, however short it waits.
        """
        queues.jobs.put(a_job("film", ordinal=1), 0)
        assert queues.jobs.backlog()[ENGINE] == Backlog(1, None)
        for ordinal in (5, 6):
            queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
        backlog = queues.jobs.backlog()[ENGINE]
        assert backlog.length == 3
        assert backlog.oldest == pytest.approx(a_job(ordinal=5).frame.captured_at, abs=0.01)
        finish(queues, queues.jobs.claim(ENGINE, 3, SOON_S))
        assert queues.jobs.backlog()[ENGINE] == Backlog(0, None)

    def test_many_workers_share_jobs_without_doubling(self, queues: Queues) -> None:
        """Three workers and one sampler at once: each job is handed out exactly once."""
        seen: list[tuple[str, int]] = []
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                claims = queues.jobs.claim(ENGINE, 2, NOT_LONG_S)
                seen.extend(named(claims))
                finish(queues, claims)

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for ordinal in range(30):
            assert queues.jobs.put(a_job(ordinal=ordinal), SOON_S).accepted
        wait_until(lambda: len(seen) >= 30)
        done.set()
        for worker in workers:
            worker.join(SOON_S)
        assert sorted(seen) == [("door", ordinal) for ordinal in range(30)]


class RoomContract(BuiltQueues):
    """What happens when there is no room: live drops, files wait."""

    def test_a_live_camera_keeps_its_newest(self, queues: Queues) -> None:
        """A full lane takes a live job at once and reports the older ones it let go."""
        dropped: list[int] = []
        for ordinal in range(5):
            receipt = queues.jobs.put(a_job(ordinal=ordinal, live=True), 0)
            assert receipt.accepted
            dropped += [job.ordinal for job in receipt.dropped]
        assert dropped == [0, 1]
        claims = queues.jobs.claim(ENGINE, 9, SOON_S)
        assert named(claims) == [("door", 2), ("door", 3), ("door", 4)]

    def test_a_dropped_job_can_be_answered_for(self, queues: Queues) -> None:
        """What is dropped still says all that a failed result needs."""
        dropped: list[Job] = []
        for ordinal in range(4):
            dropped += queues.jobs.put(a_job(ordinal=ordinal, live=True), 0).dropped
        (job,) = dropped
        assert failed_result(job, "queue full") == failed_result(
            a_job(ordinal=0, live=True), "queue full"
        )

    def test_a_live_camera_never_waits(self, queues: Queues) -> None:
        """However much it is offered and however long it may wait, a live put returns at once."""
        started = time.monotonic()
        for ordinal in range(10):
            assert queues.jobs.put(a_job(ordinal=ordinal, live=True), SOON_S).accepted
        assert time.monotonic() - started < SOON_S / 2

    def test_one_live_camera_does_not_push_out_another(self, queues: Queues) -> None:
        """Room is by camera: a flood of one drops nothing of the other's."""
        queues.jobs.put(a_job("quiet", live=True), 0)
        for ordinal in range(10):
            receipt = queues.jobs.put(a_job("busy", ordinal, live=True), 0)
            assert all(job.frame.camera == "busy" for job in receipt.dropped)
        claims = queues.jobs.claim(ENGINE, 9, SOON_S)
        assert ("quiet", 0) in named(claims)

    def test_a_question_beside_live_frames_stays_and_is_one(self, queues: Queues) -> None:
        """A job that may not be dropped is not pushed out by a live camera, nor put twice."""
        question = replace(a_job(), frame=replace(a_job().frame, run="question/1", seq=0))
        for _ in range(2):
            assert queues.jobs.put(question, 0.0).accepted
        dropped = [
            job.frame.run
            for ordinal in range(5)
            for job in queues.jobs.put(a_job(ordinal=ordinal, live=True), 0.0).dropped
        ]
        assert dropped == ["run-1"] * 2
        claims = queues.jobs.claim(ENGINE, 10, NOT_LONG_S)
        assert sorted(claim.job.frame.run for claim in claims) == ["question/1"] + ["run-1"] * 3

    def test_a_file_is_not_accepted_without_room(self, queues: Queues) -> None:
        """A full lane refuses a file's job after the wait and drops nothing."""
        for ordinal in range(3):
            assert queues.jobs.put(a_job(ordinal=ordinal), 0).accepted
        receipt = queues.jobs.put(a_job(ordinal=3), NOT_LONG_S)
        assert (receipt.accepted, receipt.dropped) == (False, ())
        assert len(queues.jobs.claim(ENGINE, 9, SOON_S)) == 3

    def test_a_file_waits_for_room(self, queues: Queues) -> None:
        """A put that waits is accepted once a worker has made room."""
        for ordinal in range(3):
            queues.jobs.put(a_job(ordinal=ordinal), 0)
        accepted: list[bool] = []
        sampler = threading.Thread(
            target=lambda: accepted.append(queues.jobs.put(a_job(ordinal=3), SOON_S).accepted)
        )
        sampler.start()
        finish(queues, queues.jobs.claim(ENGINE, 1, SOON_S))
        sampler.join(SOON_S)
        assert accepted == [True]


class FairnessContract(BuiltQueues):
    """One busy camera cannot starve the others."""

    limits = Limits(live_room=1000, file_room=1000)

    def test_a_thousand_waiting_frames_delay_others_by_no_batch(self, queues: Queues) -> None:
        """The newest frame of three quiet cameras is in the very next batch."""
        for ordinal in range(1000):
            queues.jobs.put(a_job("busy", ordinal), 0)
        assert named(queues.jobs.claim(ENGINE, 4, SOON_S)) == [("busy", n) for n in range(4)]
        for camera in ("a", "b", "c"):
            queues.jobs.put(a_job(camera, live=True), 0)
        batch = named(queues.jobs.claim(ENGINE, 4, SOON_S))
        assert sorted(batch) == [("a", 0), ("b", 0), ("busy", 4), ("c", 0)]

    def test_a_batch_is_round_robin(self, queues: Queues) -> None:
        """Cameras with equal backlog get equal shares of each batch."""
        for camera in ("a", "b", "c"):
            for ordinal in range(6):
                queues.jobs.put(a_job(camera, ordinal), 0)
        batch = named(queues.jobs.claim(ENGINE, 9, SOON_S))
        for camera in ("a", "b", "c"):
            assert [n for name, n in batch if name == camera] == [0, 1, 2]

    def test_turns_go_on_over_successive_claims(self, queues: Queues) -> None:
        """Claims smaller than the number of cameras still serve every camera alike."""
        cameras = [f"camera-{n}" for n in range(5)]
        for camera in cameras:
            for ordinal in range(4):
                queues.jobs.put(a_job(camera, ordinal), 0)
        served = [named(queues.jobs.claim(ENGINE, 2, SOON_S)) for _ in range(5)]
        names = [name for batch in served for name, _ in batch]
        assert {camera: names.count(camera) for camera in cameras} == dict.fromkeys(cameras, 2)

    def test_people_go_ahead_and_cost_cameras_half_at_most(self, queues: Queues) -> None:
        """Past a hundred frames, a question for each frame, over claims of one as of many."""
        for ordinal in range(50):
            queues.jobs.put(a_job("busy", ordinal), 0)
            queues.jobs.put(a_job("live", ordinal, live=True), 0)
        taken = queues.jobs.claim(ENGINE, 3, SOON_S)
        for key in "abcd":
            assert queues.jobs.put(a_question("busy", key), 0).accepted
        assert not queues.jobs.put(a_question("busy", "e"), NOT_LONG_S).accepted
        assert queues.jobs.put(a_question("quiet", "f"), 0).accepted
        # With no room for frames an engine is given one more, and no second before a frame.
        for expected in ("busy", None):
            ahead = queues.jobs.claim(ENGINE, 3, SOON_S, only_ahead=True)
            assert [claim.job.frame.camera for claim in ahead] == ([expected] if expected else [])
            taken += ahead
        for limit in (1, 1, 1, 4, 6):
            taken += queues.jobs.claim(ENGINE, limit, SOON_S)
        served = [claim.job.goes_ahead for claim in taken]
        assert served == [False] * 3 + [True, False] * 5 + [False] * 4
        asked = [claim for claim in taken if claim.job.goes_ahead]
        assert sorted(one.job.frame.run[-1] for one in asked) == ["a", "b", "c", "d", "f"]
        assert len(
            {(one.job.frame.camera, one.job.frame.run, one.job.ordinal) for one in taken}
        ) == len(taken)
        assert queues.jobs.claim(ENGINE, 3, SOON_S, only_ahead=True) == []
        finish(queues, asked)
        # With nothing else to do, it takes all at once.
        queues.jobs.claim(ENGINE, 3000, SOON_S)
        for key in "xyz":
            assert queues.jobs.put(a_question("busy", key), 0).accepted
        assert len(queues.jobs.claim(ENGINE, 4, SOON_S, only_ahead=True)) == 3

    def test_what_is_left_over_of_a_batch_goes_round_as_well(self, queues: Queues) -> None:
        """Two cameras share batches of three alike: the odd frame is each one's in turn."""
        for camera in ("a", "b"):
            for ordinal in range(9):
                queues.jobs.put(a_job(camera, ordinal), 0)
        served = [named(queues.jobs.claim(ENGINE, 3, SOON_S)) for _ in range(4)]
        shares = [[name for name, _ in batch].count("a") for batch in served]
        assert sorted(shares) == [1, 1, 2, 2]


class LeaseContract(BuiltQueues):
    """Workers that die: their jobs come again, and a poisoned one is given up."""

    def test_a_dead_worker_s_job_comes_again(self, queues: Queues) -> None:
        """After its lease a job is claimed by the next worker, as attempt two."""
        queues.jobs.put(a_job(ordinal=2), 0)
        (first,) = queues.jobs.claim(ENGINE, 1, SOON_S)
        self.expire()
        (again,) = queues.jobs.claim(ENGINE, 1, SOON_S)
        assert (first.attempts, again.attempts) == (1, 2)
        assert named([again]) == [("door", 2)]

    def test_what_comes_again_keeps_its_place(self, queues: Queues) -> None:
        """A job that comes back is older than those put after it, and goes first."""
        queues.jobs.put(a_job(ordinal=0), 0)
        queues.jobs.claim(ENGINE, 1, SOON_S)
        queues.jobs.put(a_job(ordinal=1), 0)
        self.expire()
        assert named(queues.jobs.claim(ENGINE, 2, SOON_S)) == [("door", 0), ("door", 1)]

    def test_a_late_answer_still_counts(self, queues: Queues) -> None:
        """A slow worker that finishes after its lease ends the job for everybody."""
        queues.jobs.put(a_job(), 0)
        claims = queues.jobs.claim(ENGINE, 1, SOON_S)
        self.expire()
        finish(queues, claims)
        assert queues.jobs.claim(ENGINE, 1, NOT_LONG_S) == []

    def _poison(self, queues: Queues) -> None:
        """Put one job and let three workers die of it."""
        queues.jobs.put(a_job(ordinal=8), 0)
        for attempt in (1, 2, 3):
            (claim,) = queues.jobs.claim(ENGINE, 1, SOON_S)
            assert claim.attempts == attempt
            self.expire()
        assert queues.jobs.claim(ENGINE, 1, NOT_LONG_S) == []

    def test_a_poisoned_job_becomes_a_dead_letter(self, queues: Queues) -> None:
        """After three lost workers a job is kept aside, with what it was and why."""
        self._poison(queues)
        (letter,) = queues.jobs.dead_letters()
        assert (letter.camera, letter.engine, letter.seq) == ("door", ENGINE, 16)
        assert letter.attempts == 3
        assert "3" in letter.reason

    def test_a_poisoned_job_is_answered_for(self, queues: Queues) -> None:
        """The processor gets a failed answer for every task, so that it does not wait for ever."""
        self._poison(queues)
        (delivered,) = queues.results.take(5, SOON_S)
        assert delivered.result.ordinal == 8
        assert set(delivered.result.answers) == {task.id for task in TASKS}
        assert all(isinstance(one, Failed) for one in delivered.result.answers.values())

    def test_a_dead_letter_can_be_put_back(self, queues: Queues) -> None:
        """Retrying hands the job out again as if it were new, once."""
        self._poison(queues)
        (letter,) = queues.jobs.dead_letters()
        assert queues.jobs.retry(letter.id)
        assert queues.jobs.dead_letters() == []
        (claim,) = queues.jobs.claim(ENGINE, 5, SOON_S)
        assert (named([claim]), claim.attempts) == ([("door", 8)], 1)
        assert not queues.jobs.retry(letter.id)

    def test_a_dead_letter_can_be_dropped(self, queues: Queues) -> None:
        """Dropping forgets it, once; unknown ids are said to be unknown."""
        self._poison(queues)
        (letter,) = queues.jobs.dead_letters()
        assert queues.jobs.drop(letter.id)
        assert queues.jobs.dead_letters() == []
        assert not queues.jobs.drop(letter.id)
        assert queues.jobs.claim(ENGINE, 1, NOT_LONG_S) == []
