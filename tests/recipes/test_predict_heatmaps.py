"""What `predict.py --heatmaps` promises, asked of the command itself."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import forks
import predict
import small_chunks
from chestxray.models.heatmaps import Heatmapper
from chestxray.predicting import file_chunks, overlays
from chestxray.predicting.onnx_run import OnnxPredictor
from conftest import ROOT
from shown_model import write_checkpoint

SCRIPT = ROOT / "recipes" / "predict.py"
CALLED = ["Edema", "Mass"]


def run(*flags):
    predict.main([str(flag) for flag in flags])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "convnext")


@pytest.fixture(scope="module")
def exported(request):
    pytest.importorskip("onnxruntime")
    return request.getfixturevalue("shown") / "model.onnx"


@pytest.fixture
def files(tmp_path):
    """Two wards, each with files of the same names; one file is empty."""
    for ward in ("a", "b"):
        (tmp_path / "scans" / ward).mkdir(parents=True)
        for number in range(3):
            noise = np.random.default_rng(number + 10 * (ward == "b")).integers(0, 256, (40, 50), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "scans" / ward / f"{number}.png")
    (tmp_path / "scans" / "b" / "2.png").write_bytes(b"")
    return tmp_path / "scans"


def table_of(output):
    return pd.read_csv(output / "predicted.csv", keep_default_na=False, na_values=[""])


def pictures(output):
    """{place: bytes} of all files below the output's heatmaps."""
    folder = output / "heatmaps"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["checkpoint", "exported"])
def test_each_called_finding_has_a_picture_that_the_table_names(request, files, tmp_path, form, capsys):
    run(request.getfixturevalue(form), files, "--output-dir", tmp_path / "out", "--heatmaps")
    table, found = table_of(tmp_path / "out"), pictures(tmp_path / "out")
    assert list(table)[:4] == ["path", "error", "heatmaps", "prob_Mass"]
    read = [f"{ward}/{number}.png" for ward in "ab" for number in range(3)][:-1]
    assert set(found) == {f"{file}/{finding}.png" for file in read for finding in CALLED}
    assert table["heatmaps"][0] == "heatmaps/a/0.png/Mass.png; heatmaps/a/0.png/Edema.png", (
        "the highest percentile first"
    )
    assert table["heatmaps"][5] == overlays.NOT_READ and table["error"][5] == "it is empty"
    picture = Image.open(tmp_path / "out" / "heatmaps/a/0.png/Mass.png")
    assert (picture.size, picture.mode, picture.info) == ((512, 512), "RGB", {})
    assert found["a/0.png/Mass.png"] != found["b/0.png/Mass.png"], "two files of one name"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["heatmaps", "predicted.csv"]
    assert "holds predicted.csv and heatmaps/" in capsys.readouterr().out


def test_an_onnx_file_draws_what_its_checkpoint_draws(checkpoint, exported, files, tmp_path):
    for name, model in (("torch", checkpoint), ("onnx", exported)):
        run(model, files / "a", "--output-dir", tmp_path / name, "--heatmaps")
    ours, theirs = (pictures(tmp_path / name) for name in ("onnx", "torch"))
    assert set(ours) == set(theirs) and len(ours) == 6
    for place in ours:
        both = [np.asarray(Image.open(tmp_path / name / "heatmaps" / place), int) for name in ("torch", "onnx")]
        assert np.abs(both[0] - both[1]).max() <= 3


def test_without_thresholds_the_highest_findings_have_a_picture(checkpoint, files, tmp_path):
    calibration = checkpoint / "calibration.json"
    kept = calibration.read_bytes()
    calibration.unlink()
    try:
        run(checkpoint, files / "a", "--output-dir", tmp_path / "out", "--heatmaps", "--format", "json")
    finally:
        calibration.write_bytes(kept)
    first = json.loads((tmp_path / "out" / "predicted.json").read_text())["files"][0]
    order = sorted(first["findings"], key=lambda name: -first["findings"][name]["prob"])
    assert first["heatmaps"].split("; ") == [f"heatmaps/0.png/{name}.png" for name in order]
    assert len(order) == overlays.HIGHEST


