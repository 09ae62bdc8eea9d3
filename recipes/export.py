"""Export a checkpoint as ONNX, for predictions without PyTorch.

    python recipes/export.py CHECKPOINT model.onnx              and then predict.py model.onnx radiograph.png
    python recipes/export.py CHECKPOINT small.onnx --int8       weights in int8: a quarter of the size
    python recipes/export.py CHECKPOINT FOLDER --page           a static page that runs the model in the browser

CHECKPOINT is a folder as finetune.py leaves it. The graph takes grey pixels, (n, 1, size, size) uint8, any number n. It
cuts the middle, normalises, and gives `logits`, `probabilities` and, if the head allows an exact class activation map,
`maps`, whose means are the logits. With what score.py left in the folder it also gives `distance`, to the training
images. The file's metadata hold findings, sizes, versions and the calibration of score.py.

Each export is compared with PyTorch, on validation images of the checkpoint's dataset, or else on the synthetic sample
and noise. If an output differs by more than 1e-4, nothing is written. With --int8 the AUROC on validation before and
after is shown and kept in the metadata.

With --page the folder gets index.html, the model and onnxruntime-web. Any static host serves it, or a Space of kind
static. The visitor's image never leaves the computer. onnxruntime-web comes from npm's registry once (33 MB), and then
from a cache.
"""

from chestxray.exporting import browser_runtime
from chestxray.exporting.export_options import ExportOptions
from chestxray.flags import Parser, positive
from chestxray.stopping import errors_in_one_line, stop_in_one_line
from chestxray.training.checkpoint_folders import answer_wrong_folders


def parse(argv):
    parser = Parser(__doc__)
    add, default = parser.add_argument, ExportOptions(checkpoint="", output="")
    add("checkpoint", metavar="CHECKPOINT", help="a folder as finetune.py leaves it")
    add("output", metavar="OUT", help="a file that ends in .onnx, or a folder, which gets model.onnx")
    add("--dataset", help="whose validation images are compared (default: the checkpoint's own)")
    add("--int8", action="store_true", help="weights in int8, with the AUROC before and after on validation")
    add("--batch-size", type=positive, default=default.batch_size, help="images per pass of the AUROC")
    add("--page", action="store_true", help="make OUT, a folder, a static page that runs the model in the browser")
    add("--onnxruntime-web", metavar="FILE", help=f"its npm package {browser_runtime.VERSION}, as .tgz or folder")
    return ExportOptions(**vars(parser.parse_args(argv)))


if __name__ == "__main__":
    stop_in_one_line("export.py")
    answer_wrong_folders("export.py", [parse(None).checkpoint])  # before the imports below, which take seconds

from chestxray.exporting import export_run
from chestxray.exporting.export_run import Exported


def main(argv=None):
    show(export_run.export(parse(argv)))


def show(exported: Exported):
    about = exported.about
    size, crop, check = about["size"], about["crop"], about["check"]
    megabytes = exported.path.stat().st_size / 1e6
    if exported.page:
        folder, total = exported.path.parent, sum(exported.page.values()) / 1e6
        print(f"{folder}: a static page, {len(exported.page)} files, {total:,.1f} MB.")
        print(f"Look at it: python -m http.server --bind localhost --directory {folder}")
    print(f"{exported.path}: {megabytes:,.1f} MB, opset {about['opset']}")
    cut = f", of which the model sees the middle {crop} × {crop}" if crop < size else ""
    print(f"It takes pixels (n, 1, {size}, {size}) uint8{cut}, and gives {', '.join(exported.outputs)}.")
    differences = ", ".join(f"{name} {value:.1e}" for name, value in check["largest_difference"].items())
    print(f"Largest differences to PyTorch, on {check['images']}: {differences}.")
    if cost := about["int8"]:
        print(f"Weights in int8: the logits differ from float32's by {cost['largest_difference']:.3f} at most.")
        if found := cost["auroc"]:
            print(f"Mean AUROC {found['before']:.4f} before, {found['after']:.4f} after, on {cost['images']}.")
        else:
            print("AUROC before and after: not measured, because the dataset is not here. Give --dataset.")
    for note in exported.notes:
        print(note)


if __name__ == "__main__":
    with errors_in_one_line("export.py"):
        main()
