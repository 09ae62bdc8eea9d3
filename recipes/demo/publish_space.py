"""Make a Space on the Hub from a model.

    python recipes/demo/publish_space.py CHECKPOINT someone/chest-demo       private; --public for everybody
    python recipes/demo/publish_space.py model.onnx someone/chest-demo
    python recipes/demo/publish_space.py model.onnx --output-dir SPACE       the folder alone, to look at before

A checkpoint is exported first, see export.py. Only these files go: the ONNX file, the modules that the demo imports,
four images of the synthetic sample, the licence, the requirements, and a card. The token comes from HF_TOKEN or
`hf auth login`.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def main(argv=None):
    options = parse(argv)
    from chestxray.exporting import onnx_file
    from chestxray.publishing import hub, space

    with onnx_of(options.model) as model:
        files = space.space_files(model)
        if onnx_file.load(model).calibration is None:
            print("The Space has no thresholds and no calibration: run score.py first. It says so on its page.")
    if options.output_dir:
        space.write_space(files, Path(options.output_dir))
        print(f"{options.output_dir} holds a Space. Start it: python {Path(options.output_dir) / space.APP}")
    if options.repository:
        print(f"Uploaded to {hub.push_space(files, options.repository, options.public)}")


@contextlib.contextmanager
def onnx_of(model: str) -> Iterator[str]:
    """An ONNX file of a model, for as long as it is needed."""
    if model.endswith(".onnx"):
        yield model
        return
    from chestxray.exporting import export_run  # needs PyTorch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_run.export(export_run.ExportOptions(checkpoint=model, output=str(path)))
        yield str(path)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a checkpoint's folder, or a file of export.py")
    add("repository", nargs="?", metavar="REPO_ID", help="the Space, someone/name")
    add("--output-dir", help="write the Space's files here as well; a new folder")
    add("--public", action="store_true", help="let everybody see the Space if it is new (default: private)")
    options = parser.parse_args(argv)
    if not options.repository and not options.output_dir:
        parser.error("give the name of a Space, or --output-dir")
    if options.public and not options.repository:
        parser.error("--public says who sees the Space: give its name as well")
    return options


if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[1])]  # recipes/, in place of this file's folder
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(f"publish_space.py: {error}") from None
