"""A static page that runs an exported model in the visitor's browser: one folder, no server, no upload.

The page's own files are in the folder `page` beside this module, and are copied as they are. SERVICE_WORKER gets the
list of all files. What depends on the model is in DESCRIPTION, also the probabilities that the model gives for EXAMPLE,
so that each browser can check its own arithmetic.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chestxray.exporting import onnx_file
from chestxray.exporting.onnx_file import PROBABILITIES, OnnxModel
from chestxray.files import digest, whole_folder
from chestxray.images.reading import read_pixels
from chestxray.repository import SAMPLE
from chestxray.scoring import calibration_file
from chestxray.scoring.plain_values import to_plain_values

SOURCES = Path(__file__).parent / "page"
INDEX, CARD, SERVICE_WORKER = "index.html", "README.md", "sw.js"
MODEL, DESCRIPTION, EXAMPLE = "model.onnx", "model.json", "example.png"
DRAWN = SAMPLE / "images" / "00000022_000.png"  # of the synthetic sample, with a drawn sign
NOT_FETCHED = (CARD, SERVICE_WORKER, "NOTICE.txt")  # the page itself does not need them


def write_page(folder: Path, model: bytes, name: str, runtime: Mapping[str, Path]) -> dict[str, int]:
    """Write the page of an ONNX file; {file name: bytes} of what is in it.

    Args:
        name: the model's, as the page shows it. runtime: of `browser_runtime.collect`.
    """
    files = {path.name: path.read_bytes() for path in sorted(SOURCES.iterdir())}
    files |= {served_name(name): path.read_bytes() for name, path in runtime.items()}
    files |= {MODEL: model, EXAMPLE: DRAWN.read_bytes()}
    described = describe(onnx_file.load(model), name, len(model))
    files[DESCRIPTION] = json.dumps(to_plain_values(described), indent=1).encode()
    files[SERVICE_WORKER] = list_files(files) + files[SERVICE_WORKER]
    with whole_folder(folder.resolve(), last=INDEX) as part:
        for file, content in files.items():
            (part / file).write_bytes(content)
    return {file: len(content) for file, content in files.items()}


def served_name(name: str) -> str:
    """`.js` instead of `.mjs`, which some hosts do not serve as JavaScript.

    >>> served_name("ort.wasm.min.mjs"), served_name("ort.wasm")
    ('ort.wasm.min.js', 'ort.wasm')
    """
    return f"{name.removesuffix('.mjs')}.js" if name.endswith(".mjs") else name


def describe(model: OnnxModel, name: str, size: int) -> dict[str, Any]:
    """What the page's scripts read. size: of the model's file, bytes."""
    about, calibration = model.about, model.calibration
    texts = model.session.get_modelmeta().custom_metadata_map
    found = model.outputs(read_pixels(DRAWN, model.size, about["equalize"])[None])
    return {
        "name": name,
        "bytes": size,
        **{key: about[key] for key in ("findings", "size", "crop", "equalize", "places", "sha256", "statistics")},
        "int8": bool(about["int8"]),
        "synthetic": calibration.synthetic if calibration else about["synthetic"],
        "outputs": model.output_names(),
        "calibration": json.loads(texts[calibration_file.NAME]) if calibration else None,
        "example": {PROBABILITIES: found[PROBABILITIES][0].tolist()},
    }


def list_files(files: Mapping[str, bytes]) -> bytes:
    """The first lines of the service worker: what it keeps, and a name that is another one for other contents."""
    kept = sorted(set(files) - set(NOT_FETCHED))
    version = digest(*(part for name in sorted(files) for part in (name, "\0", files[name])))[:16]
    return f"const VERSION = {json.dumps(version)};\nconst FILES = {json.dumps(kept)};\n".encode()
