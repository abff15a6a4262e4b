"""An OpenAI-compatible server on loopback that says what a test scripts, and counts what it is asked."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FRAME = re.compile(r"<<< (?P<name>[A-Z ]+?) (?P<nonce>[0-9a-f]{8})\n(?P<text>.*?)\n(?P=name) (?P=nonce) >>>", re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """One request as the server understood it: the framed texts, the code, the header, when it came."""

    texts: dict[str, str]
    nonce: str
    body: dict
    authorization: str
    at: float

    @property
    def order(self) -> tuple[str, str]:
        return self.texts["ANSWER A"], self.texts["ANSWER B"]


@dataclass(frozen=True)
class Reply:
    """What the server does: a status with headers, a body cut short, a pause, or the text of a completion."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    seconds: float = 0.0
    finish: str = "stop"
    tokens: int = 10


def likes_good(asked: Asked) -> str:
    """The verdict of an honest judge: the completion with more `good` in it wins."""
    a, b = (text.count("good") for text in asked.order)
    return "TIE" if a == b else "A" if a > b else "B"


def verdict(asked: Asked, word: str | None = None) -> Reply:
    return Reply(f"It says more.\nVERDICT {asked.nonce} {word or likes_good(asked)}")


@dataclass
class Server:
    url: str
    asked: list[Asked] = field(default_factory=list)


@contextlib.contextmanager
def serving(script: Callable[[Asked, int], Reply]) -> Iterator[Server]:
    """Serves `script(asked, how often this very pair has been asked for)` until the block ends."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            frames = list(FRAME.finditer(body["messages"][-1]["content"]))
            texts = {frame["name"]: frame["text"] for frame in frames}
            asked = Asked(texts, frames[0]["nonce"], body, self.headers["Authorization"], time.monotonic())
            with lock:
                server.asked.append(asked)
                key = json.dumps(texts, sort_keys=True)
                seen[key] = seen.get(key, 0) + 1
                count = seen[key]
            self._send(script(asked, count))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.seconds)
            content = reply.raw if reply.raw is not None else json.dumps(self._completion(reply)).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if reply.cut else content)
                self.close_connection = reply.cut

        def _completion(self, reply: Reply) -> dict:
            if reply.status != 200:
                return {"error": {"message": reply.text}}
            message = {"role": "assistant", "content": reply.text}
            choice = {"index": 0, "message": message, "finish_reason": reply.finish}
            usage = {"prompt_tokens": reply.tokens - 1, "completion_tokens": 1, "total_tokens": reply.tokens}
            return {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "scripted",
                "choices": [choice],
                "usage": usage,
            }

        def log_message(self, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_port}/v1")
    threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
