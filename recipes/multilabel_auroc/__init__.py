"""AUROC per finding of a multi-label classifier, with intervals for data with several images per patient.

These functions need only NumPy. The class for `evaluate.load` is in multilabel_auroc.py, which `evaluate` finds by its
name; it is not imported here, because it needs `evaluate` and `datasets`.
"""

from .bootstrap import bootstrap_auroc
from .comparison import compare
from .ranking import auroc, average_precision
from .report import auroc_report
from .variance import auroc_covariance, logit_interval

__all__ = [
    "auroc",
    "auroc_covariance",
    "auroc_report",
    "average_precision",
    "bootstrap_auroc",
    "compare",
    "logit_interval",
]
