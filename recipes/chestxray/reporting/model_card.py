"""The model card of a checkpoint: the `model-index` that the Hub reads, and what a user must know before use.

A card is made of one scorecard, or of one for each dataset that the model was scored on. Nothing in it names a place on
this machine, an image or a patient.
"""

import math
from dataclasses import asdict
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCardData

from chestxray.places import is_hub_id, number_repeats, place, public_settings
from chestxray.reporting import wording
from chestxray.reporting.pages import Heading, Paragraph, Warnings, markdown
from chestxray.scoring.scorecard import SYNTHETIC

MARK = "<!-- written by recipes/score.py -->"
NOT_OF_THE_MODEL = ("output_dir", "num_proc", "push_to_hub", "public")  # settings that say nothing of it
CHOICES = ("views", "labeler", "equalize")  # of images and labels: a checkpoint's own scores are with those of training


def model_card(cards):
    """The README.md of a checkpoint, front matter included, as text."""
    return f"---\n{front_matter(cards).to_yaml()}\n---\n\n{MARK}\n\n{markdown(body(cards))}"


def front_matter(cards):
    """`ModelCardData` with one result per dataset, finding and metric, and their mean."""
    data = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["medical", "radiology", "chest-x-ray", "multi-label"]
        + ["synthetic-data"] * any(map(is_synthetic, cards)),
        model_name=name(cards),
        eval_results=[
            result
            for card, source in zip(
                cards, number_repeats([card.about.get("source", "unknown") for card in cards]), strict=True
            )
            for result in results(card, source)
        ],
    )
    if base := base_model(cards):
        data.base_model = base
    return data


def results(card, source):
    """A list of `EvalResult`; source: what to call the dataset for a program."""
    about = card.about
    where = {
        "task_type": "image-classification",
        "task_name": "Multi-label image classification",
        "dataset_type": source,
        "dataset_name": named(card),
        "dataset_split": about["split"],
    }
    order = ["mean", *card.scored.findings]
    measures = {"auroc": ("roc_auc", "AUROC"), "average_precision": ("average_precision", "average precision")}
    return [
        EvalResult(
            **where,
            metric_type=kind,
            metric_name=f"{words}, {'mean over findings' if finding == 'mean' else finding}{how(card)}",
            metric_value=round(float(row[key]), 4),
        )
        for key, (kind, words) in measures.items()
        for finding, row in card.findings.loc[order].iterrows()
        if not math.isnan(row[key])
    ]


def how(card):
    """What is out of the ordinary in a score: studies or patients instead of images, the mean of several views."""
    level = "" if card.about["level"] == "image" else f", by {card.about['level']}"
    views = sorted({model["tta"] for model in models(card)} - {"none"})
    return level + "".join(f", averaged over views ({tta})" for tta in views)


def named(card):
    """The dataset's name, in which synthetic data are called so, and a test set that is not the official one too."""
    words = wording.dataset(card)
    if is_synthetic(card):
        return words if "synthetic" in words.lower() else f"{words} (synthetic)"
    if card.about["split"] == "test" and card.about["official"] is False:
        return f"{words} ({card.about['n_images']:,} test images, not the official list)"
    return words


def body(cards):
    findings = ", ".join(cards[0].scored.findings).replace("_", " ")
    page = [Heading(name(cards), 1)]
    page += [Warnings([SYNTHETIC])] if all(map(is_synthetic, cards)) else []
    many = len(models(cards[0]))
    what = f"The mean probability of {many} multi-label classifiers" if many > 1 else "A multi-label classifier"
    page += [
        Paragraph(f"{what} of chest X-rays, with one output for each of: {findings}."),
        Heading("How to use it"),
        Paragraph(
            "```python\nfrom transformers import pipeline\n\n"
            f'classify = pipeline("image-classification", model="PATH_OR_HUB_ID", function_to_apply="sigmoid", '
            f'top_k={len(cards[0].scored.findings)})\nprint(classify("image.png"))\n```'
        ),
        Heading("Intended use"),
        Paragraph(
            "Research on automatic reading of frontal chest X-rays: comparison of methods, a starting point for "
            "further training. It is no medical device, and its output is no diagnosis."
        ),
    ]
    datasets = number_repeats([wording.dataset(card) for card in cards])
    for card, dataset in zip(cards, datasets, strict=True):
        page += results_on(card, dataset, any(not is_synthetic(other) for other in cards))
    page += [Heading("Limits"), Paragraph(limits(cards, datasets))]
    page += [
        Heading("Data"),
        *(Paragraph(data(card, dataset)) for card, dataset in zip(cards, datasets, strict=True)),
    ]
    if settings := training(cards):
        page += [Heading("Training"), Paragraph(f"With recipes/finetune.py:\n\n```yaml\n{settings}```")]
    return page


def results_on(card, dataset, say_synthetic):
    """The section of one dataset. say_synthetic: whether it does not stand on top, for all of them."""
    notes = [note for note in card.notes if note != SYNTHETIC or say_synthetic]
    summary = f"On {dataset}, split `{card.about['split']}`. {wording.summary(card)} {wording.how_found(card)}"
    page = [Heading(f"Results on {dataset}"), Paragraph(summary), wording.findings(card)]
    return page + ([Warnings(notes)] if notes else [])


