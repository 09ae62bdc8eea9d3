"""What `recipes/export.py` promises, asked of the command itself."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest

import export
import finetune
import predict
import score
from browser import runtime_or_skip
from chestxray.data import predictions
from chestxray.exporting import onnx_file, onnx_graph
from chestxray.exporting.agreement import TOLERANCE, Disagreement
from chestxray.scoring import validation
from conftest import ROOT
from multilabel_auroc import auroc

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
RECIPES = ROOT / "recipes"
WITHOUT_TORCH = """
import sys
sys.path.insert(0, sys.argv[1])
import predict
predict.main(sys.argv[2:])
slow = {"torch", "transformers", "datasets", "accelerate", "sklearn"} & set(sys.modules)
assert "onnxruntime" in sys.modules and not slow, slow
"""


def run(*flags):
    export.main([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def checkpoint(archive, tiny, tmp_path_factory):
    """A scored checkpoint whose class activation map is exact. It sees the middle of its images."""
    folder = tmp_path_factory.mktemp("runs") / "convnext"
    flags = ["--dataset", archive, "--model", tiny("convnext"), "--epochs", 1, "--output-dir", folder]
    finetune.main([str(flag) for flag in [*flags, "--image-size", 32, "--resize", 36]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "FEWEST", 1)  # a small archive has few positives
        score.main([str(folder)])
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """The command as a user runs it: (standard output, the file)."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    command = [sys.executable, RECIPES / "export.py", checkpoint, path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, path


@pytest.fixture
def one_graph(graphs, monkeypatch):
    """PyTorch traces the checkpoint once for all tests that look at what stands around its graph."""
    build = onnx_graph.build_graph

    def build_or_copy(model, processor, layers, statistics):
        key = bool(statistics)
        if key not in graphs:
            graphs[key] = build(model, processor, layers, statistics)
        graph = onnx.ModelProto()
        graph.CopyFrom(graphs[key])
        return graph

    monkeypatch.setattr(onnx_graph, "build_graph", build_or_copy)


@pytest.fixture(scope="module")
def graphs():
    """{whether it gives the distance: the checkpoint's graph}"""
    return {}


def predicted(model, archive, folder):
    flags = [model, archive / "images", "--output-dir", folder, "--format", "parquet"]
    predict.main([str(flag) for flag in flags])
    return pd.read_parquet(folder / "predicted.parquet")


def random_pixels(count, size):
    return np.random.default_rng(1).integers(0, 256, (count, size, size), np.uint8)


# The same numbers


def test_predict_says_the_same_with_the_file_as_with_the_checkpoint(exported, checkpoint, archive, tmp_path):
    ours = predicted(exported[1], archive, tmp_path / "onnx")
    theirs = predicted(checkpoint, archive, tmp_path / "torch")
    assert list(ours) == list(theirs) and list(ours["path"]) == list(theirs["path"]) and len(ours) > 200
    for column in ours.columns[2:]:
        if column.startswith("call_") or column == "unlike_training":
            calls = [table[column].astype("Float64").fillna(-1) for table in (ours, theirs)]
            assert (calls[0] != calls[1]).mean() < 0.01, "a logit may lie at its threshold, a distance at its limit"
        else:
            apart = 1 if column.startswith("percentile_") else 1e-4 if column.startswith("prob") else 1e-3
            np.testing.assert_allclose(ours[column], theirs[column], atol=apart)
    assert ours.filter(like="calibrated_").notna().any().any() and ours["distance"].notna().all()


def test_predict_needs_neither_pytorch_nor_transformers(exported, archive, tmp_path):
    image = next((archive / "images").iterdir())
    flags = [RECIPES, exported[1], image, "--output-dir", tmp_path]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Pneumothorax" in done.stdout and "not a medical device" in done.stdout
    assert (tmp_path / "predicted.csv").exists()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_takes_any_number_of_images_and_each_mean_map_is_a_logit(exported, count):
    model = onnx_file.load(exported[1])
    found = model.outputs(random_pixels(count, 36))
    assert found["logits"].shape == found["probabilities"].shape == (count, 14)
    np.testing.assert_allclose(found["maps"].mean((2, 3)), found["logits"], atol=1e-4)
    np.testing.assert_allclose(found["probabilities"], 1 / (1 + np.exp(-found["logits"])), atol=1e-6)


