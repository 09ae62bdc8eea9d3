"""The runs of an ablation: claims and the last line of a log."""

import subprocess
import sys

from chestxray.training import ablation_runs


def test_a_claim_keeps_others_out_and_ends_with_its_owner(tmp_path):
    path = tmp_path / "base" / "seed-0.lock"
    with ablation_runs.claim(path) as mine, ablation_runs.claim(path) as theirs:
        assert mine is not None and theirs is None
    with ablation_runs.claim(path) as again:
        assert again is not None


def test_a_claim_lasts_as_long_as_the_run_that_inherits_it(tmp_path):
    path = tmp_path / "seed-0.lock"
    with ablation_runs.claim(path) as lock:
        run = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()], start_new_session=True
        )
    with ablation_runs.claim(path) as other:
        assert other is None, "who started it has let go, the run has not"
    ablation_runs.stop(run)
    with ablation_runs.claim(path) as other:
        assert other is not None


def test_the_last_line_is_finetunes_own_without_folders(tmp_path):
    log = tmp_path / "seed-0.log"
    log.write_text(
        "finetune.py: an older attempt\n$ python\nTraining:   0%\rTraining:  50%\n"
        "finetune.py: /home/someone/val.txt, line 3: 00000001_000.png is not in train\nlauncher: status 1\n"
    )
    began = len("finetune.py: an older attempt\n")
    assert ablation_runs.last_line(log, began) == "finetune.py: val.txt, line 3: 00000001_000.png is not in train"
    log.write_text("Training:   0%\rKilled by ../nodes/a/b\n")
    assert ablation_runs.last_line(log, 0) == "Killed by b"


def test_lines_keep_hub_ids_shares_and_addresses_readable():
    for text in ("timm/resnet18 is no model", "and/or", "see https://example.org/a", "1/2"):
        assert ablation_runs.without_folders(text), text
    assert ablation_runs.without_folders("no file ~/runs/a.yaml here") == "no file a.yaml here"
    assert ablation_runs.without_folders("'/data/nih' holds nothing") == "'nih' holds nothing"
