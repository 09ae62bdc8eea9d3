"""What the README shows is run here, but for the two set-up lines, which `.ci/run` runs whole."""

import configparser
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard
from PIL import Image

import explain
import export
import forks
import predict
import score
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = [line for block in re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
         for line in block.splitlines()]  # fmt: skip
SETUP = [line for line in SHELL if line.startswith("python3 -m venv")]
LIBRARIES = {"pl.": "polars", "duckdb.": "duckdb"}  # which no part of the package needs

# Names the Hub knows: huggingface.js, packages/tasks/src/pipelines.ts, and the dataset card's specification,
# huggingface/hub-docs, datasetcard.md
HUB_NAMES = {
    "annotations_creators": {"crowdsourced", "found", "expert-generated", "machine-generated", "no-annotation"},
    "task_categories": {
        "image-classification",
        "object-detection",
        "image-segmentation",
        "zero-shot-image-classification",
    },
    "task_ids": {"multi-label-image-classification", "multi-class-image-classification"},
    "size_categories": {"10K<n<100K", "100K<n<1M", "1M<n<10M"},
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder like a clone in which the commands above a block have been run: sample, checkpoint, repository."""
    from chestxray import NIHChestXray
    from chestxray.models import classifiers

    folder = tmp_path_factory.mktemp("desk")
    (folder / "data").mkdir()
    (folder / "data" / "sample").symlink_to(ROOT / "data" / "sample")
    labels = NIHChestXray("metadata", data_dir=str(ROOT / "data" / "sample")).info.features["labels"].feature.names
    model, processor = classifiers.build_model(str(ROOT / "recipes" / "configs" / "sample.json"), labels[1:])
    for part in (model, processor):
        part.save_pretrained(folder / "runs" / "sample")
    publish = next(line for line in SHELL if "recipes/publish.py" in line)
    script, *arguments = publish.split()[1:]
    done = forks.run(ROOT / script, *arguments, folder=folder, HF_HOME=folder / "home")
    assert done.returncode == 0, done.stderr
    return folder


def run(desk, code):
    """Run Python code as a script of its own in that folder; what it prints."""
    (desk / "code.py").write_text(code)
    done = forks.run(desk / "code.py", folder=desk, HF_HOME=desk / "home")
    assert done.returncode == 0, done.stderr
    return done.stdout


# Code


def test_python_blocks_run_one_after_another(desk):
    assert len(PYTHON) == 10
    blocks = [block for block in PYTHON if not any(word in block for word in LIBRARIES)]
    assert len(blocks) == 8
    printed = run(desk, "\n".join(blocks))
    assert "'image_file_path': 'images/00000001_000.png'" in printed
    assert "[0.0, 0.0" in printed
    made, shown = (
        np.asarray(Image.open(sheet), int) for sheet in (desk / "sheet.jpg", ROOT / "data" / "sample-sheet.jpg")
    )
    assert np.abs(made - shown).mean() < 2  # another JPEG library may round otherwise


@pytest.mark.parametrize("word, library", LIBRARIES.items())
def test_blocks_of_other_libraries_run(desk, word, library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    (block,) = (block for block in PYTHON if word in block)
    assert len(run(desk, block).splitlines()) > 3


def test_the_command_for_tables_of_any_framework_runs_on_the_sample(desk):
    rows = (ROOT / "data" / "sample" / "Data_Entry_2017_v2020.csv").read_text().splitlines()[1:]
    table = [f"{row.split(',')[0]},{number % 7 / 7},{number % 5 / 5}" for number, row in enumerate(rows)]
    (desk / "theirs.csv").write_text("\n".join(["image,prob_Mass,prob_Pleural Effusion", *table]))
    (line,) = (line for line in SHELL if "theirs.csv" in line)
    script, *arguments = line.split()[1:]
    done = forks.run(ROOT / script, *arguments, folder=desk, HF_HOME=desk / "home")
    assert done.returncode == 0, done.stderr
    assert "theirs.csv were taken as probabilities" in done.stdout
    assert (desk / "theirs-score" / "report.html").exists()


def test_the_two_set_up_lines_stand_on_what_is_there():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert len(SETUP) == 2
    install, tests = SETUP
    assert install.endswith("&& .venv/bin/pip install -q -e .")
    assert "accelerate" in setup["options"]["install_requires"]
    assert "pip install -q -e '.[test]' &&" in tests and tests.endswith(".venv/bin/python -m pytest")
    assert "pytest" in setup["options.extras_require"]["test"]
    assert SHELL[:2] == [install, ".venv/bin/python recipes/finetune.py"], "they come first, and the others after them"


def test_commands_name_scripts_settings_and_presets_that_exist():
    from chestxray.repository import PRESETS
    from chestxray.training.command_line import parse_settings

    commands = [line.split() for line in SHELL if "recipes/" in line]
    assert len(commands) == 15
    parsers = {"explain": explain.parse, "export": export.parse, "predict": predict.parse, "score": score.parse}
    for words in commands:
        script = next(word for word in words if word.startswith("recipes/"))
        assert (ROOT / script).is_file()
        if script == "recipes/finetune.py":
            arguments = words[words.index(script) + 1 :]
            parse_settings(arguments)
            model = arguments[arguments.index("--model") + 1] if arguments else "sample"
            assert "/" in model or (PRESETS / f"{model}.yaml").is_file()
        if parse := parsers.get(Path(script).stem):
            parse(words[words.index(script) + 1 :])


# The card


def test_front_matter_is_one_the_hub_accepts():
    card = DatasetCard(README)
    matter = yaml.safe_load(README.split("---\n")[1])
    assert card.data.to_dict() == matter  # nothing is lost in the Hub's own reader
    for key, known in HUB_NAMES.items():
        assert matter[key] and set(matter[key]) <= known
    assert matter["license"] == "other"  # and then the Hub wants these two
    assert re.fullmatch(r"[a-z0-9-]+", matter["license_name"]) and matter["license_link"].startswith("https://")
    assert not {"configs", "dataset_info"} & set(matter)  # publish.py knows them


def test_every_section_of_the_published_card_is_there():
    headings = [line.lstrip("# ").lower() for line in README.splitlines() if line.startswith("#")]
    for section in (
        "dataset description, summary, dataset structure, data instances, data fields, data splits, dataset creation, "
        "curation rationale, source data, annotations, personal and sensitive information, considerations for using "
        "the data, social impact, biases, other limitations, additional information, curators, "
        "license and attribution, citation, contributions"
    ).split(", "):
        assert section in headings


def test_no_heading_is_empty():
    lines = [line for line in re.sub(r"```.*?```", "text", README, flags=re.DOTALL).splitlines() if line.strip()]
    for line, after in zip(lines, lines[1:], strict=False):
        if line.startswith("#"):
            assert not after.startswith("#") or after.count("#") > line.count("#"), line


def test_class_mapping_is_the_datasets():
    import chestxray

    names = (
        chestxray.NIHChestXray("metadata", data_dir=str(ROOT / "data" / "sample")).info.features["labels"].feature.names
    )
    mapping = README.partition("<summary>Class mapping</summary>")[2].partition("</details>")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in mapping.splitlines() if "|" in line]
    found = {**dict(zip(rows[0], rows[2], strict=True)), **dict(zip(rows[3], rows[5], strict=True))}
    assert found == {str(number): name for number, name in enumerate(names)}


def test_links_lead_to_files_and_images_have_alternative_text():
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if not link.startswith("http")]
    assert len(links) >= 8
    for link in links:
        file, _, section = link.partition("#")
        file = ROOT / (file or "README.md")
        assert file.exists(), link
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) if section else []
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not section or section in anchors, link
    images = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert len(images) == 8 and all(len(text) > 80 for text, _ in images)
    assert "<img" not in README


def test_no_line_of_text_begins_with_a_comment():
    # CommonMark takes a line that begins with a comment for HTML: it would tear its paragraph apart.
    assert not re.findall(r"^ {0,3}<!-- begin: [\w-]+ -->.*\S.*<!-- end -->.*$", README, re.MULTILINE)
    assert README.count("<!-- begin: ") == README.count("<!-- end -->") > 50


def test_the_tree_of_recipes_names_files_that_exist():
    text = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"\b\w+\.py\b", text)
    assert len(names) > 15
    folders = (ROOT / "recipes", ROOT / "tests" / "benchmarks")
    outside = [*ROOT.glob("*.py"), *(ROOT / "tests").glob("*.py")]
    files = {path.name for path in [*outside, *(path for folder in folders for path in folder.rglob("*.py"))]}
    assert set(names) - {"dataset.py"} <= files
    presets = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert set(presets) == {Path(path).stem for path in (ROOT / "recipes" / "configs").glob("*.yaml")}
