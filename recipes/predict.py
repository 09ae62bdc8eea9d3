"""Predict the findings in your own files: PNG, JPEG, TIFF or DICOM, one image or a hundred thousand.

    python recipes/predict.py CHECKPOINT radiograph.png                      a table on the screen
    python recipes/predict.py CHECKPOINT FOLDER --output-dir OUT             and OUT/predicted.csv
    python recipes/predict.py CHECKPOINT list.csv --output-dir OUT --format parquet
    accelerate launch --num_processes 8 recipes/predict.py CHECKPOINT FOLDER --output-dir OUT
    python recipes/predict.py CHECKPOINT FOLDER --output-dir OUT --heatmaps  and pictures in OUT/heatmaps
    python recipes/predict.py model.onnx radiograph.png                      without PyTorch

CHECKPOINT is a folder as finetune.py leaves it, or an ONNX file of export.py. Each image is read and shown to the model
as score.py does it. For each finding the table has the model's own probability, the calibrated one, the call of the
threshold, and the percentile among the validation images. All but the first come from calibration.json, which score.py
leaves in the checkpoint's folder. With feature_statistics.npz, which it leaves there too, a picture that does not look
like the training images is flagged: a photograph, noise, an inverted or a turned radiograph. A folder is searched for
files with a usual ending, and for DICOM files without one. A table (.csv, .parquet) names files in a column such as
`path`, relative to its own folder. A file that cannot be read has a row with the reason. After a stop, start the same
command again: it goes on.

--heatmaps draws a picture for each file and finding that is called: where in the image the evidence for it lies. A file
has five at most. Where there are no thresholds, the three highest findings have one.

A DICOM file is shown by the standard: rescale, window or table, inversion. A file that is no frontal chest radiograph
by its own header is refused with the tag that says so; --force reads it all the same.
"""

import warnings

from chestxray.flags import Parser, positive
from chestxray.predicting.options import FORMATS, PredictOptions
from chestxray.scoring.choices import RULES
from chestxray.stopping import errors_in_one_line, stop_in_one_line


def main(argv=None):
    options = parse(argv)
    options.refuse_missing()
    from chestxray.predicting import (  # takes seconds to import, so a wrong flag or name goes first
        file_table,
        overlays,
    )

    # Pydicom's warnings quote the header, and `catch_warnings` does not hold them back where threads read files
    warnings.simplefilter("ignore")
    found = predict(options)
    if not found:  # only the first of several processes has it
        return
    refuse_unread(found)
    print(file_table.screen_text(found))
    if options.output_dir:
        also = f" and {overlays.FOLDER}/" if options.heatmaps else ""
        print(f"{options.output_dir} holds {file_table.STEM}.{options.form}{also}")


def predict(options):
    """The predictions of a checkpoint or of an ONNX file. Each imports only what it needs: PyTorch takes seconds."""
    if options.is_onnx:
        from chestxray.predicting import onnx_run

        return onnx_run.predict(options)
    from chestxray.predicting import checkpoint_run

    return checkpoint_run.predict(options)


def refuse_unread(found):
    """Raise ValueError if no file could be read."""
    if not found.is_read.any():
        path, error = found.rows.loc[0, ["path", "error"]]
        more = f" None of the other {len(found.rows) - 1:,} files could be read either." if len(found.rows) > 1 else ""
        raise ValueError(f"{path}: {error}.{more}")


def parse(argv):
    parser = Parser(__doc__)
    add, default = parser.add_argument, PredictOptions(checkpoint="", inputs=[])
    add("checkpoint", metavar="CHECKPOINT", help="a folder as finetune.py leaves it, or a file of export.py")
    add("inputs", nargs="+", metavar="FILE", help="files, folders, or tables that name files")
    add("--output-dir", help="the folder for the table; several processes need it")
    add("--format", dest="form", choices=FORMATS, default=default.form, help="of the table")
    add("--rule", choices=RULES, help="of the thresholds (default: the one that score.py was asked for)")
    add("--voi", choices=("table", "window"), default=default.voi, help="which one if a DICOM file has both")
    add("--force", action="store_true", help="read DICOM files too that are other pictures by their header")
    add("--heatmaps", action="store_true", help="draw where the evidence for a file's findings lies")
    add("--batch-size", type=positive, default=default.batch_size, help="images per pass of each process")
    options = PredictOptions(**vars(parser.parse_args(argv)))
    if options.heatmaps and not options.output_dir:
        raise ValueError("--heatmaps needs --output-dir, the folder for the pictures")
    return options


if __name__ == "__main__":
    stop_in_one_line("predict.py")
    with errors_in_one_line("predict.py"):
        main()
