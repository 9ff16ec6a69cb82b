"""The engine: requests join and leave a running batch, and each picture is encoded only once.

Knows nothing of files; it is given a network, a language and memory. One thread steps it at a time.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from pipeline.moondream.batch.plan import Plan, plan, yes_no_tokens
from pipeline.moondream.batch.runner import Runner, RunnerLimits, draws_of
from pipeline.moondream.batch.scheduler import InUse, Scheduler, picture_cost
from pipeline.moondream.batch.strands import PictureState, RequestTicket, Strand, StrandJob
from pipeline.moondream.device.cache import KvCache, free_bytes, plan_cache
from pipeline.moondream.device.graphs import Capture, CudaCapture, GraphCounts
from pipeline.moondream.device.kernels.loading import (
    KernelChoice,
    StepKernels,
    lay_out,
    load_kernels,
)
from pipeline.moondream.device.pages import PictureCounts, PictureKey, PicturePage
from pipeline.moondream.device.reads import Read, RowKind, TokenReader
from pipeline.moondream.device.stages import Stages
from pipeline.moondream.errors import MaskError, PictureError, RequestError, TooLongError
from pipeline.moondream.network.network import Network
from pipeline.moondream.pictures.crops import Picture
from pipeline.moondream.pictures.uploads import CudaSideLane, PictureUploads, SideLane
from pipeline.moondream.skills.base import Language
from pipeline.moondream.types import FailureCode, Request

_log = logging.getLogger(__name__)

# Rows of the batch by default. On an accelerator decoding stops getting cheaper by the row where
# keys weigh as much as weights; on a CPU rows mostly cost memory.
BATCH_CUDA, BATCH_HOST = 64, 16
# Crops through the encoder at a time, and pictures through the prefill: enough to fill the
# device, little enough that activations stay small beside the weights.
CROPS_CUDA, CROPS_HOST = 64, 4
PICTURES_CUDA, PICTURES_HOST = 16, 4
# What is prefilled at most while rows are running, before they get their next cycle: six pictures
# of nine crops or sixteen of one, about a tenth of a second of a large GPU. Less would leave the
# batch half empty, more would make running rows wait longer.
CROPS_BETWEEN_CYCLES = 80
# Pictures that are cut while the device is busy with one step. Each takes the host milliseconds, so
# more of them could outlast a cycle.
CUT_MEANWHILE = 4
OVERFLOW = (
    "the numbers of this picture or request overflowed; load the model in bfloat16 or float32"
)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engine's options; None means what suits the device.

    `kv_bytes` limits the memory of keys and values. `graphs` replays captured cycles (CUDA only);
    with `warm_up` they are captured at once, which takes some seconds, without it when first met.
    `crops_between_cycles` limits how long running requests wait while new ones are prefilled.
    With `keep_pictures` what was encoded is kept for later questions about an equal picture, as
    long as its memory is not needed. `kernels` decode with kernels of our own (CUDA only): "auto"
    where they work and the precision is a half one, True in float32 too, whose results then differ
    from the published ones by rounding.
    """

    max_batch: int | None = None
    kv_bytes: int | None = None
    crops_per_chunk: int | None = None
    pictures_per_prefill: int | None = None
    crops_between_cycles: int | None = None
    graphs: bool = True
    warm_up: bool = True
    keep_pictures: bool = True
    kernels: KernelChoice = "auto"


