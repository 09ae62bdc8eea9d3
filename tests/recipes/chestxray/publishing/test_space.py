"""A Space holds what it needs to run and nothing else, and goes to the Hub with the same care as a model."""

import ast
import configparser
import csv
import os
import re
import sys
from importlib.metadata import packages_distributions

import pytest
import yaml

import forks
from chestxray.publishing import space
from conftest import ROOT
from demo import publish_space
from private_words import leaks
from shown_model import write_checkpoint, write_onnx

pytest.importorskip("onnxruntime")
SCRIPT = ROOT / "recipes" / "demo" / "publish_space.py"
TOKEN = "hf_secretOfJsmith"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder, whose name is in every path below it."""
    return tmp_path_factory.mktemp("jsmith")


@pytest.fixture(scope="module")
def checkpoint(home):
    return write_checkpoint(home / "runs" / "convnext")


@pytest.fixture(scope="module")
def onnx(checkpoint, home):
    return write_onnx(checkpoint, home / "model.onnx")


@pytest.fixture(scope="module")
def files(onnx):
    return space.space_files(onnx)


def push(server, home, *flags):
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN, "HOME": home}
    environment["PYTHONPATH"] = ROOT / "recipes"
    return forks.run(SCRIPT, *flags, **environment)


def words_of(home):
    return [re.escape(word.encode()) for word in (TOKEN, str(home), "jsmith", str(ROOT), os.path.expanduser("~/"))]


def test_it_holds_the_model_the_code_that_runs_it_and_drawn_examples(files, onnx):
    assert files["model.onnx"] == onnx.read_bytes()
    code = {path for path in files if path.endswith(".py")}
    assert {"demo/app.py", "demo/gate.py", "chestxray/dicom/display.py", "chestxray/images/reading.py"} < code
    assert not [path for path in code if re.match(r"demo/publish|chestxray/(models|training|publishing)", path)]
    others = {path for path in files if path not in code and not path.startswith("chestxray/sample/")}
    assert others == {"LICENSE", "README.md", "demo/page.css", "model.onnx", "requirements.txt"}
    samples = [path for path in files if path.startswith("chestxray/sample/")]
    assert len(samples) == 5 and "chestxray/sample/SYNTHETIC.txt" in samples


def test_a_file_that_somebody_left_in_the_clone_does_not_go_along(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "chestxray").mkdir()
    for name in ("demo/__init__.py", "chestxray/__init__.py", "chestxray/notes.py", "demo/patients.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "chestxray" / "shown.py").write_text("")
    (tmp_path / "demo" / "app.py").write_text("from chestxray import shown\nimport numpy\n")
    found = ["chestxray/__init__.py", "chestxray/shown.py", "demo/__init__.py", "demo/app.py"]
    assert space.code_files(tmp_path) == found


def test_all_that_its_code_imports_is_required_as_this_package_requires_it(files):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    known = {*setup["options"]["install_requires"].split(), *extras["dicom"].split(), *extras["export"].split()}
    required = files["requirements.txt"].decode().split()
    assert {line for line in required if not line.startswith("gradio==")} <= known, "the same lower bounds"
    assert set(extras["dicom"].split()) <= set(required)
    names = {re.split("[=>]", line)[0] for line in required}
    distributions = packages_distributions()
    for path, content in files.items():
        for module in third_party(content) if path.endswith(".py") else ():
            found = {re.sub("[_.]", "-", name).lower() for name in distributions.get(module, [module])}
            assert found & (names | {"starlette"}), f"{path} imports {module}"  # Gradio is made of Starlette


def third_party(content):
    """The top-level modules that a file imports when it is imported itself."""
    for node in ast.parse(content).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        own = {"chestxray", "demo", *sys.stdlib_module_names}
        yield from (name.split(".")[0] for name in names if name.split(".")[0] not in own)


def test_its_card_starts_it_and_says_what_it_is_not(files):
    _, matter, text = files["README.md"].decode().split("---\n", 2)
    matter = yaml.safe_load(matter)
    assert (matter["sdk"], matter["app_file"]) == ("gradio", "demo/app.py") and matter["app_file"] in files
    assert f"gradio=={matter['sdk_version']}" in files["requirements.txt"].decode().split()
    assert len(matter["short_description"]) <= 60
    assert "not a medical device" in text and "validated on synthetic images" in text
    assert "100 validation images of Synthetic archive" in text
    assert "It is not recorded which images" in space.card(None, "gradio==6.31.0")


def test_its_examples_are_images_of_the_sample_with_these_signs():
    names = ast.literal_eval(re.search(r"^EXAMPLES = (\{.*?\})", form(), re.MULTILINE | re.DOTALL)[1])
    with open(ROOT / "data" / "sample" / "Data_Entry_2017_v2020.csv") as table:
        labels = {row["Image Index"]: row["Finding Labels"] for row in csv.DictReader(table)}
    assert {name.lower(): labels[file].lower() for name, file in names.items()} == {
        name.lower(): name.lower() for name in names
    }


def form():
    return (ROOT / "recipes" / "demo" / "form.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("flags, visibility", [([], "private"), (["--public"], "public")])
def test_no_byte_of_a_pushed_space_tells_token_or_place(files, onnx, home, recorder, flags, visibility):
    server = recorder("someone/demo", {"old.txt": b"", "chestxray/old.py": b"", "demo/old.py": b""})
    done = push(server, home, onnx, "someone/demo", *flags)
    assert done.returncode == 0, done.stderr
    assert f"Uploaded to {server.address}/spaces/someone/demo" in done.stdout
    pushed = server.kept["main"]
    assert {path: content for path, content in pushed.items() if path != "old.txt"} == files
    assert "old.txt" in pushed, "only what is of the demo's folders is replaced"
    assert not leaks(pushed, words_of(home))
    others = {path: b"".join(bodies) for path, bodies in server.sent.items() if "/commit/" not in path}
    assert not leaks(others, words_of(home)) and TOKEN not in done.stdout + done.stderr
    (created,) = server.created
    assert created["type"] == "space" and created["sdk"] == "gradio"
    assert created.get("visibility", "private" if created.get("private") else "public") == visibility


def test_a_checkpoint_is_exported_first(checkpoint, home, tmp_path, capsys):
    publish_space.main([str(checkpoint), "--output-dir", str(tmp_path / "space")])
    found = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*.onnx")}
    assert found == {"model.onnx"} and "holds a Space. Start it: python" in capsys.readouterr().out
    content = {"model.onnx": (tmp_path / "space" / "model.onnx").read_bytes()}
    assert not leaks(content, words_of(home))


def test_a_refusal_is_one_line_without_the_token(onnx, home, recorder):
    done = push(recorder("someone/demo", refusal=401), home, onnx, "someone/demo")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("publish_space.py: the Hub refuses someone/demo (401): HF_TOKEN")
    assert TOKEN not in done.stdout + done.stderr


def test_what_is_no_model_and_a_folder_with_files_are_refused(onnx, tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="other.onnx is damaged, or no ONNX file"):
        publish_space.main([str(tmp_path / "other.onnx"), "--output-dir", str(tmp_path / "space")])
    with pytest.raises(ValueError, match="is not empty: give a new folder"):
        publish_space.main([str(onnx), "--output-dir", str(tmp_path)])
