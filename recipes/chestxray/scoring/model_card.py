"""The model card of a checkpoint: the `model-index` that the Hub reads, and what a user must know before use."""

import math
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCardData

from chestxray.scoring import wording
from chestxray.scoring.pages import Heading, Paragraph, Warnings, markdown
from chestxray.scoring.scorecard import SYNTHETIC

MARK = "<!-- written by recipes/score.py -->"
PLACES = ("output_dir", "num_proc", "push_to_hub")  # settings that say nothing of the model


def model_card(card):
    """The README.md of a checkpoint, front matter included, as text."""
    return f"---\n{front_matter(card).to_yaml()}\n---\n\n{MARK}\n\n{markdown(body(card))}"


def front_matter(card):
    """`ModelCardData` with one result per finding and metric, and their mean."""
    data = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["medical", "radiology", "chest-x-ray", "multi-label"] + ["synthetic-data"] * is_synthetic(card),
        model_name=name(card),
        eval_results=results(card),
    )
    if base := base_model(card):
        data.base_model = base
    return data


def results(card):
    about = card.about
    where = {
        "task_type": "image-classification",
        "task_name": "Multi-label image classification",
        "dataset_type": slug(about.get("source", "unknown")),
        "dataset_name": named(card),
        "dataset_split": about["split"],
    }
    order = ["mean", *card.scored.findings]
    measures = {"auroc": ("roc_auc", "AUROC"), "average_precision": ("average_precision", "average precision")}
    return [
        EvalResult(
            **where,
            metric_type=kind,
            metric_name=f"{words}, {'mean over findings' if finding == 'mean' else finding}",
            metric_value=round(float(row[key]), 4),
        )
        for key, (kind, words) in measures.items()
        for finding, row in card.findings.loc[order].iterrows()
        if not math.isnan(row[key])
    ]


def named(card):
    """The dataset's name, in which synthetic data are called so, and a test set that is not the official one too."""
    words = wording.dataset(card)
    if is_synthetic(card):
        return words if "synthetic" in words.lower() else f"{words} (synthetic)"
    if card.about["split"] == "test" and card.about["official"] is False:
        return f"{words} ({card.about['n_images']:,} test images, not the official list)"
    return words


def slug(source):
    """A Hub id as it is; of a path its last part, for a card should not tell where files lay."""
    return source if "/" in source and not Path(source).exists() and source.count("/") == 1 else Path(source).name


def body(card):
    about, split = card.about, card.about["split"]
    findings = ", ".join(card.scored.findings).replace("_", " ")
    page = [Heading(name(card), 1)]
    page += [Warnings([SYNTHETIC])] if is_synthetic(card) else []
    many = len(about.get("models", []))
    what = f"The mean probability of {many} multi-label classifiers" if many > 1 else "A multi-label classifier"
    page += [
        Paragraph(f"{what} of chest X-rays, with one output for each of: {findings}."),
        Heading("How to use it"),
        Paragraph(
            "```python\nfrom transformers import pipeline\n\n"
            f'classify = pipeline("image-classification", model="PATH_OR_HUB_ID", function_to_apply="sigmoid", '
            f'top_k={len(card.scored.findings)})\nprint(classify("image.png"))\n```'
        ),
        Heading("Intended use"),
        Paragraph(
            "Research on automatic reading of frontal chest X-rays: comparison of methods, a starting point for "
            "further training. It is no medical device, and its output is no diagnosis."
        ),
        Heading("Results"),
        Paragraph(f"On {wording.dataset(card)}, split `{split}`. {wording.summary(card)} " + wording.how_found(card)),
        wording.findings(card),
    ]
    notes = [note for note in card.notes if note != SYNTHETIC]  # which stands on top
    page += [Warnings(notes)] if notes else []
    page += [Heading("Limits"), Paragraph(limits(card)), Heading("Data"), Paragraph(data(card))]
    if settings := training(card):
        page += [Heading("Training"), Paragraph(f"With recipes/finetune.py:\n\n```yaml\n{settings}```")]
    return page


