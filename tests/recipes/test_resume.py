"""A run that is killed goes on where it stopped and ends as if nothing had happened."""

import json
import shutil
import signal

import pytest

import finetune
import forks
from chestxray.training import checkpoints
from conftest import ROOT
from endurance_jobs import epochs_without_speed

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
EVERYTHING = (  # all that has a state of its own, or draws random numbers
    *("--epochs", 4, "--batch-size", 16, "--device-batch-size", 6, "--ema", 0.9, "--mixup", 0.2, "--clip", 1),
    *("--randaugment", 6, "--label-smoothing", 0.1, "--checkpoint-steps", 1, "--num-proc", 1),
    *("--dataset-weights", 1),
)


@pytest.fixture(scope="module")
def command(synthetic, tmp_path_factory):
    """Flags of a small run with dropout, batch norm and everything that is drawn; the archive is in the cache."""
    model = tmp_path_factory.mktemp("model") / "resnet.json"
    model.write_text(json.dumps(RESNET | {"image_size": 32}))
    return ["--dataset", str(synthetic(patients=60)), "--model", str(model), *map(str, EVERYTHING)]


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "undisturbed"
    finetune.main([*command, "--output-dir", str(output)])
    return output


# The command, which kills itself when it has written the N-th file whose name begins so, whole or half of it, and has
# not yet moved it into its place.
KILLED = """
import os, runpy, signal, sys
name, number, part, *sys.argv = sys.argv[1:]
number = int(number)

def fsync(file, flush=os.fsync):
    global number
    path = os.readlink(f"/proc/self/fd/{file}")
    number -= f"/.{name}" in path  # the unfinished file, or the folder that it lies in
    if not number:
        if part == "half":
            os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    flush(file)

os.fsync = fsync
runpy.run_path(sys.argv[0], run_name="__main__")
"""
KILLS = [  # four steps in an epoch: what is killed, the step that it had gone on from, the one of the last checkpoint
    ("last", 3, "whole", 0, 2),
    ("last", 2, "half", 2, 3),  # the end of an epoch, whose best weights are there already
    ("best", 1, "whole", 3, 3),
    ("last", 9, "half", 3, 11),
]


def test_killed_whenever_it_writes_it_ends_with_the_same_weights(command, undisturbed, tmp_path):
    output, script = tmp_path / "killed", tmp_path / "killed.py"
    script.write_text(KILLED)
    for name, number, part, begun, done in KILLS:
        words = [name, number, part, ROOT / "recipes" / "finetune.py", *command, "--output-dir", output]
        killed = forks.run(script, *words, ACCELERATE_USE_CPU="true")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert (f"Going on from step {begun} of 16" in killed.stdout) == (begun > 0)
        assert list((output / "checkpoints").glob(".*")), "killed while it wrote"
        assert checkpoints.read_facts(output / "checkpoints" / "last.safetensors")["step"] == done
    finetune.main([*command, "--output-dir", str(output)])
    for file in ("model.safetensors", "all_results.json"):
        assert (output / file).read_bytes() == (undisturbed / file).read_bytes(), file
    assert sorted(path.name for path in output.iterdir()) == sorted(path.name for path in undisturbed.iterdir())
    kept = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (output, undisturbed)]
    assert kept[0] == kept[1]


def test_two_processes_killed_within_an_epoch_end_with_the_same_figures_and_weights(command, tmp_path):
    recipe, script = ROOT / "recipes" / "finetune.py", tmp_path / "killed.py"
    script.write_text(KILLED)
    flags = [*command, "--epochs", 2, "--output-dir"]
    assert forks.run_two(recipe, *flags, tmp_path / "whole").returncode == 0
    assert forks.run_two(script, "last", 4, "whole", recipe, *flags, tmp_path / "killed").returncode == -signal.SIGKILL
    assert checkpoints.read_facts(tmp_path / "killed" / "checkpoints" / "last.safetensors")["step"] == 3, "of four"
    done = forks.run_two(recipe, *flags, tmp_path / "killed")
    assert done.returncode == 0 and "Going on from step 3 of 8" in done.stdout, done.stderr
    whole, killed = (tmp_path / name for name in ("whole", "killed"))
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert epochs_without_speed(killed / "epochs.csv") == epochs_without_speed(whole / "epochs.csv")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(command, undisturbed, tmp_path):
    finetune.main([*command, "--output-dir", str(tmp_path / "same")])
    finetune.main([*command, "--seed", "1", "--epochs", "1", "--output-dir", str(tmp_path / "other")])
    same, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("same", "other"))
    assert same == (undisturbed / "model.safetensors").read_bytes()
    assert other != same


def test_the_best_and_the_last_are_kept_without_pickles(undisturbed):
    kept = sorted(path.name for path in (undisturbed / "checkpoints").iterdir())
    best = json.loads((undisturbed / "all_results.json").read_text())["best_epoch"]
    assert kept == [f"best-{best}.safetensors", "last.safetensors"]
    assert not [path for path in undisturbed.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pth", ".writing")]


def test_stopped_early_and_killed_before_it_was_written_it_does_not_train_on(command, tmp_path):
    flags = [*command, "--epochs", "30", "--learning-rate", "1e-9", "--patience", "1", "--output-dir", str(tmp_path)]
    finetune.main(flags)
    before = (tmp_path / "epochs.csv").read_bytes(), (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "all_results.json").unlink()
    finetune.main(flags)
    assert before == ((tmp_path / "epochs.csv").read_bytes(), (tmp_path / "model.safetensors").read_bytes())


def test_a_run_does_not_go_on_with_other_images(command, undisturbed, tmp_path):
    shutil.copytree(undisturbed / "checkpoints", tmp_path / "run" / "checkpoints")
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    facts = checkpoints.read_facts(last) | {"data": "0"}
    checkpoints.write_tensors(checkpoints.read_tensors(last), last, facts)
    with pytest.raises(ValueError, match="unfinished run on other images or labels"):
        finetune.main([*command, "--output-dir", str(tmp_path / "run")])


def test_an_unfinished_run_is_not_gone_on_with_under_other_settings(command, undisturbed, tmp_path):
    shutil.copytree(undisturbed / "checkpoints", tmp_path / "run" / "checkpoints")
    with pytest.raises(ValueError, match="unfinished run with clip 1.0, not 2.0. Give another --output-dir"):
        finetune.main([*command, "--clip", "2", "--output-dir", str(tmp_path / "run")])
