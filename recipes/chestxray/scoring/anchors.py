"""The official test split of NIH ChestX-ray14, and what others reached on it."""

import hashlib
import re
from dataclasses import dataclass

# SHA-256 of the 25,596 file names of NIH's test_list.txt in alphabetical order, one per line:
#   (cat test_list.txt; echo) | LC_ALL=C sort | sha256sum      (the list ends without a newline)
TEST_NAMES = "3d0c44b68d287fd04f90c4f25df13428bba7b3e729f65715d5cf73a88e83d226"
TEST_IMAGES = 25_596


@dataclass(frozen=True)
class Anchor:
    work: str
    auroc: float  # mean over the 14 findings
    source: str
    selected_on_test: bool = False


ANCHORS = (
    Anchor("Wang et al. 2017, ResNet-50", 0.745, "the dataset's authors, mean of their Table 17"),
    Anchor("DNetLoc (Guendel et al. 2018), DenseNet-121", 0.807, "paper"),
    Anchor("XProtoNet (Kim et al. 2021), DenseNet-121, 512 px", 0.822, "paper"),
    Anchor("ConvNeXt V2-B, 512 px (Statheros et al. 2025)", 0.825, "baseline of the CLARiTy paper, arXiv 2512.16700"),
    Anchor("Medical MAE (Xiao et al. 2023), ViT-B", 0.830, "README of lambert-x/medical_mae", True),
    Anchor("EVA-X-B (Yao et al. 2025)", 0.835, "README of hustvl/EVA-X", True),
)
NOTE = (
    "Means over the 14 findings on the same 25,596 images, as published. Medical MAE and EVA-X chose their "
    "checkpoint on the test set, so theirs are maxima over it; a model chosen on validation is not compared like with "
    "like."
)


def is_official(image_file_paths):
    """Whether these are the images of NIH's test list, all of them and no other; None where they are not NIH's at all.

    Only the files' names count: 00000798_022.png is one of NIH's.
    """
    names = sorted(path.rpartition("/")[2] for path in image_file_paths)
    if not all(re.fullmatch(r"\d{8}_\d{3}\.png", name) for name in names):
        return None
    return len(names) == TEST_IMAGES and digest(names) == TEST_NAMES


def digest(names):
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
