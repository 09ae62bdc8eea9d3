"""A checkpoint is shown images as it was trained on them, unless a command says otherwise."""

import pytest

from chestxray.training.prediction_settings import prediction_settings, settings_of_training
from chestxray.training.settings import Settings
from chestxray.training.settings_files import write_settings


@pytest.fixture
def checkpoint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    trained = Settings(
        dataset=["someone/nih"],
        views="frontal",
        labeler="negbio",
        equalize=True,
        uncertain="ones",
        streaming=True,
        validation_list="list.txt",
    )
    write_settings(trained, tmp_path)
    return tmp_path


def test_what_nothing_is_said_of_stays_and_what_only_training_needs_goes(checkpoint):
    settings = prediction_settings(checkpoint)
    assert (settings.views, settings.labeler, settings.equalize) == ("frontal", "negbio", True)
    assert (settings.dataset, settings.validation_list) == (["someone/nih"], "list.txt")
    assert (settings.uncertain, settings.teacher, settings.streaming) == ("ignore", None, False)
    assert settings_of_training(checkpoint).uncertain == "ones", "the file itself is told as it is"


def test_a_command_has_the_last_word(checkpoint):
    settings = prediction_settings(checkpoint, views="all", labeler="both", equalize=False, allow_missing=True)
    assert (settings.views, settings.labeler, settings.equalize, settings.allow_missing) == ("all", "both", False, True)


def test_a_checkpoint_without_settings_names_no_dataset(checkpoint):
    (checkpoint / "settings.yaml").unlink()
    assert settings_of_training(checkpoint) is None
    settings = prediction_settings(checkpoint, views="frontal")
    assert settings.dataset == [] and settings.views == "frontal" and settings.equalize is False


def test_a_folder_that_is_no_checkpoint_is_refused(checkpoint):
    (checkpoint / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="is no checkpoint's folder: it has no config.json"):
        prediction_settings(checkpoint)
