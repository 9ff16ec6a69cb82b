"""One picture and one request at a time over the same modules: what batching is measured against.

Built like the published code: batch 1, prefix and prompt are two prefills, attention reads all
2048 cache slots behind a mask, the output head runs at every step, the host waits for each step.
A picture is encoded for every request, or once for all of its requests, as the published code can
be used in both ways. Tests use it as the second opinion on the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from pipeline.moondream.batch.plan import plan
from pipeline.moondream.network.network import Network
from pipeline.moondream.network.vision import Tiles
from pipeline.moondream.pictures.crops import Picture, make_crops
from pipeline.moondream.skills.base import Language
from pipeline.moondream.types import CaptionRequest, DetectRequest, PointRequest, QueryRequest

XY_STEPS = 2


@dataclass(slots=True)
class Found:
    """What a request gave: bins of each object, or tokens."""

    bins: list[list[int]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """Keys and values of a picture's prefix, all layers."""

    k: Tensor
    v: Tensor


class PlainLoop:
    """Answers detect, point, caption and plain queries, one after the other."""

    def __init__(self, network: Network, language: Language) -> None:
        self._network, self._language = network, language
        self._ids = language.release.ids
        text = network.dims.text
        slots = (text.n_layers, 1, text.n_kv_heads, text.max_context, text.head_dim)
        self._k = torch.zeros(slots, device=network.device, dtype=network.dtype)
        self._v = torch.zeros_like(self._k)
        causal = torch.ones(text.max_context, text.max_context, dtype=torch.bool).tril()
        causal[: network.dims.prefix_len, : network.dims.prefix_len] = True
        self._mask = causal.to(network.device)

    @torch.inference_mode()
    def answer(
        self,
        picture: Picture,
        request: DetectRequest | PointRequest | CaptionRequest | QueryRequest,
    ) -> Found:
        """Return what a request gives about a picture."""
        self._prefill(self._encode(picture), 0)
        return self._go_on(request)

    @torch.inference_mode()
    def encode(self, picture: Picture) -> EncodedPicture:
        """Return what `answer_encoded` needs of a picture: a copy of its keys and values."""
        self._prefill(self._encode(picture), 0)
        prefix = slice(0, self._network.dims.prefix_len)
        return EncodedPicture(self._k[..., prefix, :].clone(), self._v[..., prefix, :].clone())

    @torch.inference_mode()
    def answer_encoded(
        self,
        encoded: EncodedPicture,
        request: DetectRequest | PointRequest | CaptionRequest | QueryRequest,
    ) -> Found:
        """Return what a request gives about a picture that was encoded before."""
        prefix = slice(0, self._network.dims.prefix_len)
        self._k[..., prefix, :], self._v[..., prefix, :] = encoded.k, encoded.v
        return self._go_on(request)

    def _go_on(
        self, request: DetectRequest | PointRequest | CaptionRequest | QueryRequest
    ) -> Found:
        (skill,) = plan(request, self._language, has_picture=True).skills
        ids = torch.tensor(skill.prompt.ids, device=self._network.device)
        start = self._network.dims.prefix_len
        hidden = self._prefill(self._network.text.embed(ids), start)
        at = start + len(ids)
        if isinstance(request, DetectRequest):
            return self._objects(hidden, at, request.max_objects, has_size=True)
        if isinstance(request, PointRequest):
            return self._objects(hidden, at, request.max_objects, has_size=False)
        return self._words(hidden, at, request.max_tokens)

    @torch.inference_mode()
    def log_probability(self, picture: Picture, question: str, answer: str) -> float:
        """Return how likely an answer and the end after it are, token by token."""
        (skill,) = plan(QueryRequest(question), self._language, has_picture=True).skills
        self._prefill(self._encode(picture), 0)
        at, total = self._network.dims.prefix_len, 0.0
        hidden = self._network.text.embed(torch.tensor(skill.prompt.ids))
        hidden, at = self._prefill(hidden, at), at + len(skill.prompt.ids)
        for token in (*self._language.tokenizer.encode(answer), self._ids.eos):
            total += float(self._network.text.logits(hidden).log_softmax(-1)[0, token])
            hidden = self._prefill(self._network.text.embed(torch.tensor([token])), at)
            at += 1
        return total

    def _encode(self, picture: Picture) -> Tensor:
        """Return the prefix embeddings; a single crop is encoded twice, once for each view."""
        network = self._network
        crops = make_crops(picture, network.dims.vision, device=network.device)
        pixels = torch.cat([crops.pixels] * 2) if crops.is_single else crops.pixels
        features = network.vision.encode(pixels)
        (tokens,) = network.vision.project(features, [Tiles(0, crops.rows, crops.cols)])
        bos = network.text.embed(torch.tensor([network.bos], device=network.device))
        return torch.cat([bos, tokens])

    def _prefill(self, embedded: Tensor, start: int) -> Tensor:
        """Run tokens that stand from `start` on, and return the last one's hidden state."""
        text = self._network.text
        count = len(embedded)
        mask = self._mask[start : start + count]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._k[layer, 0, :, start : start + count] = k.transpose(0, 1)
            self._v[layer, 0, :, start : start + count] = v.transpose(0, 1)
            groups = q.shape[2]
            mixed = scaled_dot_product_attention(
                q.flatten(1, 2).transpose(0, 1)[None],
                self._k[layer].repeat_interleave(groups, dim=1),
                self._v[layer].repeat_interleave(groups, dim=1),
                attn_mask=mask[None, None],
                scale=1.0,
            )
            return mixed[0].transpose(0, 1).flatten(1)

        position = torch.arange(start, start + count, device=embedded.device)
        return text.forward(embedded, position, attend)[-1:]

    def _objects(self, hidden: Tensor, at: int, most: int, has_size: bool) -> Found:
        network, found = self._network, Found()
        token = int(network.text.logits(hidden).argmax())
        while token != self._ids.eos and len(found.bins) < most:
            bins: list[int] = []
            for _ in range(XY_STEPS):
                bins.append(int(network.region.coord_logits(hidden).argmax()))
                place = torch.tensor(bins[-1:], device=hidden.device)
                hidden = self._prefill(network.region.embed_coord_bins(place), at)
                token = int(network.text.logits(hidden).argmax())
                at += 1
            if has_size:
                sizes = network.region.size_logits(hidden).argmax(-1)
                bins += sizes[0].tolist()
                hidden = self._prefill(network.region.embed_size_bins(sizes), at)
                token = int(network.text.logits(hidden).argmax())
                at += 1
            found.bins.append(bins)
        return found

    def _words(self, hidden: Tensor, at: int, most: int) -> Found:
        text, found = self._network.text, Found()
        token = int(text.logits(hidden).argmax())
        while token != self._ids.eos and len(found.token_ids) < most:
            found.token_ids.append(token)
            hidden = self._prefill(text.embed(torch.tensor([token], device=hidden.device)), at)
            at += 1
            logits = text.logits(hidden)
            if self._ids.answer is not None:
                logits[:, self._ids.answer] = -torch.inf
            token = int(logits.argmax())
        return found


def all_of(
    loop: PlainLoop,
    pictures: Sequence[Picture],
    requests: Sequence[DetectRequest | PointRequest | CaptionRequest | QueryRequest],
    *,
    encode_once: bool,
) -> list[list[Found]]:
    """Answer every request about every picture, in order."""
    found = []
    for picture in pictures:
        if encode_once:
            encoded = loop.encode(picture)
            found.append([loop.answer_encoded(encoded, request) for request in requests])
        else:
            found.append([loop.answer(picture, request) for request in requests])
    return found