def limits(card):
    sentences = [
        f"The model gives probabilities that are not calibrated{calibration_error(card)}.",
        "Thresholds and predictive values depend on how common a finding is and do not carry over to other hospitals.",
    ]
    if "together" in card.shortcuts and not math.isnan(card.shortcuts.loc["mean", "together"]):
        sentences.append(
            "View, age and sex alone, without the image, score a mean AUROC of "
            f"{wording.figure(card.shortcuts.loc['mean', 'together'])}; the model may use such shortcuts."
        )
    if not is_synthetic(card):
        sentences.append(
            "Where labels were mined from reports by a program, as those of NIH ChestX-ray14 were, they hold errors, "
            "and a score says how well the model agrees with them, not with a radiologist."
        )
    return " ".join(sentences)


def calibration_error(card):
    """Before and after Platt scaling, over which findings; nothing where none could be calibrated."""
    n, before, after = wording.n_calibrated(card), *card.calibration.loc["mean", ["ece_before", "ece_after"]]
    if not n or math.isnan(before):
        return ""
    over = f" over the {n} of {len(card.scored.findings)} findings that could be calibrated"
    return (
        f": mean ECE{over * (n < len(card.scored.findings))} {before:.3f}, after Platt scaling on "
        f"{wording.validation(card)} {after:.3f}"
    )


def data(card):
    about = card.about
    words = f"Scored on {about.get('dataset', 'a dataset that the predictions do not name')}, split {about['split']}"
    words += ", the official test list." if about["official"] else "."
    if "NIH ChestX-ray14" in about.get("dataset", "") and not about.get("synthetic"):
        words += (
            " The data come from the NIH Clinical Center, https://nihcc.app.box.com/v/ChestXray-NIHCC; cite Wang et "
            "al., ChestX-ray8, CVPR 2017."
        )
    if not wording.n_with_threshold(card):
        return words
    return (
        f"{words} Thresholds and calibration were fitted on patients of {wording.validation(card)}, who are not in the "
        "scored split."
    )


def is_synthetic(card):
    return bool(card.about.get("synthetic"))


def name(card):
    return " + ".join(Path(model["checkpoint"]).name for model in card.about.get("models", [])) or "model"


def settings_of(card):
    """What finetune.py saved beside the one checkpoint; {} where there are several, or it is not at hand."""
    models = card.about.get("models", [])
    saved = Path(models[0]["checkpoint"]) / "settings.yaml" if len(models) == 1 else None
    return yaml.safe_load(saved.read_text()) if saved is not None and saved.exists() else {}


def base_model(card):
    """The Hub id that the checkpoint started from, or None."""
    started = settings_of(card).get("model") or ""
    return started if started.count("/") == 1 and not Path(started).exists() and started[-5:] != ".json" else None


def training(card):
    """Those settings as YAML, without the places of one machine."""
    settings = {name: value for name, value in settings_of(card).items() if name not in PLACES}
    if settings:
        settings |= {"model": slug(settings["model"]), "dataset": [slug(source) for source in settings["dataset"]]}
    return yaml.safe_dump(settings, sort_keys=False) if settings else ""


def save(card, output):
    """Write the card to `output`, and into the checkpoint's folder unless a card lies there that is not ours.

    Returns:
        The files written.
    """
    text, models = model_card(card), card.about.get("models", [])
    places = [output / "README.md"]
    if len(models) == 1 and Path(models[0]["checkpoint"]).is_dir():
        theirs = Path(models[0]["checkpoint"]) / "README.md"
        if not theirs.exists() or MARK in theirs.read_text(encoding="utf-8"):
            places.append(theirs)
    for place in dict.fromkeys(place.resolve() for place in places):
        place.write_text(text, encoding="utf-8")
    return places
