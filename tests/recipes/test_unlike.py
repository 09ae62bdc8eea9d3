"""Pictures that are no chest, or not the right way up, are told from the training images: finetune, score, predict."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import finetune
import forks
import predict
import score
from chestxray.models.weights import digest_weights
from chestxray.publishing import hub
from chestxray.scoring import feature_statistics
from conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
UNLIKE = "This does not look like the images that the model was trained on"


def run(command, *flags):
    command.main([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def checkpoint(archive, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vit"
    run(finetune, "--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", folder)
    run(score, folder)
    return folder


@pytest.fixture(scope="module")
def chests(archive):
    """The paths of the test images."""
    return [archive / "images" / name for name in (archive / "test_list.txt").read_text().split()]


@pytest.fixture(scope="module")
def others(chests, tmp_path_factory):
    """{kind: path} of pictures of another kind."""
    folder = tmp_path_factory.mktemp("others")
    with Image.open(chests[0]) as image:
        chest = np.asarray(image.convert("L"))
    pictures = {
        "noise": np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8),
        "inverted": 255 - chest,
        "turned": np.rot90(chest),
        "black": np.zeros((64, 64), np.uint8),
    }
    for kind, picture in pictures.items():
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{kind}.png")
    return {kind: folder / f"{kind}.png" for kind in pictures}


def flags_of(checkpoint, output, *files):
    run(predict, checkpoint, *files, "--output-dir", output, "--format", "parquet")
    table = pd.read_parquet(output / "predicted.parquet")
    return table["unlike_training"], table["distance"]


@pytest.mark.parametrize("kind", ["noise", "inverted", "turned", "black"])
def test_a_picture_of_another_kind_is_flagged(checkpoint, others, tmp_path, capsys, kind):
    flagged, distance = flags_of(checkpoint, tmp_path, others[kind])
    assert flagged[0] == 1 and distance[0] > 1
    assert capsys.readouterr().out.count(UNLIKE) == 1


def test_most_test_chests_are_not_flagged_and_the_scorecard_says_how_many_are(checkpoint, chests, tmp_path, capsys):
    flagged, distance = flags_of(checkpoint, tmp_path, *chests)
    assert flagged.mean() < 0.2 and distance.median() < 0.9 and capsys.readouterr().out.count(UNLIKE) == flagged.sum()
    card = json.loads((checkpoint / "score" / "scorecard.json").read_text())
    assert card["unlike_training"]["share"] == pytest.approx(flagged.mean()), (
        "the distance is the same in both commands"
    )
    assert card["unlike_training"]["images"] == len(chests) and card["unlike_training"]["share_asked_for"] == 0.01
    assert "test images are flagged as unlike the training images" in (checkpoint / "score" / "report.md").read_text()


def test_a_chest_has_no_warning_and_an_unread_file_no_distance(checkpoint, chests, tmp_path, capsys):
    statistics = feature_statistics.find(checkpoint, "none")
    assert statistics.n_train > 100 and statistics.sha256 == digest_weights(checkpoint)
    (tmp_path / "bad.png").write_text("no image")
    flagged, distance = flags_of(checkpoint, tmp_path / "all", *chests, tmp_path / "bad.png")
    nearest = chests[distance.argmin()]
    assert pd.isna(flagged.iloc[-1]) and np.isnan(distance.iloc[-1])
    capsys.readouterr()
    run(predict, checkpoint, nearest)
    assert UNLIKE not in capsys.readouterr().out


def test_json_says_it_too(checkpoint, others, chests, tmp_path):
    run(predict, checkpoint, others["noise"], "--output-dir", tmp_path, "--format", "json")
    (file,) = json.loads((tmp_path / "predicted.json").read_text())["files"]
    assert file["unlike_training"] is True and file["distance"] > 1


def test_views_are_described_by_their_middle(checkpoint, others, chests, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "vit", ignore=shutil.ignore_patterns("score", "feature*"))
    run(score, copy, "--tta", "ten-crop")
    flagged, distance = flags_of(copy, tmp_path / "out", others["noise"], *chests)
    card = json.loads((copy / "score" / "scorecard.json").read_text())
    assert flagged[0] == 1 and card["unlike_training"]["share"] == pytest.approx(flagged[1:].mean())


def test_statistics_that_are_not_there_or_of_other_weights_are_not_taken(checkpoint, chests, tmp_path, capsys):
    copy = shutil.copytree(checkpoint, tmp_path / "vit", ignore=shutil.ignore_patterns("score", "feature*"))
    run(predict, copy, chests[0])
    assert f"has no feature_statistics.npz. Run: python recipes/score.py {copy}" in capsys.readouterr().out
    found = feature_statistics.read(checkpoint / "feature_statistics.npz")
    feature_statistics.save(type(found)(**{**vars(found), "sha256": "0" * 64}), copy)
    run(predict, copy, chests[0])
    assert "feature_statistics.npz is of other weights or views. Run: python" in capsys.readouterr().out
    (copy / "feature_statistics.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="feature_statistics.npz is damaged .*run score.py again"):
        run(predict, copy, chests[0])


def test_a_push_takes_the_numbers_and_nothing_that_was_added(checkpoint, tmp_path):
    path = checkpoint / "feature_statistics.npz"
    with np.load(path) as arrays:
        names = set(arrays)
        np.savez(tmp_path / path.name, **arrays, patients=np.array(["00000003"]))
    assert names == {"about", "features_mean", "features_whitener", "copy_mean", "copy_whitener"}
    (pushed,) = hub.model_files(tmp_path).values()
    assert pushed == path.read_bytes() and b"00000003" not in pushed
    (tmp_path / path.name).write_bytes(b"patient 00000003")
    assert not hub.model_files(tmp_path)


def test_two_processes_find_the_numbers_of_one(checkpoint, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "vit", ignore=shutil.ignore_patterns("score", "feature*"))
    done = forks.run_two(ROOT / "tests" / "blank_pictures.py", ROOT / "recipes" / "score.py", copy)
    assert done.returncode == 0, done.stderr
    one, two = (feature_statistics.read(folder / "feature_statistics.npz") for folder in (checkpoint, copy))
    assert (two.n_train, two.n_validation, two.sha256) == (one.n_train, one.n_validation, one.sha256)
    assert two.false_alarms == one.false_alarms
    for part, wanted in one.references.items():
        found = two.references[part]
        np.testing.assert_allclose(found.mean, wanted.mean, atol=1e-4)
        np.testing.assert_allclose(
            found.whitener, wanted.whitener, rtol=1e-2, atol=1e-3 * np.abs(wanted.whitener).max()
        )
        assert found.limit == pytest.approx(wanted.limit, rel=1e-3)
    card = json.loads((copy / "score" / "scorecard.json").read_text())
    assert card["unlike_training"]["share"] == next(iter(one.false_alarms.values()))[0]
