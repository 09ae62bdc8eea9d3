"""The numbers are SplitMix64's, depend on nothing but their arguments, and have the right distribution."""

import numpy as np

from chestxray.hashed_random import mix, normals, uniforms


def test_the_mixing_function_is_splitmix64s():
    # The first outputs of SplitMix64 with seed 0, from its reference implementation, prng.di.unimi.it/splitmix64.c.
    states = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [hex(value) for value in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_a_row_depends_on_its_image_and_not_on_the_batch():
    batch = uniforms(1, 2, [5, 6, 7], 4)
    assert batch.shape == (3, 4) and batch.dtype == np.float64
    assert np.array_equal(batch[1], uniforms(1, 2, [6], 4)[0])
    assert np.array_equal(batch[:, :2], uniforms(1, 2, [5, 6, 7], 2))


def test_seed_epoch_and_image_each_change_the_numbers():
    rows = np.concatenate([uniforms(seed, epoch, [0, 1], 3) for seed in (0, 1) for epoch in (0, 1)])
    assert len(np.unique(rows)) == rows.size == 24


def test_they_are_uniform_and_their_normals_normal():
    u, v = uniforms(0, 0, np.arange(20_000), 2).T
    assert 0 <= u.min() and u.max() < 1
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.03
    assert np.abs(np.histogram(u, 10, (0, 1))[0] - 2000).max() < 200
    z = normals(u, v)
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03 and abs((np.abs(z) < 1.96).mean() - 0.95) < 0.01
