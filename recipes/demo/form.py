"""The page in Gradio: an upload, examples, and the answer. It keeps nothing and sends nothing anywhere."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from chestxray.repository import SAMPLE
from demo import answers, gate, result_page
from demo.answers import LoadedModel

# Test images of the synthetic sample; the name is the drawn sign
EXAMPLES = {
    "No finding": "00000019_000.png",
    "Effusion": "00000025_000.png",
    "Mass": "00000059_000.png",
    "Pneumothorax": "00000146_000.png",
}
WAITING = 16  # visitors in the queue; more are asked to come back
KEPT = 300  # seconds after which an upload without a question is deleted
GONE = "The file is not here any more. Choose it again."
NO_ANSWER = "This file could not be answered. Try another one."
CLICK = """element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-example]");
  if (button) trigger("click", {example: Number(button.dataset.example)});
});"""


def serve(model: LoadedModel, uploads: Path, port: int | None) -> None:
    """Answer until the process is stopped. uploads: Gradio's own folder, empty."""
    questions = gate.Questions()
    page, about = build(model, uploads, questions), model.about()
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    _, address, _ = page.launch(
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        max_file_size=gate.LARGEST,
        app_kwargs={"middleware": [Middleware(gate.Gate, uploads=uploads, questions=questions)]},
        theme=theme(),
        css=css + result_page.heat_rules(len(about.findings)),
        footer_links=[],
        run_history=False,  # it would keep pictures in the browser
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )
    print(f"Open {address} in a browser. Ctrl+C ends the demo.", flush=True)
    page.block_thread()


def theme() -> gr.themes.Base:
    """Fonts of the visitor's own system: those of Gradio's themes come from another server."""
    fonts = ["system-ui", "sans-serif"]
    return gr.themes.Soft(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"])


def build(model: LoadedModel, uploads: Path, questions: gate.Questions) -> gr.Blocks:
    """The page. uploads, questions: see `gate.Gate`."""
    pictures = {name: (SAMPLE / "images" / file).read_bytes() for name, file in EXAMPLES.items()}
    with gr.Blocks(title="Findings in a chest radiograph", analytics_enabled=False, delete_cache=(60, KEPT)) as page:
        gr.HTML(result_page.head_html(model.about()))
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=260):
                upload = gr.File(label="PNG, JPEG, TIFF or DICOM", height=170, elem_id="upload")
                examples = gr.HTML(result_page.examples_html(pictures), js_on_load=CLICK)
            with gr.Column(scale=6, min_width=300):
                result = gr.HTML(result_page.EMPTY, elem_id="result")
        alone: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}

        def answer_upload(path: str | None):
            return None, upload_html(model, path, uploads, questions)

        def answer_example(event: gr.EventData):
            return example_html(model, event._data.get("example"))

        upload.upload(answer_upload, upload, [upload, result], **alone)
        examples.click(answer_example, None, result, **alone)
    return page.queue(max_size=WAITING)


def upload_html(model: LoadedModel, path: str | None, uploads: Path, questions: gate.Questions) -> str:
    """The answer to an upload. Afterwards the file is gone, unless somebody else needs it."""
    if not path or not gate.is_inside(path, uploads) or not Path(path).is_file():
        return result_page.sentence_html(GONE)
    try:
        return file_html(model, path, Path(path).name)
    finally:
        if questions.remove(path):
            Path(path).unlink(missing_ok=True)
        remove_old(uploads, KEPT)


def example_html(model: LoadedModel, number: object) -> str:
    """The answer to an example, by its number."""
    names = list(EXAMPLES)
    if not isinstance(number, int) or not 0 <= number < len(names):
        return result_page.sentence_html(NO_ANSWER)
    name = names[number]
    return file_html(model, str(SAMPLE / "images" / EXAMPLES[name]), f"Drawn by a program: {name}")


def file_html(model: LoadedModel, path: str, name: str) -> str:
    """The answer to a file, whatever it is."""
    try:
        return result_page.answer_html(answers.answer(model, path), name)
    except ValueError as error:
        return result_page.sentence_html(str(error))
    except Exception as error:  # a visitor's file must not end the demo, and its content must not reach a log
        print(f"No answer: {type(error).__name__}")
        return result_page.sentence_html(NO_ANSWER)


def remove_old(folder: Path, seconds: float) -> None:
    """Remove what has been in a folder for longer: Gradio leaves an empty file for each upload."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another thread has removed it
            if time.time() - path.stat().st_mtime > seconds:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
