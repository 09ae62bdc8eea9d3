"""Random numbers from a hash of seed, epoch and image: no state to save, the same in every batch and process."""

import numpy as np
from numpy.typing import ArrayLike

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seed: int, epoch: int, index: ArrayLike, count: int) -> np.ndarray:
    """Uniform numbers in [0, 1), a row per image: (n, count) float64.

    SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 17). Its state is
    a hash of seed, epoch and image.

    Args:
        epoch: of the augmentation. Another use takes a number that no epoch reaches: see `labels`.
        index: (n,) integers, the images.
    """
    state = mix(np.array([seed], np.uint64))
    state = mix(state + np.array([epoch], np.uint64) * GOLDEN)
    state = mix(state + np.asarray(index, np.uint64) * GOLDEN)
    return (mix(state[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN) >> np.uint64(11)) * 2.0**-53


def mix(state: np.ndarray) -> np.ndarray:
    """SplitMix64's bijection of 64 bits: uint64 in, uint64 of the same shape out."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def normals(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Standard normal numbers from two arrays of uniform ones, of their shape (Box and Muller 1958)."""
    return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)
