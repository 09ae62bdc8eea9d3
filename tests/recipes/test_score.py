"""What `recipes/score.py` promises, asked of the command itself."""

import ast
import doctest
import html
import importlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from scipy.special import expit

import finetune
import forks
import score
from chestxray.data import official_test, predictions
from chestxray.files import digest
from chestxray.scoring import dataset_predictions
from conftest import NIH, ROOT
from multilabel_auroc import compare

SCRIPT = ROOT / "recipes" / "score.py"

STATISTICS = "feature_statistics.npz"


def run(*flags):
    score.main([str(flag) for flag in flags])


@pytest.fixture(scope="session")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="session")
def checkpoint(archive, tiny, tmp_path_factory):
    """`checkpoint(family, seed)` is a folder that finetune.py made."""
    made = {}

    def make(family="vit", seed=0):
        if (family, seed) not in made:
            folder = tmp_path_factory.mktemp("checkpoints") / f"{family}-{seed}"
            flags = ["--dataset", archive, "--model", tiny(family), "--epochs", 1]
            flags += ["--seed", seed, "--output-dir", folder]
            finetune.main([str(flag) for flag in flags])
            made[family, seed] = folder
        return made[family, seed]

    return make


@pytest.fixture(scope="session")
def scored(checkpoint, tmp_path_factory):
    """The command as a user runs it: (standard output, output folder)."""
    output = tmp_path_factory.mktemp("scores") / "vit"
    command = [sys.executable, SCRIPT, checkpoint(), "--output-dir", output]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copy(checkpoint() / STATISTICS, output.parent)  # other tests score other views, which have others
    return done.stdout, output


def card_of(output):
    return json.loads((output / "scorecard.json").read_text())


# From a checkpoint


def test_test_is_scored_as_finetune_scored_it(checkpoint, scored):
    ours, theirs = card_of(scored[1])["findings"], json.loads((checkpoint() / "all_results.json").read_text())
    assert len(ours) == 15
    for finding, row in ours.items():
        suffix = "" if finding == "mean" else f"/{finding}"
        for quantity in ("auroc", "auroc_low", "auroc_high", "average_precision", "positives"):
            assert row[quantity] == pytest.approx(theirs[f"test_{quantity}{suffix}"], abs=1e-6), (finding, quantity)


def test_the_table_is_the_last_thing_on_the_screen_and_says_synthetic(scored):
    screen, output = scored
    rows = {line.split()[0]: line for line in screen.splitlines() if line.strip()}
    for finding, row in card_of(output)["findings"].items():
        assert f"{row['auroc']:.3f}" in rows[finding]
    assert "Synthetic images: these scores say nothing about radiographs." in screen


def test_predictions_name_every_image_of_both_splits_once_with_its_patient(archive, scored):
    table = pd.read_parquet(scored[1] / "predictions.parquet")
    names = (archive / "test_list.txt").read_text().split()
    assert sorted(table["image_file_path"][table["split"] == "test"]) == sorted(f"images/{name}" for name in names)
    assert table["image_file_path"].is_unique
    assert (table["patient"] == table["image_file_path"].str[7:15]).all()
    assert set(table["sex"]) == {"F", "M"} and set(table["view"]) == {"PA", "AP"}
    entries = pd.read_csv(archive / "Data_Entry_2017_v2020.csv").set_index("Image Index")
    entry = entries.loc[table["image_file_path"].str[7:]]
    for column, theirs in (("sex", "Patient Gender"), ("age", "Patient Age"), ("view", "View Position")):
        assert table[column].tolist() == entry[theirs].tolist()
    assert table["target/Mass"].tolist() == entry["Finding Labels"].str.contains("Mass").astype(int).tolist()
    about = predictions.read_about(scored[1] / "predictions.parquet")
    assert about["synthetic"] is True and "Synthetic" in about["dataset"]


