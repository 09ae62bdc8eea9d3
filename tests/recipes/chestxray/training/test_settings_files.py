"""What a run wrote is read back as it was, or refused in one line."""

from dataclasses import asdict

import pytest
import yaml

from chestxray.training.command_line import parse_settings
from chestxray.training.settings import Settings
from chestxray.training.settings_files import differences, read_settings, refuse_other_settings, write_settings


@pytest.fixture
def run(tmp_path):
    """`run(text)` is a folder with this settings.yaml."""

    def write(text):
        (tmp_path / "settings.yaml").write_text(text)
        return tmp_path

    return write


def refusal(call, *arguments):
    with pytest.raises((ValueError, OSError)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_a_run_wrote_is_read_back(tmp_path):
    flags = ["--dataset", "Hôpital", "--epochs", "3", "--clip", "1", "--mixed-precision", "no"]
    written = parse_settings(flags)
    write_settings(written, tmp_path)
    assert read_settings(tmp_path) == read_settings(tmp_path / "settings.yaml") == written


def test_a_published_or_older_file_is_read_and_names_no_dataset_it_does_not_name(run):
    text = "model: resnet18\ndataset_weights: [1, 2]\nuncertain: self-trained\nviews: frontal\n"
    found = read_settings(run(text))
    assert (found.dataset, found.views, found.equalize) == ([], "frontal", False)


def test_a_file_cut_off_is_not_taken_for_that_of_an_older_version(tmp_path):
    write_settings(Settings(equalize=True), tmp_path)
    whole = (tmp_path / "settings.yaml").read_text()
    for end in (*range(0, len(whole) - 2, 97), len(whole) - 2):
        (tmp_path / "settings.yaml").write_text(whole[:end])
        assert "settings.yaml" in refusal(read_settings, tmp_path), whole[:end]


@pytest.mark.parametrize(
    "line, message",
    [
        ("learning_rte: 1", "line 3: learning_rte is no setting here. If another version of these recipes"),
        ("epochs: 2.5", "line 3: epochs is 2.5; it must be a whole number"),
        ("views: front", "line 3: views is 'front'; it must be one of all, frontal"),
        ("1: 2", "has 1 where the name of a setting is expected"),
    ],
)
def test_a_runs_file_with_another_key_or_value_is_refused_by_line(run, line, message):
    assert message in refusal(read_settings, run(f"model: resnet18\nseed: 1\n{line}\n"))


def test_a_run_of_an_older_version_is_the_same_run_where_new_settings_have_their_defaults(run):
    mine = parse_settings(["--model", "resnet18", "--epochs", "3"])
    older = {name: value for name, value in asdict(mine).items() if name != "equalize"}
    refuse_other_settings(run(yaml.safe_dump(older)), mine)
    with pytest.raises(ValueError, match="holds a finished run with epochs 4, not 3. Give another"):
        refuse_other_settings(run(yaml.safe_dump(older | {"epochs": 4})), mine)


def test_only_what_is_learnt_tells_two_runs_apart():
    mine = Settings(seed=1)
    machine = {"num_proc": 3, "workers": 1, "compile": True, "output_dir": "elsewhere", "trackers": ["wandb"]}
    assert differences(mine, Settings(seed=1, **machine)) == []
    assert differences(mine, Settings(seed=2)) == ["seed 2, not 1"]
