"""The Space: a form to try the metric in.

`evaluate`'s own widget is not used: it needs Gradio 3, which no longer installs cleanly.
"""

import json
from pathlib import Path

import evaluate
import gradio as gr

METRIC = evaluate.load(str(Path(__file__).with_name("multilabel_auroc.py")))
SCORES = "[[0.9, 0.2], [0.6, 0.7], [0.2, 0.4], [0.7, 0.1], [0.3, 0.8], [0.8, 0.3]]"
REFERENCES = "[[1, 0], [1, 1], [0, 0], [0, 0], [0, 1], [1, 1]]"
PATIENTS = '["a", "a", "b", "b", "c", "d"]'


def report(scores: str, references: str, patients: str) -> dict:
    """`auroc_report` of the three fields, each in JSON. A ValueError becomes an error in the form."""
    try:
        given = {"prediction_scores": json.loads(scores), "references": json.loads(references)}
        return METRIC.compute(**given, groups=json.loads(patients or "null"))
    except ValueError as error:
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    report,
    [
        gr.Textbox(SCORES, label="prediction_scores: a row per image, a column per finding"),
        gr.Textbox(REFERENCES, label="references: the same shape, 0 and 1, NaN where unknown"),
        gr.Textbox(PATIENTS, label="groups: the patient of each image, or nothing"),
    ],
    gr.JSON(label="auroc_report"),
    title="Multi-label AUROC",
    article=Path(__file__).with_name("README.md").read_text().split("---", maxsplit=2)[2],
)

if __name__ == "__main__":
    demo.launch()
