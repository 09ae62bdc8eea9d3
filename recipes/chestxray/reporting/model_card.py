"""The model card of a checkpoint: the `model-index` that the Hub reads, and what a user must know before use.

A card is made of one scorecard, or of one for each dataset that the model was scored on. Nothing in it names a place on
this machine, an image or a patient.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from markupsafe import Markup

from chestxray.files import write
from chestxray.models.weights import digest_weights
from chestxray.places import is_hub_id, number_repeats, place, public_settings
from chestxray.reporting import card_localisation, pages, score_page
from chestxray.reporting.card_localisation import MARK
from chestxray.reporting.markdown_text import escape_values
from chestxray.reporting.score_page import checkpoint_of
from chestxray.repository import SAMPLE
from chestxray.scoring.scorecard import SYNTHETIC, Scorecard

NOT_OF_THE_MODEL = ("output_dir", "num_proc", "push_to_hub", "public")  # settings that say nothing about the model
LOCAL = {  # {argument of a local model: what it has}
    "stages": "fewer stages than the architecture",
    "global_pool": "log-mean-exp pooling of the class activation map",
}
EXAMPLE, EXAMPLE_IMAGE = "example.png", "images/00000001_000.png"  # of the sample's train list; no person's
CHOICES = ("views", "labeler", "equalize")  # of images and labels; a checkpoint's own scores use its training's


def model_card(cards: Sequence[Scorecard]) -> str:
    """The README.md of a checkpoint, front matter included, as text."""
    values = escape_values(card_values(cards))
    card = ModelCard.from_template(front_matter(cards), template_path=str(pages.TEMPLATES / "model_card.md"), **values)
    card.text = "\n" + pages.tidy(card.text)
    return card.content


# Front matter


def front_matter(cards: Sequence[Scorecard]) -> ModelCardData:
    """What the Hub reads: among it one result per dataset, finding and metric, and their mean.

    The Hub offers Transformers' code and a widget for a model of that library. A local model has neither.
    """
    local = bool(local_changes(cards))
    return ModelCardData(
        base_model=base_model(cards),
        language="en",
        library_name="chestxray" if local else "transformers",
        pipeline_tag="image-classification",
        tags=["medical", "radiology", "chest-x-ray", "multi-label"]
        + (["synthetic-data"] if any(map(is_synthetic, cards)) else []),
        model_name=model_name(cards),
        widget=None if local else [{"src": EXAMPLE, "example_title": "A synthetic radiograph: a program drew it"}],
        eval_results=[
            result
            for card, source in zip(
                cards, number_repeats([card.about.get("source", "unknown") for card in cards]), strict=True
            )
            for result in eval_results(card, source)
        ],
    )


def eval_results(card: Scorecard, source: str) -> list[EvalResult]:
    """One result for each finding and metric, and their mean; source: what programs call the dataset."""
    dataset = {
        "task_type": "image-classification",
        "task_name": "Multi-label image classification",
        "dataset_type": source,
        "dataset_name": dataset_title(card),
        "dataset_split": card.about["split"],
    }
    order = ["mean", *card.scored.findings]
    metrics = {"auroc": ("roc_auc", "AUROC"), "average_precision": ("average_precision", "average precision")}
    return [
        EvalResult(
            **dataset,
            metric_type=kind,
            metric_name=f"{words}, {'mean over findings' if finding == 'mean' else finding}{score_variant(card)}",
            metric_value=round(float(row[key]), 4),
        )
        for key, (kind, words) in metrics.items()
        for finding, row in card.findings.loc[order].iterrows()
        if not math.isnan(row[key])
    ]


def score_variant(card: Scorecard) -> str:
    """What is unusual in a score: studies or patients instead of images, the mean of several views."""
    level = "" if card.about["level"] == "image" else f", by {card.about['level']}"
    views = sorted({model["tta"] for model in models(card)} - {"none"})
    return level + "".join(f", averaged over views ({tta})" for tta in views)


def dataset_title(card: Scorecard) -> str:
    """The dataset's name. It says if data are synthetic, or if a test set is not the official one."""
    name = score_page.dataset_name(card)
    if is_synthetic(card):
        return name if "synthetic" in name.lower() else f"{name} (synthetic)"
    if card.about["split"] == "test" and card.about["official"] is False:
        return f"{name} ({card.about['n_images']:,} test images, not the official list)"
    return name


# What the template names


def card_values(cards: Sequence[Scorecard]) -> dict:
    """All that templates/model_card.md names."""
    all_synthetic = all(map(is_synthetic, cards))
    datasets = number_repeats([score_page.dataset_name(card) for card in cards])
    return {
        "mark": Markup(MARK),
        "name": model_name(cards),
        "n_models": len(models(cards[0])),
        "findings": [name.replace("_", " ") for name in cards[0].scored.findings],
        "all_synthetic": all_synthetic,
        "synthetic_note": SYNTHETIC,
        "parts": [dataset_values(*pair, all_synthetic) for pair in zip(cards, datasets, strict=True)],
        "where_it_looks": card_localisation.section(checkpoint_of(cards)),
        "changes": local_changes(cards),
        "settings": Markup(training_settings(cards)),
        "has_thresholds": any(score_page.findings_values(card)["n_with_threshold"] for card in cards),
        "has_unlike": any(card.unlike for card in cards),
    }


