"""What a model was trained and validated on is known to every command that comes after."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import finetune
import publish
import score
import transfer
from chestxray.scoring import dataset_predictions

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")


def run(command, *flags):
    command.main([str(flag) for flag in flags])


def predicted(folder):
    return pd.read_parquet(folder / "predictions.parquet")


def names_of(folder, split):
    return [Path(path).name for path in predicted(folder).query("split == @split")["image_file_path"]]


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=120)


@pytest.fixture(scope="module")
def chosen(archive):
    """Images of some training patients, whom the rule would not choose."""
    names = (archive / "train_val_list.txt").read_text().split()
    patients = sorted({name[:8] for name in names})[:12]
    return [name for name in names if name[:8] in patients]


@pytest.fixture(scope="module")
def checkpoint(archive, chosen, tiny, tmp_path_factory):
    """A model validated on a list that is gone since."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "val.txt").write_text("\n".join(chosen))
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", folder / "run"]
    run(finetune, *flags, "--validation-list", folder / "val.txt")
    (folder / "val.txt").unlink()
    return folder / "run"


@pytest.fixture(scope="module")
def subset(archive, tmp_path_factory):
    """A published subset of the same archive, cut anew: its test holds images that the checkpoint was trained on."""
    folder = tmp_path_factory.mktemp("subset") / "published"
    run(publish, archive, folder, "--patients", 110, "--seed", 1, "--num-proc", 1)
    return folder


# Validation


def test_thresholds_come_from_the_images_a_run_was_validated_on(checkpoint, archive, chosen, tmp_path):
    run(score, checkpoint, "--output-dir", tmp_path / "score")
    run(transfer, checkpoint, "--dataset", archive, "--output-dir", tmp_path / "transfer")
    assert sorted(names_of(tmp_path / "score", "validation")) == sorted(chosen)
    (file,) = (tmp_path / "transfer").glob("*.parquet")
    table = pd.read_parquet(file)
    assert sorted(table["image_file_path"][table["split"] == "validation"].str[7:]) == sorted(chosen)


