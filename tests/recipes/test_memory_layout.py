"""Weights and images lie in memory as is faster, until a run has begun; what is learnt together is said."""

import json

import pytest

import finetune
from chestxray.training import device
from chestxray.training.checkpoints import read_facts

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


@pytest.fixture
def train(synthetic, tmp_path, monkeypatch):
    """`train(name, *flags)` trains a network with batch norm; returns (its folder, whether channels were last)."""
    model = tmp_path / "resnet.json"
    model.write_text(json.dumps(RESNET | {"image_size": 32}))
    layouts, fit_to_device = [], device.fit_to_device

    def watched(*given):
        layouts.append(given[-1])
        fit_to_device(*given)

    monkeypatch.setattr(device, "fit_to_device", watched)

    def train(name, *flags):
        common = ["--dataset", synthetic(patients=60), "--model", model, "--batch-size", 16, "--epochs", 1]
        finetune.main([str(flag) for flag in (*common, "--output-dir", tmp_path / name, *flags)])
        return tmp_path / name, layouts[-1]

    return train


def test_a_run_that_goes_on_keeps_its_layout_and_ends_with_the_same_weights(train, tmp_path, monkeypatch):
    whole, _ = train("whole", "--channels-last", "false")
    take_step = finetune.take_step

    def stop(run, batch, step, rate):
        if step == 2:
            raise InterruptedError("stopped")
        return take_step(run, batch, step, rate)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(finetune, "take_step", stop)
        train("stopped", "--channels-last", "false", "--checkpoint-steps", "1")
    assert read_facts(tmp_path / "stopped" / "checkpoints" / "last.safetensors")["channels_last"] is False
    stopped, channels_last = train("stopped", "--checkpoint-steps", "1")
    assert channels_last is False
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_new_run_of_a_network_with_batch_norm_has_its_channels_last_and_the_checkpoint_does_not_show_it(train):
    folders = {}
    for name, flags in {
        "default": [],
        "asked": ["--channels-last", "true"],
        "not": ["--channels-last", "false"],
    }.items():
        folders[name], channels_last = train(name, *flags)
        assert channels_last is (name != "not")
    weights = {name: (folder / "model.safetensors").read_bytes() for name, folder in folders.items()}
    assert weights["default"] == weights["asked"]
    scores = {name: json.loads((folder / "all_results.json").read_text()) for name, folder in folders.items()}
    assert scores["default"]["test_auroc"] == pytest.approx(scores["not"]["test_auroc"], abs=0.01)


@pytest.mark.parametrize(
    "flags, size, said",
    [
        (["--device-batch-size", 6, "--mixup", 0.2], 6, "Batch norm and mixup look at these alone"),
        (["--device-batch-size", 6], 6, "16 images is computed 6 at a time. Batch norm looks"),
        (["--mixup", 0.2], 16, None),
    ],
)
def test_what_sees_only_a_part_of_a_step_is_said_and_the_part_is_in_the_results(train, capsys, flags, size, said):
    folder, _ = train("run", "--epochs", 0, *flags)
    assert json.loads((folder / "all_results.json").read_text())["device_batch_size"] == size
    screen = capsys.readouterr().out
    assert said in screen if said else "at a time" not in screen
