"""The metric as an `evaluate` module: `evaluate.load` finds the class here, by the name of this file.

`evaluate` copies this file and each file that it imports, but not what the imported files import. So this file imports
all of them.
"""

import datasets
import evaluate

from .bootstrap import bootstrap_auroc
from .comparison import compare
from .inputs import to_numpy
from .ranking import auroc, average_precision
from .report import auroc_report
from .variance import auroc_covariance

__all__ = [
    "MultilabelAUROC",
    "auroc",
    "auroc_covariance",
    "auroc_report",
    "average_precision",
    "bootstrap_auroc",
    "compare",
]

_DESCRIPTION = """\
AUROC of each finding of a multi-label classifier and their mean, with average precision, and with intervals
for data that holds several images of a patient: DeLong's in its clustered form, or the bootstrap over
patients. A finding with one class only is undefined: it is named, and left out of the mean.
"""

_INPUTS_DESCRIPTION = """
Inputs:
    prediction_scores: one row per image, in it one score per finding; logits or probabilities.
    references: one row per image, in it 0, 1 or NaN (unknown) per finding.
    groups, label_names, interval, confidence_level, n_resamples, seed: for `compute`, see
        `auroc_report`; groups in the order in which rows were added.
"""

_CITATION = """\
@article{delong1988comparing,
    author = {DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.},
    title = {Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves:
        A Nonparametric Approach},
    journal = {Biometrics}, volume = {44}, number = {3}, pages = {837--845}, year = {1988}
}
@article{obuchowski1997nonparametric,
    author = {Obuchowski, Nancy A.},
    title = {Nonparametric Analysis of Clustered {ROC} Curve Data},
    journal = {Biometrics}, volume = {53}, number = {2}, pages = {567--578}, year = {1997}
}
@article{sun2014fast,
    author = {Sun, Xu and Xu, Weichao},
    title = {Fast Implementation of {DeLong}'s Algorithm for Comparing the Areas Under Correlated Receiver
        Operating Characteristic Curves},
    journal = {IEEE Signal Processing Letters}, volume = {21}, number = {11}, pages = {1389--1393},
    year = {2014}
}
"""


class MultilabelAUROC(evaluate.Metric):
    """`auroc_report` behind `evaluate.load`, with `add` and `add_batch` for scores that come in pieces."""

    def _info(self):
        row = datasets.Sequence(datasets.Value("float64"))  # float32 would round float64 scores into ties
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features({"prediction_scores": row, "references": row}),
        )

    def compute(self, *, prediction_scores=None, references=None, **settings):
        """`auroc_report` of what was added, or of what is given here, or of both together."""
        if (prediction_scores is None) != (references is None):
            raise ValueError("give prediction_scores and references, or neither after add_batch")
        if prediction_scores is not None and self.writer is None and self.num_process == 1:
            return auroc_report(
                prediction_scores, references, **settings
            )  # all rows are here: no need to write them to disk
        return super().compute(prediction_scores=prediction_scores, references=references, **settings)

    def add_batch(self, *, prediction_scores, references):
        """Add rows; scores and references as for `auroc_report`."""
        references = references if isinstance(references, list) else to_numpy(references)
        super().add_batch(prediction_scores=to_numpy(prediction_scores), references=references)

    def compare(self, scores_a, scores_b, references, groups=None, **settings):
        """The paired test of two models: see the function `compare`."""
        return compare(scores_a, scores_b, references, groups, **settings)

    def _compute(self, prediction_scores, references, **settings):
        return auroc_report(prediction_scores, references, **settings)
