"""The files of a Space that shows a model in the browser: an ONNX file, the code that runs it, and a card.

The Space's folder is laid out as `recipes/` is, so the demo finds its library in both. Of the code only the modules go
along that the demo imports; their own imports say which. So a file that somebody left in the clone stays there.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from huggingface_hub import SpaceCard, SpaceCardData

from chestxray.exporting import onnx_file
from chestxray.exporting.export_options import ENDING
from chestxray.files import write
from chestxray.reporting.markdown_text import escape_values
from chestxray.repository import SAMPLE, clone_path
from chestxray.scoring.calibration_file import ModelCalibration

DEMO = "demo"
APP = f"{DEMO}/app.py"
MODEL = f"model{ENDING}"
REQUIREMENTS = "requirements.txt"
CODE = (DEMO, "chestxray")  # folders with nothing but code and examples
# app.py and the image reader import these only when they need them
START = ("demo.app", "demo.answers", "demo.form", "chestxray.dicom.chest_header", "chestxray.dicom.display")
CARD = Path(__file__).with_name("templates") / "space_card.md"


def space_files(model: str | Path) -> dict[str, bytes]:
    """{path: content} of all files of a Space.

    Args:
        model: a file of export.py.

    Raises:
        FileNotFoundError, ValueError: as `onnx_file.load`; the library is an installed package, without the demo.
    """
    calibration, recipes = onnx_file.load(model).calibration, clone_path("recipes")
    files = {MODEL: Path(model).read_bytes(), "LICENSE": clone_path("LICENSE").read_bytes()}
    files |= {path: (recipes / path).read_bytes() for path in code_files(recipes)}
    files[f"{DEMO}/page.css"] = (recipes / DEMO / "page.css").read_bytes()
    files[REQUIREMENTS] = (recipes / DEMO / REQUIREMENTS).read_bytes()
    for name in example_files(recipes / DEMO / "form.py"):
        files[f"chestxray/sample/images/{name}"] = (SAMPLE / "images" / name).read_bytes()
    files["chestxray/sample/SYNTHETIC.txt"] = (SAMPLE / "SYNTHETIC.txt").read_bytes()
    files["README.md"] = card(calibration, files[REQUIREMENTS].decode()).encode()
    return dict(sorted(files.items()))


def write_space(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into a folder that is new or empty. Raises ValueError for another one."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty: give a new folder")
    for path, content in files.items():
        write(folder / path, content)


def card(calibration: ModelCalibration | None, requirements: str) -> str:
    """README.md, with the front matter that the Hub starts the Space by."""
    version = re.search(r"^gradio==(\S+)$", requirements, re.MULTILINE)
    assert version, "the requirements fix the version of gradio"
    data = SpaceCardData(
        title="Findings in a chest radiograph",
        emoji="🩻",
        colorFrom="blue",
        colorTo="gray",
        sdk="gradio",
        sdk_version=version[1],
        python_version="3.11",
        app_file=APP,
        pinned=False,
        short_description="For research. Not a medical device.",
    )
    values = {
        "datasets": " and ".join(calibration.datasets) if calibration else "",
        "n_images": calibration.n_images if calibration else 0,
        "synthetic": bool(calibration and calibration.synthetic),
    }
    return SpaceCard.from_template(data, template_path=str(CARD), **escape_values(values)).content


# Code


def code_files(recipes: Path) -> list[str]:
    """The Python files that the demo needs, as paths below `recipes`."""
    found: set[str] = set()
    waiting = [name for module in START for name in with_packages(module)]
    while waiting:
        path = module_file(recipes, waiting.pop())
        if path and path not in found:
            found.add(path)
            waiting += imported_modules(recipes / path)
    return sorted(found)


def module_file(recipes: Path, module: str) -> str | None:
    """The file of a module of ours, None if it is another name: of a package from elsewhere, or inside of a module."""
    place = module.replace(".", "/")
    names = (f"{place}.py", f"{place}/__init__.py")
    return next((name for name in names if place.split("/")[0] in CODE and (recipes / name).is_file()), None)


def imported_modules(file: Path) -> Iterator[str]:
    """What a file imports when it is imported itself, each `module` and `module.name`, and the packages around them."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from with_packages(name)


def with_packages(module: str) -> list[str]:
    """A module and the packages around it.

    >>> with_packages("chestxray.images.grey")
    ['chestxray', 'chestxray.images', 'chestxray.images.grey']
    """
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def example_files(form: Path) -> list[str]:
    """The names of the drawn images that the demo shows, read from its own list."""
    for node in ast.parse(form.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            return list(ast.literal_eval(node.value).values())
    raise ValueError(f"{form} has no EXAMPLES")
