"""What the server answers at all: the page, uploads of a bounded size, and questions about an uploaded file.

Gradio serves much more than this page needs. It fetches addresses that a visitor names, as the path of a file or behind
`/gradio_api/file=`, and it has a proxy, a recorder and pages for developers. Here only what is on a list gets through.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GET = re.compile(
    r"/|/(config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(assets|static|svelte)/[^?]*"
    r"|/gradio_api/(info/?|startup-events|theme\.css|queue/data|upload_progress|heartbeat/\w+)"
)
POST = re.compile(r"/gradio_api/(upload|queue/join/?|reset/?|cancel)")
UPLOAD = "/gradio_api/upload"
LARGEST = 64 << 20  # bytes of an upload: a DICOM file of 16 megapixels has half of that
FORM = 1 << 14  # bytes of an upload's request besides the file
QUESTION = 1 << 16  # bytes of a question
ROOM = 1 << 30  # bytes of all uploads that wait for their answer


class Questions:
    """The questions that wait for an answer, by the path of their upload.

    Visitors with the same file have one path, because Gradio names uploads by their content. Each upload replaces the
    file at this path.
    """

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.asked: dict[str, tuple[int, int] | None] = {}  # the file that the last question was about

    def add(self, path: str) -> None:
        self.waiting[path] += 1
        self.asked[path] = identity(path)

    def remove(self, path: str) -> bool:
        """Take away one question. Returns whether its upload can go.

        It stays while another question waits, and if somebody has made it again, whose question is still to come.
        """
        self.waiting[path] -= 1
        if self.waiting[path] > 0:
            return False
        del self.waiting[path]
        return self.asked.pop(path, None) == identity(path)


def identity(path: str) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class Gate:
    """ASGI middleware before Gradio.

    Args:
        uploads: the folder in which Gradio keeps uploads. Nothing else is in it.
        questions: is told of each question about an upload that gets through.
    """

    def __init__(self, app: Any, uploads: Path, questions: Questions):
        self.app, self.uploads, self.questions = app, uploads, questions

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None
        status, receive = await self.judge(scope, receive)
        if status:
            return await refuse(status, send)
        return await self.app(scope, receive, send)

    async def judge(self, scope: dict, receive: Any) -> tuple[int, Any]:
        """(0, or the status of a refusal; what the app receives)."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            return (0 if GET.fullmatch(path) else 404), receive
        if method != "POST" or not POST.fullmatch(path):
            return 404, receive
        size = content_length(scope)
        if size is None:
            return 411, receive
        if path == UPLOAD:
            too_much = size > LARGEST + FORM
            return (413 if too_much else 503 if total_size(self.uploads) + size > ROOM else 0), receive
        if size > QUESTION:
            return 413, receive
        body = await read_body(receive)
        paths = self.uploads_in(body)
        if paths is None:
            return 400, receive
        for upload in paths:
            self.questions.add(upload)
        return 0, replay(body, receive)

    def uploads_in(self, body: bytes) -> list[str] | None:
        """The uploads that a question is about; None if it is no JSON, or names other files too."""
        try:
            paths = list(paths_in(json.loads(body)))
        except (ValueError, RecursionError):
            return None
        return paths if all(self.is_upload(path) for path in paths) else None

    def is_upload(self, path: Any) -> bool:
        return isinstance(path, str) and is_inside(path, self.uploads)


def is_inside(path: str, folder: Path) -> bool:
    """Whether a path, without the links in it, lies below a folder."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) and "://" not in path


def paths_in(value: Any) -> Iterator[Any]:
    """The values under the key `path` in a JSON value, however deep they lie."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from paths_in(part)


def content_length(scope: dict) -> int | None:
    """The bytes of a request's body as it says itself; the server reads no more. None if it does not say."""
    found = dict(scope["headers"]).get(b"content-length", b"")
    return int(found) if found.isdigit() else None


def total_size(folder: Path) -> int:
    """Bytes of all files below a folder. A file that goes away meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


async def read_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives a body that was read already, and then what comes."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> dict:
        return messages.pop() if messages else await receive()

    return again


async def refuse(status: int, send: Any) -> None:
    words = {
        411: b"The request does not say how long it is.",
        413: b"The file is too large.",
        503: b"Too many files wait for their answer. Try again in a minute.",
    }
    body = words.get(status, b"Not here.")
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