def limits(cards, datasets):
    sentences = ["The model gives probabilities that are not calibrated."]
    for card, dataset in zip(cards, datasets, strict=True):
        sentences += measured_limits(card, dataset)
    sentences.append(
        "Thresholds and predictive values depend on how common a finding is and do not carry over to other hospitals."
    )
    if not all(map(is_synthetic, cards)):
        sentences.append(
            "Where labels were mined from reports by a program, as those of NIH ChestX-ray14 were, they hold errors, "
            "and a score says how well the model agrees with them, not with a radiologist."
        )
    return " ".join(sentences)


def measured_limits(card, dataset):
    if error := calibration_error(card):
        yield f"On {dataset} {error}."
    if "together" in card.shortcuts and not math.isnan(card.shortcuts.loc["mean", "together"]):
        alone = wording.figure(card.shortcuts.loc["mean", "together"])
        yield (
            f"On {dataset}, view, age and sex alone, without the image, score a mean AUROC of {alone}; the model may "
            "use such shortcuts."
        )


def calibration_error(card):
    """Before and after Platt scaling, over which findings; nothing where none could be calibrated."""
    n, before, after = wording.n_calibrated(card), *card.calibration.loc["mean", ["ece_before", "ece_after"]]
    if not n or math.isnan(before):
        return ""
    over = f" over the {n} of {len(card.scored.findings)} findings that could be calibrated"
    return (
        f"the mean ECE{over * (n < len(card.scored.findings))} is {before:.3f}, after Platt scaling on "
        f"{wording.validation(card)} {after:.3f}"
    )


def data(card, dataset):
    about = card.about
    words = f"Scored on {dataset}, split {about['split']}"
    words += ", the official test list." if about["official"] else "."
    if "NIH ChestX-ray14" in about.get("dataset", "") and not about.get("synthetic"):
        words += (
            " The data come from the NIH Clinical Center, https://nihcc.app.box.com/v/ChestXray-NIHCC; cite Wang et "
            "al., ChestX-ray8, CVPR 2017."
        )
    if wording.n_with_threshold(card):
        words += (
            f" Thresholds and calibration were fitted on patients of {wording.validation(card)}, who are not in the "
        )
        words += "scored split."
    if not about.get("may_be_passed_on"):
        words += (
            f" {dataset} may not be passed on, as far as is known: nothing of a single image or patient is told here."
        )
    return words


def is_synthetic(card):
    return bool(card.about.get("synthetic"))


# The checkpoint


def models(card):
    return card.about.get("models", [])


def name(cards):
    return " + ".join(model["checkpoint"] for model in models(cards[0])) or "model"


def checkpoint_of(cards):
    """The folder of the one checkpoint that all cards are of; None where there are several, or it is not at hand."""
    folders = {model["checkpoint"] for card in cards for model in card.scored.about.get("models", [])}
    folder = Path(folders.pop()) if len(folders) == 1 else None
    return folder if folder and folder.is_dir() else None


def settings_of(folder):
    """What finetune.py saved beside a checkpoint; {} where there is none."""
    if not folder or not (folder / "settings.yaml").exists():
        return {}
    from chestxray.training.settings import read_settings  # and transformers, which other cards do not need

    return asdict(read_settings(folder))


def base_model(cards):
    """The Hub id that the checkpoint started from, or None."""
    started = settings_of(checkpoint_of(cards)).get("model") or ""
    return started if is_hub_id(started) else None


def training(cards):
    """Those settings as YAML, without the places of one machine."""
    settings = public_settings(settings_of(checkpoint_of(cards)))
    settings = {name: value for name, value in settings.items() if name not in NOT_OF_THE_MODEL}
    return yaml.safe_dump(settings, sort_keys=False) if settings else ""


def is_own(cards, folder, whole):
    """Whether `cards` are a checkpoint's own scores.

    That is: on `test` of all the datasets it was trained on and of no other, image by image, with the images, labels
    and histograms of its training, and of the weights that lie there now. Averages over views are; the card says so.
    whole: whether no other dataset that it was trained on has a test split.
    """
    settings = settings_of(folder)
    made_by = [model for card in cards for model in models(card)]
    scored = {place(card.scored.about.get("source", "")) for card in cards}
    trained_on = set(map(place, settings.get("dataset") or []))
    return (
        (scored == trained_on or whole and scored < trained_on)
        and all((card.about["split"], card.about["level"]) == ("test", "image") for card in cards)
        and all(model.get(key) == settings.get(key, model.get(key)) for model in made_by for key in CHOICES)
        and {model.get("sha256") for model in made_by} == {digest(folder)}
    )


def digest(folder):
    from chestxray.scoring import predicting  # PyTorch, which other cards do not need

    return predicting.digest(folder)


def save(cards, output, whole=False):
    """Write the card to `output`, and into the checkpoint's folder if these are its own scores, see `is_own`.

    A card that lies there and is not ours stays, and so does a checkpoint's own where `output` is its folder and these
    are other scores.

    Args:
        cards: Scorecards of one model, or of one ensemble: one for each dataset. whole: see `is_own`.

    Returns:
        The files written.
    """
    text, folder = model_card(cards), checkpoint_of(cards)
    folders = [] if (output / "config.json").exists() else [output]
    if folder and is_own(cards, folder, whole):
        folders.append(folder)
    files = [folder / "README.md" for folder in folders if not is_by_hand(folder / "README.md")]
    for file in files:
        file.write_text(text, encoding="utf-8")
    return files


def is_by_hand(file):
    return file.exists() and MARK not in file.read_text(encoding="utf-8")
