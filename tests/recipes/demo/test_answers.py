"""The demo says of a file what predict.py says of it."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

import predict
from demo import answers
from dicoms import pixels, radiograph, save
from heatmap_models import FINDINGS, SIDE
from shown_model import WHOLE

GREYS = np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)
FORMS = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 90},
    "tiff": {"format": "TIFF", "compression": "tiff_lzw"},
}


@pytest.fixture(scope="module")
def models(request):
    """{form: (what the demo is given, the loaded model)}"""
    pytest.importorskip("onnxruntime")
    shown = request.getfixturevalue("shown")
    paths = {"onnx": str(shown / "model.onnx"), "checkpoint": str(shown / "convnext")}
    return {name: (model, answers.load(model)) for name, model in paths.items()}


def write_file(form, folder):
    if form == "dicom":
        return save(folder, radiograph(pixels()))
    path, file = folder / "scan", io.BytesIO()
    Image.fromarray(GREYS).save(file, **FORMS[form])
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.parametrize("model", ["onnx", "checkpoint"])
@pytest.mark.parametrize("form", [*FORMS, "dicom"])
def test_the_numbers_are_those_of_predict_bit_for_bit(models, model, form, tmp_path):
    if form == "dicom":
        pytest.importorskip("pydicom")
    place, loaded = models[model]
    file = str(write_file(form, tmp_path))
    predict.main([place, file, "--output-dir", str(tmp_path / "out"), "--format", "parquet", "--batch-size", "1"])
    row = pd.read_parquet(tmp_path / "out" / "predicted.parquet").iloc[0]
    found = answers.answer(loaded, file).found
    for what, values in found.values().items():
        np.testing.assert_array_equal(values[0], row[[f"{what}_{name}" for name in FINDINGS]].astype(float), what)
    assert np.array_equal(expit(found.logits[0]), row[[f"prob_{name}" for name in FINDINGS]].astype(float))


@pytest.mark.parametrize("model", ["onnx", "checkpoint"])
def test_there_is_a_heatmap_for_each_finding_and_a_larger_picture(models, model, tmp_path):
    found = answers.answer(models[model][1], str(write_file("png", tmp_path)))
    assert found.heat.shape == (len(FINDINGS), answers.HEAT, answers.HEAT, 4)
    assert found.picture.shape == (answers.PICTURE, answers.PICTURE)
    assert found.margin == (WHOLE - SIDE) / 2 / WHOLE


def test_a_file_that_cannot_be_read_is_a_sentence_for_its_owner(models, tmp_path):
    pytest.importorskip("pydicom")
    loaded = models["onnx"][1]
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(ValueError, match="^This file cannot be read: it is empty.$"):
        answers.answer(loaded, str(tmp_path / "x.png"))
    lateral = save(tmp_path, radiograph(pixels(), ViewPosition="LL"))
    with pytest.raises(ValueError, match="ViewPosition is LL.$") as refused:
        answers.answer(loaded, str(lateral))
    assert "--" not in str(refused.value), "no flags of a command"


def test_a_model_is_described_before_any_file(models):
    about = models["onnx"][1].about()
    assert about.findings == FINDINGS and len(about.rows) == 0 and about.calibration.n_images == 100