def test_attention_has_pictures_too(tmp_path, files):
    vit = write_checkpoint(tmp_path / "runs" / "vit", "vit")
    run(vit, files / "a" / "0.png", "--output-dir", tmp_path / "out", "--heatmaps")
    assert set(pictures(tmp_path / "out")) == {f"0.png/{finding}.png" for finding in CALLED}


def test_a_stopped_run_draws_no_picture_twice(checkpoint, files, tmp_path, monkeypatch):
    monkeypatch.setattr(file_chunks, "CHUNK", 2)
    run(checkpoint, files, "--output-dir", tmp_path / "whole", "--heatmaps")
    compute, drawn, real = [], [], Heatmapper.compute

    def stop(self, pixels):
        compute.append(len(pixels))
        if len(compute) == 2:
            raise KeyboardInterrupt
        return real(self, pixels)

    monkeypatch.setattr(Heatmapper, "compute", stop)
    flags = [checkpoint, files, "--output-dir", tmp_path / "out", "--heatmaps"]
    with pytest.raises(KeyboardInterrupt):
        run(*flags)
    unfinished = tmp_path / "out" / ".unfinished" / "heatmaps"
    assert len(list(unfinished.rglob("*.png"))) > 0 and not (tmp_path / "out" / "heatmaps").exists()
    kept = shutil.copytree(tmp_path / "whole" / "heatmaps" / "a" / "2.png", unfinished / "a" / "2.png")
    (kept / ".Mass.png.1.writing").write_bytes(b"half")
    monkeypatch.setattr(Heatmapper, "compute", real)
    write = overlays.write
    monkeypatch.setattr(overlays, "write", lambda path, content: drawn.append(path) or write(path, content))
    run(*flags)
    assert pictures(tmp_path / "out") == pictures(tmp_path / "whole")
    names = {f"{path.parents[1].name}/{path.parent.name}" for path in drawn}
    assert names == {"b/0.png", "b/1.png"}, "neither those of a finished part nor those of an unfinished one"
    pd.testing.assert_frame_equal(table_of(tmp_path / "out"), table_of(tmp_path / "whole"))


def test_another_rule_is_another_run(checkpoint, files, tmp_path, monkeypatch):
    monkeypatch.setattr(file_chunks, "predict_chunks", lambda *_, **__: pytest.exit("stopped"))
    flags = [checkpoint, files, "--output-dir", tmp_path / "out", "--heatmaps"]
    with pytest.raises(BaseException, match="stopped"):
        run(*flags)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unfinished run with other files, weights or settings"):
        run(*flags, "--rule", "f1")


def test_two_processes_draw_what_one_draws(checkpoint, files, tmp_path, monkeypatch):
    words = [SCRIPT, checkpoint, files, "--heatmaps", "--output-dir", tmp_path / "two"]
    done = forks.run_two(ROOT / "tests" / "small_chunks.py", *words)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(file_chunks, "CHUNK", small_chunks.SIZE)
    run(checkpoint, files, "--heatmaps", "--output-dir", tmp_path / "one")
    assert len(table_of(tmp_path / "one")) > small_chunks.SIZE, "each process has a chunk"
    assert set(pictures(tmp_path / "one")) == set(pictures(tmp_path / "two"))
    assert list(table_of(tmp_path / "one")["heatmaps"]) == list(table_of(tmp_path / "two")["heatmaps"])


def test_a_model_without_maps_is_one_clear_line(exported, files, tmp_path, monkeypatch):
    monkeypatch.setattr(OnnxPredictor, "has_maps", property(lambda self: False))
    with pytest.raises(ValueError, match="model.onnx gives no heatmaps: leave --heatmaps out or give its checkpoint"):
        run(exported, files, "--output-dir", tmp_path / "out", "--heatmaps")
    assert not (tmp_path / "out").exists()


def test_pictures_without_a_folder_are_refused(checkpoint, files):
    with pytest.raises(ValueError, match="--heatmaps needs --output-dir"):
        run(checkpoint, files, "--heatmaps")
