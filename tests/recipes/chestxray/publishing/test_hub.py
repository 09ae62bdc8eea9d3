"""What goes wrong on the way to the Hub is told in one line that anybody may read."""

import shutil

import pytest

from chestxray.publishing import hub
from chestxray.repository import SAMPLE


def test_a_token_in_an_error_is_struck_out(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_SecretOfMine")
    with (
        pytest.raises(OSError, match="cannot be reached for someone/model") as caught,
        hub.clear_errors("someone/model"),
    ):
        raise ConnectionError("https://user:hf_SecretOfMine@hub.example refuses\nand says more")
    assert "hf_SecretOfMine" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_upload_that_breaks_says_that_the_same_command_goes_on(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_SecretOfMine")
    with pytest.raises(OSError, match="Start the same command again") as caught, hub.clear_errors("someone/set"):
        raise RuntimeError("Data processing error: hf_SecretOfMine\nis not taken")  # as of hf_xet
    assert "hf_SecretOfMine" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_example_goes_only_if_it_is_the_drawn_one(tmp_path):
    images = SAMPLE / "images"
    shutil.copy(images / "00000001_000.png", tmp_path / "example.png")
    assert set(hub.model_files(tmp_path)) == {"example.png"}
    shutil.copy(images / "00000001_001.png", tmp_path / "example.png")
    assert not hub.model_files(tmp_path), "it may be a person's"
