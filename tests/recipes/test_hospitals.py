"""Datasets of several hospitals in the same commands: one label space, uncertain labels by choice."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

import finetune
import publish
import score
from chestxray.data import predictions, sources
from chestxray.reporting import run_results

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
PLOT_RESULTS = run_results.plot_results
SHARED = ["Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax", "Consolidation", "Edema"]


@pytest.fixture(scope="module")
def nih(synthetic):
    return synthetic(patients=60)


@pytest.fixture(scope="module")
def chexpert(hospital):
    return hospital("chexpert", 60)


@pytest.fixture(scope="module")
def mimic(hospital):
    return hospital("mimic", 60)


def run(*flags):
    finetune.main([str(flag) for flag in flags])


def results_of(output):
    return json.loads((output / "all_results.json").read_text())


def test_a_folder_tells_which_dataset_it_holds(nih, chexpert, mimic):
    names = [sources.load(str(folder))["train"].info.description for folder in (nih, chexpert, mimic)]
    assert all(name.startswith("Synthetic") for name in names)
    assert ["NIH" in names[0], "CheXpert" in names[1], "MIMIC" in names[2]] == [True] * 3


def listed_paths(folder, patients):
    """The paths of all images of the first patients of train, and how many they are."""
    rows = sources.load(str(folder))["train"]
    first = sorted(set(sources.patients(rows)))[:patients]
    pairs = zip(rows["image_file_path"], sources.patients(rows), strict=True)
    return [path for path, patient in pairs if patient in first]


@pytest.mark.parametrize("layout", ["chexpert", "mimic"])
def test_a_validation_list_names_exactly_its_images_of_a_tree_with_repeated_file_names(
    hospital, layout, tiny, tmp_path
):
    folder = hospital(layout, 60)
    listed = listed_paths(folder, 12)
    (tmp_path / "val.txt").write_text("\n".join(f"archive/{path} 0 1" for path in listed))
    flags = ["--dataset", folder, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    run(*flags, "--validation-list", tmp_path / "val.txt")
    assert results_of(tmp_path / "run")["validation_n_images"] == len(listed)
    score.main([str(tmp_path / "run"), "--output-dir", str(tmp_path / "scores")])
    rows = predictions.read(tmp_path / "scores" / "predictions.parquet").rows
    assert sorted(rows["image_file_path"][rows["split"] == "validation"]) == sorted(listed)


def test_a_file_name_that_many_images_have_is_refused_in_a_list(chexpert, tiny, tmp_path):
    (tmp_path / "val.txt").write_text("view1_frontal.jpg")
    with pytest.raises(ValueError, match="val.txt, line 1: view1_frontal.jpg is not in train"):
        run("--dataset", chexpert, "--model", tiny("vit"), "--epochs", 0, "--validation-list", tmp_path / "val.txt")


def test_several_are_trained_on_together_in_one_label_space(nih, chexpert, mimic, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_results, "plot_results", PLOT_RESULTS)  # a panel for each
    flags = ["--dataset", nih, "--dataset", chexpert, "--dataset", mimic, "--model", tiny("vit"), "--epochs", 1]
    flags += ["--findings", "shared", "--dataset-weights", 1, 2, 1, "--uncertain", "chexpert-mix"]
    run(*flags, "--output-dir", tmp_path)
    model = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert list(model.config.id2label.values()) == SHARED
    assert (tmp_path / "results.png").stat().st_size > 10_000
    results = results_of(tmp_path)
    assert len(set(results["datasets"])) == 3
    for name in results["datasets"]:
        for split in ("validation", "test"):
            aurocs = [results[f"{name}/{split}_auroc/{finding}"] for finding in SHARED]
            assert results[f"{name}/{split}_n_images"] > 0
            assert results[f"{name}/{split}_auroc"] == pytest.approx(np.nanmean(np.array(aurocs, float)))
    screen = capsys.readouterr().out
    assert all(screen.count(name) >= 2 for name in results["datasets"]), "sizes before, a table after"


def test_what_only_one_of_them_labels_is_masked_on_the_other(nih, chexpert, tiny, tmp_path):
    run(
        *("--dataset", nih, "--dataset", chexpert, "--model", tiny("vit"), "--epochs", 1),
        *("--output-dir", tmp_path, "--findings", "nih14"),
    )
    first, second = results_of(tmp_path)["datasets"]
    results = results_of(tmp_path)
    assert results[f"{first}/test_positives/Hernia"] > 0
    assert results[f"{second}/test_positives/Hernia"] == 0 and "Hernia" in results[f"{second}/test_undefined"]
    weights = AutoModelForImageClassification.from_pretrained(tmp_path).state_dict()
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_all_that_any_of_them_labels_is_told_by_default(nih, chexpert, tiny, tmp_path):
    run("--dataset", nih, "--dataset", chexpert, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path)
    names = AutoModelForImageClassification.from_pretrained(tmp_path).config.id2label.values()
    assert (
        len(names) == 21 and {"Hernia", "Support Devices", "Effusion"} <= set(names) and "Pleural Effusion" not in names
    )


@pytest.mark.parametrize(
    "policy", ["ignore", "zeros", "ones", "smooth-ones", "smooth-zeros", "multi-class", "zeros,Edema=ones"]
)
def test_every_policy_trains_and_scores_do_not_depend_on_it(chexpert, tiny, tmp_path, policy):
    flags = ["--dataset", chexpert, "--model", tiny("vit"), "--findings", "chexpert5", "--uncertain", policy]
    run(*flags, "--epochs", 1, "--output-dir", tmp_path)
    results = results_of(tmp_path)
    assert results["test_positives/Edema"] > 0 and results["test_n_images"] > 0
    model = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert model.config.num_labels == 5 and model(pixel_values=torch.zeros(1, 3, 32, 32)).logits.shape == (1, 5)


def test_three_classes_are_folded_into_one_output_that_scores_the_same(chexpert, tiny, tmp_path):
    flags = ["--dataset", chexpert, "--model", tiny("convnext"), "--findings", "chexpert5"]
    run(*flags, "--uncertain", "multi-class", "--epochs", 1, "--output-dir", tmp_path)
    score.main([str(tmp_path), "--output-dir", str(tmp_path / "score")])
    card = json.loads((tmp_path / "score" / "scorecard.json").read_text())
    assert card["findings"]["Edema"]["auroc"] == pytest.approx(results_of(tmp_path)["test_auroc/Edema"], abs=1e-6)


def test_a_teacher_says_what_uncertain_labels_are(chexpert, tiny, tmp_path):
    flags = ["--dataset", chexpert, "--model", tiny("vit"), "--findings", "chexpert5", "--epochs", 1]
    run(*flags, "--output-dir", tmp_path / "teacher")
    score.main([str(tmp_path / "teacher"), "--split", "train", "--output-dir", str(tmp_path / "taught")])
    file = tmp_path / "taught" / "predictions.parquet"
    assert (predictions.read(file).rows["split"] == "train").sum() > 0
    run(*flags, "--uncertain", "self-trained", "--teacher", file, "--output-dir", tmp_path / "student")
    with pytest.raises(ValueError, match="self-trained and a teacher, a predictions file, go together"):
        run(*flags, "--uncertain", "self-trained", "--output-dir", tmp_path / "other")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("teacher", "student"))
    assert one != other


def test_views_and_labeler_are_chosen(mimic, tiny, tmp_path):
    flags = ["--dataset", mimic, "--model", tiny("vit"), "--epochs", 0]
    run(*flags, "--output-dir", tmp_path / "all")
    run(*flags, "--views", "frontal", "--labeler", "both", "--output-dir", tmp_path / "frontal")
    every, frontal = results_of(tmp_path / "all"), results_of(tmp_path / "frontal")
    assert 0 < frontal["test_n_images"] < every["test_n_images"]


def test_a_model_is_scored_at_a_hospital_it_never_saw(nih, chexpert, tiny, tmp_path, capsys):
    run("--dataset", nih, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "run")
    score.main([str(tmp_path / "run")])
    own = (tmp_path / "run" / "README.md").read_text()
    score.main([str(tmp_path / "run"), "--dataset", str(chexpert), "--output-dir", str(tmp_path / "there")])
    assert (tmp_path / "run" / "README.md").read_text() == own, "the card shows its own test"
    assert "## Results on Synthetic archive in the layout of CheXpert" in (tmp_path / "there" / "README.md").read_text()
    card = json.loads((tmp_path / "there" / "scorecard.json").read_text())
    assert card["findings"]["Effusion"]["positives"] > 0
    assert card["findings"]["Hernia"]["auroc"] is None
    screen = capsys.readouterr().out
    assert "This dataset does not label" in screen and "official test list" not in screen


def test_an_image_trained_on_is_never_scored_in_another_dataset(nih, tiny, tmp_path):
    publish.main([str(nih), str(tmp_path / "subset"), "--patients", "30", "--seed", "1", "--num-proc", "1"])
    flags = [
        "--dataset",
        nih,
        "--dataset",
        tmp_path / "subset",
        "--model",
        tiny("vit"),
        "--output-dir",
        tmp_path / "run",
    ]
    with pytest.raises(
        ValueError, match=r"images/.*png, or .*, is in train of .* and in (test|validation) of .*cannot be trained"
    ):
        run(*flags)


def test_what_does_not_go_together_is_refused(nih, chexpert, tiny, tmp_path):
    flags = ["--dataset", nih, "--dataset", chexpert, "--model", tiny("vit"), "--output-dir", tmp_path]
    with pytest.raises(ValueError, match="1 dataset_weights for 2 datasets"):
        run(*flags, "--dataset-weights", 1)
    with pytest.raises(
        ValueError, match="no training image is labelled for Infiltration, Mass, .*Hernia: choose other"
    ):
        run("--dataset", chexpert, *flags[4:], "--findings", "nih14")
    with pytest.raises(ValueError, match="there is no policy 'maybe'"):
        run(*flags, "--uncertain", "maybe")
    with pytest.raises(ValueError, match="streaming goes with one dataset"):
        run(*flags, "--streaming")
    with pytest.raises(ValueError, match="clip is -1.0; it must be above 0"):
        run(*flags, "--clip", -1)
    with pytest.raises(ValueError, match="multi-class labels take neither mixup"):
        run(*flags, "--uncertain", "multi-class", "--mixup", 0.2)
