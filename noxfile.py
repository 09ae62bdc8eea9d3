"""Other environments: Python versions, the lowest dependencies, an installed wheel, releases of `datasets`.

nox -s tests-3.13                      the tests with Python 3.13; also 3.10, 3.11, 3.12. A Python that is not
                                       installed is skipped with a message.
nox -s tests-3.13 -- -k scorecard      what follows goes to pytest
nox -s lowest                          the tests with the lowest version of each dependency in setup.cfg, Python 3.10
nox -s wheel                           the wheel and all it needs in an empty environment
nox -s releases                        all releases of datasets: the builder works, and what publish.py writes loads
                                       alike in all of them
nox -s "releases(datasets='3.6.0')"    one
"""

import configparser
import shutil
import sys
from pathlib import Path

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
RELEASES = ("2.14.7", "2.21.0", "3.6.0", "4.8.5", "newest")
# 2.14.7 bounds neither pyarrow nor huggingface_hub; these are of its time.
PINS = {"2.14.7": ("pyarrow==14.0.2", "huggingface_hub==0.23.5", "numpy<2")}
published = []  # the folder, once it is written; each run of nox writes it anew

nox.options.sessions = ["releases"]


@nox.session(venv_backend="venv", python=PYTHONS)
def tests(session):
    """All tests, with one version of Python."""
    session.install("--editable", ".[test]")
    run_tests(session)


@nox.session(venv_backend="venv", python=PYTHONS[0])
def lowest(session):
    """All tests, with the lowest version of each dependency that setup.cfg allows."""
    bounds = Path(session.create_tmp()).resolve() / "lowest.txt"
    bounds.write_text("\n".join(lowest_versions()) + "\n")
    session.install("--editable", ".[test]", "--constraint", str(bounds))
    run_tests(session)


def lowest_versions():
    """`numpy==2.0` for each `numpy>=2.0` of the package and of its extras for DICOM and ONNX."""
    setup = configparser.ConfigParser()
    setup.read("setup.cfg")
    extras = setup["options.extras_require"]
    needed = setup["options"]["install_requires"] + extras["dicom"] + extras["export"]
    return [line.replace(">=", "==") for line in needed.split()]


def run_tests(session):
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": session.create_tmp()}
    session.run("python", "-m", "pytest", *session.posargs, env=environment)


@nox.session(venv_backend="venv")
def wheel(session):
    """Build the wheel, install it with all it needs into an empty environment, and use it from another folder."""
    elsewhere = Path(session.create_tmp()).resolve()
    shutil.rmtree("build", ignore_errors=True)  # setuptools would pack what an earlier build left there
    session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(elsewhere), ".")
    session.install(*map(str, elsewhere.glob("chestxray-*.whl")))
    script = Path("tests/installed.py").resolve()
    with session.chdir(elsewhere):
        session.run("python", "-I", str(script), env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(elsewhere)})


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
        sizes = ["--sizes", "full", "128", "thumbnail"]
        session.run(sys.executable, "recipes/publish.py", "data/sample", str(folder), *sizes, external=True)
        session.run(*ours, str(folder), "write", str(manifest), external=True)
    wanted = "datasets" if datasets == "newest" else f"datasets=={datasets}"
    session.install(wanted, "pillow", "pyyaml", "pytest", "pytest-xdist", *PINS.get(datasets, ()))
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": session.create_tmp()}
    session.run("python", "tests/releases.py", str(folder), "check", str(manifest), env=environment)
    tests = ["tests/test_dataset.py", "-k", "not published"]  # NIH's 112,120 rows are for the main environment
    session.run("python", "-m", "pytest", *tests, env=environment | {"PYTHONPATH": str(Path.cwd())})
