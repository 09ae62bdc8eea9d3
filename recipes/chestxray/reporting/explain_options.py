"""What explain.py is to do: its flags as values, with their defaults."""

from dataclasses import dataclass
from pathlib import Path

from chestxray.places import place
from chestxray.scoring.map_options import MapOptions
from chestxray.scoring.prediction_options import PredictionOptions


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(PredictionOptions):
    """Whose heatmaps, of which images.

    Attributes:
        checkpoint: a folder as finetune.py leaves it.
        dataset: a folder or Hub id; None for the dataset that the checkpoint was trained on.
        method: one of `heatmap_methods.METHODS`; None is the architecture's own.
        images: a file that names images; None for all images with a box.
        output_dir: None for `explain` in the checkpoint's folder.
        against: another checkpoint; against_method: another method. Either makes a comparison, or both together.
        randomise: whether the same model with random weights has a row of the table.
        image_size, relative: see `map_options.MapOptions`; `tta` too.
    """

    checkpoint: str
    dataset: str | None = None
    method: str | None = None
    images: str | None = None
    output_dir: str | None = None
    against: str | None = None
    against_method: str | None = None
    randomise: bool = False
    image_size: int | None = None
    relative: bool = False

    def __post_init__(self):
        """Raise ValueError for a comparison of a model with itself."""
        same_model = place(self.against or self.checkpoint) == place(self.checkpoint)
        if self.against and same_model and not self.against_method:
            raise ValueError(f"{self.against} is the model itself: give another model, or --against-method")
        if same_model and self.method and self.method == self.against_method:
            raise ValueError(f"the method is {self.method} on both sides: there is nothing to compare")

    def refuse_same_method(self, method: str) -> None:
        """Raise ValueError if the comparison is with the method that the model's architecture has anyway."""
        if self.against_method == method and place(self.against or self.checkpoint) == place(self.checkpoint):
            raise ValueError(f"the method is {method} on both sides: give another --method or --against-method")

    @property
    def maps(self) -> MapOptions:
        """How all heatmaps of the command are computed."""
        return MapOptions(image_size=self.image_size, tta=self.tta, relative=self.relative)

    @property
    def output(self) -> Path:
        """The folder for everything that is written."""
        return Path(self.output_dir) if self.output_dir else self.home

    @property
    def home(self) -> Path:
        """Where the model card looks for the numbers of its checkpoint."""
        return Path(self.checkpoint) / "explain"

    @property
    def has_rival(self) -> bool:
        return bool(self.against or self.against_method)

    @property
    def checkpoints(self) -> list[str]:
        """The model, and the one that it is compared with if this is another one."""
        return [self.checkpoint, *filter(None, [self.against])]
