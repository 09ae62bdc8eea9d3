"""What the library knows of a dataset before it reads it: a `Descriptor`. `registry.py` lists them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datasets import DatasetBuilder

SYNTHETIC_MARK = "SYNTHETIC.txt"  # lies beside drawn images; NIH's builder, which stands alone, has it too


class Meaning(NamedTuple):
    """How a dataset's own names relate to a canonical finding.

    Attributes:
        relation: the meaning of the names is "equal" to the finding, "broader" or "narrower"; or "no counterpart".
        names: the dataset's own names.
        source: where this is from.
    """

    relation: str
    names: tuple[str, ...]
    source: str


def equal(*names: str, source: str) -> Meaning:
    return Meaning("equal", names, source)


def broader(*names: str, source: str) -> Meaning:
    return Meaning("broader", names, source)


def narrower(*names: str, source: str) -> Meaning:
    return Meaning("narrower", names, source)


def no_counterpart(source: str = "") -> Meaning:
    return Meaning("no counterpart", (), source)


@dataclass(frozen=True)
class BuildOptions:
    """What a run may ask of a builder.

    Attributes:
        allow_missing: accept a folder without some of the images that its tables name.
        labeler: whose labels to read, where a dataset has several; see `Descriptor.labelers`.
    """

    allow_missing: bool = False
    labeler: str = "chexpert"


def has_mark(folder: Path) -> bool:
    """Whether the mark of drawn images lies at the top of a folder."""
    return (Path(folder) / SYNTHETIC_MARK).is_file()


@dataclass(frozen=True)
class Descriptor:
    """One dataset, or one of its published forms.

    Attributes:
        name: what reports call it; None if the folder or Hub repository has to give its own name.
        licence: the owner's terms in one sentence; empty if they are not known.
        may_be_passed_on: whether the owner lets others pass on the images and the patients' rows. False where nobody
            knows.
        recognise: whether a folder holds this dataset. It looks at names and headers only.
        build: the builder of a folder; None for Parquet, which `datasets` reads by itself.
        is_synthetic: whether the images in a folder were drawn.
        frontal_views: the classes of `view_position` that are frontal; empty if the classes are not known.
        labelers: whose labels there are to choose from; empty if there is no choice.
        vocabulary: a short word for the set of label names. Several forms of one dataset share it.
        meanings: {canonical finding: what the dataset's own names say about it}.
    """

    name: str | None
    licence: str
    may_be_passed_on: bool
    recognise: Callable[[Path], bool]
    build: Callable[[Path, BuildOptions], DatasetBuilder] | None
    is_synthetic: Callable[[Path], bool] = has_mark
    frontal_views: tuple[str, ...] = ()
    labelers: tuple[str, ...] = ()
    vocabulary: str = ""
    meanings: Mapping[str, Meaning] = field(default_factory=dict)

    def title(self, synthetic: bool) -> str | None:
        """The name for a reader, who must see that images were drawn; None if `name` is."""
        return f"Synthetic archive in the layout of {self.name}" if synthetic and self.name else self.name