def test_the_screen_and_the_metadata_say_how_it_was_compared(exported, checkpoint):
    screen, path = exported
    about = onnx_file.load(path).about
    assert "on 12 validation images of Synthetic" in screen
    assert "gives logits, probabilities, maps, distance" in screen
    assert about["check"]["batches"] == [1, 3] and about["check"]["images"].startswith("12 validation images")
    assert max(about["check"]["largest_difference"].values()) <= TOLERANCE
    assert (about["size"], about["crop"], about["int8"]) == (36, 32, None)
    assert {"torch", "onnx", "onnxruntime"} <= set(about["versions"])
    assert onnx.load(path).opset_import[0].version == about["opset"] == onnx_graph.OPSET
    assert about["findings"] == list(json.loads((checkpoint / "config.json").read_text())["id2label"].values())


@pytest.mark.usefixtures("one_graph")
def test_without_the_dataset_it_is_compared_on_the_sample_and_noise(checkpoint, tmp_path, capsys):
    alone = shutil.copytree(checkpoint, tmp_path / "alone", ignore=shutil.ignore_patterns("settings.yaml", "score"))
    run(alone, tmp_path / "folder", "--int8")
    screen = capsys.readouterr().out
    assert "9 synthetic images and 3 of noise" in screen and "not measured, because the dataset is not here" in screen
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["model.onnx"]
    with pytest.raises((ValueError, OSError), match="gone"):
        run(alone, tmp_path / "other", "--dataset", tmp_path / "gone")


