"""Data with ties and patients, and AUROC with its variance by their definitions, in loops over pairs."""

import math
from statistics import NormalDist

import numpy as np

FINDINGS = ["Mass", "Nodule", "Hernia"]
SHIFTS = np.array([0.8, 1.4, 2.0])  # of positive scores; the unit variance of a score is the same in both classes
TRUTH = np.array([NormalDist().cdf(shift / math.sqrt(2)) for shift in SHIFTS])
TRUTH = np.append(TRUTH, TRUTH.mean())  # what `simulate_patients` draws from: the findings' AUROC, and their mean


def tied_data(seed, n=60, k=3, levels=6, dtype=np.float64):
    """Scores with many ties, references, and patients with one to several images."""
    rng = np.random.default_rng(seed)
    references = rng.random((n, k)) < 0.4
    references[:4] = [[True], [False], [True], [False]]
    scores = (rng.integers(levels, size=(n, k)) + references).astype(dtype)
    groups = np.append([0, 1, 2, 3], rng.integers(n // 3, size=n - 4))
    return scores, references, groups


def simulate_patients(rng, n_patients=400, mean_images=3, correlation=0.6):
    """Images of a patient share the risk of a finding, and part of the score; findings share part of that part."""
    groups = np.repeat(np.arange(n_patients), rng.geometric(1 / mean_images, n_patients))
    risk = rng.normal(-1.5, 1.5, size=(n_patients, 3))[groups]
    references = rng.random(risk.shape) < 1 / (1 + np.exp(-risk))
    patient = (rng.normal(size=(n_patients, 1)) + rng.normal(size=(n_patients, 3))) / math.sqrt(2)
    noise = rng.normal(size=risk.shape)
    scores = SHIFTS * references + math.sqrt(correlation) * patient[groups] + math.sqrt(1 - correlation) * noise
    return scores, references, groups


def kernel(positive, negative):
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def placements(scores, labels):
    """V10 and V01 of DeLong et al. (1988), with the rows they belong to."""
    pos, neg = np.flatnonzero(labels), np.flatnonzero(~labels)
    v10 = np.array([np.mean([kernel(scores[i], scores[j]) for j in neg]) for i in pos])
    v01 = np.array([np.mean([kernel(scores[i], scores[j]) for i in pos]) for j in neg])
    return pos, v10, neg, v01


def delong_covariance(scores_a, scores_b, labels):
    """DeLong et al. (1988), equations 4 to 6, for two models on one finding."""
    _, v10_a, _, v01_a = placements(scores_a, labels)
    _, v10_b, _, v01_b = placements(scores_b, labels)
    area_a, area_b, m, n = v10_a.mean(), v10_b.mean(), len(v10_a), len(v01_a)
    s10 = sum((v10_a - area_a) * (v10_b - area_b)) / (m - 1)
    s01 = sum((v01_a - area_a) * (v01_b - area_b)) / (n - 1)
    return s10 / m + s01 / n


def obuchowski_covariance(scores_a, scores_b, labels, groups):
    """Obuchowski (1997): S10 / m + S01 / n + (S11 + S11') / (m n), sums over patients."""
    patients = sorted(set(groups))
    sums = []
    for scores in (scores_a, scores_b):
        pos, v10, neg, v01 = placements(scores, labels)
        area = v10.mean()
        x = np.array([sum(v - area for i, v in zip(pos, v10, strict=True) if groups[i] == g) for g in patients])
        y = np.array([sum(v - area for j, v in zip(neg, v01, strict=True) if groups[j] == g) for g in patients])
        sums.append((x, y))
    (xa, ya), (xb, yb) = sums
    m, n, i = len(pos), len(neg), len(patients)
    i10, i01 = len(set(groups[pos])), len(set(groups[neg]))
    s10 = i10 / ((i10 - 1) * m) * sum(xa * xb)
    s01 = i01 / ((i01 - 1) * n) * sum(ya * yb)
    s11 = i / (i - 1) * (sum(xa * yb) + sum(ya * xb))
    return s10 / m + s01 / n + s11 / (m * n)
