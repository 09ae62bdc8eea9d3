"""Values as JSON takes them."""

import math
from typing import Any

import numpy as np


def to_plain_values(value: Any) -> Any:
    """Dicts, lists and NumPy's numbers as Python's own, NaN as None."""
    if isinstance(value, dict):
        return {name: to_plain_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain_values(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value