@pytest.mark.parametrize(("output", "error"), [("logits", 1e-3), ("logits", np.nan), ("distance", 1e-2)])
def test_a_file_that_disagrees_is_not_written(checkpoint, one_graph, tmp_path, monkeypatch, output, error):
    build = onnx_graph.build_graph

    def disagree(*given):
        model = build(*given)
        (node,) = (node for node in model.graph.node if output in node.output)
        node.output[list(node.output).index(output)] = "right"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(error), "error"))
        model.graph.node.append(onnx.helper.make_node("Add", ["right", "error"], [output]))
        return model

    monkeypatch.setattr(onnx_graph, "build_graph", disagree)
    with pytest.raises(Disagreement, match=f"in its {output}, by .* Nothing is written"):
        run(checkpoint, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


# int8


@pytest.mark.usefixtures("one_graph")
def test_int8_shows_the_auroc_before_and_after(checkpoint, exported, archive, tmp_path, capsys):
    run(checkpoint, tmp_path / "small.onnx", "--int8")
    assert "Mean AUROC 0." in (screen := capsys.readouterr().out) and " before, 0." in screen
    small, cost = onnx_file.load(tmp_path / "small.onnx"), onnx_file.load(tmp_path / "small.onnx").about["int8"]
    assert abs(cost["auroc"]["before"] - cost["auroc"]["after"]) < 0.05 and "validation images" in cost["images"]
    table = predictions.read(checkpoint / "score" / "predictions.parquet").of("validation")
    assert cost["auroc"]["before"] == pytest.approx(np.nanmean(auroc(table.logits, table.targets)), abs=1e-3)
    assert 0 < cost["largest_difference"] < 0.5
    assert (tmp_path / "small.onnx").stat().st_size < exported[1].stat().st_size
    table = predicted(tmp_path / "small.onnx", archive, tmp_path / "out")
    assert small.calibration and table["prob_Mass"].notna().all()


# What is in the file


def test_nothing_in_the_file_tells_of_this_machine(exported, checkpoint, archive):
    data = exported[1].read_bytes()
    for word in (str(ROOT), str(checkpoint.parent), str(archive), "site-packages", ".py", sys.prefix):
        assert word.encode() not in data, word


@pytest.mark.usefixtures("one_graph")
def test_the_file_has_the_calibration_that_fits_it(checkpoint, exported, tmp_path, capsys):
    assert onnx_file.load(exported[1]).calibration.sha256 == onnx_file.load(exported[1]).about["sha256"]
    copy = shutil.copytree(checkpoint, tmp_path / "copy", ignore=shutil.ignore_patterns("score"))
    content = json.loads((copy / "calibration.json").read_text())
    for change, reason in (({"tta": "flip"}, "several views"), ({"sha256": "0" * 64}, "is of other weights")):
        changed = {**content, "about": {**content["about"], **change}}
        (copy / "calibration.json").write_text(json.dumps(changed))
        run(copy, tmp_path / "model.onnx")
        assert reason in capsys.readouterr().out
        assert onnx_file.load(tmp_path / "model.onnx").calibration is None
    predict.main([str(tmp_path / "model.onnx"), str(next((ROOT / "data" / "sample" / "images").iterdir()))])
    assert "exported without calibration" in capsys.readouterr().out


@pytest.mark.usefixtures("one_graph")
def test_without_statistics_of_these_weights_pictures_of_another_kind_are_not_noticed(checkpoint, tmp_path, capsys):
    copy = shutil.copytree(checkpoint, tmp_path / "copy", ignore=shutil.ignore_patterns("score", "feature*"))
    run(copy, tmp_path / "model.onnx")
    assert f"{copy} has no feature_statistics.npz. Run: python" in capsys.readouterr().out
    predict.main([str(tmp_path / "model.onnx"), str(next((ROOT / "data" / "sample" / "images").iterdir()))])
    assert "exported without feature_statistics.npz" in capsys.readouterr().out


# The page


@pytest.mark.usefixtures("one_graph")
def test_a_page_has_the_model_and_what_the_page_says_of_it(checkpoint, tmp_path, capsys):
    runtime = runtime_or_skip()
    run(checkpoint, tmp_path / "page", "--page", "--int8")
    names = {path.name for path in (tmp_path / "page").iterdir()}
    assert {"index.html", "sw.js", "README.md", "model.onnx", "example.png"} < names and len(names) > len(runtime) + 20
    assert f"{tmp_path / 'page'}: a static page, {len(names)} files" in capsys.readouterr().out
    about = json.loads((tmp_path / "page" / "model.json").read_text())
    model = onnx_file.load(tmp_path / "page" / "model.onnx")
    assert about["findings"] == model.findings and about["synthetic"] and about["int8"] and about["statistics"]
    assert about["name"] == checkpoint.name and about["bytes"] == (tmp_path / "page" / "model.onnx").stat().st_size
    assert about["calibration"]["about"]["sha256"] == about["sha256"]
    for path in (tmp_path / "page").iterdir():
        assert str(checkpoint.parent).encode() not in path.read_bytes(), path


def test_a_page_is_a_folder(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="is a file, and a page is a folder"):
        run(checkpoint, tmp_path / "model.onnx", "--page")
    with pytest.raises(FileNotFoundError, match="gone.tgz does not exist"):
        run(checkpoint, tmp_path / "page", "--page", "--onnxruntime-web", tmp_path / "gone.tgz")
    assert not list(tmp_path.iterdir())


# What is refused


def test_what_is_no_file_of_export_is_refused(exported, tmp_path):
    image = str(next((ROOT / "data" / "sample" / "images").iterdir()))
    with pytest.raises(FileNotFoundError, match="gone.onnx does not exist"):
        predict.main([str(tmp_path / "gone.onnx"), image])
    other, cut = tmp_path / "other.onnx", tmp_path / "cut.onnx"
    graph = onnx.load(exported[1])
    graph.ClearField("metadata_props")
    onnx.save(graph, other)
    cut.write_bytes(exported[1].read_bytes()[:1000])
    for path, reason in ((other, "is no file of export.py"), (cut, "is damaged, or no ONNX file")):
        with pytest.raises(ValueError, match=f"{path.name} {reason}"):
            predict.main([str(path), image])


def test_without_onnxruntime_it_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[export\]'"):
        onnx_file.load(exported[1])


def test_several_processes_are_refused(exported, archive, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="one process predicts with an ONNX file"):
        predict.main([str(exported[1]), str(archive)])


def test_a_folder_that_is_no_checkpoint_or_in_the_files_place_is_refused(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no checkpoint"):
        run(tmp_path, tmp_path / "model.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ValueError, match="folder.onnx cannot be written"):
        run(checkpoint, tmp_path / "folder.onnx")
