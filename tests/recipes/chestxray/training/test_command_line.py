"""Every value is checked, whether a preset or a flag has it, and an error is one line."""

import dataclasses

import pytest

from chestxray.repository import SAMPLE
from chestxray.training.command_line import parse_settings
from chestxray.training.settings_files import write_settings


@pytest.fixture
def preset(tmp_path):
    """`preset(text)` writes a preset and returns the flags that ask for it."""

    def write(text):
        path = tmp_path / "own.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--model", str(path)]

    return write


def refusal(call, *arguments):
    with pytest.raises((ValueError, OSError)) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


IDLE = {"crop": 1.0, "flip": 0.0, "rotate": 0.0, "randaugment": 0.0, "mixup": 0.0, "layer_decay": 1.0}


@pytest.mark.parametrize("flags", [["--model", "sample"], ["--model", "medmae-vit-base"], ["--flip", "0"]])
def test_under_freeze_defaults_and_presets_ask_for_no_augmentation(flags):
    found = parse_settings([*flags, "--freeze"])
    assert {name: getattr(found, name) for name in IDLE} == IDLE
    assert parse_settings(flags[:2]).rotate + parse_settings(flags[:2]).randaugment > 0


def test_a_preset_that_asks_for_freeze_and_augmentation_is_refused_and_a_flag_ends_its_freeze(preset):
    flags = preset("model: resnet18\nfreeze: true\nrotate: 5\n")
    assert "--rotate can change nothing there, leave it out" in refusal(parse_settings, flags)
    assert parse_settings([*flags, "--freeze", "false"]).rotate == 5
    assert parse_settings(["--model", "rad-dino", "--freeze", "false"]).flip > 0


LISTS = "model: resnet18\ndataset: [A, B]\ndataset_weights: [1, 2]\ntrackers: [wandb]\n"


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([], (["A", "B"], [1, 2], ["wandb"])),
        (["--dataset", "C", "--dataset-weights", "3"], (["C"], [3], ["wandb"])),
        (["--dataset", "C", "D"], (["C", "D"], [1, 2], ["wandb"])),
        (["--dataset", "C", "--dataset", "D"], (["C", "D"], [1, 2], ["wandb"])),
        (["--trackers", "trackio"], (["A", "B"], [1, 2], ["trackio"])),
    ],
)
def test_a_list_on_the_command_line_takes_the_place_of_the_presets(preset, flags, expected):
    found = parse_settings([*preset(LISTS), *flags])
    assert (found.dataset, found.dataset_weights, found.trackers) == expected


def test_without_a_preset_lists_are_what_the_flags_say():
    flags = ["--model", "resnet18"]
    assert parse_settings(flags).dataset == [str(SAMPLE)]
    assert parse_settings([*flags, "--dataset", "A", "--dataset", "B", "C"]).dataset == ["A", "B", "C"]


def test_flags_and_preset_are_judged_together_not_one_by_one(preset):
    flags = preset("model: resnet18\ndataset: [A, B]\n")
    assert parse_settings([*flags, "--dataset-weights", "1", "2"]).dataset_weights == [1, 2]
    with pytest.raises(ValueError, match="3 dataset_weights for 2 datasets"):
        parse_settings([*flags, "--dataset-weights", "1", "2", "3"])


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--epochs", "2.5"], "argument --epochs: invalid int value: '2.5'"),
        (["--learning-rate", "nan"], "learning_rate is nan; it must be a finite number"),
        (["--learning-rate=-inf"], "learning_rate is -inf; it must be a finite number"),
        (["--learning-rate", "-1"], "learning_rate is -1.0; it must be at least 0"),
        (["--crop", "0"], "crop is 0.0; it must be above 0 and at most 1"),
        (["--drop-path", "1"], "drop_path is 1.0; it must be at least 0 and below 1"),
        (["--rotate", "-5"], "rotate is -5.0; it must be at least 0 and at most 180"),
        (["--randaugment", "11"], "randaugment is 11.0; it must be at least 0 and at most 10"),
        (["--seed", "-1"], "seed is -1; it must be at least 0 and below 4294967296"),
        (["--dataset", "A", "B", "--dataset-weights", "1", "0"], "dataset_weights is 0.0; it must be above 0"),
        (["--clip", "0"], "clip is 0.0; it must be above 0"),
        (["--workers", "-1"], "workers is -1; it must be at least 0"),
        (["--loss", "mse"], "argument --loss: invalid choice: 'mse' (choose from "),
        (["--learning-rte", "1"], "--learning-rte is no flag; --help lists them. Did you mean --learning-rate?"),
        (["--frobnicate"], "--frobnicate is no flag; --help lists them"),
    ],
)
def test_a_wrong_flag_is_named_in_one_line(flags, message):
    assert refusal(parse_settings, flags).startswith(message)


