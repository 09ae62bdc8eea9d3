"""What goes wrong on the way to the Hub is told in one line that anybody may read."""

import pytest

from chestxray.publishing import hub


def test_a_token_in_an_error_is_struck_out(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_SecretOfMine")
    with (
        pytest.raises(OSError, match="cannot be reached for someone/model") as caught,
        hub.clear_errors("someone/model"),
    ):
        raise ConnectionError("https://user:hf_SecretOfMine@hub.example refuses\nand says more")
    assert "hf_SecretOfMine" not in str(caught.value) and "\n" not in str(caught.value)
