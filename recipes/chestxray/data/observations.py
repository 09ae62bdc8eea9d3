"""The observations that CheXpert and MIMIC-CXR label, and the states in which their tables leave one."""

from datasets import ClassLabel

# In the order of CheXpert's train.csv. MIMIC-CXR-JPG has the same 14, sorted by name.
OBSERVATIONS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
# Irvin et al. 2019, section 2.2: 0, 1, -1 and blank. Two labelers that differ give the last one.
STATES = ("negative", "positive", "uncertain", "not mentioned", "disagreement")
NEGATIVE, POSITIVE, UNCERTAIN, NOT_MENTIONED, DISAGREEMENT = range(len(STATES))
CELLS = {"0.0": NEGATIVE, "0": NEGATIVE, "1.0": POSITIVE, "1": POSITIVE, "-1.0": UNCERTAIN, "-1": UNCERTAIN}
CELLS[""] = NOT_MENTIONED


def state():
    """The feature of an observation's column."""
    return ClassLabel(names=list(STATES))