class MoondreamBatcher:
    """Answers requests in steps; every step is a prefill of newcomers or a cycle of all.

    They take turns where there is work for both.
    """

    def __init__(
        self,
        network: Network,
        language: Language,
        options: EngineOptions | None = None,
        capture: Capture | None = None,
        side_lane: SideLane | None = None,
        kernels: StepKernels | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`capture` says how cycles are captured, `side_lane` where pictures are cut.

        None stands for the device's own way, if it has one. `clock` gives the seconds of the facts
        about requests.
        """
        self._clock = clock
        options = options or EngineOptions()
        is_cuda = network.device.type == "cuda"
        if capture is None and options.graphs and is_cuda:
            capture = CudaCapture(network.device)
        if side_lane is None and is_cuda:
            side_lane = CudaSideLane(network.device)
        uploads = None if side_lane is None else PictureUploads(side_lane)
        self._has_side_lane = uploads is not None
        max_batch = options.max_batch or (BATCH_CUDA if is_cuda else BATCH_HOST)
        dims, device, dtype = network.dims, network.device, network.dtype
        with torch.inference_mode():
            self.kernels = lay_out(
                kernels or load_kernels(dims, device, dtype, options.kernels), network.text
            )
        kv_bytes = options.kv_bytes or free_bytes(network.device)
        memory = plan_cache(network.dims, network.dtype.itemsize, max_batch, kv_bytes)
        cache = KvCache(
            network.dims,
            memory,
            network.device,
            network.dtype,
            keep_pages=options.keep_pictures,
        )
        self._keeps_pictures = options.keep_pictures
        reader = TokenReader(language.release.ids, *yes_no_tokens(language), network.device)
        pictures_ahead = options.pictures_per_prefill or (
            PICTURES_CUDA if is_cuda else PICTURES_HOST
        )
        limits = RunnerLimits(
            max_batch=max_batch,
            crops_per_chunk=options.crops_per_chunk or (CROPS_CUDA if is_cuda else CROPS_HOST),
            pictures_per_prefill=pictures_ahead,
        )
        self.max_batch = max_batch
        self._pictures_ahead = pictures_ahead
        if self.kernels.attend is not None:
            cache.pages.lie_anywhere()
        with torch.inference_mode():
            self._runner = Runner(network, cache, reader, limits, capture, uploads, self.kernels)
            if options.warm_up:
                with self._runner.on_device():
                    self._runner.capture_graphs()
        self._crops_between_cycles = options.crops_between_cycles or CROPS_BETWEEN_CYCLES
        self._scheduler = Scheduler(
            cache,
            max_batch,
            self._pictures_ahead,
            self._crops_between_cycles,
        )
        self._cache, self._language = cache, language
        graphs = self._runner.graph_counts()
        _log.info(
            "engine ready on %s: %d rows, %d pictures, %.2f GB for keys and values, "
            "%d graphs captured in %.1f s, kernels of our own: %s",
            network.device, max_batch, memory.pages, memory.bytes_total / 1e9,
            graphs.captures, graphs.capture_seconds, ", ".join(self.kernels.in_use) or "none",
        )  # fmt: skip

    @property
    def stages(self) -> Stages:
        """The stopwatches of the stages."""
        return self._runner.stages

    @property
    def pictures_ahead(self) -> int:
        """How many pictures of the line are worth having there, to be cut ahead of their turn."""
        return self._pictures_ahead

    @property
    def is_idle(self) -> bool:
        """Whether there is no work."""
        return self._scheduler.is_idle

    def in_use(self) -> InUse:
        """Return how much of the batch and the memory is in use, and how many wait."""
        return self._scheduler.in_use()

    def graph_counts(self) -> GraphCounts:
        """Return how many cycles ran as captured graphs, and what became of the others."""
        return self._runner.graph_counts()

    def picture_counts(self) -> PictureCounts:
        """Return how many pictures were encoded, and how many had not to be."""
        return self._cache.pages.counts()

    def submit(
        self,
        picture: "Picture | None",
        requests: Sequence[Request],
        max_crops: int | None = None,
        *,
        keep: bool = True,
    ) -> list[RequestTicket]:
        """Queue requests about one picture, or about none, and return their tickets.

        With `keep` False the picture is not looked for among those that were kept, nor kept: for
        one that does not come again.
        """
        state = None if picture is None else PictureState(picture, max_crops, may_be_kept=keep)
        tickets = []
        for request in requests:
            image_tokens = 0 if state is None else self._language.dims.prefix_len
            job = StrandJob(
                self._plan(request, state is not None), state, image_tokens, self._clock
            )
            strands = [Strand(job, skill, state) for skill in job.skills]
            if state is not None:
                state.waiting_for += len(strands)
            self._scheduler.add(strands)
            tickets.append(job.ticket)
        return tickets

    def step(self) -> None:
        """Do the next piece of work: drop cancelled requests, start new ones or continue."""
        with torch.inference_mode(), self._runner.on_device():
            self._drop_cancelled()
            self._cut_next_pictures()
            newcomers = self._admit()
            if newcomers:
                self._prefill(newcomers)
            elif self._scheduler.running:
                self._cycle()

    def close(self) -> None:
        """End its threads; nothing can be asked any more. Safe to repeat."""
        self._runner.close()

    def run(self, tickets: Sequence[RequestTicket]) -> None:
        """Step until all of these are done."""
        while not all(ticket.is_done for ticket in tickets):
            self.step()

    def _plan(self, request: Request, has_picture: bool) -> Plan:
        try:
            plan_ = plan(request, self._language, has_picture)
        except TooLongError as error:
            return Plan.failed(str(error), "too_long")
        except MaskError as error:
            return Plan.failed(str(error), "mask")
        except RequestError as error:
            return Plan.failed(str(error))
        except (TypeError, ValueError, AttributeError) as error:
            # A field of a type it does not have: this request fails, its neighbours do not.
            return Plan.failed(f"{request!r} cannot be understood: {error}")
        return plan_

    def _drop_cancelled(self) -> None:
        for strand in list(self._scheduler.live()):
            if strand.job.ticket.is_cancelled:
                self._fail(strand, "the request was cancelled", "cancelled")

    def _cut_next_pictures(self, most: int | None = None) -> None:
        """Cut the pictures in line that start next, `most` of them, but none that is there already.

        While others run, that is as many as may be prefilled before their next cycle.
        """
        ahead: set[PictureKey] = set()
        crops = 0

        def is_there(picture: PictureState) -> bool:
            return picture.key in ahead or self._cache.pages.find(picture.key) is not None

        for picture in self._scheduler.next_pictures(self._pictures_ahead):
            if most == 0 or (self._scheduler.running and crops >= self._crops_between_cycles):
                break
            if picture.crops is None and not is_there(picture):
                most = None if most is None else most - 1
                try:
                    if self._keeps_pictures and picture.may_be_kept:
                        self._runner.look_at(picture)
                    if not is_there(picture):
                        self._runner.cut(picture)
                # Whatever it is, as a lack of memory or what a library says of a broken file: it is
                # this picture's alone.
                except Exception as error:  # noqa: BLE001 - see above
                    is_said = isinstance(error, PictureError)
                    if most is not None and not is_said:
                        break  # there may be memory for it when the device is at rest
                    reason = f"cutting the picture failed: {type(error).__name__}: {error}"
                    if is_said:
                        reason = str(error)
                    for strand in [one for one in self._scheduler.live() if one.picture is picture]:
                        self._fail(strand, reason, "bad_picture" if is_said else "engine")
            crops += picture_cost(picture)
            if picture.key is not None:
                ahead.add(picture.key)

    def _prepare_meanwhile(self) -> None:
        """While the device works: cut pictures beside it, where it can do both.

        Not while stages are timed, as each is to be timed alone.
        """
        if self._has_side_lane and not self.stages.is_on:
            self._cut_next_pictures(CUT_MEANWHILE)

    def _admit(self) -> list[Strand]:
        try:
            return self._scheduler.admit()
        except BaseException as error:
            # Those that have their places already would wait in them for ever.
            for strand in list(self._scheduler.running.values()):
                if strand.row is not None and strand.row.kind is RowKind.IDLE:
                    self._fail(strand, f"starting failed: {type(error).__name__}: {error}")
            raise

    def _prefill(self, newcomers: Sequence[Strand]) -> None:
        for strand in newcomers:
            page = None if strand.row is None else strand.row.page
            strand.job.start(picture_was_kept=page is not None and page.is_filled)
        try:
            found = self._runner.prefill(newcomers, self._prepare_meanwhile)
            for strand, reads in zip(newcomers, found, strict=True):
                strand.job.note_prefilled()
                self._go_on(strand, reads, is_first=True)
        except BaseException as error:
            # What they have in the cache is half filled, and nobody may go on with it.
            reason = f"reading the prompt failed: {type(error).__name__}: {error}"
            pages = {strand.row.page for strand in newcomers if strand.row and strand.row.page}
            for strand in newcomers:
                self._fail(strand, reason)
            for page in pages:
                if not page.is_filled:
                    self._fail_page(page, reason)
            raise

    def _cycle(self) -> None:
        strands = list(self._scheduler.running.values())
        try:
            for strand, reads in zip(strands, self._run_cycle(strands), strict=True):
                self._go_on(strand, reads, is_first=False)
        except BaseException as error:
            # The device may have gone a step further than what is known of them here.
            for strand in strands:
                self._fail(strand, f"a step failed: {type(error).__name__}: {error}")
            raise

    def _run_cycle(self, strands: Sequence[Strand]) -> list[list[Read]]:
        scheduler, runner = self._scheduler, self._runner
        program = runner.program(strands)
        scheduler.begin_cycle(program.steps)
        for strand in strands:
            if strand.skill.temperature > 0 and strand.row is not None:
                strand.row.draws = draws_of(strand)
        least = scheduler.least_shape()
        shape = runner.graph_shape(program, least)
        if shape is None:
            shape = scheduler.present_shape(least)
        else:
            scheduler.move_within(shape)
        return runner.cycle(strands, program, shape, self._prepare_meanwhile)

    def _go_on(self, strand: Strand, reads: Sequence[Read], is_first: bool) -> None:
        """Give a skill its reads, and do what it asks for next."""
        if strand.row is None or strand.job.ticket.is_done:
            return
        if any(read.is_broken for read in reads):
            self._fail_overflow(strand)
            return
        try:
            turn = strand.skill.begin(reads) if is_first else strand.skill.advance(reads)
        except MaskError as error:  # the form of its answer is this request's alone
            self._fail(strand, str(error), "mask")
            return
        if turn is None:
            self._scheduler.retire(strand)
            strand.job.finish_one()
            return
        strand.row.kind, strand.row.token = turn.kind, turn.token
        strand.row.length += turn.fed

    def _fail_overflow(self, strand: Strand) -> None:
        """Fail a strand and all others of its page, which may be corrupt; clean up."""
        assert strand.row is not None
        page = strand.row.page
        for one in self._scheduler.running.values():
            if one.row is not None and (one is strand or (page and one.row.page is page)):
                self._runner.scrub(one, one.row)
        self._fail(strand, OVERFLOW, "overflow")
        if page is not None:
            self._fail_page(page, OVERFLOW, "overflow")

    def _fail_page(self, page: PicturePage, reason: str, code: FailureCode = "engine") -> None:
        """Fail all that have a page, and let nobody find it again."""
        self._cache.pages.disown(page)
        for strand in list(self._scheduler.live()):
            if strand.picture is not None and strand.picture.page is page:
                self._fail(strand, reason, code)

    def _fail(self, failed: Strand, reason: str, code: FailureCode = "engine") -> None:
        """Fail a request with a reason, and end all its strands."""
        failed.job.fail(reason, code)
        for strand in list(self._scheduler.live()):
            if strand.job is failed.job:
                self._scheduler.retire(strand)
