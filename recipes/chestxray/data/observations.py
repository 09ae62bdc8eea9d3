"""The 14 observations of CheXpert and MIMIC-CXR: their names, their states, their cells in a table, their meanings."""

from collections.abc import Mapping, Sequence

from datasets import ClassLabel

from chestxray.data.descriptor import broader, equal, no_counterpart

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


def state_feature() -> ClassLabel:
    """The feature of an observation's column."""
    return ClassLabel(names=list(STATES))


def read_states(cells: Mapping[str, str], columns: Sequence[str] = OBSERVATIONS) -> bytes:
    """The states of the observations in these columns, one byte each, an index into `STATES`.

    Raises ValueError if a cell is none of `CELLS`.
    """
    try:
        return bytes(CELLS[cells[column].strip()] for column in columns)
    except KeyError:
        column = next(column for column in columns if cells[column].strip() not in CELLS)
        raise ValueError(f"{column} is {cells[column]!r}; known are 1.0, 0.0, -1.0 and blank") from None


# What CheXpert's and MIMIC-CXR's observations mean beside NIH's classes. Both were labelled by words in the reports: a
# .txt is a list of the words that make the labeler note an observation (stanfordmlgroup/chexpert-labeler,
# phrases/mention, commit 7cd62b2 where no other is given). For XRV see `nih.py`.
LESION_WORDS = "lung_lesion.txt: mass, nodule, …"
PLEURAL_WORDS = "pleural_other.txt: fibrosis beside fibrothorax and pleural thickening or scar"
OPACITY_WORDS = "airspace_opacity.txt (commit 849bb96): infiltrate and infiltration beside any opacity"
OPACITY_LIST = "the labeler's list of Lung Opacity is airspace_opacity.txt (commit 849bb96)"
OWN_OBSERVATION = "one of the 14 observations, which gives the finding its name"
MEANINGS = {
    "Atelectasis": equal("Atelectasis", source="XRV"),
    "Cardiomegaly": equal("Cardiomegaly", source="XRV"),
    "Effusion": equal("Pleural Effusion", source="XRV; pleural_effusion.txt: effusion, pleural fluid"),
    "Infiltration": broader("Lung Opacity", source=OPACITY_WORDS),
    "Mass": broader("Lung Lesion", source=LESION_WORDS),
    "Nodule": broader("Lung Lesion", source=LESION_WORDS),
    "Pneumonia": equal("Pneumonia", source="XRV"),
    "Pneumothorax": equal("Pneumothorax", source="XRV"),
    "Consolidation": equal("Consolidation", source="XRV"),
    "Edema": equal("Edema", source="XRV; edema.txt also notes heart failure and vascular congestion"),
    "Emphysema": no_counterpart("no_finding.txt: emphysema only rules out No Finding"),
    "Fibrosis": broader("Pleural Other", source=PLEURAL_WORDS),
    "Pleural_Thickening": broader("Pleural Other", source=PLEURAL_WORDS),
    "Hernia": no_counterpart("no_finding.txt: hernia only rules out No Finding"),
    "No Finding": equal(
        "No Finding",
        source="the labeler's: nothing of no_finding.txt either, only devices (stages/aggregate.py)",
    ),
    "Enlarged Cardiomediastinum": equal("Enlarged Cardiomediastinum", source=OWN_OBSERVATION),
    "Lung Opacity": equal("Lung Opacity", source=OPACITY_LIST),
    "Lung Lesion": equal("Lung Lesion", source=OWN_OBSERVATION),
    "Pleural Other": equal("Pleural Other", source=OWN_OBSERVATION),
    "Fracture": equal("Fracture", source=OWN_OBSERVATION),
    "Support Devices": equal("Support Devices", source=OWN_OBSERVATION),
}
