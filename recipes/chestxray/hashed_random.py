"""Random numbers that are a function of what they are for: no state to save, alike in any batch and process."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seed, epoch, index, count):
    """Uniform numbers in [0, 1), a row per image.

    SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 17), its state
    hashed from seed, epoch and image.

    Args:
        seed, epoch: int; index: n ints. What is no augmentation has a number that no epoch reaches: see `labels`.

    Returns:
        (n, count) float64.
    """
    state = _mixed(np.array([seed], np.uint64))
    state = _mixed(state + np.array([epoch], np.uint64) * GOLDEN)
    state = _mixed(state + np.asarray(index, np.uint64) * GOLDEN)
    return (_mixed(state[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN) >> np.uint64(11)) * 2.0**-53


def _mixed(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def normals(u, v):
    """Standard normal numbers from two uniform ones (Box and Muller 1958)."""
    return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)