def test_the_code_on_the_model_card_gives_the_models_own_probabilities(checkpoint, scored, archive, capsys):
    card = (checkpoint() / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    table = predictions.read(scored[1] / "predictions.parquet").of("test")
    image = archive / table.rows["image_file_path"].iloc[0]
    exec(code.replace("PATH_OR_HUB_ID", str(checkpoint())).replace("image.png", str(image)), {})
    found = {row["label"]: row["score"] for row in ast.literal_eval(capsys.readouterr().out.splitlines()[-1])}
    assert [found[name] for name in table.findings] == pytest.approx(expit(table.logits[0]).tolist(), abs=1e-4)
    assert sum(found.values()) != pytest.approx(1, abs=0.01), "a softmax"


@pytest.mark.usefixtures("no_pictures")
def test_finished_predictions_are_not_made_again(checkpoint, scored, tmp_path, monkeypatch):
    finished = shutil.copytree(scored[1], tmp_path / "finished")
    monkeypatch.setattr(
        dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("the model was loaded again")
    )
    before = (finished / "predictions.parquet").stat().st_mtime_ns
    run(checkpoint(), "--output-dir", finished)
    assert (finished / "predictions.parquet").stat().st_mtime_ns == before


@pytest.mark.usefixtures("no_pictures")
def test_other_predictions_are_not_taken_for_these(checkpoint, scored):
    with pytest.raises(ValueError, match="holds predictions with sha256"):
        run(checkpoint(seed=1), "--output-dir", scored[1])
    with pytest.raises(ValueError, match="with tta none, not flip; give another --output-dir"):
        run(checkpoint(), "--tta", "flip", "--output-dir", scored[1])
    with pytest.raises(ValueError, match="with equalize False, not True; give another --output-dir"):
        run(checkpoint(), "--equalize", "--output-dir", scored[1])


def test_two_processes_predict_each_image_once_and_as_one_does(checkpoint, scored, tmp_path):
    words = [SCRIPT, checkpoint(), "--batch-size", 8, "--output-dir", tmp_path]
    done = forks.run_two(ROOT / "tests" / "blank_pictures.py", *words)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("Mean AUROC", done.stdout)) == 1, "one process reports"
    assert len(re.findall("Predicting: +0%", done.stderr)) == 1, "one process shows its progress"
    one, two = (pd.read_parquet(folder / "predictions.parquet") for folder in (scored[1], tmp_path))
    assert len(one) % 8, "the last batch is uneven"
    pd.testing.assert_frame_equal(one, two, atol=1e-5)


@pytest.mark.usefixtures("no_pictures")
def test_views_are_averaged_and_named(checkpoint, scored, tmp_path, capsys):
    run(checkpoint(), "--tta", "ten-crop", "--output-dir", tmp_path)
    assert "averaged over views of each image (ten-crop)" in capsys.readouterr().out
    run(checkpoint(), "--tta", "flip", "--output-dir", tmp_path / "flip")
    plain = predictions.read(scored[1] / "predictions.parquet").logits
    for folder in (tmp_path, tmp_path / "flip"):
        shown = predictions.read(folder / "predictions.parquet").logits
        assert not np.allclose(plain, shown)
        assert np.corrcoef(plain.ravel(), shown.ravel())[0, 1] > 0.5


@pytest.mark.usefixtures("no_pictures")
def test_a_timm_checkpoint_is_scored_too(checkpoint, tmp_path):
    run(checkpoint("timm"), "--output-dir", tmp_path)
    theirs = json.loads((checkpoint("timm") / "all_results.json").read_text())
    assert card_of(tmp_path)["findings"]["mean"]["auroc"] == pytest.approx(theirs["test_auroc"], abs=1e-6)


# From predictions alone


def test_everything_is_made_again_from_the_predictions_without_the_model(checkpoint, scored, tmp_path, monkeypatch):
    shutil.copy(scored[1].parent / STATISTICS, checkpoint())
    monkeypatch.setattr(dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("a model was loaded"))
    moved = tmp_path / "elsewhere" / "predictions.parquet"
    moved.parent.mkdir()
    shutil.copy(scored[1] / "predictions.parquet", moved)
    run(moved, "--output-dir", tmp_path / "out")
    assert card_of(tmp_path / "out") == card_of(scored[1]) and card_of(scored[1])["unlike_training"]
    for name in ("report.md", "report.html", "figures/roc.svg"):
        assert (tmp_path / "out" / name).read_bytes() == (scored[1] / name).read_bytes(), name


