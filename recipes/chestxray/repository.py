"""Where the library finds files that are not its code: in a clone of the repository, or in the installed package."""

from pathlib import Path

LIBRARY = Path(__file__).parent
CLONE = LIBRARY.parents[1] if LIBRARY.parent.name == "recipes" else None  # None: this is an installed package

# setup.cfg puts these two into the package.
PRESETS = CLONE / "recipes" / "configs" if CLONE else LIBRARY / "configs"
SAMPLE = CLONE / "data" / "sample" if CLONE else LIBRARY / "sample"


def clone_path(name: str) -> Path:
    """The path of a file or folder that only a clone has, such as `README.md`.

    Raises:
        FileNotFoundError: the library is an installed package.
    """
    if CLONE is None:
        raise FileNotFoundError(f"The installed package has no {name}. Clone the repository and run the command there.")
    return CLONE / name
