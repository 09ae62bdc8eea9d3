"""Whose results a checkpoint's card shows, and what it does not tell."""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard

from chestxray.data import predictions
from chestxray.reporting import model_card
from chestxray.repository import SAMPLE
from chestxray.scoring import ensembles, scorecard

FINDINGS = ["Mass", "Nodule"]
WEIGHTS = b"weights"


@pytest.fixture
def checkpoint(tmp_path):
    """`checkpoint(name, *datasets)` is a folder as finetune.py leaves it, as far as a card looks."""

    def write(name, *datasets):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(WEIGHTS)
        (folder / "config.json").write_text("{}")
        settings = {"model": f"{tmp_path}/base/model", "dataset": list(map(str, datasets)), "views": "all"}
        settings |= {"labeler": "chexpert", "equalize": False, "validation_list": f"{tmp_path}/lists/mine.txt"}
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
        return folder

    return write


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def predicted(checkpoint, source, name="A hospital's", split="test", **made_by):
    """Predictions of a checkpoint on a dataset, 40 patients in validation and 40 in `split`."""
    rng, n = np.random.default_rng(0), 80
    rows = pd.DataFrame({"image_file_path": [f"images/{number:08}_000.png" for number in range(n)]})
    rows["split"], rows["patient"] = np.repeat(["validation", split], n // 2), [f"{number:08}" for number in range(n)]
    rows["study"] = range(n)
    targets = (rng.random((n, 2)) < 0.4).astype(float)
    model = {"checkpoint": str(checkpoint), "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "tta": "none"}
    model |= {"views": "all", "labeler": "chexpert", "equalize": False, **made_by}
    about = {"dataset": name, "source": str(source), "synthetic": False, "may_be_passed_on": True, "models": [model]}
    return predictions.Predictions(rows, rng.normal(size=targets.shape) + targets, targets, FINDINGS, about)


def card_of(*of, level="image", split="test", **about):
    return scorecard.make(predicted(*of, split=split, **about), split, level)


def test_a_checkpoint_keeps_the_card_of_its_own_test(checkpoint, output, tmp_path):
    home, away = tmp_path / "nih", tmp_path / "away"
    home.mkdir()
    run = checkpoint("run", home)
    assert model_card.save_card([card_of(run, home)], output) == [output / "README.md", run / "README.md"]
    own = (run / "README.md").read_text()
    others = [
        card_of(run, away),
        card_of(run, home, level="study"),
        card_of(run, home, split="train"),
        card_of(run, home, views="frontal"),
        card_of(run, home, labeler="negbio"),
        card_of(run, home, equalize=True),
        card_of(run, home, sha256="of other weights"),
    ]
    for other in others:
        assert model_card.save_card([other], output) == [output / "README.md"]
        assert (run / "README.md").read_text() == own
    model_card.save_card([others[0], card_of(run, home)], output)
    assert (run / "README.md").read_text() == own, "another hospital beside its own is another's as well"
    assert model_card.save_card([card_of(run, f"{tmp_path}/away/../nih")], output)[1:], "the same folder in other words"


def test_a_dataset_of_the_hub_is_known_by_its_id(checkpoint, output):
    run = checkpoint("run", "someone/nih")
    assert len(model_card.save_card([card_of(run, "someone/nih")], output)) == 2
    assert len(model_card.save_card([card_of(run, "someone/else")], output)) == 1


def test_of_several_datasets_each_has_its_section_and_its_results(checkpoint, output, tmp_path):
    run = checkpoint("run", tmp_path / "nih", "someone/chexpert", tmp_path / "other" / "nih")
    cards = [
        card_of(run, tmp_path / "nih", "NIH"),
        card_of(run, "someone/chexpert", "CheXpert"),
        card_of(run, tmp_path / "other" / "nih", "NIH"),
    ]
    assert model_card.save_card(cards[:2], output) == [output / "README.md"], "one of them is missing"
    assert model_card.save_card(cards, output) == [output / "README.md", run / "README.md"]
    card = ModelCard.load(run / "README.md", ignore_metadata_errors=False)
    titles = [line[3:] for line in card.text.splitlines() if line.startswith("## Results")]
    assert titles == ["Results on NIH", "Results on CheXpert", "Results on NIH (2)"]
    assert len(card.data.eval_results) == 3 * 2 * 3  # datasets, measures, two findings and their mean
    assert {result.dataset_type for result in card.data.eval_results} == {"nih", "someone/chexpert", "nih (2)"}
    for figures in cards:
        assert f"{figures.findings.loc['mean', 'auroc']:.3f}" in card.text


def test_views_of_an_image_are_no_other_test_and_are_said(checkpoint, output):
    run = checkpoint("run", "someone/nih")
    assert len(model_card.save_card([card_of(run, "someone/nih", tta="ten-crop")], output)) == 2
    card = ModelCard.load(run / "README.md")
    assert "averaged over views of each image (ten-crop)" in card.text
    assert all("ten-crop" in result.metric_name for result in card.data.eval_results)


def test_a_score_by_study_says_so_in_its_front_matter(checkpoint, output):
    model_card.save_card([card_of(checkpoint("run", "someone/nih"), "someone/nih", level="study")], output)
    card = ModelCard.load(output / "README.md")
    assert all(result.metric_name.endswith(", by study") for result in card.data.eval_results)


def test_a_card_by_hand_stays_wherever_it_lies(checkpoint, output):
    run = checkpoint("run", "someone/nih")
    for folder in (run, output):
        (folder / "README.md").write_text("by hand")
    assert model_card.save_card([card_of(run, "someone/nih")], output) == []
    assert (run / "README.md").read_text() == (output / "README.md").read_text() == "by hand"


def test_other_scores_written_into_the_checkpoints_folder_leave_its_card(checkpoint):
    run = checkpoint("run", "someone/nih")
    model_card.save_card([card_of(run, "someone/nih")], run)
    own = (run / "README.md").read_text()
    assert model_card.save_card([card_of(run, "someone/else")], run) == []
    assert (run / "README.md").read_text() == own


def test_an_ensemble_writes_no_checkpoints_card(checkpoint, output):
    first, second = checkpoint("first", "someone/nih"), checkpoint("second", "someone/nih")
    members = [predicted(folder, "someone/nih") for folder in (first, second)]
    card = scorecard.make(ensembles.average(members))
    assert model_card.save_card([card], output) == [output / "README.md"]
    assert model_card.save_card([card], first) == []
    assert "The mean probability of 2 multi-label classifiers" in (output / "README.md").read_text()


def test_a_card_and_a_scorecard_tell_the_last_part_of_each_path(checkpoint, output, tmp_path):
    run = checkpoint("run", tmp_path / "nih")
    about = {"may_be_passed_on": False, "dataset": f"{tmp_path}/nih"}  # so were unnamed datasets called once
    table = predicted(run, tmp_path / "nih")
    card = scorecard.make(replace(table, about=table.about | about), rival=table)
    model_card.save_card([card], output)
    for text in ((output / "README.md").read_text(), json.dumps(scorecard.as_json(card))):
        assert str(tmp_path) not in text and "nih" in text and "run" in text
    assert "validation_list: mine.txt" in (output / "README.md").read_text()
    assert "nih may not be passed on, as far as is known" in (output / "README.md").read_text()
    assert card.scored.about["source"] == str(tmp_path / "nih"), "which this machine goes on knowing"


def test_the_widget_shows_a_drawn_image_that_lies_beside_the_card(checkpoint, output):
    run = checkpoint("run", "someone/nih")
    for file in model_card.save_card([card_of(run, "someone/nih")], output):
        (example,) = ModelCard.load(file, ignore_metadata_errors=False).data.to_dict()["widget"]
        assert (file.parent / example["src"]).read_bytes() == (SAMPLE / "images" / "00000001_000.png").read_bytes()
        assert "synthetic" in example["example_title"]


def test_each_way_of_use_is_named_with_a_script_that_is_there_and_with_what_it_does_not_tell(checkpoint, output):
    run = checkpoint("run", "someone/nih")
    model_card.save_card([card_of(run, "someone/nih")], output)
    use = (output / "README.md").read_text().partition("## How to use it")[2].partition("## Intended use")[0]
    scripts = set(re.findall(r"python (recipes/\S+\.py)", use))
    assert {"recipes/predict.py", "recipes/export.py", "recipes/explain.py"} < scripts
    assert 'function_to_apply="sigmoid"' in use and use.count(" not ") >= 5
    assert "calibrated probability, the call" in use and "distance above 1" not in use


def test_the_distance_is_explained_where_the_scorecard_has_it_and_calibration_where_there_is_one(checkpoint, output):
    table = predicted(checkpoint("run", "someone/nih"), "someone/nih")
    card = scorecard.make(table)
    card.unlike = {"share": 0.01, "images": 40, "share_asked_for": 0.01, "validation_images": 40}
    assert "a distance above 1" in model_card.model_card([card])
    bare = scorecard.make(predictions.Predictions(**{**vars(table), "rows": table.rows.assign(split="test")}))
    assert "no thresholds and no calibration" in model_card.model_card([bare])