@pytest.mark.usefixtures("no_pictures")
def test_an_ensemble_is_the_mean_probability_and_is_compared_with_a_rival(checkpoint, scored, tmp_path, capsys):
    first, second = scored[1] / "predictions.parquet", checkpoint(seed=1)
    run(first, second, "--against", second, "--output-dir", tmp_path)
    members = [first, tmp_path / "predictions-2.parquet"]
    one, two, both = (predictions.read(path) for path in (*members, tmp_path / "predictions.parquet"))
    mean = np.mean([1 / (1 + np.exp(-member.logits)) for member in (one, two)], axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-both.logits)), mean, rtol=1e-5)
    assert [Path(model["checkpoint"]).name for model in both.about["models"]] == ["vit-0", "vit-1"]
    report = (tmp_path / "report.md").read_text()
    assert "mean probability of 2 models" in report and "| finding | AUROC A | AUROC B | A - B |" in report
    a, b = (table.of("test") for table in (both, predictions.read(tmp_path / "against.parquet")))
    expected = compare(a.logits, b.logits, a.targets, a.rows["patient"], label_names=a.findings)
    assert card_of(tmp_path)["comparison"]["difference/Mass"] == pytest.approx(expected["difference/Mass"], abs=1e-6)
    assert "AUROC A" in capsys.readouterr().out


def test_an_ensemble_never_overwrites_a_member(scored, capsys):
    file = scored[1] / "predictions.parquet"
    for flags in ([], ["--output-dir", scored[1]]):
        with pytest.raises(SystemExit):
            run(file, file, *flags)
    screen = capsys.readouterr().err
    assert "several models need --output-dir" in screen and "would overwrite" in screen


def test_members_with_other_images_are_refused_by_name(scored, tmp_path):
    whole = predictions.read(scored[1] / "predictions.parquet")
    predictions.write(whole.where(np.arange(1, len(whole.rows))), tmp_path / "less.parquet")
    lost = whole.rows["image_file_path"][0]
    with pytest.raises(ValueError, match=f"{lost} is in .*predictions.parquet but not in .*less.parquet"):
        run(scored[1] / "predictions.parquet", tmp_path / "less.parquet", "--output-dir", tmp_path)


# From a table of any framework


def write_table(scored, path, split=("validation", "test"), **columns):
    """Our own predictions as somebody else's table: probabilities by file name."""
    table = predictions.read(scored[1] / "predictions.parquet")
    frame = pd.DataFrame(1 / (1 + np.exp(-table.logits)), columns=[f"prob_{name}" for name in table.findings])
    frame["Image Index"] = table.rows["image_file_path"].str[7:]
    frame = frame[table.rows["split"].isin(split).to_numpy()].assign(**columns)
    path.parent.mkdir(exist_ok=True)
    frame.sample(frac=1, random_state=0).to_csv(path)
    return path


@pytest.mark.usefixtures("no_pictures")
def test_a_table_of_the_same_scores_gets_the_same_scorecard(scored, archive, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("a model was loaded"))
    theirs = write_table(scored, tmp_path / "theirs.csv.gz", when="now")
    run(theirs, "--dataset", archive)
    ours, card = card_of(scored[1]), card_of(tmp_path / "theirs-score")
    for part in ("findings", "thresholds", "calibration", "subgroups", "shortcuts"):
        pd.testing.assert_frame_equal(
            pd.json_normalize(card[part]), pd.json_normalize(ours[part]), rtol=1e-3, atol=1e-5
        )
    assert card["about"]["n_validation"] == ours["about"]["n_validation"] > 0
    screen = capsys.readouterr().out
    for text in (screen, *((tmp_path / "theirs-score" / f"report.{kind}").read_text() for kind in ("md", "html"))):
        assert "The values of theirs.csv.gz were taken as probabilities" in text
        assert "Ignored columns of theirs.csv.gz, which are no finding of the dataset: Unnamed: 0, when." in text
    for name in ("report.md", "report.html", "scorecard.json"):
        assert str(tmp_path) not in (tmp_path / "theirs-score" / name).read_text(), "a page names no place"
    assert "Model card: none, because the model is not here" in screen
    assert not (tmp_path / "theirs-score" / "README.md").exists(), "nobody knows the model"


