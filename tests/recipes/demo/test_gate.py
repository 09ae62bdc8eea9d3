"""What reaches Gradio: the page, bounded uploads, and questions about uploaded files."""

import asyncio
import json
import os

import pytest

from demo.gate import LARGEST, QUESTION, Gate, Questions, is_inside


@pytest.fixture
def uploads(tmp_path):
    (tmp_path / "uploads" / "ab").mkdir(parents=True)
    (tmp_path / "uploads" / "ab" / "x.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "uploads"


def ask(uploads, method, path, body=b"", length=True, questions=None):
    """(status, what the app got) of one request."""
    got, sent = [], []

    async def app(scope, receive, send):
        got.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    size = len(body) if length is True else length
    headers = [] if size is None else [(b"content-length", str(size).encode())]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(Gate(app, uploads, Questions() if questions is None else questions)(scope, receive, send))
    return sent[0]["status"], got


def question(uploads, path, questions=None):
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}], "fn_index": 0, "session_hash": "a"}
    return ask(uploads, "POST", "/gradio_api/queue/join", json.dumps(body).encode(), questions=questions)


PAGE = ["/", "/config", "/theme.css", "/assets/index-1.js", "/static/fonts/a.woff2", "/gradio_api/queue/data"]


@pytest.mark.parametrize("path", [*PAGE, "/gradio_api/heartbeat/abc", "/gradio_api/startup-events"])
def test_what_the_page_needs_gets_through(uploads, path):
    assert ask(uploads, "GET", path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://example.org/a.png",
        "/gradio_api/proxy=http://example.org/a.png",
        "/gradio_api/file//etc/passwd",
        "/gradio_api/runs",
        "/gradio_api/component_server",
        "/gradio_api/run/predict",
        "/monitoring",
        "/gradio_api/mcp/sse",
        "/docs",
    ],
)
def test_what_gradio_serves_besides_does_not(uploads, path):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(uploads, method, path) == (404, [])


@pytest.mark.parametrize(
    "path",
    ["http://127.0.0.1:1/a.png", "https://example.org/a.png", "file:///etc/passwd", "/etc/passwd", "secret.png", "", 7]
    + [None, ["/etc/passwd"]],
)
def test_a_question_names_nothing_but_an_upload(uploads, path):
    assert question(uploads, path) == (400, [])


def test_a_question_about_an_upload_gets_through_as_it_was(uploads):
    status, (body,) = question(uploads, str(uploads / "ab" / "x.png"))
    assert status == 200 and json.loads(body)["data"][0]["path"].endswith("x.png")
    assert ask(uploads, "POST", "/gradio_api/queue/join", b'{"data": [], "event_data": {"example": 1}}')[0] == 200


def test_questions_about_an_upload_are_counted_and_refused_ones_are_not(uploads):
    questions, path = Questions(), str(uploads / "ab" / "x.png")
    for asked in (path, "/etc/passwd", path):
        question(uploads, asked, questions)
    assert questions.waiting == {path: 2}


def test_an_upload_goes_with_its_last_question(uploads):
    questions, path = Questions(), str(uploads / "ab" / "x.png")
    for _ in range(2):
        question(uploads, path, questions)
    assert [questions.remove(path), questions.remove(path)] == [False, True]


def test_an_upload_stays_for_a_visitor_who_has_uploaded_the_same_file_and_not_asked_yet(uploads):
    questions, path = Questions(), str(uploads / "ab" / "x.png")
    question(uploads, path, questions)
    (uploads / "new").write_bytes(b"x")
    os.replace(uploads / "new", path)  # as Gradio does
    assert not questions.remove(path)
    question(uploads, path, questions)
    assert questions.remove(path)


def test_paths_that_lead_out_of_the_folder_are_none_of_it(uploads):
    (uploads / "link.png").symlink_to(uploads.parent / "secret.png")
    for path in (uploads / ".." / "secret.png", uploads / "link.png", f"{uploads}-other/x.png"):
        assert not is_inside(str(path), uploads)
    assert is_inside(str(uploads / "ab" / "x.png"), uploads)


@pytest.mark.parametrize("body", [b"", b"no json", b"[" * 60_000, b"{" * 10])
def test_a_question_that_is_no_json_is_refused(uploads, body):
    assert ask(uploads, "POST", "/gradio_api/queue/join", body)[0] == 400


def test_sizes_are_bounded_before_anything_is_read(uploads, monkeypatch):
    assert ask(uploads, "POST", "/gradio_api/upload", length=LARGEST * 2) == (413, [])
    assert ask(uploads, "POST", "/gradio_api/upload", length=None) == (411, [])
    assert ask(uploads, "POST", "/gradio_api/queue/join", length=QUESTION + 1) == (413, [])
    assert ask(uploads, "POST", "/gradio_api/upload", length=LARGEST)[0] == 200
    monkeypatch.setattr("demo.gate.ROOM", 100)
    assert ask(uploads, "POST", "/gradio_api/upload", length=200) == (503, [])
