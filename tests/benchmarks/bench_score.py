"""Times `recipes/score.py` from a predictions file of the official test set's size to the full report.

    python tests/benchmarks/bench_score.py            # about a minute

Predictions are random, with a part that all images of a patient share. The table also shows what a notebook does for
a part of the report: each finding's AUROC with an interval from 1,000 resamples of the patients, in a loop over pandas
and scikit-learn. It is timed on a few resamples and scaled, as the table says. All times are of the processor (user and
system), because other work on the machine changes wall time.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.metrics import roc_auc_score

from chestxray.data import predictions

SCORE = Path(__file__).parents[2] / "recipes" / "score.py"
FINDINGS = [f"Finding_{number}" for number in range(1, 15)]
N_RESAMPLES = 1000


def make(n_images, n_patients, split, first_patient, rng):
    """Predictions of one split: rows, logits (n, 14), targets (n, 14)."""
    share = rng.pareto(1.5, n_patients) + 0.3  # many patients with one image, a few with a hundred
    of = np.sort(np.append(np.arange(n_patients), rng.choice(n_patients, n_images - n_patients, p=share / share.sum())))
    numbers = pd.Series(of).groupby(of).cumcount()
    patients = [f"{first_patient + patient:08d}" for patient in of]
    rows = pd.DataFrame(
        {
            "image_file_path": [f"images/{patient}_{n:03d}.png" for patient, n in zip(patients, numbers, strict=True)],
            "split": split,
            "patient": patients,
            "sex": rng.choice(["F", "M"], n_patients)[of],
            "age": rng.integers(1, 95, n_patients)[of],
            "view": rng.choice(["PA", "AP"], n_images),
        }
    )
    prevalence = np.geomspace(0.0034, 0.24, len(FINDINGS))  # Hernia and Infiltration in the official test set
    targets = (rng.random((n_images, len(FINDINGS))) < prevalence).astype(float)
    shared = rng.normal(size=(n_patients, len(FINDINGS)))[of]
    logits = -3 + 1.2 * targets + 0.5 * shared + rng.normal(size=targets.shape)
    return rows, logits, targets


def write(path, n_images, n_patients, seed=0):
    """A predictions file: the scored split, and a validation split of a little under half its images."""
    rng = np.random.default_rng(seed)
    parts = [
        make(n_images, n_patients, "test", 1, rng),
        make(int(0.44 * n_images), int(1.3 * n_patients) // 4, "validation", 50_000, rng),
    ]
    rows, logits, targets = zip(*parts, strict=True)
    about = {"dataset": "Random numbers", "source": "bench_score.py", "synthetic": True, "models": []}
    table = predictions.Predictions(
        pd.concat(rows, ignore_index=True), np.concatenate(logits), np.concatenate(targets), FINDINGS, about
    )
    predictions.write(table, path)
    return table


def by_hand(table, n_resamples, seed=0):
    """What a notebook does: every finding's AUROC, then again on patients drawn with replacement."""
    test = table.of("test")
    frame = pd.concat(
        [
            test.rows[["patient"]],
            pd.DataFrame(test.logits, columns=[f"logit/{name}" for name in FINDINGS]),
            pd.DataFrame(test.targets, columns=[f"target/{name}" for name in FINDINGS]),
        ],
        axis=1,
    )
    rng, rows_of = np.random.default_rng(seed), frame.groupby("patient").indices
    patients, found = list(rows_of), []
    for _ in range(n_resamples):
        drawn = np.concatenate([rows_of[patients[i]] for i in rng.integers(len(patients), size=len(patients))])
        sample = frame.iloc[drawn]
        found.append([roc_auc_score(sample[f"target/{name}"], sample[f"logit/{name}"]) for name in FINDINGS])
    return np.percentile(found, [2.5, 97.5], axis=0)


def seconds(function, *arguments):
    """Of the processor, in this process and in those that it starts and waits for."""
    start = os.times()
    function(*arguments)
    return sum(os.times()[:4]) - sum(start[:4])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_596)
    parser.add_argument("--patients", type=int, default=2_797)
    parser.add_argument("--resamples", type=int, default=3, help="of the loop by hand, which is scaled to 1,000")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        table = write(file, settings.images, settings.patients)
        command = [sys.executable, SCORE, file, "--output-dir", Path(folder) / "out"]
        report = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
        importing = "import sys; sys.path.insert(0, sys.argv[1]); import score"
        imports = seconds(lambda: subprocess.run([sys.executable, "-c", importing, SCORE.parent], check=True))
        hand = seconds(by_hand, table, settings.resamples) * N_RESAMPLES / settings.resamples
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}")
    size = f"{settings.images:,} images × 14 findings, {settings.patients:,} patients"
    print(f"scikit-learn {sklearn.__version__}; {size}\n")
    print("| what | CPU seconds |\n| --- | ---: |")
    print(f"| score.py predictions.parquet, the whole command | {report:.1f} |")
    print(f"| of it, starting Python and importing | {imports:.1f} |")
    print(
        f"| pandas and scikit-learn in a loop: AUROC per finding and {N_RESAMPLES:,} patient resamples, nothing else "
        f"(scaled from {settings.resamples}) | {hand:.0f} |"
    )


if __name__ == "__main__":
    main()
