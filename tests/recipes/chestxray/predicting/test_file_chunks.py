"""Files go through in parts: each file once, in its order, whatever cannot be read or predicted."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from chestxray.predicting import file_chunks
from chestxray.predicting.checkpoint_predictor import CheckpointPredictor
from chestxray.predicting.file_chunks import Chunks
from chestxray.predicting.file_predictor import FileReading


class Mean(torch.nn.Module):
    """Its logits are the mean grey and the same again; no number for a white image."""

    def forward(self, pixel_values):
        mean = pixel_values.mean((1, 2, 3))[:, None]
        logits = torch.where(mean > 0.99, torch.nan, mean).repeat(1, 2)
        return type("Output", (), {"logits": logits})


@pytest.fixture
def predictor():
    sides = {"size": {"height": 8, "width": 8}, "do_center_crop": False}
    processor = CLIPImageProcessor(**sides, image_mean=[0.0] * 3, image_std=[1.0] * 3)
    reading = FileReading(size=8, equalize=False, voi="table", force=False)
    return CheckpointPredictor(Mean(), processor, ["A", "B"], reading, lambda x: [x], torch.device("cpu"), batch_size=2)


@pytest.fixture
def files(tmp_path):
    for number in range(7):
        Image.new("L", (8, 8), 20 * number).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"")
    Image.new("L", (8, 8), 255).save(tmp_path / "5.png")
    return [str(tmp_path / f"{number}.png") for number in range(7)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_file_comes_once_in_its_order(predictor, files, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(file_chunks, "CHUNK", 2)
    chunks = Chunks(files, tmp_path / "parts")
    numbers = chunks.missing()
    assert numbers == [0, 1, 2, 3]
    for process in range(processes):
        file_chunks.predict_chunks(predictor, chunks, numbers, process, processes)
    table = chunks.read()
    assert list(table["path"]) == files and not chunks.missing()
    assert list(table["error"]) == ["", "", "", "it is empty", "", file_chunks.NOT_FINITE, ""]
    wanted = [0, 20, 40, np.nan, 80, np.nan, 120]
    np.testing.assert_allclose(table["A"] * 255, wanted, atol=1e-3)
    np.testing.assert_array_equal(table["A"], table["B"])


def test_a_part_of_which_no_file_can_be_read_has_its_rows(predictor, tmp_path):
    chunks = Chunks([str(tmp_path / "gone.png"), str(tmp_path)], tmp_path / "parts")
    file_chunks.predict_chunks(predictor, chunks, chunks.missing())
    table = chunks.read()
    assert list(table["error"]) == ["no such file or directory", "is a directory"] and table["A"].isna().all()


def test_a_changed_file_is_another_job(predictor, files, tmp_path):
    chunks = Chunks(files, tmp_path / "parts")
    file_chunks.claim(chunks, {"sha256": "a"})
    file_chunks.claim(chunks, {"sha256": "a"})
    for job in ({"sha256": "b"}, {"sha256": "a"}):
        if job["sha256"] == "a":
            Image.new("L", (9, 9)).save(files[0])
        with pytest.raises(ValueError, match="parts is of an unfinished run with other files, weights or settings"):
            file_chunks.claim(chunks, job)