def test_a_checkpoint_of_an_older_version_has_its_list_read_again(checkpoint, archive, chosen, tmp_path, capsys):
    old = shutil.copytree(checkpoint, tmp_path / "old")
    (old / "images.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"val.txt"):
        run(score, old)
    saved = (old / "settings.yaml").read_text()
    (tmp_path / "moved.txt").write_text("\n".join(chosen))
    (old / "settings.yaml").write_text(re.sub("validation_list: .*", f"validation_list: {tmp_path}/moved.txt", saved))
    run(score, old)
    assert sorted(names_of(old / "score", "validation")) == sorted(chosen)
    assert (
        "It is not known which images old was trained on: its folder has no images.parquet" in capsys.readouterr().out
    )


def test_where_nobody_knows_what_a_list_named_nothing_is_fitted(checkpoint, archive, tmp_path, monkeypatch, capsys):
    """A checkpoint whose settings name folder and list without their places, as a published one's do."""
    old = shutil.copytree(checkpoint, tmp_path / "old")
    (old / "images.parquet").unlink()
    saved = (old / "settings.yaml").read_text()
    saved = re.sub("validation_list: .*", "validation_list: val.txt", saved).replace(str(archive), "nowhere")
    (old / "settings.yaml").write_text(saved)
    monkeypatch.chdir(archive.parent)
    run(score, old, "--dataset", archive.name, "--output-dir", tmp_path / "out")
    assert not names_of(tmp_path / "out", "validation")
    assert "No validation images: the model's own came from the list val.txt" in capsys.readouterr().out


# Images that have changed, and images that have not


def test_predictions_of_other_labels_are_not_served(checkpoint, archive, tmp_path):
    mine = shutil.copytree(archive, tmp_path / "archive")
    flags = [checkpoint, "--dataset", mine, "--output-dir", tmp_path / "out"]
    run(score, *flags)
    table = mine / "Data_Entry_2017_v2020.csv"
    lines = table.read_text().splitlines(keepends=True)
    row = next(row for row, line in enumerate(lines) if line.split(",")[0] in (mine / "test_list.txt").read_text())
    cells = lines[row].split(",")
    lines[row] = ",".join([cells[0], "Hernia" if cells[1] != "Hernia" else "Mass", *cells[2:]])
    table.write_text("".join(lines))
    with pytest.raises(
        ValueError, match="holds predictions of other images or labels of test; give another --output-dir"
    ):
        run(score, *flags)


def test_a_finished_run_does_not_show_the_table_of_other_images(archive, tiny, tmp_path, capsys):
    mine = shutil.copytree(archive, tmp_path / "archive")
    flags = ["--dataset", mine, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    run(finetune, *flags)
    run(finetune, *flags)
    assert "holds this finished run" in capsys.readouterr().out
    tests = (mine / "test_list.txt").read_text().split()
    (mine / "test_list.txt").write_text("\n".join(tests[1:]))
    (mine / "images" / tests[0]).unlink()
    with pytest.raises(ValueError, match="holds a finished run on other images or labels"):
        run(finetune, *flags)


def test_an_image_replaced_in_place_is_another_image(archive, tiny, tmp_path):
    mine = shutil.copytree(archive, tmp_path / "archive")
    flags = ["--dataset", mine, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    run(finetune, *flags)
    run(score, tmp_path / "run")
    one, other = [mine / "images" / name for name in (mine / "test_list.txt").read_text().split()[:2]]
    one.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match="holds predictions of other images or labels of test"):
        run(score, tmp_path / "run")
    with pytest.raises(ValueError, match="holds a finished run on other images or labels"):
        run(finetune, *flags)


def test_the_same_folder_spelt_otherwise_is_the_same_dataset(checkpoint, archive, tmp_path, monkeypatch):
    run(score, checkpoint, "--dataset", archive, "--output-dir", tmp_path / "out")
    monkeypatch.setattr(
        dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("the model was loaded again")
    )
    (tmp_path / "link").symlink_to(archive)
    monkeypatch.chdir(archive.parent)
    for spelt in (tmp_path / "link", f"{archive}/", Path(archive.name), archive / ".." / archive.name):
        run(score, checkpoint, "--dataset", spelt, "--output-dir", tmp_path / "out")


# Images that the model was trained on


def test_images_that_were_trained_on_are_refused_or_left_out(checkpoint, archive, subset, tmp_path, capsys):
    flags = [checkpoint, "--dataset", subset, "--output-dir", tmp_path]
    with pytest.raises(ValueError, match=r"of the \d+ images of test in .* must not be scored: .*--seen leave-out"):
        run(score, *flags)
    run(score, *flags, "--seen", "leave-out")
    trained = set(pd.read_parquet(checkpoint / "images.parquet").query("split == 'train'")["patient"].str[-8:])
    assert len(predicted(tmp_path)) > 10
    assert not set(predicted(tmp_path)["patient"]) & trained
    assert "images of test are left out: a model was trained on them" in capsys.readouterr().out
    assert "are left out: a model was trained on them" in (tmp_path / "report.md").read_text()
    with pytest.raises(ValueError, match="must not be scored"):
        run(transfer, checkpoint, "--dataset", subset, "--output-dir", tmp_path / "transfer")
    run(transfer, checkpoint, "--dataset", subset, "--output-dir", tmp_path / "transfer", "--seen", "leave-out")
    assert "are left out: a model was trained on them" in (tmp_path / "transfer" / "transfer.md").read_text()


def test_weights_that_know_the_images_held_out_are_no_beginning(checkpoint, archive, chosen, tmp_path):
    flags = ["--dataset", archive, "--model", checkpoint, "--epochs", 0, "--output-dir", tmp_path / "again"]
    with pytest.raises(ValueError, match=r"run was trained on .* which is in validation of .*--validation-list"):
        run(finetune, *flags)
    (tmp_path / "val.txt").write_text("\n".join(chosen))
    run(finetune, *flags, "--validation-list", tmp_path / "val.txt")


def test_what_the_first_weights_have_seen_the_next_ones_have_seen_too(checkpoint, hospital, tmp_path):
    other = hospital("chexpert", 60)
    run(finetune, "--dataset", other, "--model", checkpoint, "--epochs", 0, "--output-dir", tmp_path / "next")
    before, after = (
        set(pd.read_parquet(folder / "images.parquet").query("split == 'train'")["image"])
        for folder in (checkpoint, tmp_path / "next")
    )
    assert before < after


def test_the_training_images_themselves_are_scored_with_a_word(checkpoint, tmp_path, capsys):
    run(score, checkpoint, "--split", "train", "--output-dir", tmp_path)
    assert "These images are of the split train" in capsys.readouterr().out


# Several datasets, several models


def test_a_model_of_several_datasets_is_scored_on_each(archive, hospital, tiny, tmp_path, capsys):
    other = hospital("chexpert", 60)
    flags = ["--dataset", archive, "--dataset", other, "--findings", "shared", "--model", tiny("vit"), "--epochs", 1]
    run(finetune, *flags, "--output-dir", tmp_path / "run")
    run(score, tmp_path / "run")
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    for name, folder in zip(results["datasets"], (archive.name, other.name), strict=True):
        card = json.loads((tmp_path / "run" / "score" / folder / "scorecard.json").read_text())
        assert card["findings"]["mean"]["auroc"] == pytest.approx(results[f"{name}/test_auroc"], abs=1e-6)
    screen = capsys.readouterr().out
    assert screen.count("Mean AUROC") == 2


def test_a_dataset_without_a_test_split_does_not_stop_the_others(archive, hospital, tiny, tmp_path, capsys):
    other = shutil.copytree(hospital("chexpert", 60), tmp_path / "CheXpert-v1.0-small")
    for table in (other / "test_labels.csv", *other.rglob("groundtruth.csv")):
        table.unlink()
    shutil.rmtree(other / "test")
    flags = ["--dataset", archive, "--dataset", other, "--model", tiny("vit"), "--epochs", 0]
    run(finetune, *flags, "--output-dir", tmp_path / "run")
    run(score, tmp_path / "run")
    screen = capsys.readouterr().out
    assert "Not scored: " in screen and screen.count("Mean AUROC") == 1


def test_models_of_other_findings_are_refused_before_anything_is_predicted(
    checkpoint, archive, tiny, tmp_path, monkeypatch
):
    flags = ["--dataset", archive, "--findings", "chexpert5", "--model", tiny("vit"), "--epochs", 0]
    run(finetune, *flags, "--output-dir", tmp_path / "rival")
    monkeypatch.setattr(dataset_predictions.classifiers, "load_classifier", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(ValueError, match=r"rival has the findings .*, .*run has"):
        run(score, checkpoint, "--against", tmp_path / "rival", "--output-dir", tmp_path / "out")


def test_a_rival_is_scored_on_the_first_models_images(checkpoint, archive, subset, tiny, tmp_path):
    run(finetune, "--dataset", subset, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / "rival")
    run(score, checkpoint, "--against", tmp_path / "rival", "--output-dir", tmp_path / "out", "--seen", "leave-out")
    rival = pd.read_parquet(tmp_path / "out" / "against.parquet")
    assert rival["image_file_path"].tolist() == [f"images/{name}" for name in names_of(tmp_path / "out", "test")]
    assert json.loads((tmp_path / "out" / "scorecard.json").read_text())["comparison"]


def test_a_dataset_without_validation_borrows_that_of_the_training_dataset(checkpoint, archive, chosen, tmp_path):
    hospital = tmp_path / "hospital"
    run(publish, archive, tmp_path / "published", "--num-proc", 1)
    (hospital / "data").mkdir(parents=True)
    for shard in (tmp_path / "published" / "full").glob("test-*.parquet"):
        shutil.copy(shard, hospital / "data" / shard.name)
    shutil.copy(archive / "SYNTHETIC.txt", hospital)
    run(score, checkpoint, "--dataset", hospital, "--output-dir", tmp_path / "out")
    assert sorted(names_of(tmp_path / "out", "validation")) == sorted(chosen)
    assert names_of(tmp_path / "out", "test")
