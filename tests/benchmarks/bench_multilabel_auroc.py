"""Times `recipes/multilabel_auroc` beside other libraries, at the size of the official NIH test set.

    python tests/benchmarks/bench_multilabel_auroc.py            # about a minute
    python tests/benchmarks/bench_multilabel_auroc.py --images 2560 --patients 280

Needs scikit-learn and torchmetrics. Every figure is the median of several runs. Ours and theirs take turns in the
same process. Scores are random, float32 and without ties. Prevalence and images per patient are like NIH's.
Resampling with scikit-learn is timed on a few resamples and scaled, as the table says.
"""

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import evaluate
import numpy as np
import sklearn
import torch
import torchmetrics
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision

RECIPES = Path(__file__).parents[2] / "recipes"
sys.path.insert(0, str(RECIPES))

from multilabel_auroc import (  # noqa: E402
    auroc,
    auroc_covariance,
    auroc_report,
    average_precision,
    bootstrap_auroc,
    compare,
)

N_FINDINGS = 14
N_RESAMPLES = 1000
SKLEARN_RESAMPLES = 3


def make_data(n_images, n_patients, seed=0):
    """Scores `(n, 14)` float32, references `(n, 14)` bool, patients `(n,)` int."""
    rng = np.random.default_rng(seed)
    share = rng.pareto(1.5, n_patients) + 0.3  # many patients with one image, a few with a hundred
    groups = np.concatenate(
        [np.arange(n_patients), rng.choice(n_patients, n_images - n_patients, p=share / share.sum())]
    )
    prevalence = np.geomspace(0.0034, 0.24, N_FINDINGS)  # Hernia and Infiltration in the official test set
    references = rng.random((n_images, N_FINDINGS)) < prevalence
    references[:2] = [[True], [False]]
    return (rng.normal(size=references.shape) + 1.2 * references).astype(np.float32), references, groups


def median_ms(repeats, *functions):
    """Median milliseconds of each function, called in turn so that a busy moment strikes all alike."""
    times = [[] for _ in functions]
    for _ in range(repeats + 1):
        for mine, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            function()
            mine.append(1000 * (time.perf_counter() - start))
    return [statistics.median(mine[1:]) for mine in times]  # the first call warms up


def sklearn_bootstrap(scores, references, groups, n_resamples):
    """What people write: draw patients, gather their rows, score."""
    rng = np.random.default_rng(0)
    order = np.argsort(groups, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    for _ in range(n_resamples):
        rows = np.concatenate([rows_of[group] for group in rng.integers(len(rows_of), size=len(rows_of))])
        roc_auc_score(references[rows], scores[rows], average=None)


def add_in_batches(metric, scores, references, groups):
    for start in range(0, len(scores), 256):
        rows = slice(start, start + 256)
        metric.add_batch(prediction_scores=scores[rows], references=references[rows])
    return metric.compute(groups=groups)


def print_row(what, ours, peer="", peers=None):
    ratio = f"{peers / ours:8.2f}x" if peers else ""
    print(f"{what:<46} {ours:10.1f} ms   {peer:<34} {f'{peers:10.1f} ms' if peers else '':>13} {ratio:>10}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=25_596)
    parser.add_argument("--patients", type=int, default=2_797)
    args = parser.parse_args(argv)
    scores, references, groups = make_data(args.images, args.patients)
    other = scores + np.random.default_rng(1).normal(size=scores.shape).astype(np.float32)
    tensors = torch.from_numpy(scores), torch.from_numpy(references.astype(int))
    metric = evaluate.load(str(RECIPES / "multilabel_auroc"))

    print(f"{args.images} images x {N_FINDINGS} findings, {args.patients} patients, float32; medians")
    versions = {m.__name__: m.__version__ for m in (np, sklearn, torchmetrics, torch, evaluate)}
    print(platform.processor() or platform.machine(), f"{torch.get_num_threads()} threads", versions)

    print(f"{'ours':<46} {'median':>13}   {'beside it':<34} {'median':>13} {'it/ours':>10}")
    ours, sk, tm = median_ms(
        7,
        lambda: auroc(scores, references),
        lambda: roc_auc_score(references, scores, average=None),
        lambda: multilabel_auroc(*tensors, num_labels=N_FINDINGS, average=None),
    )
    print_row("AUROC", ours, "scikit-learn roc_auc_score", sk)
    print_row("AUROC", ours, "torchmetrics multilabel_auroc", tm)
    ap, sk, tm = median_ms(
        7,
        lambda: average_precision(scores, references),
        lambda: average_precision_score(references, scores, average=None),
        lambda: multilabel_average_precision(*tensors, num_labels=N_FINDINGS, average=None),
    )
    print_row("average precision", ap, "scikit-learn average_precision_score", sk)
    print_row("average precision", ap, "torchmetrics multilabel_average_prec.", tm)

    point, plain, clustered, pair = median_ms(
        7,
        lambda: auroc(scores, references),
        lambda: auroc_covariance(scores, references),
        lambda: auroc_covariance(scores, references, groups),
        lambda: compare(scores, other, references, groups),
    )
    print_row("AUROC and DeLong covariance", plain, "AUROC alone", point)
    print_row("AUROC and clustered covariance", clustered, "AUROC alone", point)
    print_row("paired test of two models, clustered", pair, "AUROC alone", point)

    few = SKLEARN_RESAMPLES
    patients, images, sk = median_ms(
        1,
        lambda: bootstrap_auroc(scores, references, groups, N_RESAMPLES),
        lambda: bootstrap_auroc(scores, references, None, N_RESAMPLES),
        lambda: sklearn_bootstrap(scores, references, groups, few),
    )
    sk *= N_RESAMPLES / few
    print_row(f"{N_RESAMPLES} patient resamples", patients, f"scikit-learn, {few} resamples scaled", sk)
    print_row(f"{N_RESAMPLES} image resamples", images)

    nothing, report, one_call, batches = median_ms(
        3,
        lambda: auroc_report(scores, references, interval=None),
        lambda: auroc_report(scores, references, groups),
        lambda: metric.compute(prediction_scores=scores, references=references, groups=groups),
        lambda: add_in_batches(metric, scores, references, groups),
    )
    print_row("auroc_report, no interval", nothing)
    print_row("auroc_report, clustered interval", report, "the same without interval", nothing)
    print_row("evaluate: compute in one call", one_call, "auroc_report", report)
    print_row("evaluate: add_batch of 256, then compute", batches, "auroc_report", report)


if __name__ == "__main__":
    main()
