"""What a command line may say about labels; `labels` says what it means. Light, so that `--help` answers at once."""

import math

CHOICES = ("nih14", "chexpert14", "chexpert5", "shared")

UNCERTAIN_CLASS = 2.0  # the target of an uncertain label under `multi-class`, where 0 and 1 are the other two classes
# Irvin et al. 2019: U-Ignore, U-Zeros, U-Ones, U-MultiClass. The ranges are from Pham et al. 2019
# (arXiv 1911.06475), U-Ones+LSR and U-Zeros+LSR.
CONSTANTS = {"ignore": math.nan, "zeros": 0.0, "ones": 1.0, "multi-class": UNCERTAIN_CLASS}
RANGES = {"smooth-ones": (0.55, 0.85), "smooth-zeros": (0.0, 0.3)}
SELF_TRAINED = "self-trained"  # U-SelfTrained: the probability from a model trained without uncertain labels
WORDS = (*CONSTANTS, *RANGES, SELF_TRAINED)
# LibAUC, EVA-X and jfhealthcare/Chexpert: Edema and Atelectasis ones, the rest of the five zeros.
PRESETS = {
    "chexpert-mix": "ignore,Atelectasis=ones,Edema=ones,Cardiomegaly=zeros,Consolidation=zeros,Pleural Effusion=zeros"
}
BLANKS = ("negative", "missing")