@pytest.mark.usefixtures("no_pictures")
def test_the_predictions_of_a_table_are_read_as_any_others(scored, archive, tmp_path, capsys):
    theirs = write_table(scored, tmp_path / "theirs.csv", split=("test",))
    run(theirs, "--dataset", archive, "--output-dir", tmp_path / "one")
    screen = capsys.readouterr().out
    assert "no rows of validation" in screen and "sensitivity" not in screen
    run(tmp_path / "one" / "predictions.parquet", "--output-dir", tmp_path / "two")
    assert card_of(tmp_path / "one") == card_of(tmp_path / "two")
    assert not (tmp_path / "two" / "README.md").exists()
    run(
        scored[1] / "predictions.parquet",
        "--against",
        tmp_path / "one" / "predictions.parquet",
        "--output-dir",
        tmp_path,
    )
    assert card_of(tmp_path)["comparison"]["difference"] == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("no_pictures")
def test_a_checkpoint_is_compared_with_a_table(checkpoint, scored, tmp_path, capsys):
    theirs = write_table(scored, tmp_path / "theirs.csv", split=("test",))
    run(checkpoint(), "--against", theirs, "--output-dir", tmp_path / "out")
    assert card_of(tmp_path / "out")["comparison"]["difference"] == pytest.approx(0, abs=1e-6)
    words = "B is theirs.csv, both on the same images"
    for text in (capsys.readouterr().out, (tmp_path / "out" / "report.md").read_text()):
        assert words in text and "The values of theirs.csv were taken as probabilities" in text
    assert "theirs.csv" not in (tmp_path / "out" / "README.md").read_text(), "the card is of the checkpoint alone"


@pytest.mark.usefixtures("no_pictures")
def test_tables_are_an_ensemble_among_themselves(scored, archive, tmp_path):
    one, two = (write_table(scored, tmp_path / name / "theirs.csv") for name in "ab")
    run(one, two, "--dataset", archive, "--output-dir", tmp_path / "out")
    both, ours = (predictions.read(folder / "predictions.parquet") for folder in (tmp_path / "out", scored[1]))
    ours = ours.where(pd.Index(ours.rows["image_file_path"]).get_indexer(both.rows["image_file_path"]))
    np.testing.assert_allclose(both.logits, ours.logits, atol=1e-4)
    assert "mean probability of 2 models" in (tmp_path / "out" / "report.md").read_text()


def test_tables_that_cannot_be_scored_so_are_refused_before_any_work(checkpoint, scored, archive, tmp_path, capsys):
    theirs = write_table(scored, tmp_path / "theirs.csv")
    for flags, message in (
        ([], "theirs.csv has names and scores only: give one --dataset"),
        (["--dataset", archive, archive], "give one --dataset"),
        ([checkpoint(), "--dataset", archive, "--output-dir", tmp_path], "are no ensemble: score each alone"),
        (["--dataset", archive, "--against", checkpoint()], "give the checkpoint first: score.py"),
    ):
        with pytest.raises(SystemExit):
            run(theirs, *flags)
        assert message in capsys.readouterr().err
    before = (scored[1] / "predictions.parquet").read_bytes()
    with pytest.raises(ValueError, match="holds predictions of another model; give another --output-dir"):
        run(theirs, "--dataset", archive, "--output-dir", scored[1])
    assert (scored[1] / "predictions.parquet").read_bytes() == before
    with pytest.raises(ValueError, match="has no split dev, only .*: give another --split"):
        run(theirs, "--dataset", archive, "--split", "dev")


# Radiologists' labels


@pytest.mark.usefixtures("no_pictures")
def test_labels_of_radiologists_are_scored_beside_the_datasets(scored, tmp_path, capsys):
    test = predictions.read(scored[1] / "predictions.parquet").of("test")
    wrong = 1 - test.targets[:, test.findings.index("Mass")]
    frame = pd.DataFrame({"path": test.rows["image_file_path"], "Mass": wrong.astype(int), "Fracture": "NO"})
    frame.iloc[::2].to_csv(tmp_path / "readers.csv", index=False)
    run(scored[1] / "predictions.parquet", "--labels", tmp_path / "readers.csv", "--output-dir", tmp_path / "out")
    readers, n = card_of(tmp_path / "out")["readers"], len(frame.iloc[::2])
    row = readers["table"]["Mass"]
    assert row["images"] == n and row["both"] == 0 and row["read"] + row["labelled"] == n
    assert row["reader_auroc"] == pytest.approx(1 - row["label_auroc"])
    for text in (
        capsys.readouterr().out,
        *((tmp_path / "out" / f"report.{kind}").read_text() for kind in ("md", "html")),
    ):
        assert f"It covers {n} of the {len(frame)} scored images of test" in text
        assert "Left out: Fracture" in text and f"{row['reader_auroc']:.3f}" in text
    assert card_of(scored[1])["readers"] is None and "radiologists" not in (scored[1] / "report.md").read_text()
    same = {key: value for key, value in card_of(tmp_path / "out").items() if key != "readers"}
    assert same == {key: value for key, value in card_of(scored[1]).items() if key != "readers"}, "nothing is fitted"


