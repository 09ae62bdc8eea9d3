"""The published Space, started from its own files: what it answers, in a browser and to those who come without one."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, own_port
from demo import publish_space

if not find_spec("gradio"):  # the Space alone imports it, which takes seconds
    pytest.skip("the demo needs gradio", allow_module_level=True)
pytest.importorskip("onnxruntime", reason="the Space's model is an ONNX file")
pytest.importorskip("pydicom", reason="the demo reads DICOM files")
import httpx  # noqa: E402  # gradio needs it

from dicoms import pixels, radiograph, save  # noqa: E402

CHROMIUM = "/usr/bin/chromium"
SECONDS = 240  # for a start on a machine that is busy


@pytest.fixture(scope="module")
def space(shown, tmp_path_factory):
    """A Space's folder as it is published."""
    folder = tmp_path_factory.mktemp("space")
    publish_space.main([str(shown / "model.onnx"), "--output-dir", str(folder / "space")])
    return folder / "space"


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """The server's home, where its temporary files are too."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def server(space, temporary):
    """The address of the Space, which has nothing of this repository on its path and no way into the network."""
    port, log = own_port(), temporary.parent / "server.log"
    left_out = ("PYTHONPATH", "HF_HOME", "HF_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"PYTHONPATH": str(ROOT / "tests" / "no_network"), "TMPDIR": str(temporary), "HOME": str(temporary)}
    environment["MPLCONFIGDIR"] = str(temporary.with_name("matplotlib"))  # Gradio imports it where it is installed
    with open(log, "w") as out:
        command = [sys.executable, "-s", space / "demo" / "app.py", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, cwd=temporary, stdout=out, stderr=out)
    try:
        wait_for(lambda: "Open http" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None, f"it has stayed up: {log.read_text()}"
    finally:
        process.terminate()
        process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


# Files


def png(mode="L", size=(60, 50), **options):
    file, noise = io.BytesIO(), np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, **{"format": "PNG", **options})
    return file.getvalue()


def dicom(folder, **fields):
    values = fields.pop("values", None)
    made = radiograph(pixels() if values is None else values, PatientName="DOE^JANE", PatientID="4711")
    for name, value in fields.items():
        delattr(made, name) if value is None else setattr(made, name, value)
    return save(folder, made).read_bytes()


def huge():
    file = io.BytesIO()
    Image.new("1", (10_000, 10_001)).save(file, format="PNG")
    return file.getvalue()


GOOD = {  # {what: (name, content)}
    "png": ("scan.png", lambda folder: png()),
    "jpeg": ("scan.jpg", lambda folder: png(format="JPEG")),
    "tiff": ("scan.tif", lambda folder: png(format="TIFF")),
    "cmyk": ("scan.tif", lambda folder: png("CMYK", format="TIFF")),
    "dicom without an ending": ("IM0001", lambda folder: dicom(folder)),
    "png that is called a jpeg": ("scan.jpg", lambda folder: png()),
}
BAD = {  # {what: (name, content, words of the answer)}
    "empty": ("a.png", lambda folder: b"", "it is empty"),
    "truncated": ("a.png", lambda folder: png()[:-200], "it is damaged"),
    "text": ("a.png", lambda folder: b"no image", "it is no PNG, JPEG, TIFF or DICOM file"),
    "page": ("a.html", lambda folder: b"<script>alert(1)</script>", "it is no PNG, JPEG, TIFF or DICOM file"),
    "locked zip": ("a.png", lambda folder: b"PK\x03\x04\x14\x00\x01\x00" + bytes(200), "it is no PNG"),
    "locked pdf": ("a.pdf", lambda folder: b"%PDF-1.7\n1 0 obj <</Encrypt 2 0 R>>", "it is no PNG"),
    "animated": ("a.tif", lambda folder: animated("TIFF"), "it holds 3 pictures"),
    "animated png": ("a.png", lambda folder: animated("PNG"), "it holds 3 pictures"),
    "gif": ("a.gif", lambda folder: animated("GIF"), "it is no PNG"),
    "100 megapixels": ("a.png", lambda folder: huge(), "more than 67,108,864"),
    "no pixels": ("a.dcm", lambda folder: dicom(folder, PixelData=None), "PixelData"),
    "frames": ("a.dcm", lambda folder: dicom(folder, NumberOfFrames=2), "several frames"),
    "text in the picture": ("a.dcm", lambda folder: dicom(folder, BurnedInAnnotation="YES"), "BurnedInAnnotation"),
    "lateral": ("a.dcm", lambda folder: dicom(folder, ViewPosition="LL"), "ViewPosition is LL"),
    "ct": ("a.dcm", lambda folder: dicom(folder, Modality="CT"), "Modality is CT"),
}


def animated(form):
    frames = [Image.new("L", (40, 40), 60 * number) for number in range(3)]
    file = io.BytesIO()
    frames[0].save(file, format=form, save_all=True, append_images=frames[1:])
    return file.getvalue()


# Without a browser


def upload(server, name, content):
    """The path that the server gives to a file."""
    done = httpx.post(f"{server}/gradio_api/upload", files={"files": (name, content)}, timeout=SECONDS)
    assert done.status_code == 200, done.text
    return done.json()[0]


def dependency(server):
    """The number of the event that answers an upload."""
    events = httpx.get(f"{server}/config", timeout=SECONDS).json()["dependencies"]
    return next(event["id"] for event in events if event["targets"][0][1] == "upload")


def ask(server, data, **more):
    """The status of a question."""
    body = {"data": [data], "fn_index": dependency(server), "session_hash": "session", "event_data": None, **more}
    return httpx.post(f"{server}/gradio_api/queue/join", json=body, timeout=SECONDS)


def answer(server, name, content):
    """The HTML that answers a file."""
    question(server, upload(server, name, content), "session")
    return answer_of(server, "session")


def question(server, path, session):
    asked = ask(server, {"path": path, "meta": {"_type": "gradio.FileData"}}, session_hash=session)
    assert asked.status_code == 200, asked.text


def answer_of(server, session):
    """The HTML that answers the question of a session."""
    url = f"{server}/gradio_api/queue/data?session_hash={session}"
    with httpx.stream("GET", url, timeout=SECONDS) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                assert message["success"], message
                return message["output"]["data"][1]
    raise AssertionError("no answer")


def uploads_in(temporary):
    """The files with content that the server holds."""
    return [path for path in temporary.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize("what", GOOD)
def test_every_kind_of_file_is_answered_with_findings_and_gone(server, temporary, tmp_path, what):
    name, content = GOOD[what]
    page = answer(server, name, content(tmp_path))
    assert "cx-finding" in page and page.count('class="cx-heat') == 3 and "Mass" in page
    assert not uploads_in(temporary)


@pytest.mark.parametrize("what", BAD)
def test_every_bad_file_is_answered_with_a_sentence_and_gone(server, temporary, tmp_path, what):
    name, content, words = BAD[what]
    page = answer(server, name, content(tmp_path))
    assert re.search(rf'<p class="cx-alarm" role="alert">This file cannot be read: [^<]*{re.escape(words)}', page), page
    assert "DOE" not in page and "4711" not in page and "--force" not in page and str(temporary) not in page
    assert not uploads_in(temporary)


def test_two_visitors_with_the_same_file_are_both_answered(server, temporary):
    sessions = [f"visitor{number}" for number in range(3)]
    for session in sessions:
        question(server, upload(server, "same.png", png()), session)
    assert ["cx-findings" in answer_of(server, session) for session in sessions] == [True] * 3
    assert not uploads_in(temporary)


def test_nothing_is_fetched_from_an_address_that_a_visitor_gives(server):
    asked, listener = [], socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=note_requests, args=(listener, asked), daemon=True).start()
    address, meta = f"http://127.0.0.1:{listener.getsockname()[1]}/scan.png", {"_type": "gradio.FileData"}
    with closing(listener):
        assert ask(server, {"path": address, "meta": meta}).status_code == 400
        assert ask(server, {"path": address}).status_code == 400
        assert ask(server, {"path": "/etc/passwd", "meta": meta}).status_code == 400
        for place in ("file=", "proxy=", "file/"):
            assert httpx.get(f"{server}/gradio_api/{place}{address}", timeout=SECONDS).status_code == 404
        mixed = {"path": upload(server, "a.png", png()), "url": address, "meta": meta}
        assert ask(server, mixed, session_hash="other").status_code == 200, "the uploaded file is taken"
        for api in ("run/answer_upload", "call/answer_upload", "call/v2/answer_upload", "api/predict"):
            done = httpx.post(f"{server}/gradio_api/{api}", json={"data": [{"path": address}]}, timeout=SECONDS)
            assert done.status_code == 404
        answer(server, "scan.png", png())
    assert not asked


def note_requests(listener, asked):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        asked.append(connection.recv(100))
        connection.close()


def test_an_upload_is_never_served_to_anybody(server):
    path = upload(server, "page.html", b"<script>alert(1)</script>")
    for place in (f"/gradio_api/file={path}", f"/file={path}", path):
        assert httpx.get(f"{server}{place}", timeout=SECONDS).status_code == 404


def test_a_file_that_is_too_large_is_refused_before_it_is_read(server):
    with socket.create_connection(("127.0.0.1", int(server.rpartition(":")[2])), timeout=SECONDS) as connection:
        lines = ["POST /gradio_api/upload HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {1 << 40}"]
        connection.sendall("\r\n".join([*lines, "Content-Type: multipart/form-data; boundary=x", "", ""]).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_it_neither_records_nor_tells(server):
    config = httpx.get(f"{server}/config", timeout=SECONDS).json()
    assert config["analytics_enabled"] is False and config["run_history"] is False
    assert config["enable_queue"] and not config["footer_links"]
    page = httpx.get(server, timeout=SECONDS).text
    assert "fonts.googleapis" not in page and "cdnjs" not in page


# In a browser


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"there is no {CHROMIUM}")
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def open_page(browser, server, width=1200, **options):
    context = browser.new_context(viewport={"width": width, "height": 850}, **options)
    context.set_default_timeout(SECONDS * 1000)
    page, requests = context.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server)
    page.wait_for_selector("button[data-example]")
    return page, requests


def choose(page, name, content):
    page.set_input_files("#upload input[type=file]", {"name": name, "mimeType": "", "buffer": content})


def opacity(page, number):
    return page.eval_on_selector(f".cx-heat-{number}", "image => getComputedStyle(image).opacity")


def test_a_visitor_sees_findings_and_heatmaps_a_reason_and_findings_again(browser, server):
    page, requests = open_page(browser, server)
    assert "not a medical device" in page.inner_text("body")
    choose(page, "first.png", png())
    page.wait_for_selector(".cx-file:has-text('first.png')")
    names = page.locator(".cx-row .cx-name > span:first-child").all_inner_texts()
    assert names == ["Mass", "Edema", "Hernia"], "called ones first, by their percentiles"
    assert page.locator(".cx-call").count() == 2
    page.wait_for_function("getComputedStyle(document.querySelector('.cx-heat-0')).opacity == 1")
    page.click(".cx-row:has-text('Edema')")
    page.wait_for_function("getComputedStyle(document.querySelector('.cx-heat-1')).opacity == 1")
    page.wait_for_function("getComputedStyle(document.querySelector('.cx-heat-0')).opacity == 0")
    page.click(".cx-row:has-text('The picture alone')")
    page.wait_for_function("getComputedStyle(document.querySelector('.cx-heat-1')).opacity == 0")
    loaded = "image => image.complete && image.naturalWidth"
    assert page.eval_on_selector(".cx-grey", loaded) == 768 and page.eval_on_selector(".cx-heat-1", loaded) == 64

    choose(page, "letter.txt", b"no image")
    page.wait_for_selector(".cx-alarm:has-text('This file cannot be read: it is no PNG')")
    assert not page.locator(".cx-row").count()

    choose(page, "second.jpg", png(format="JPEG"))
    page.wait_for_selector(".cx-file:has-text('second.jpg')")
    assert page.locator(".cx-row").count() == 4
    assert not [url for url in requests if not url.startswith((server, "data:", "blob:"))], "nothing from elsewhere"
    page.context.close()


def test_an_example_is_answered_on_a_phone_without_sideways_scrolling_and_in_the_dark(browser, server):
    page, _ = open_page(browser, server, width=360, color_scheme="dark")
    page.click("button[data-example='2']")
    page.wait_for_selector(".cx-file:has-text('Drawn by a program: Mass')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator(".cx-row").last.scroll_into_view_if_needed()
    picture = page.eval_on_selector(".cx-picture", "picture => picture.getBoundingClientRect().top")
    assert picture >= 0, "the picture stays in view"
    colour = page.eval_on_selector(".cx-name", "name => getComputedStyle(name).color")
    assert min(map(int, re.findall(r"\d+", colour)[:3])) > 150, "light words on a dark page"
    page.context.close()
