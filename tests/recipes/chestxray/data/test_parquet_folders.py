"""What comes with Parquet from the Hub says whether its images were drawn, later without a network too."""

import os
import subprocess
import sys

from chestxray.data.descriptor import SYNTHETIC_MARK

ASK = """
import sys
from chestxray.data.parquet_folders import has_hub_mark

print(*[has_hub_mark(repository) for repository in sys.argv[1:]])
"""
REPOSITORIES = ("someone/drawn", "someone/real", "someone/not-there", "no name of a repository")


def ask(tmp_path, **environment):
    command = [sys.executable, "-c", ASK, *REPOSITORIES]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_mark_that_was_published_with_drawn_images_is_found_on_the_hub(hub_of, tmp_path):
    for name in ("drawn", "real"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("# A dataset\n")
    (tmp_path / "drawn" / SYNTHETIC_MARK).write_text("drawn\n")
    endpoint = hub_of({"someone/drawn": tmp_path / "drawn", "someone/real": tmp_path / "real"})
    wanted = ["True", "False", "False", "False"]
    assert ask(tmp_path, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="0") == wanted
    assert ask(tmp_path, HF_HUB_OFFLINE="1") == wanted, "kept in the Hub's cache"
