"""What a plan may say."""

from pathlib import Path

import pytest

from chestxray.training import ablation_plan
from conftest import ROOT


def read(tmp_path, text, flags=()):
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    return ablation_plan.read_plan(path, flags)


@pytest.mark.parametrize(
    "text, message",
    [
        ("change: {}", "plan.yaml, line 1: change is no part of a plan. Did you mean changes?"),
        ("changes: {a b: {flip: 0}}", "a b cannot name a change"),
        ("changes: {base: {flip: 0}}", "base cannot name a change"),
        ("changes: {a: {flipp: 0}}", "a: flipp is no setting. Did you mean flip?"),
        ("changes: {a: {flip: 2}}", "a: flip is 2; it must be at least 0 and at most 1"),
        ("changes: {a: {learning_rate: 1e-3}}", "write 1.0e-4"),
        ("changes: {a: {clip: null}}", "clip is null, which no flag can say"),
        ("changes: {a: {seed: 1}}", "seed is given by this command itself"),
        ("base: {output_dir: x}", "output_dir is given by this command itself"),
        ("seeds: 3", "seeds is 3; it must be a list of whole numbers"),
        ("subsets: [-1]", "a subset has train_images -1; it must be a number of images, or all"),
        ("validation_share: 2", "validation_share is 2; it must be a number above 0 and below 1"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_settings_that_do_not_go_together_are_refused_by_the_changes_name(tmp_path):
    plan = read(tmp_path, "changes: {a: {uncertain: multi-class, mixup: 0.2}}")
    with pytest.raises(ValueError, match="^a: multi-class labels take neither mixup"):
        plan.runs(tmp_path, None)


def test_flags_replace_the_base_and_a_change_replaces_the_flags(tmp_path):
    flags = ["--epochs=2", "--findings", "nih14", "--compile", "--trackers", "tensorboard", "wandb"]
    plan = read(tmp_path, "base: {epochs: 1, batch_size: 8}\nchanges: {longer: {epochs: 3}}", flags)
    base, longer = (run.settings for run in plan.runs(tmp_path, None))
    assert (base.epochs, base.batch_size, base.compile, base.trackers) == (2, 8, True, ["tensorboard", "wandb"])
    assert (longer.epochs, longer.batch_size, longer.test) == (3, 8, False)
    assert Path(str(longer.output_dir)) == tmp_path / "longer" / "seed-0"


def test_seeds_come_after_changes_so_that_an_early_look_sees_all(tmp_path):
    plan = read(tmp_path, "seeds: [4, 7]\nchanges: {a: {flip: 0}}\nsubsets: [10, all]")
    runs = [(run.name, run.seed) for run in plan.runs(tmp_path, None)]
    assert runs == [(name, seed) for seed in (4, 7) for name in ("base", "a", "images-10")]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "plans").glob("*.yaml")), ids=lambda path: path.stem)
def test_our_plans_are_good(path, tmp_path):
    plan = ablation_plan.read_plan(path, ["--dataset", "somewhere"])
    assert len(plan.runs(tmp_path, None)) >= 8
    assert path.read_text().startswith("# ")
