"""The configurations and the Slurm script under recipes/launch start what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

import finetune
from conftest import ROOT, own_port
from fork_launcher import ForkLauncher

LAUNCH = ROOT / "recipes" / "launch"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("config", sorted(LAUNCH.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_every_configuration(config):
    read = load_config_from_file(str(config))
    assert read.mixed_precision == "bf16"
    assert read.num_processes == (1 if config.stem == "one-gpu" else 8)
    assert (read.distributed_type.value == "FSDP") == (config.stem == "fsdp")


# Slurm as far as the script needs it: srun starts the command once per node, here side by side.
SRUN = """#!/usr/bin/env bash
for ((node = 0; node < SLURM_NNODES; node++)); do SLURM_NODEID=$node "$@" & done
for job in $(jobs -p); do wait "$job" || exit 1; done
"""


def test_the_slurm_script_trains_on_two_nodes_as_one_job(synthetic, tiny, tmp_path):
    tools = {"srun": SRUN, "scontrol": "#!/usr/bin/env bash\necho 127.0.0.1\necho 127.0.0.2\n"}
    (tmp_path / "bin").mkdir()
    for name, script in tools.items():
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    slurm = {"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_NODELIST": "node[1-2]"}
    environment = {**os.environ, **slurm, "PATH": f"{tmp_path / 'bin'}:{BIN}:{os.environ['PATH']}"}
    # no GPU here: two processes on the CPU, one per node
    environment |= {"ACCELERATE_USE_CPU": "true", "MIXED_PRECISION": "no", "MAIN_PORT": str(own_port())}
    launcher = ForkLauncher()
    environment["PYTHON_EXEC"] = str(launcher.python)  # what torchrun starts finetune.py with
    flags = ["--dataset", synthetic(patients=60), "--model", tiny("vit"), "--epochs", 1, "--batch-size", 16]
    finetune.main(list(map(str, [*flags, "--output-dir", tmp_path / "one"])))
    flags += ["--output-dir", tmp_path / "a b"]
    done = subprocess.run(
        ["bash", LAUNCH / "slurm.sh", *map(str, flags)], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(launcher.started) == 2
    one, two = (json.loads((tmp_path / name / "all_results.json").read_text()) for name in ("one", "a b"))
    assert (one.pop("processes"), two.pop("processes")) == (1, 2)
    assert two["test_auroc"] == pytest.approx(one["test_auroc"], abs=0.01)
    assert [two[f"{split}_n_images"] for split in ("validation", "test")] == [
        one[f"{split}_n_images"] for split in ("validation", "test")
    ]
