"""An RTSP camera of our own, well or badly behaved: it answers what it is told, and sends video.

Real RTSP, RTP over UDP or interleaved TCP, H.264 and H.265; what is lost on the way is chosen by a
seeded random, so that every run loses the same.
"""

import base64
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from pipeline.core.frames import Pixels
from pipeline.testing import patience

HOST = "127.0.0.1"
_PAYLOAD = 1200
_BLOCKS = 16
_SIZE_WH = (320, 192)
_BLOCK = 20
RATE = 25
_TICK = Fraction(1, RATE)

Answer = tuple[str, Sequence[str], str]
"""Status, further headers, body."""


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    url: str
    head: str

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((v.strip() for k, _, v in lines if k.lower() == name.lower()), "")


@dataclass(frozen=True)
class Unit:
    """One picture as the encoder made it."""

    number: int
    nals: tuple[bytes, ...]
    is_key: bool


def numbered(number: int, size_wh: tuple[int, int] = _SIZE_WH) -> Pixels:
    """A picture that carries its number as 16 black and white blocks over a moving ground."""
    width, height = size_wh
    ground = np.random.default_rng(1).integers(60, 190, (height, width * 2), np.uint8)
    left = number * 3 % width
    pixels = np.repeat(ground[:, left : left + width, None], 3, axis=2)
    bits = (number & 0xFF) << 8 | (~number & 0xFF)
    for nth in range(_BLOCKS):
        level = 235 if bits >> (_BLOCKS - 1 - nth) & 1 else 20
        pixels[80 : 80 + _BLOCK, nth * _BLOCK : (nth + 1) * _BLOCK] = level
    return np.asarray(pixels, np.uint8)


