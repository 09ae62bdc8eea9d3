"""The page of an ablation whose runs did not all end well."""

import numpy as np

from chestxray.reporting import ablation_page
from chestxray.scoring.ablation import Score
from chestxray.scoring.ablation_table import Ablation, Row, RunResult, add_differences


def run(auroc, seed=0):
    influence = np.random.default_rng(int(auroc * 1000)).normal(size=30) / 1000
    return RunResult(Score(seed, auroc, influence, ("Mass",)), None, best_epoch=2, seconds=61.0, train_images=500)


def ablation(*rows):
    about = {"dataset": "made up", "synthetic": False}
    return Ablation(about, 100, 40, 1, "epochs 2", add_differences(rows), points=[])


def test_without_a_base_the_scores_are_shown_and_no_difference():
    page = ablation_page.markdown(ablation(Row("base", "", [], {0: "no <memory>"}), Row("b", "flip 0", [run(0.7)])))
    assert "| b | flip 0 | 1 | 0.7000 | – |" in page
    assert "base, seed 0: no &lt;memory&gt;" in page or "no \\<memory" in page
    assert "inside the noise |" not in page and "differences.svg" not in page


def test_one_seed_is_called_too_little():
    result = ablation(Row("base", "", [run(0.7)]), Row("b", "flip 0", [run(0.71)]))
    assert "the spread between seeds is unknown" in ablation_page.markdown(result)
    assert "the spread between seeds is unknown" in ablation_page.screen_text(result)
    assert result.rows[1].difference.seeds == 0


def test_with_two_seeds_no_such_note_and_the_same_figure_every_time():
    rows = [Row("base", "", [run(0.7), run(0.702, 1)]), Row("b", "flip 0", [run(0.75), run(0.752, 1)])]
    result = ablation(*rows)
    assert "is unknown" not in ablation_page.markdown(result)
    assert "| better |" in ablation_page.markdown(result)
    (first,), (second,) = ablation_page.draw(result), ablation_page.draw(result)
    assert first.svg == second.svg and first.name == "differences"
