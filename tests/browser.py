"""A static page in a real browser: a plain web server without special headers, and headless Chromium."""

import contextlib
import functools
import http.server
import os
import shutil
import threading

import pytest

from chestxray.exporting import browser_runtime

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LOADED = 120_000  # milliseconds: on a busy machine a browser takes its time


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    """Within, the address of a server of a folder."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def runtime_or_skip():
    """onnxruntime-web's files, from the cache or from the package that ONNXRUNTIME_WEB names."""
    try:
        return browser_runtime.collect(os.environ.get("ONNXRUNTIME_WEB"))
    except (OSError, ValueError) as error:
        pytest.skip(f"no onnxruntime-web here: {error}")


@contextlib.contextmanager
def chromium_or_skip():
    """Within, a function that starts a headless Chromium with more flags, as Playwright drives it."""
    library = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    with library.sync_playwright() as playwright:

        def launch(*flags):
            try:
                return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])
            except library.Error as error:
                pytest.skip(f"no Chromium here: {error}")

        yield launch


def open_page(context, address):
    """A tab in which the page has loaded its model, or has said why not."""
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("body[data-state=ready], body[data-state=failed]", timeout=LOADED)
    return tab


def answer_to(tab, act):
    """Do something that gives the page a file, and wait for the page's answer: the error, or ""."""
    count = int(tab.get_attribute("body", "data-answers") or 0)
    act()
    tab.wait_for_selector(f"body[data-answers='{count + 1}']", timeout=LOADED)
    return tab.inner_text("#error") if tab.is_visible("#error") else ""


def choose(tab, path):
    """See `answer_to`."""
    return answer_to(tab, lambda: tab.set_input_files("#input", path))