def number_of(pixels: Pixels) -> int | None:
    """The number in a picture; None if it cannot be read, or its ground is not the right one."""
    bits = 0
    for nth in range(_BLOCKS):
        block = pixels[84 : 80 + _BLOCK - 4, nth * _BLOCK + 4 : (nth + 1) * _BLOCK - 4]
        bits = bits << 1 | int(block.mean() > 128)
    number = bits >> 8
    if number ^ 0xFF != bits & 0xFF:
        return None
    wanted = numbered(number)
    grid = (_SIZE_WH[1] // 16, 16, _SIZE_WH[0] // 16, 16, 3)
    distance = np.abs(pixels.astype(int) - wanted).reshape(grid).mean(axis=(1, 3, 4))
    return number if distance.max() < 60 else None


def encoded(codec: str, count: int, key_every: int, **options: str) -> list[Unit]:
    """Numbered pictures, encoded with parameter sets before every key frame; `video_size` among the
    options is 320x192 unless given.
    """
    width, height = map(int, options.pop("video_size", "320x192").split("x"))
    size_wh = width, height
    encoder = av.CodecContext.create("libx264" if codec == "h264" else "libx265", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size_wh
    encoder.pix_fmt, encoder.time_base = "yuv420p", _TICK
    keys = f"keyint={key_every}:min-keyint={key_every}:scenecut=0:bframes=0:repeat-headers=1"
    params = "x264-params" if codec == "h264" else "x265-params"
    quiet = "" if codec == "h264" else ":log-level=none:open-gop=0:pools=none:frame-threads=1"
    encoder.options = {"preset": "ultrafast", "crf": "26", params: keys + quiet, **options}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(numbered(number, size_wh), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = number, _TICK
        frame.pict_type = PictureType.I if number % key_every == 0 else PictureType.NONE
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [
        Unit(nth, tuple(_nals(bytes(packet))), packet.is_keyframe)
        for nth, packet in enumerate(packets)
    ]


def _nals(data: bytes) -> list[bytes]:
    parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [part for part in parts if part]


def _is_parameters(codec: str, nal: bytes) -> bool:
    return nal[0] & 31 in (7, 8) if codec == "h264" else nal[0] >> 1 & 63 in (32, 33, 34)


def payloads(codec: str, nal: bytes) -> list[bytes]:
    """One NAL unit as RTP payloads, cut into fragments where it is long."""
    head = 1 if codec == "h264" else 2
    if len(nal) <= _PAYLOAD + head:  # what fits into one is not cut
        return [nal]
    kind = nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63
    if codec == "h264":
        indicator = bytes([nal[0] & 0xE0 | 28])
    else:
        indicator = bytes([nal[0] & 0x81 | 49 << 1, nal[1]])
    body = nal[head:]
    pieces = [body[at : at + _PAYLOAD] for at in range(0, len(body), _PAYLOAD)]
    return [
        indicator
        + bytes([kind | (0x80 if nth == 0 else 0) | (0x40 if nth == len(pieces) - 1 else 0)])
        + piece
        for nth, piece in enumerate(pieces)
    ]


@dataclass
class RtspCamera:
    """A camera at a port of this machine; `answer` may speak in its stead."""

    units: Sequence[Unit] = ()
    codec: str = "h264"
    answer: Callable[[Request], Answer | None] = lambda request: None
    """What to answer instead of the usual; None for the usual."""
    names_parameters: bool = True
    """Whether the description holds the parameter sets."""
    sends_parameters: bool = True
    """Whether they come before each key frame."""
    lose: float = 0.0
    """The share of RTP packets that are lost on the way."""
    rate: float = RATE
    """Pictures a second, as they are sent; their timestamps say 25."""
    stamp: Callable[[int], int] = lambda nth: 1000 + nth * 90000 // RATE
    """The RTP timestamp of each picture."""
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    lost: int = 0

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._listener = socket.socket()
        self._listener.bind((HOST, 0))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        self._chance = random.Random(5)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(patience(5))

    def url(self, login: str = "", path: str = "live") -> str:
        """Its address."""
        return f"rtsp{'s' if self.tls else ''}://{login}{HOST}:{self.port}/{path}"

    def asked(self) -> list[str]:
        """The methods it was asked for, in order."""
        return [request.method for request in self.requests]

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._talk, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        ended = threading.Event()
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            heard, transport = b"", ""
            while data := connection.recv(65536):
                heard += data
                while heard:
                    if heard[:1] == b"$":
                        if len(heard) < 4 or len(heard) < 4 + int.from_bytes(heard[2:4]):
                            break
                        heard = heard[4 + int.from_bytes(heard[2:4]) :]
                        continue
                    head, blank, rest = heard.partition(b"\r\n\r\n")
                    if not blank:
                        break
                    heard = rest
                    method, url, _ = head.decode().split(" ", 2)
                    request = Request(method, url, head.decode())
                    self.requests.append(request)
                    transport = request.header("Transport") or transport
                    status = self._reply(connection, request)
                    if method == "PLAY" and status.startswith("200"):
                        send = threading.Thread(
                            target=self._play, args=(connection, transport, ended), daemon=True
                        )
                        self._threads.append(send)
                        send.start()
        except OSError:
            return
        finally:
            ended.set()
            connection.close()

    def _reply(self, connection: socket.socket, request: Request) -> str:
        status, headers, body = self.answer(request) or self._usual(request)
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.header('CSeq')}", *headers]
        if body:
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        connection.sendall(("\r\n".join([*lines, "", ""]) + body).encode())
        return status

    def _usual(self, request: Request) -> Answer:
        if request.method == "OPTIONS":
            return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"], ""
        if request.method == "DESCRIBE":
            return "200 OK", [f"Content-Base: {request.url}/"], self.description()
        if request.method == "SETUP":
            return "200 OK", ["Session: 7", f"Transport: {self._transport(request)}"], ""
        return "200 OK", ["Session: 7"], ""

    def _transport(self, request: Request) -> str:
        wanted = request.header("Transport")
        return wanted if "TCP" in wanted else f"{wanted};server_port=1-2"

    def description(self) -> str:
        """The SDP."""
        name = "H264" if self.codec == "h264" else "H265"
        formats = ["packetization-mode=1"] if self.codec == "h264" else []
        if self.names_parameters and self.units:
            sets = [n for n in self.units[0].nals if _is_parameters(self.codec, n)]
            texts = [base64.b64encode(one).decode() for one in sets]
            if self.codec == "h264":
                formats.append(f"sprop-parameter-sets={','.join(texts)}")
            else:
                names = ("sprop-vps", "sprop-sps", "sprop-pps")
                formats += [f"{n}={t}" for n, t in zip(names, texts, strict=True)]
        lines = ["v=0", f"o=- 0 0 IN IP4 {HOST}", "s=live", "c=IN IP4 0.0.0.0", "t=0 0"]
        lines += ["m=video 0 RTP/AVP 96", f"a=rtpmap:96 {name}/90000"]
        lines += [f"a=fmtp:96 {'; '.join(formats)}"] if formats else []
        return "\r\n".join([*lines, "a=control:track1", ""])

    def _play(self, connection: socket.socket, transport: str, ended: threading.Event) -> None:
        by_tcp = "TCP" in transport
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port = 0 if by_tcp else int(transport.partition("client_port=")[2].partition("-")[0] or 9)
        seq, begun = 100, time.monotonic()
        try:
            for nth, unit in enumerate(self.units):
                due = begun + nth / self.rate
                while not ended.is_set() and (left := due - time.monotonic()) > 0:
                    ended.wait(left)
                if ended.is_set():
                    return
                nals = [
                    nal
                    for nal in unit.nals
                    if self.sends_parameters or not _is_parameters(self.codec, nal)
                ]
                pieces = [piece for nal in nals for piece in payloads(self.codec, nal)]
                for at, piece in enumerate(pieces):
                    mark = 0x80 if at == len(pieces) - 1 else 0
                    stamp = self.stamp(nth) & 0xFFFFFFFF
                    head = struct.pack(">BBHII", 0x80, 96 | mark, seq & 0xFFFF, stamp, 77)
                    seq += 1
                    self.sent += 1
                    # The first key frame always arrives: there is something to begin with.
                    if nth and self._chance.random() < self.lose:
                        self.lost += 1
                    elif by_tcp:
                        packet = head + piece
                        connection.sendall(b"$\0" + len(packet).to_bytes(2) + packet)
                    else:
                        udp.sendto(head + piece, (HOST, port))
        except OSError:
            return
        finally:
            udp.close()