def test_a_wrong_value_gets_the_nearest_choice():
    assert refusal(parse_settings, ["--schedule", "cosin"]).endswith("). Did you mean cosine?")


QUOTES = ". YAML takes a plain yes, no, on or off for true or false: put it in quotes"
NUMBERS = ". YAML takes a number in quotes, and one like 1e-4, for text: write 1.0e-4"


@pytest.mark.parametrize(
    "text, message",
    [
        ("epochs: 2.5", "line 2: epochs is 2.5; it must be a whole number"),
        ("epochs: '3'", f"line 2: epochs is '3'; it must be a whole number{NUMBERS}"),
        ("epochs: true", f"line 2: epochs is True; it must be a whole number{QUOTES}"),
        ("crop: null", "line 2: crop is None; it must be a finite number"),
        ("crop: .nan", "line 2: crop is nan; it must be a finite number"),
        ("learning_rate: 1e-4", f"line 2: learning_rate is '1e-4'; it must be a finite number{NUMBERS}"),
        ("learning_rate: 1" + 400 * "0", "line 2: learning_rate is 1000"),
        ("mixed_precision: no", f"line 2: mixed_precision is False; it must be one of no, fp16, bf16 or null{QUOTES}"),
        ("compile: 1", "line 2: compile is 1; it must be true or false"),
        ("dataset: A", "line 2: dataset is 'A'; it must be a list (each item: text) or null"),
        (
            "dataset_weights: [1, x]",
            "line 2: dataset_weights is [1, 'x']; it must be a list (each item: a finite number)",
        ),
        ("uncertain: 1", "line 2: uncertain is 1; it must be text"),
        ("batch_size: 8\nbatch_size: 16", "line 3: batch_size comes a second time, first in line 2"),
        ("batch_sise: 8", "line 2: batch_sise is no setting. Did you mean batch_size?"),
    ],
)
def test_a_wrong_value_in_a_preset_is_named_with_its_file_and_line(preset, text, message):
    flags = preset(f"model: resnet18\n{text}\n")
    assert refusal(parse_settings, flags).startswith(f"{flags[1]}, {message}")


@pytest.mark.parametrize("encoding, line", [("latin-1", 3), ("utf-16", 1), ("utf-16-le", 1)])
def test_a_preset_of_another_encoding_is_refused_by_line(preset, encoding, line):
    flags = preset("model: resnet18\nseed: 1\n# größer\n".encode(encoding))
    assert f"own.yaml, line {line}: " in refusal(parse_settings, flags)
    assert "Save it as UTF-8" in refusal(parse_settings, flags)


@pytest.mark.parametrize("text", ["model: [", "model: a\n\tseed: 1", "seed: 2020-13-45", "\x07", 2000 * "[", "a: b: c"])
def test_what_is_no_yaml_is_refused_in_one_line(preset, text):
    flags = preset(text)
    assert f"{flags[1]} is no YAML: " in refusal(parse_settings, flags)


@pytest.mark.parametrize("text", ["", "- a\n- b", "words"])
def test_what_is_no_list_of_settings_is_refused(preset, text):
    assert "own.yaml is no list of settings" in refusal(parse_settings, preset(text))


def test_the_settings_of_a_run_are_a_preset_for_the_next_one(tmp_path):
    first = parse_settings(["--model", "sample", "--epochs", "3", "--batch-size", "8"])
    write_settings(first, tmp_path)
    again = parse_settings(["--model", str(tmp_path / "settings.yaml"), "--epochs", "5", "--output-dir", "other"])
    assert again == dataclasses.replace(first, epochs=5, output_dir="other")


def test_a_preset_that_trains_on_nothing_is_refused(preset):
    assert refusal(parse_settings, preset("model: resnet18\ndataset: []\n")).startswith("dataset is []; name one")