def dataset_values(card: Scorecard, dataset: str, all_synthetic: bool) -> dict:
    """What the card says about one dataset. all_synthetic: whether all datasets are; the card's top then says so."""
    about, findings = card.about, score_page.findings_values(card)
    return {
        "dataset": dataset,
        "split": about["split"],
        "official": about["official"],
        "may_be_passed_on": bool(about.get("may_be_passed_on")),
        "cite_nih": "NIH ChestX-ray14" in about.get("dataset", "") and not is_synthetic(card),
        "summary": pages.markdown_sentences("summary.jinja", **score_page.summary_values(card)),
        "findings_note": pages.markdown_sentences("findings.jinja", **findings),
        "findings_table": score_page.findings_table(card).markdown(),
        "notes": [note for note in card.notes if note != SYNTHETIC or not all_synthetic],
        "validation": findings["validation"],
        "has_thresholds": findings["n_with_threshold"] > 0,
        "ece": calibration_error(card),
        "metadata_auroc": metadata_auroc(card),
    }


def calibration_error(card: Scorecard) -> dict | None:
    """The mean ECE before and after Platt scaling, its number of findings, and whether it is worse then.

    None where no finding is calibrated.
    """
    n, (before, after) = score_page.n_calibrated(card), card.calibration.loc["mean", ["ece_before", "ece_after"]]
    if not n or math.isnan(before):
        return None
    figures = {"before": f"{before:.3f}", "after": f"{after:.3f}"}
    is_worse = bool(score_page.calibration_harm(card))
    return {"n_findings": n, "of": len(card.scored.findings), **figures, "is_worse": is_worse}


def metadata_auroc(card: Scorecard) -> str | None:
    """The mean AUROC of view, age and sex without the image; None if it is unknown."""
    if "together" not in card.shortcuts or math.isnan(card.shortcuts.loc["mean", "together"]):
        return None
    return f"{card.shortcuts.loc['mean', 'together']:.3f}"


def is_synthetic(card: Scorecard) -> bool:
    return bool(card.about.get("synthetic"))


# The checkpoint


def models(card: Scorecard) -> list[dict]:
    return card.about.get("models", [])


def model_name(cards: Sequence[Scorecard]) -> str:
    return " + ".join(model["checkpoint"] for model in models(cards[0])) or "model"


def settings_of(folder: Path | None) -> dict:
    """What finetune.py saved beside a checkpoint; {} where there is nothing."""
    if not folder or not (folder / "settings.yaml").exists():
        return {}
    from chestxray.training.settings_files import read_settings  # imports datasets, which few cards need

    return asdict(read_settings(folder))


def local_changes(cards: Sequence[Scorecard]) -> list[str]:
    """What the models have that Transformers and timm do not know, in words: see `models.local_models`."""
    made_by = [model for card in cards for model in card.scored.about.get("models", [])]
    files = {Path(model["checkpoint"]) / "config.json" for model in made_by}
    arguments = [json.loads(file.read_text(encoding="utf-8")).get("model_args") for file in files if file.exists()]
    if not any(arguments):
        return []
    from chestxray.models import local_models  # imports PyTorch, which few cards need

    names = {name for each in arguments for name in local_models.ours(each)}
    return [words for name, words in LOCAL.items() if name in names]


def base_model(cards: Sequence[Scorecard]) -> str | None:
    """The Hub id that the checkpoint started from, or None."""
    started = settings_of(checkpoint_of(cards)).get("model") or ""
    return started if is_hub_id(started) else None


def training_settings(cards: Sequence[Scorecard]) -> str:
    """The settings of the checkpoint's training as YAML, without the places of one machine; "" without any."""
    settings = public_settings(settings_of(checkpoint_of(cards)))
    settings = {name: value for name, value in settings.items() if name not in NOT_OF_THE_MODEL}
    return yaml.safe_dump(settings, sort_keys=False) if settings else ""


def is_own(cards: Sequence[Scorecard], folder: Path, whole: bool) -> bool:
    """Whether the scorecards are the checkpoint's own scores.

    They are its own if all of this is true: they cover `test` of all datasets that it was trained on, and no other
    dataset; the unit is the image; images, labels and histograms are chosen as in training; and the weights are the
    ones in `folder` now. Averages over views count as its own, and the card mentions them.

    Args:
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
        and {model.get("sha256") for model in made_by} == {digest_weights(folder)}
    )


def own_checkpoint(cards: Sequence[Scorecard], whole: bool = False) -> Path | None:
    """The folder of the checkpoint of which these are its own scores, see `is_own`; None for other scores."""
    folder = checkpoint_of(cards)
    return folder if folder and is_own(cards, folder, whole) else None


def save_card(cards: Sequence[Scorecard], output: Path, whole: bool = False) -> list[Path]:
    """Write the card to `output`, and into the checkpoint's folder if these are its own scores, see `is_own`.

    A card that score.py did not write is never replaced. If `output` is the checkpoint's folder and these are not its
    own scores, its card stays too. EXAMPLE, the image that the Hub's widget shows, lies beside each card.

    Args:
        cards: Scorecards of one model, or of one ensemble: one for each dataset.
        whole: see `is_own`.

    Returns:
        The cards written.
    """
    text, own = model_card(cards), own_checkpoint(cards, whole)
    folders = [] if (output / "config.json").exists() else [output]
    if own:
        folders.append(own)
    files = [file for home in folders if not is_by_hand(file := home / "README.md")]
    for file in files:
        write(file, text)
        write(file.with_name(EXAMPLE), (SAMPLE / EXAMPLE_IMAGE).read_bytes())
    return files


def is_by_hand(file: Path) -> bool:
    return file.exists() and MARK not in file.read_text(encoding="utf-8")
