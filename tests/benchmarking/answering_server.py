"""A small HTTP server with the golden model: OpenAI's interface and Moondream's."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from pipeline.moondream import (
    DetectRequest,
    FailedResult,
    Moondream,
    PointRequest,
    QueryRequest,
    Request,
)

Reply = tuple[int, dict[str, Any] | str, dict[str, str]]


class AnsweringServer:
    """What it was asked, and what it answers instead while `replies` has any."""

    def __init__(self, model: Moondream) -> None:
        self.model = model
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.replies: list[Reply] = []
        self.url = ""

    def reply(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        """Answer a request."""
        self.asked.append((path, body, headers))
        if self.replies:
            return self.replies.pop(0)
        if path == "/v1/chat/completions":
            image, text = body["messages"][0]["content"]
            wish = QueryRequest(
                text["text"], max_tokens=body["max_tokens"], temperature=body["temperature"]
            )
            result = self._answer(image["image_url"]["url"], wish)
            finish = "stop" if result.finish == "end" else "length"
            message = {"role": "assistant", "content": result.text}
            return 200, {"choices": [{"message": message, "finish_reason": finish}]}, {}
        if path == "/v1/query":
            wish = QueryRequest(body["question"], max_tokens=body["settings"]["max_tokens"])
            result = self._answer(body["image_url"], wish)
            finish = "stop" if result.finish == "end" else "length"
            return 200, {"answer": result.text, "finish_reason": finish}, {}
        if path == "/v1/point":
            result = self._answer(body["image_url"], PointRequest(body["object"]))
            return 200, {"points": [{"x": x, "y": y} for x, y in result.points_xy.tolist()]}, {}
        if path == "/v1/detect":
            result = self._answer(body["image_url"], DetectRequest(body["object"]))
            names = ("x_min", "y_min", "x_max", "y_max")
            objects = [
                {**dict(zip(names, box, strict=True)), "score": score}
                for box, score in zip(result.boxes_xyxy.tolist(), result.scores, strict=True)
            ]
            return 200, {"objects": objects}, {}
        return 404, {"error": {"message": f"there is no {path}"}}, {}

    def _answer(self, uri: str, wish: Request) -> Any:
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
            [[result]] = self.model.answer([(picture.convert("RGB"), [wish])], 1)
        assert not isinstance(result, FailedResult)
        return result


@contextmanager
def serving(model: Moondream) -> Iterator[AnsweringServer]:
    """The server on a free port of this machine, until the end."""
    server = AnsweringServer(model)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            """List the models."""
            self._say(200, json.dumps({"data": [{"id": "golden"}]}), {})

        def do_POST(self) -> None:
            """Answer with JSON, or with the text that was told to be."""
            length = int(self.headers["content-length"])
            sent = self.rfile.read(length)
            if len(sent) < length:  # the client stopped
                self.close_connection = True
                return
            body = json.loads(sent)
            status, reply, headers = server.reply(self.path, body, dict(self.headers.items()))
            self._say(status, reply if isinstance(reply, str) else json.dumps(reply), headers)

        def _say(self, status: int, text: str, headers: dict[str, str]) -> None:
            sent = text.encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that closing it waits for those that answer

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone is no matter."""

    with Server(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
