"""What the package promises: the wheel holds all it needs, works from any folder, and says what it depends on."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from conftest import ROOT

LIBRARY = ROOT / "recipes" / "chestxray"
OURS = {"chestxray", "demo", "multilabel_auroc"}
# Distributions that no line of ours imports, and who does.
INDIRECT = {
    "pyjpegls": "pydicom's decoder of JPEG-LS",
    "pylibjpeg": "pydicom's way to the next two",
    "pylibjpeg-openjpeg": "pydicom's decoder of JPEG 2000",
    "pylibjpeg-rle": "pydicom's decoder of RLE",
    "onnxscript": "PyTorch's exporter to ONNX",
    "torchvision": "the image processors of Transformers and timm",
    "jinja2": "the templates, and huggingface_hub's cards",
    "markupsafe": "the templates",
}
ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which may name the clone
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def declared(*extras):
    """The normalised names of the distributions that setup.cfg asks for."""
    needed = SETUP["options"]["install_requires"].split()
    for extra in extras:
        needed += SETUP["options.extras_require"][extra].split()
    return {normal_name(re.match(r"[\w.-]+", line).group()) for line in needed if not line.startswith("%")}


def normal_name(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported():
    """{top-level module: a file that imports it} of the library, the scripts and the dataset's file."""
    found = {}
    for path in [ROOT / "NIH-Chest-X-ray-dataset.py", *(ROOT / "recipes").rglob("*.py")]:
        if path.name == "app.py":  # a Space, whose packages are in the requirements.txt beside it
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            found |= {name.partition(".")[0]: path.relative_to(ROOT).as_posix() for name in names}
    scripts = {path.stem for path in (ROOT / "recipes").glob("*.py")}  # no script imports another: tests/test_house.py
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OURS | scripts}


def test_every_import_is_declared_and_every_requirement_is_imported():
    distributions = packages_distributions()
    needed = {}
    for name, path in imported().items():
        for distribution in distributions.get(name, [name]):
            needed.setdefault(normal_name(distribution), f"{path} imports {name}")
    assert len(needed) > 15
    known = declared("demo", "dicom", "export", "ray")
    # Two OpenCV packages may be installed side by side; one of them is declared.
    undeclared = {name: why for name, why in needed.items() if name not in known and not name.startswith("opencv-")}
    assert not undeclared
    assert known - set(needed) <= set(INDIRECT)


def test_the_version_stands_in_setup_cfg_alone():
    version = SETUP["metadata"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    others = ["pyproject.toml", "CITATION.cff", "README.md", *(path for path in LIBRARY.rglob("*.py"))]
    assert not [name for name in others if re.search(rf"version\W+{re.escape(version)}", (ROOT / name).read_text())]


def test_the_changelog_and_the_citation_can_be_read():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    assert headings and all(re.fullmatch(r"\[(Unreleased|[\d.]+)\]( - \d{4}-\d\d-\d\d)?", line) for line in headings)
    kinds = set(re.findall(r"^### (.+)$", changes, re.MULTILINE))
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["references"][0]["doi"] == "10.1109/CVPR.2017.369"


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built by pip from a copy of the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "clone"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NIH-Chest-X-ray-dataset.py"):
        shutil.copy(ROOT / name, source)
    for name in ("recipes", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("chestxray-*.whl")
    return built


@pytest.fixture(scope="module")
def stranger(wheel, tmp_path_factory):
    """A new environment with the wheel: its Python.

    The package's own files are really installed from the wheel. What it depends on is not: PyTorch alone takes
    gigabytes, so a .pth file lends this environment's packages. Python does not follow the .pth files that lie there,
    so our editable install is not lent. `nox -s wheel` installs everything for real.
    """
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    done = subprocess.run(command, env=ELSEWHERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return python


def test_the_wheel_holds_the_library_the_metric_the_builder_the_presets_and_the_sample(wheel):
    expected = {"NIH-Chest-X-ray-dataset.py", "multilabel_auroc/README.md"}
    expected |= files_below(LIBRARY, "chestxray")
    expected |= files_below(ROOT / "recipes" / "multilabel_auroc", "multilabel_auroc", ".py")
    expected |= files_below(ROOT / "recipes" / "configs", "chestxray/configs")
    expected |= files_below(ROOT / "data" / "sample", "chestxray/sample")
    assert len(expected) > 700
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def files_below(folder, package, suffix=""):
    """The names that a folder's files should have in the wheel."""
    files = [path for path in folder.rglob(f"*{suffix}") if path.is_file() and path.suffix != ".pyc"]
    return {f"{package}/{path.relative_to(folder).as_posix()}" for path in files}


def test_the_installed_package_works_in_another_folder(stranger, tmp_path):
    environment = {**ELSEWHERE, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    command = [stranger, "-I", ROOT / "tests" / "installed.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"installed in {stranger.parents[1]}" in done.stdout
    presets = dict(re.findall(r"^preset (\S+): (.+)$", done.stdout, re.MULTILINE))
    assert set(presets) == {path.stem for path in (ROOT / "recipes" / "configs").glob("*.yaml")}
    assert Path(presets["sample"]).is_relative_to(stranger.parents[1])
    assert f"sample: {len(list((ROOT / 'data' / 'sample' / 'images').iterdir()))} images" in done.stdout
    assert "mean AUROC: 1.000 1.000" in done.stdout
    assert "The installed package has no README.md. Clone the repository" in done.stdout


def test_the_synthetic_archives_have_a_command_in_the_installed_package(stranger, tmp_path):
    command = [stranger, "-I", "-m", "chestxray.synthetic.phantom", "drawn", "--patients", "2", "--num-proc", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "drawn" / "Data_Entry_2017_v2020.csv").is_file()