def test_a_damaged_file_of_labels_stops_the_command_before_it_predicts(checkpoint, tmp_path):
    (tmp_path / "readers.csv").write_text("image,Mass\n1.png,maybe\n")
    with pytest.raises(ValueError, match="readers.csv, line 2, column Mass: 'maybe'"):
        run(checkpoint(), "--labels", tmp_path / "readers.csv", "--output-dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Pages


def test_the_report_is_one_file_that_fetches_nothing(scored):
    page = (scored[1] / "report.html").read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(links) == 6 and all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert "@import" not in page and "url(" not in page and "<script" not in page
    assert "prefers-color-scheme: dark" in page
    assert all(re.findall(r'<img [^>]*alt="([^"]+)"', page))


def test_markdown_holds_the_tables_of_the_html_and_its_pictures_exist(scored):
    page, text = ((scored[1] / f"report.{kind}").read_text() for kind in ("html", "md"))
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", page)
    assert len(cells) > 500 and all(html.unescape(cell) in text for cell in cells)
    pictures = re.findall(r"\]\((figures/[^)]*)\)", text)
    assert len(pictures) == 6 and all((scored[1] / picture).stat().st_size > 5_000 for picture in pictures)
    assert "Synthetic images" in text and "Synthetic images" in page


def test_the_checkpoint_gets_a_model_card_that_the_hub_understands(checkpoint, scored):
    card = ModelCard.load(checkpoint() / "README.md", ignore_metadata_errors=False)
    result = {(r.metric_type, r.metric_name): r for r in card.data.eval_results}
    mean = result["roc_auc", "AUROC, mean over findings"]
    assert mean.metric_value == pytest.approx(card_of(scored[1])["findings"]["mean"]["auroc"], abs=1e-4)
    assert mean.dataset_split == "test" and "Synthetic" in mean.dataset_name
    assert card.data.pipeline_tag == "image-classification" and "synthetic-data" in card.data.tags
    for promised in ("Synthetic images", "## Intended use", "## Limits", "no diagnosis", "## Training"):
        assert promised in card.text
    assert str(checkpoint().parent) not in card.content, "where files lay is no one's business"
    assert (scored[1] / "README.md").read_text() == (checkpoint() / "README.md").read_text()


@pytest.mark.usefixtures("no_pictures")
def test_a_card_written_by_hand_stays(checkpoint, archive, tmp_path):
    shutil.copytree(checkpoint(), tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("by hand")
    run(tmp_path / "mine", "--dataset", archive, "--output-dir", tmp_path / "out")
    assert (tmp_path / "mine" / "README.md").read_text() == "by hand"
    assert "model-index" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.usefixtures("no_pictures")
def test_published_results_are_shown_on_the_official_split_only(scored, tmp_path, monkeypatch):
    assert "EVA-X" not in (scored[1] / "report.md").read_text()
    test = predictions.read(scored[1] / "predictions.parquet").of("test")
    names = sorted(path.rpartition("/")[2] for path in test.rows["image_file_path"])
    monkeypatch.setattr(
        official_test, "TEST_NAMES", digest(*(f"{name}\n" for name in names))
    )  # this archive's list in NIH's place
    monkeypatch.setattr(official_test, "TEST_IMAGES", len(names))
    run(scored[1] / "predictions.parquet", "--output-dir", tmp_path)
    for published in ("0.745", "0.807", "0.822", "0.825", "0.830", "0.835", "checkpoint on the test set"):
        assert published in (tmp_path / "report.md").read_text()


# Errors


def test_what_is_no_model_is_refused(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint's folder: it has no config.json"):
        run(tmp_path)
    shutil.copytree(checkpoint(), tmp_path / "copy")
    (tmp_path / "copy" / "settings.yaml").unlink()
    with pytest.raises(ValueError, match="give --dataset"):
        run(tmp_path / "copy")


def named_otherwise(checkpoint, folder, renamed):
    """The checkpoint with other names for its outputs."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {number: renamed(name) for number, name in config["id2label"].items()}
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.usefixtures("no_pictures")
def test_a_finding_that_the_dataset_does_not_label_is_left_out_of_its_scores(checkpoint, tmp_path, capsys):
    odd = named_otherwise(checkpoint(), tmp_path / "odd", lambda name: "Fracture" if name == "Hernia" else name)
    run(odd)
    assert "This dataset does not label Fracture" in capsys.readouterr().out
    assert card_of(odd / "score")["findings"]["Fracture"]["positives"] == 0


def test_weights_that_give_no_finite_number_are_refused_before_anything_is_written(checkpoint, tmp_path):
    broken = shutil.copytree(checkpoint(), tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file({name: weight * 1e38 for name, weight in weights.items()}, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"broken gives no finite number for images/.*png: its weights are damaged"):
        run(broken)
    assert not (broken / "score" / "predictions.parquet").exists()


def test_a_model_of_other_findings_altogether_is_refused(checkpoint, tmp_path):
    odd = named_otherwise(checkpoint(), tmp_path / "odd", lambda name: f"not {name}")
    with pytest.raises(ValueError, match="labels none of the findings of .*The model has .*not Hernia"):
        run(odd)


@pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
@pytest.mark.usefixtures("no_pictures")
def test_real_radiographs_are_not_called_synthetic(checkpoint, radiographs, tmp_path, capsys):
    run(checkpoint(), "--dataset", radiographs, "--output-dir", tmp_path)
    assert "Hernia" in capsys.readouterr().out
    pages = [(tmp_path / name).read_text() for name in ("report.md", "README.md")]
    assert not any("Synthetic" in page for page in pages)
    assert all("NIH ChestX-ray14" in page for page in pages)
    assert "EVA-X" not in pages[0], "37 images are not the official split"


# Documentation


@pytest.mark.parametrize("module", ["data.predictions", "scoring.calibration", "scoring.subgroups", "reporting.tables"])
def test_the_docstrings_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"chestxray.{module}"))
    assert result.attempted and not result.failed


# Without validation rows


def test_predictions_of_the_scored_split_alone_end_with_a_full_report(scored, tmp_path, capsys):
    whole = predictions.read(scored[1] / "predictions.parquet")
    predictions.write(whole.of("test"), tmp_path / "predictions.parquet")
    run(tmp_path / "predictions.parquet")
    screen = capsys.readouterr().out
    assert "no rows of validation" in screen and "sensitivity" not in screen
    ours, theirs = card_of(tmp_path), card_of(scored[1])
    assert ours["findings"]["mean"]["auroc"] == theirs["findings"]["mean"]["auroc"]
    assert ours["thresholds"]["youden"]["Mass"]["logit"] is None and ours["about"]["n_validation"] == 0
    text, page = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert "no rows of validation" in text.split("## Findings")[0]
    for section in ("Thresholds", "Calibration"):
        assert f"## {section}" not in text and f">{section}<" not in page
    for picture in re.findall(r"\]\((figures/[^)]*)\)", text):
        assert (tmp_path / picture).is_file()
    assert "no rows of validation" in (tmp_path / "README.md").read_text()


@pytest.mark.usefixtures("no_pictures")
def test_findings_with_too_few_positives_on_validation_are_named_on_screen_page_and_card(scored, tmp_path, capsys):
    whole = predictions.read(scored[1] / "predictions.parquet")
    targets, of_validation = whole.targets.copy(), (whole.rows["split"] == "validation").to_numpy()
    targets[of_validation] = np.arange(of_validation.sum())[:, None] % 2  # plenty of all the others
    targets[of_validation, 0] = np.arange(of_validation.sum()) < 3
    predictions.write(replace(whole, targets=targets), tmp_path / "predictions.parquet")
    run(tmp_path / "predictions.parquet")
    words = f"{whole.findings[0]}: no threshold and no calibration, because validation has fewer than 5 positives (3)."
    for text in (capsys.readouterr().out, *((tmp_path / name).read_text() for name in ("report.md", "README.md"))):
        assert words in text
    assert card_of(tmp_path)["calibration"][whole.findings[0]]["slope"] is None
    assert card_of(tmp_path)["thresholds"]["youden"][whole.findings[0]]["logit"] is None
    assert card_of(tmp_path)["thresholds"]["youden"][whole.findings[1]]["logit"] is not None
