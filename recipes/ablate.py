"""Compare changes of a recipe on validation: a plan of fine-tunes, and one table. The test set is not read.

    python recipes/ablate.py recipes/plans/real.yaml --output-dir runs/ablation --dataset DIR
    python recipes/ablate.py PLAN.yaml --output-dir OUT --only base no-flip        some of the changes
    python recipes/ablate.py PLAN.yaml --output-dir OUT --launcher "accelerate launch --num_processes 2"
    python recipes/ablate.py PLAN.yaml --output-dir OUT --within native_side       also within the values of a column

Flags that this script does not know are settings of finetune.py, for all runs. Each run is finetune.py in a process of
its own, with its files in `OUT/NAME/seed-SEED` and its words in `OUT/NAME/seed-SEED.log`. The same command goes on
after a stop. Several terminals or machines may work on one OUT at the same time: each run is done by one of them. At
the end OUT holds `ablation.md` with `figures/`, `ablation.csv` and `ablation.json`.
"""

from chestxray.flags import Parser
from chestxray.stopping import errors_in_one_line, stop_in_one_line


def parse(argv):
    parser = Parser(__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("plan", metavar="PLAN.yaml", help="base, seeds, changes, subsets, validation_share; see recipes/README.md")
    add("--output-dir", required=True, help="where the runs and the table go")
    add(
        "--only",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="do only the runs of these changes; the table shows all that is there",
    )
    add("--launcher", help='what starts finetune.py, such as "accelerate launch --num_processes 2"')
    add("--within", metavar="COLUMN", help="also compare only images with the same value of this column of the dataset")
    add("--keep-checkpoints", action="store_true", help="keep the weights of finished runs")
    return parser.parse_known_args(argv)


if __name__ == "__main__":
    stop_in_one_line("ablate.py")
    parse(None)  # --help and a wrong flag are answered before the imports below, which take seconds

import contextlib
import json
import shlex
import sys
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from chestxray.data import predictions
from chestxray.data.opening import open_dataset
from chestxray.files import write
from chestxray.reporting import ablation_page
from chestxray.reporting.predictor import Predictor
from chestxray.scoring.ablation import strata_of
from chestxray.scoring.ablation_table import (
    Ablation,
    Row,
    RunResult,
    add_differences,
    align,
    as_json,
    fit_points,
    score_both,
)
from chestxray.scoring.prediction_options import PredictionOptions
from chestxray.training import ablation_plan, ablation_runs
from chestxray.training.ablation_plan import BASE

SCRIPT = Path(__file__).with_name("finetune.py")


def main(argv=None):
    options, flags = parse(argv)
    output = Path(options.output_dir)
    plan = ablation_plan.read_plan(options.plan, flags)
    refuse_unknown(options.only, plan)
    runs = plan.runs(output, ablation_plan.write_validation_list(plan, output))
    ablation_runs.refuse_other_runs(runs)

    # The runs
    launcher = shlex.split(options.launcher) if options.launcher else [sys.executable]
    chosen = [run for run in runs if not options.only or run.name in options.only]
    with tqdm(total=len(chosen), desc="Runs", unit="run") as progress:

        def tell(over, name):
            progress.set_postfix_str(name, refresh=False)
            progress.update(over - progress.n)
            progress.refresh()

        ablation_runs.do_runs(chosen, [*launcher, str(SCRIPT)], predict, tell, options.keep_checkpoints)

    # The table
    ablation = tabulate(plan, runs, options.within)
    write_page(ablation, output)
    print(ablation_page.screen_text(ablation))
    print(f"{output} holds ablation.md, ablation.csv and ablation.json")


def refuse_unknown(only, plan):
    """Raise ValueError for a name of --only that the plan does not have."""
    names = plan.variants()
    if unknown := [name for name in only or () if name not in names]:
        raise ValueError(f"--only {unknown[0]}: the plan has only {', '.join(names)}")


def predict(run):
    """Write the validation predictions of a trained run. What is said goes into its log."""
    with open(ablation_runs.beside(run, ".log"), "a") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            predictor = Predictor(PredictionOptions(split="validation"))
            settings = predictor.settings_of(run.folder)
            opened = predictor.open(settings.dataset[0], [run.folder])
            predictor.predict(run.folder, opened, ablation_runs.predictions_file(run), settings)


def tabulate(plan, runs, column):
    """Every finished run scored, and every change compared with the base. Raises ValueError if no run is finished."""
    finished = [run for run in runs if ablation_runs.is_finished(run)]
    failed = {(run.name, run.seed): line for run in runs if (line := ablation_runs.failure_of(run))}
    if not finished:
        raise ValueError("no run is finished" + "".join(f"; {name}: {line}" for (name, _), line in failed.items()))
    first = predictions.read(ablation_runs.predictions_file(finished[0]))
    strata = strata_of(column_values(finished[0].settings, column, first.rows)) if column else None
    scored = {}
    for run in finished:
        try:
            scored.setdefault(run.name, []).append(score_run(run, first, strata))
        except ValueError as error:
            failed[run.name, run.seed] = str(error)

    def row(name, words):
        lines = {seed: line for (change, seed), line in failed.items() if change == name}
        return Row(name, ablation_plan.differing(words), scored.get(name, []), lines)

    variants = plan.variants()
    points = [row(name, variants[name]) for name in plan.subsets]
    return Ablation(
        about=first.about,
        n_images=len(first.rows),
        n_patients=first.rows["patient"].nunique(),
        n_findings=max(len(run.score.findings) for results in scored.values() for run in results),
        base=ablation_plan.differing(plan.base),
        rows=add_differences([row(name, variants[name]) for name in (BASE, *plan.changes)]),
        points=points,
        column=column,
        strata=dict(zip(*(part.tolist() for part in np.unique(strata, return_counts=True)), strict=True))
        if column
        else {},
        curve=fit_points(points),
    )


def score_run(run, first, strata):
    """The scores and facts of a finished run, on the images of the first run, in its order."""
    aligned = align(predictions.read(ablation_runs.predictions_file(run)), first)
    return RunResult(*score_both(aligned, run.seed, strata), **vars(ablation_runs.facts_of(run)))


def column_values(settings, column, rows):
    """The column of a dataset for the rows of validation predictions. Raises ValueError if it has no such column."""
    table = open_dataset(settings.dataset[0], settings).splits["validation"]
    if column not in table.column_names:
        raise ValueError(f"--within {column}: the dataset has only {', '.join(sorted(set(table.column_names)))}")
    feature, values = table.features[column], table[column]
    if hasattr(feature, "int2str"):
        values = [None if value is None else feature.int2str(value) for value in values]
    known = dict(zip(table["image_file_path"], values, strict=True))
    return [known[path] for path in rows["image_file_path"]]


def write_page(ablation, output):
    for picture in ablation_page.draw(ablation):
        write(output / "figures" / f"{picture.name}.svg", picture.svg)
    write(output / "ablation.md", ablation_page.markdown(ablation))
    write(output / "ablation.csv", ablation_page.csv_text(ablation))
    write(output / "ablation.json", json.dumps(as_json(ablation), indent=2) + "\n")


if __name__ == "__main__":
    with errors_in_one_line("ablate.py"):
        main()
