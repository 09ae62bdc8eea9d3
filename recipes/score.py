"""Score a fine-tuned model: AUROC with intervals, thresholds, calibration, subgroups, a report and a model card.

    python recipes/score.py runs/sample                          predict, then score on `test`
    accelerate launch --num_processes 8 recipes/score.py CHECKPOINT --dataset DIR --output-dir OUT
    python recipes/score.py OUT/predictions.parquet              everything again, without the model
    python recipes/score.py A B C --output-dir OUT               an ensemble, by mean probability
    python recipes/score.py A --against B                        and the paired test of two models on A's images
    python recipes/score.py THEIRS.csv --dataset DIR             anybody's table: image names, a column per finding
    python recipes/score.py A --labels READERS.csv               and against labels that radiologists gave

A checkpoint is a folder as finetune.py leaves it. It is scored on each dataset that it was trained on. A predictions
file can take the place of a checkpoint. Thresholds and calibration are fitted on validation alone. The output folder
then holds `predictions.parquet`, `report.html`, `report.md` with `figures/`, `scorecard.json` and the model card
`README.md`. If the scores are of the checkpoint's own test, its folder gets the card too, and for predict.py
`calibration.json` and `feature_statistics.npz`, which tells other pictures from the training images. If there are
several datasets, each has its own folder there. Only the predictions name paths, images and patients.

A table is CSV, gzipped or not, or Parquet. One column names the images, by path, file name or stem. The others are
findings in the usual spellings, with `prob_`, `pred_`, `logit_`, `score_` or `p_` in front or not, all of them
probabilities or all of them logits. Rows of validation give thresholds and calibration. Its report goes to
`NAME-score` beside it.
"""

from chestxray.flags import Parser, share
from chestxray.machine import sleep_while_waiting
from chestxray.reporting.score_options import ScoreOptions
from chestxray.scoring import prediction_options
from chestxray.scoring.choices import LEVELS, RULES
from chestxray.stopping import errors_in_one_line, stop_in_one_line
from chestxray.training.checkpoint_folders import answer_wrong_folders


def parse(argv):
    parser = Parser(__doc__)
    add, many = parser.add_argument, {"nargs": "+", "action": "extend"}
    add("models", nargs="+", metavar="MODEL", help="checkpoint folder, predictions file or table; several: ensemble")
    add("--dataset", **many, help="as for finetune.py, each with its own report (default: the model's datasets)")
    add("--output-dir", help="default: MODEL/score, the predictions file's folder, or TABLE-score")
    add("--against", metavar="MODEL", help="another checkpoint, predictions file or table, for the paired test")
    add("--labels", metavar="FILE", help="radiologists' labels of the images: names and a column per finding")
    add("--level", choices=LEVELS, default="image", help="the unit to score; its score is its images' highest")
    add("--rule", choices=RULES, default="youden", help="rule for the threshold; the report shows all rules")
    add("--sensitivity", type=share, default=0.9, help="the least sensitivity for --rule sensitivity")
    add("--tta", choices=("none", "flip", "ten-crop"), default="none", help="views averaged per image")
    prediction_options.add_flags(parser)
    try:
        return ScoreOptions(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    stop_in_one_line("score.py")
    asked = parse(None)  # --help, a wrong flag and a wrong folder are answered before the slow imports below
    answer_wrong_folders("score.py", [*asked.checkpoints, *asked.rival_checkpoints])
    sleep_while_waiting()

from chestxray.reporting.score_report import report_scores, screen_text


def main(argv=None):
    report = report_scores(parse(argv))
    if report:  # only the first of several processes has it
        print(screen_text(report))


if __name__ == "__main__":
    with errors_in_one_line("score.py"):
        main()
