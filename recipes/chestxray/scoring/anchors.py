"""What others reached on the official test split of NIH ChestX-ray14."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Anchor:
    """One published mean AUROC over the 14 findings; `source` says where it stands."""

    work: str
    auroc: float
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
