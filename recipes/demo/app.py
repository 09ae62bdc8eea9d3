"""A demo for the browser: upload a radiograph, see the findings and where the model looks.

    python recipes/demo/app.py CHECKPOINT               a folder as finetune.py leaves it
    python recipes/demo/app.py model.onnx               a file of export.py: needs no PyTorch

It needs `pip install -e '.[demo]'`, and answers on this machine only. `publish_space.py` makes a Space of it. There the
model lies beside this folder, as model.onnx.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]  # recipes/ in a clone; the folder of all files in a Space


def main(argv=None):
    options = parse(argv)
    warnings.simplefilter("ignore")  # pydicom's quote the header
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}  # before gradio is imported
    with tempfile.TemporaryDirectory(prefix="demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        from demo import answers, form

        form.serve(answers.load(options.model), Path(uploads), options.port)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = HOME / "model.onnx"
    needed = {"nargs": "?", "default": str(beside)} if beside.is_file() else {}
    parser.add_argument("model", metavar="MODEL", help="a checkpoint's folder, or a file of export.py", **needed)
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.path[:1] = [str(HOME)]  # in place of this file's folder
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"app.py: {error}") from None
