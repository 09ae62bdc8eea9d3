"""One environment per release of `datasets`: the builder works and what publish.py writes loads alike in all of them.

nox -s releases                        all of them
nox -s "releases(datasets='3.6.0')"    one
"""

import shutil
import sys
from pathlib import Path

import nox

RELEASES = ("2.14.7", "2.21.0", "3.6.0", "4.8.5", "newest")
# 2.14.7 bounds neither pyarrow nor huggingface_hub; these are of its time.
PINS = {"2.14.7": ("pyarrow==14.0.2", "huggingface_hub==0.23.5", "numpy<2")}
published = []  # the folder, once it is written; each run of nox writes it anew


@nox.session(venv_backend="venv")
@nox.parametrize("datasets", RELEASES)
def releases(session, datasets):
    """Publish the sample with this interpreter's packages, load it with the release's, and test the builder there."""
    folder = Path(session.cache_dir).resolve() / "published"
    manifest = folder.with_suffix(".json")
    ours = [sys.executable, "tests/releases.py"]
    if not published:
        published.append(folder)
        shutil.rmtree(folder, ignore_errors=True)
        session.run(sys.executable, "recipes/publish.py", "data/sample", str(folder), "--sizes", "128", external=True)
        session.run(*ours, str(folder), "write", str(manifest), external=True)
    wanted = "datasets" if datasets == "newest" else f"datasets=={datasets}"
    session.install(wanted, "pillow", "pyyaml", "pytest", "pytest-xdist", *PINS.get(datasets, ()))
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": session.create_tmp()}
    session.run("python", "tests/releases.py", str(folder), "check", str(manifest), env=environment)
    tests = ["tests/test_dataset.py", "-k", "not published"]  # NIH's 112,120 rows are for the main environment
    session.run("python", "-m", "pytest", *tests, env=environment | {"PYTHONPATH": str(Path.cwd())})
