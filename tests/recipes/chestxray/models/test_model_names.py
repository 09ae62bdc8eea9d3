"""What is a path is not looked for on the Hub."""

import pytest

from chestxray.models.model_names import refuse_unknown_name


@pytest.mark.parametrize("name", ["runs/typo", "./typo", "../typo", "/nowhere/typo", "out/run/typo"])
def test_a_path_that_is_not_there_is_no_folder(name):
    with pytest.raises(ValueError, match=f"^{name} is no folder"):
        refuse_unknown_name(name, ["vit-base"])


def test_the_nearest_folder_is_named(tmp_path):
    (tmp_path / "local").mkdir()
    with pytest.raises(ValueError, match="locl is no folder. Did you mean .*local"):
        refuse_unknown_name(str(tmp_path / "locl"), [])
    refuse_unknown_name(str(tmp_path / "local"), [])


def test_a_name_with_one_slash_may_be_a_repository():
    refuse_unknown_name("facebook/convnextv2-base-22k-224", ["vit-base"])
