"""Every setting has a type and bounds, and its default keeps them."""

from chestxray.training import settings
from chestxray.training.settings import Settings


def test_every_number_has_bounds_and_a_default_within_them():
    numbers = {int, float}
    for name, hint in settings.TYPES.items():
        kinds = {part for kind in settings.kinds(hint) for part in (kind, *settings.get_args(kind))}
        assert bool(settings.BOUNDS[name]) == bool(numbers & kinds), name
        settings.check(name, getattr(Settings(), name))
