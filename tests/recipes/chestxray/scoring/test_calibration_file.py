"""calibration.json says what the scorecard says, survives the way through the file, and names nobody."""

import doctest
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from chestxray.data.predictions import Predictions
from chestxray.publishing import hub
from chestxray.scoring import calibration_file, scorecard

FINDINGS = ["Mass", "Hernia", "Nodule"]


def predicted(seed=0, n=80, split="validation", **about):
    """Predictions of validation and test; Hernia has too few positives."""
    rng = np.random.default_rng(seed)
    paths = [f"/home/jsmith/nih/images/{seed}{number:07}_000.png" for number in range(2 * n)]
    rows = pd.DataFrame({"image_file_path": paths, "split": np.repeat([split, "test"], n)})
    rows["patient"] = [path[-16:-8] for path in paths]
    targets = (rng.random((2 * n, 3)) < 0.4).astype(float)
    targets[:, 1] = np.arange(2 * n) % n < 2
    model = {"checkpoint": "/home/jsmith/runs/a", "sha256": "ab" * 32, "tta": "flip"}
    about = {"dataset": "Lakeside", "source": "/home/jsmith/nih", "synthetic": False, "models": [model], **about}
    return Predictions(rows, rng.normal(size=targets.shape) + targets, targets, FINDINGS, about)


def test_it_has_the_scorecards_numbers():
    table = predicted()
    card = scorecard.make(table, rule="f1", sensitivity=0.8)
    found = calibration_file.fit([table], "f1", 0.8)
    np.testing.assert_array_equal(found.platt, card.calibration.loc[FINDINGS, ["slope", "intercept"]])
    for rule, limits in found.limits.items():
        np.testing.assert_array_equal(limits, card.rules.loc[rule].loc[FINDINGS, "logit"])
    assert np.isnan(found.platt[1]).all() and not np.isnan(found.platt[[0, 2]]).any()
    test = table.of("test").logits
    np.testing.assert_array_equal(found.probabilities(test), card.probabilities)
    assert (found.sha256, found.tta, found.n_images, found.rule) == ("ab" * 32, "flip", 80, "f1")


def test_calls_are_at_the_threshold_or_above_and_unknown_without_one():
    found = calibration_file.fit([predicted()], "youden", 0.9)
    limits = found.limits["youden"]
    logits = np.stack([limits, limits - 1e-6, [np.nan] * 3])
    np.testing.assert_array_equal(
        found.calls(logits, "youden"), [[1, np.nan, 1], [0, np.nan, 0], [np.nan, np.nan, np.nan]]
    )


def test_a_percentile_is_the_share_of_validation_images_with_a_lower_logit():
    table = predicted(n=1000)
    found, images = calibration_file.fit([table], "youden", 0.9), table.of("validation").logits
    logits = np.linspace(-4, 4, 50)[:, None].repeat(3, axis=1)
    share = (images[None] < logits[:, None]).mean(axis=1) * 100
    assert np.abs(found.percentiles(logits) - share).max() < 1
    assert found.percentiles(np.full((1, 3), -99.0)).tolist() == [[0, 0, 0]]
    assert found.percentiles(np.full((1, 3), 99.0)).tolist() == [[100, 100, 100]]


def test_several_datasets_are_calibrated_as_one():
    tables = [predicted(), predicted(seed=1, dataset="/data/private/Riverside")]
    both = calibration_file.fit(tables, "youden", 0.9)
    assert both.n_images == 160 and both.datasets == ["Lakeside", "Riverside"]
    pooled = np.concatenate([table.of("validation").logits for table in tables])
    np.testing.assert_allclose(both.quantiles[:, 50], np.median(pooled, axis=0), atol=1e-4)


def test_without_rows_of_validation_there_is_none():
    assert calibration_file.fit([predicted(split="train")], "youden", 0.9) is None


def test_the_file_gives_back_what_was_written(tmp_path):
    wrote = calibration_file.fit([predicted()], "sensitivity", 0.95)
    read = calibration_file.read(calibration_file.save(wrote, tmp_path))
    for name, value in vars(wrote).items():
        np.testing.assert_equal(getattr(read, name), value, err_msg=name)


def test_the_file_and_its_public_copy_name_no_place_image_or_patient(tmp_path):
    path = calibration_file.save(calibration_file.fit([predicted()], "youden", 0.9), tmp_path)
    content = json.loads(path.read_text())
    content["about"]["note"] = content["findings"]["Mass"]["worst"] = "patient 00000001_000.png of jsmith"
    content["about"]["datasets"] = ["/home/jsmith/nih"]
    assert not any(word in path.read_text() for word in ("jsmith", "0000001", ".png"))
    path.write_text(json.dumps(content))
    public = hub.model_files(tmp_path)["calibration.json"].decode()
    assert "jsmith" not in public and ".png" not in public
    path.write_text(public)
    assert calibration_file.read(path).datasets == ["nih"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("about"),
        lambda content: content["about"].pop("sha256"),
        lambda content: content["about"].update(rule="guess"),
        lambda content: content["about"].update(tta=3),
        lambda content: content["about"].update(tta="twelve-crop"),
        lambda content: content["about"].update(n_images=float("inf")),
        lambda content: content["findings"]["Mass"].pop("slope"),
        lambda content: content["findings"]["Mass"].update(slope="steep"),
        lambda content: content["findings"]["Mass"]["quantiles"].pop(),
        lambda content: content.update(findings=[]),
        lambda content: content["findings"].clear(),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_not_uploaded(tmp_path, damage):
    path = calibration_file.save(calibration_file.fit([predicted()], "youden", 0.9), tmp_path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="calibration.json is damaged .*: delete it and run score.py again"):
        calibration_file.read(path)
    assert "calibration.json" not in hub.model_files(tmp_path)


def test_a_model_without_enough_positives_anywhere_has_percentiles_alone():
    table = predicted()
    few = calibration_file.fit([replace(table, targets=np.zeros_like(table.targets))], "youden", 0.9)
    assert np.isnan(few.platt).all() and np.isnan(few.limits["youden"]).all()
    assert not np.isnan(few.percentiles(np.zeros((2, 3)))).any()


def test_the_docstrings_examples_run():
    result = doctest.testmod(calibration_file)
    assert result.attempted and not result.failed
