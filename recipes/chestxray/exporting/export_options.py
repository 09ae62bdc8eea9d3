"""What export.py is to do: its flags as values, with their defaults."""

from dataclasses import dataclass

ENDING = ".onnx"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The flags of export.py as values, with their defaults.

    Attributes:
        output: a file that ends in .onnx, or a folder, which gets NAME.
        page: whether the folder becomes a static page; onnxruntime_web: see `browser_runtime.collect`.
        dataset: whose validation images are compared; None is the checkpoint's own.
        int8: whether weights become int8; batch_size: images per pass when its AUROC is measured.
    """

    checkpoint: str
    output: str
    dataset: str | None = None
    int8: bool = False
    batch_size: int = 32
    page: bool = False
    onnxruntime_web: str | None = None
