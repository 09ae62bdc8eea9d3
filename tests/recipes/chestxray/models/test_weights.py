"""Predictions know their model by its weights."""

import hashlib

import pytest

from chestxray.models.weights import digest_weights


def test_the_digest_is_of_all_weights_in_the_order_of_their_names_and_of_nothing_else(tmp_path):
    for name, content in (("b.safetensors", b"two"), ("a.safetensors", b"one"), ("config.json", b"{}")):
        (tmp_path / name).write_bytes(content)
    assert digest_weights(tmp_path) == hashlib.sha256(b"onetwo").hexdigest()


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no \*.safetensors"):
        digest_weights(tmp_path)
