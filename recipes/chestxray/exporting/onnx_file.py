"""An ONNX file of export.py: the model, and in its metadata what a reader must know. Nothing here needs PyTorch.

The graph's input `pixels` is (n, 1, size, size) uint8: the whole image, shrunk as `grey.shrink_image` does it. Its
outputs are OUTPUTS, of which MAPS and DISTANCE may be missing. The metadata have two keys: ABOUT, see
`OnnxModel.about`, and calibration.json as its own key, see `calibration_file`.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chestxray.machine import cores
from chestxray.scoring import calibration_file
from chestxray.scoring.calibration_file import ModelCalibration

ABOUT = "chestxray"
INPUT = "pixels"
OUTPUTS = LOGITS, PROBABILITIES, MAPS, DISTANCE = ("logits", "probabilities", "maps", "distance")
FORMAT = 1  # of ABOUT
INSTALL = "pip install -e '.[export]'"
ERRORS_ONLY = 3  # of onnxruntime's levels


@dataclass(frozen=True)
class OnnxModel:
    """A model in ONNX Runtime, on the CPU.

    Attributes:
        session: an onnxruntime.InferenceSession.
        about: `findings`; `size`, the side of the input in pixels; `crop`, the side of the middle that the model sees;
            `mean`, `std`, for greys in 0 to 1; `equalize`, whether histograms are equalised before; `sha256` of the
            checkpoint's weights; `places`, where the rows and columns of the maps look, see
            `heatmap_places.measure_on_sample`, None without maps; `opset`, `versions`, `check`, `int8`, `statistics`
            and `synthetic`, see `export_run`.
        calibration: what score.py left with these weights, or None.
    """

    session: Any
    about: dict[str, Any]
    calibration: ModelCalibration | None

    @property
    def findings(self) -> list[str]:
        return self.about["findings"]

    @property
    def size(self) -> int:
        return self.about["size"]

    def output_names(self) -> list[str]:
        """The first two of OUTPUTS, and MAPS and DISTANCE where there are any."""
        return [output.name for output in self.session.get_outputs()]

    def outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """{name: float32} of (n, size, size) uint8: logits and probabilities (n, k); where there are any, maps
        (n, k, h, w) and the distance to the training images (n,), above 1 beyond the limit."""
        names = self.output_names()
        return dict(zip(names, self.session.run(names, {INPUT: pixels[:, None]}), strict=True))

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32."""
        return self.session.run([LOGITS], {INPUT: pixels[:, None]})[0]

    def logits_and_distances(self, pixels: np.ndarray) -> np.ndarray:
        """(n, size, size) uint8 to (n, k) float32 logits; (n, k + 1) if the model gives distances."""
        names = [name for name in (LOGITS, DISTANCE) if name in self.output_names()]
        return np.column_stack(self.session.run(names, {INPUT: pixels[:, None]}))


def load(source: str | Path | bytes) -> OnnxModel:
    """A file of export.py, or its bytes.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is damaged or no file of export.py, or onnxruntime is
            not installed.
    """
    name = "the exported model" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"{source} does not exist")
    session = start_session(source if isinstance(source, bytes) else str(source), name)
    texts = session.get_modelmeta().custom_metadata_map
    try:
        about = check_about(json.loads(texts[ABOUT]))
        return OnnxModel(session, about, calibration_of(texts, about))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} is no file of export.py, or of another version of it: export it again") from error


def start_session(source, name):
    """An InferenceSession. Raises ValueError for what ONNX Runtime cannot read."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # its builds report to Microsoft, from their import on
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ValueError(f"{name} needs {INSTALL} ({error})") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = cores(), ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each reason, all of them RuntimeErrors or not
        raise ValueError(f"{name} is damaged, or no ONNX file: export it again") from error


def check_about(about: dict) -> dict:
    """The same dict. Raises KeyError, TypeError or ValueError if `OnnxModel` cannot use it."""
    if about["format"] != FORMAT or not all(isinstance(name, str) for name in about["findings"]):
        raise ValueError(f"its format is {about['format']}")
    if not isinstance(about["size"], int) or not isinstance(about["equalize"], bool):
        raise TypeError("its size or equalize is of another type")
    return {**about, "sha256": str(about["sha256"]), "places": about.get("places")}


def calibration_of(texts, about):
    """The calibration in the metadata, None if there is none. Raises as `calibration_file.model_of`."""
    if calibration_file.NAME not in texts:
        return None
    content = json.loads(texts[calibration_file.NAME])
    found = calibration_file.model_of(content["about"], content["findings"])
    return found if found.findings == about["findings"] else None
