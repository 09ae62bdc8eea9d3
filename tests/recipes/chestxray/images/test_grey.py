"""Reading a picture is light, because predict.py does it with an ONNX file. `test_pixels.py` has what it gives."""

import subprocess
import sys

from conftest import ROOT

CODE = "import sys; sys.path.insert(0, sys.argv[1]); import chestxray.images.reading; print(*sys.modules)"


def test_reading_a_file_needs_neither_pytorch_nor_datasets():
    done = subprocess.run([sys.executable, "-c", CODE, ROOT / "recipes"], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "chestxray.images.grey" in modules and not {"torch", "transformers", "datasets"} & modules
