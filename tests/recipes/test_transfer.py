"""What `recipes/transfer.py` promises, asked of the command itself."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from PIL import Image

import finetune
import forks
import score
import transfer
from chestxray.scoring import dataset_predictions
from conftest import ROOT
from multilabel_auroc import auroc_report

SCRIPT = ROOT / "recipes" / "transfer.py"
# By hand: what NIH's 14 and the 14 of CheXpert and MIMIC-CXR-JPG have in common, as NIH calls it.
SHARED = ["Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax", "Consolidation", "Edema"]


def run(checkpoints, datasets, output, *flags):
    named = [part for dataset in datasets for part in ("--dataset", dataset)]
    transfer.main([str(flag) for flag in (*checkpoints, *named, "--output-dir", output, *flags)])
    return json.loads((output / "transfer.json").read_text())


def cells_of(numbers):
    return {(cell["model"], cell["dataset"]): cell for cell in numbers["cells"]}


@pytest.fixture(scope="module")
def home(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def away(hospital):
    """(a CheXpert, a MIMIC-CXR-JPG)"""
    return [hospital(layout, 200) for layout in ("chexpert", "mimic")]


@pytest.fixture(scope="module")
def checkpoint(home, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "vit"
    flags = ["--dataset", home, "--model", tiny("vit"), "--epochs", 1, "--output-dir", folder]
    finetune.main([str(flag) for flag in flags])
    return folder


@pytest.fixture(scope="module")
def transferred(checkpoint, home, away, tmp_path_factory):
    """The command as a user runs it: (standard output, output folder)."""
    output = tmp_path_factory.mktemp("transfer")
    datasets = [part for dataset in (home, *away) for part in ("--dataset", dataset)]
    command = [sys.executable, SCRIPT, checkpoint, *datasets, "--output-dir", output]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, output


def changed(checkpoint, folder, **settings):
    """A copy of the checkpoint that was trained with other settings."""
    shutil.copytree(checkpoint, folder)
    saved = folder / "settings.yaml"
    saved.write_text(yaml.safe_dump({**yaml.safe_load(saved.read_text()), **settings}))
    return folder


# Numbers


def test_every_cell_is_the_auroc_of_its_predictions_over_the_shared_findings(home, transferred):
    screen, output = transferred
    row = screen.splitlines()[-1]
    for (model, dataset), cell in cells_of(json.loads((output / "transfer.json").read_text())).items():
        table = pd.read_parquet(output / f"{model}-on-{dataset}.parquet")
        table = table[table["split"] == "test"]
        scores, targets = (table[[f"{kind}/{name}" for name in SHARED]].to_numpy() for kind in ("logit", "target"))
        expected = auroc_report(scores, targets, table["patient"], label_names=SHARED)
        assert not expected["undefined"] and cell["n_images"] == len(table) > 20
        for key in ("auroc", "auroc_low", "auroc_high"):
            assert cell[key] == pytest.approx(expected[key], abs=1e-12)
        shown = "{auroc:.3f} ({auroc_low:.3f} to {auroc_high:.3f})".format(**expected)
        assert shown in row and (f"{shown}*" in row) == (dataset == home.name)
        for name in SHARED:
            for key in ("auroc", "positives"):
                assert cell["findings"][name][key] == pytest.approx(expected[f"{key}/{name}"], abs=1e-12)


def test_the_shared_findings_are_counted_and_named_above_the_table(transferred):
    screen, output = transferred
    words = f"the 7 findings that all models have and all datasets label: {', '.join(SHARED)}."
    assert words in screen and words in (output / "transfer.md").read_text()
    assert json.loads((output / "transfer.json").read_text())["averaged"] == SHARED


def test_the_table_is_the_last_thing_on_the_screen_and_synthetic_images_are_called_so(transferred, home):
    header, rule, row = transferred[0].splitlines()[-3:]
    assert header.split() == ["model", "trained", "on", home.name, "chexpert", "mimic"]
    assert set(rule) == {"-"} and row.split()[:2] == ["vit", home.name]
    assert "Synthetic images: these scores say nothing about radiographs." in transferred[0]
    assert "Histograms: unchanged (MIMIC-CXR-JPG comes with equalised ones" in transferred[0]
    assert "Labels of mimic: chexpert." in transferred[0]


def test_the_page_holds_every_number_and_its_picture_exists(transferred):
    page = (transferred[1] / "transfer.md").read_text()
    for cell in json.loads((transferred[1] / "transfer.json").read_text())["cells"]:
        for name, found in cell["findings"].items():
            (row,) = re.findall(rf"\| {name} \| vit \| {cell['dataset']}\*? \| (.*) \|", page)
            known = found["positives"] + found["negatives"]
            assert row.startswith(f"{found['auroc']:.3f} |") and row.endswith(f"{found['positives']} of {known}")
    assert "](transfer.png)" in page and "Synthetic images" in page
    assert Image.open(transferred[1] / "transfer.png").format == "PNG"


def test_all_means_are_over_the_same_findings_whatever_one_dataset_lacks(checkpoint, away, tmp_path, capsys):
    healthy = shutil.copytree(away[0], tmp_path / "healthy")
    table = pd.read_csv(healthy / "test_labels.csv")
    table.assign(Pneumonia=0.0).to_csv(healthy / "test_labels.csv", index=False)
    numbers = run([checkpoint], [healthy, away[1]], tmp_path / "out")
    assert numbers["findings"] == SHARED
    assert numbers["averaged"] == [name for name in SHARED if name != "Pneumonia"]
    screen = capsys.readouterr().out
    assert "Pneumonia on healthy: in no mean, because test has only positives or only negatives" in screen
    assert "6 of the 7 findings" in screen
    for dataset in ("healthy", "mimic"):
        findings = cells_of(numbers)["vit", dataset]["findings"]
        assert (findings["Pneumonia"]["auroc"] is None) == (dataset == "healthy"), "NaN is not JSON"
        mean = sum(findings[name]["auroc"] for name in numbers["averaged"]) / 6
        assert cells_of(numbers)["vit", dataset]["auroc"] == pytest.approx(mean)


def test_no_place_of_this_machine_is_on_the_page(transferred, home, checkpoint):
    for name in ("transfer.md", "transfer.json", "transfer.png"):
        content = (transferred[1] / name).read_bytes()
        assert not [place for place in (home, checkpoint) if str(place.parent).encode() in content], name


# Runs


def test_a_second_run_predicts_nothing_anew(checkpoint, home, away, transferred, monkeypatch):
    monkeypatch.setattr(
        dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("the model was loaded again")
    )
    before = {file: file.stat().st_mtime_ns for file in transferred[1].glob("*.parquet")}
    page = (transferred[1] / "transfer.md").read_text()
    run([checkpoint], [home, *away], transferred[1])
    assert before == {file: file.stat().st_mtime_ns for file in transferred[1].glob("*.parquet")} and len(before) == 3
    assert page == (transferred[1] / "transfer.md").read_text()


def test_two_processes_report_once_what_one_reports(checkpoint, away, transferred, tmp_path):
    flags = [checkpoint, "--dataset", away[0], "--dataset", away[1], "--batch-size", 8, "--output-dir", tmp_path]
    done = forks.run_two(SCRIPT, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Mean AUROC") == 1
    for name in ("vit-on-chexpert.parquet", "vit-on-mimic.parquet"):
        one, two = (pd.read_parquet(folder / name) for folder in (transferred[1], tmp_path))
        assert len(one) % 8, "the last batch is uneven"
        pd.testing.assert_frame_equal(one, two, atol=1e-5)
    assert (tmp_path / "transfer.md").exists()


def test_another_choice_of_images_is_predicted_anew_and_said(checkpoint, away, transferred, capsys):
    plain = cells_of(json.loads((transferred[1] / "transfer.json").read_text()))["vit", "chexpert"]
    out = shutil.copytree(transferred[1], transferred[1].with_name("choices"))
    frontal = run([checkpoint], away[:1], out, "--views", "frontal", "--equalize")
    screen = capsys.readouterr().out
    assert "vit was trained without histogram equalisation and is scored with." in screen
    assert "Frontal images only" in screen and "Histograms: equalised" in screen
    (cell,) = frontal["cells"]
    names = pd.read_parquet(out / "vit-on-chexpert-frontal-equalized.parquet")["image_file_path"]
    assert len(names) > 20 and names.str.endswith("frontal.jpg").all()
    assert cell["n_images"] < plain["n_images"] and cell["auroc"] != plain["auroc"]
    assert run([checkpoint], away[:1], out)["cells"] == [plain], "the first ones are still there"


def test_models_of_one_name_and_of_unknown_origin_have_rows_of_their_own(checkpoint, away, tmp_path):
    twins = [shutil.copytree(checkpoint, tmp_path / name / "best") for name in "ab"]
    (twins[1] / "settings.yaml").unlink()
    numbers = run(twins, away[:1], tmp_path / "out")
    assert len({model for model, _ in cells_of(numbers)}) == 2
    assert [bool(model["trained_on"]) for model in numbers["models"]] == [True, False]
    assert re.search(r"b-best \| not stated \|", (tmp_path / "out" / "transfer.md").read_text())


# Errors


def test_nothing_in_common_is_refused_before_anything_is_predicted(checkpoint, away, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("a model was loaded"))
    other = shutil.copytree(checkpoint, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {number: f"not {name}" for number, name in config["id2label"].items()}
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (other / "config.json").write_text(json.dumps(config))
    match = "no finding is known to all .* the model other: not Atelectasis, .* the dataset mimic: .*Pleural Effusion"
    with pytest.raises(ValueError, match=match):
        run([checkpoint, other], away, tmp_path / "out")


def test_a_dataset_without_the_split_is_refused_with_those_it_has(checkpoint, away, tmp_path):
    with pytest.raises(ValueError, match="mimic has no split validation, only test: give another --split"):
        run([checkpoint], away, tmp_path, "--split", "validation", "--labeler", "radiologist")


def test_models_of_different_views_are_scored_on_the_same_images_or_not_at_all(checkpoint, away, tmp_path):
    narrow = changed(checkpoint, tmp_path / "narrow", views="frontal")
    with pytest.raises(ValueError, match="different views: all for vit, frontal for narrow. Give --views"):
        run([checkpoint, narrow], away[:1], tmp_path / "out")
    numbers = run([checkpoint, narrow], away[:1], tmp_path / "out", "--views", "all")
    assert len({cell["n_images"] for cell in numbers["cells"]}) == 1


def test_what_is_no_checkpoint_or_comes_twice_is_refused_by_name(checkpoint, away, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        run([tmp_path / "nowhere"], away, tmp_path)
    with pytest.raises(ValueError, match="mimic/ is given twice"):
        run([checkpoint], [away[1], f"{away[1]}/"], tmp_path)


def test_datasets_are_given_one_by_one_or_together():
    flags = ["a", "--dataset", "x", "y", "--dataset", "z", "--output-dir", "out"]
    assert transfer.parse(flags).dataset == score.parse(flags).dataset == ["x", "y", "z"]
