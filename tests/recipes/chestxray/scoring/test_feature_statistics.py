"""Distances to the training images: their limit, few images, and the way through the file."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from chestxray.scoring import feature_statistics
from chestxray.scoring.feature_statistics import FeatureStatistics

COPY, WIDTH = 4, 12  # numbers of the copy, and of features and copy together


def numbers(n, seed, width=WIDTH):
    """Correlated numbers of very different spread."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, width)) @ np.random.default_rng(99).normal(size=(width, width))
    return (mixed * np.logspace(-2, 2, width) + 5).astype(np.float32)


def statistics(references):
    return FeatureStatistics("ab" * 32, "none", 500, 400, 0.01, {"Lakeside": (0.02, 100)}, references)


def test_the_distance_is_that_of_mahalanobis_with_the_shrunk_covariance():
    train, validated = numbers(500, 0), numbers(400, 1)
    one = feature_statistics.reference(train, validated, 0.05)
    scale = train.std(axis=0)
    by_sklearn = np.sqrt(LedoitWolf().fit(train / scale).mahalanobis(validated / scale))
    np.testing.assert_allclose(one.distances(validated) * one.limit, by_sklearn, rtol=1e-3)


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_share_of_validation_beyond_the_limit_is_the_one_asked_for(rate):
    validated = numbers(400, 1)
    references = feature_statistics.fit(numbers(500, 0), validated, COPY, rate)
    assert (feature_statistics.distances(references, validated) > 1).sum() == pytest.approx(400 * rate, abs=1)
    assert (feature_statistics.distances(references, numbers(4000, 2)) > 1).mean() == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("piece", [slice(0, 1), slice(-1, None)], ids=["features", "copy"])
def test_either_part_alone_flags(piece):
    references = feature_statistics.fit(numbers(500, 0), numbers(400, 1), COPY)
    odd = numbers(1, 3)
    odd[:, piece] += 1e4
    assert feature_statistics.distances(references, odd)[0] > 1


@pytest.mark.parametrize("n", [30, 40])
def test_fewer_images_than_features_and_features_without_spread_do_not_break_it(n):
    width = 200
    train, validated, later = (numbers(count, seed, width) for seed, count in enumerate((n, 50, 500)))
    for part in (train, validated, later):
        part[:, :3] = 7.0
    references = feature_statistics.fit(train, validated, COPY)
    found = feature_statistics.distances(references, later)
    assert np.isfinite(found).all() and (found > 1).mean() < 0.15
    later[:, 0] = 1e5
    assert (feature_statistics.distances(references, later) > 1).all()


@pytest.mark.parametrize("flat", [slice(None, -COPY), slice(None)], ids=["features", "features and copy"])
def test_a_model_that_gives_all_images_the_same_features_breaks_nothing(tmp_path, flat):
    train, validated, later = (numbers(count, seed) for seed, count in enumerate((60, 50, 9)))
    for part in (train, validated, later):
        part[:, flat] = 0.3
    wrote = statistics(feature_statistics.fit(train, validated, COPY))
    read = feature_statistics.read(feature_statistics.save(wrote, tmp_path))
    assert np.isfinite(read.distances(later)).all()
    later[:, 0] += 1
    assert (read.distances(later) > 1).all()


def test_numbers_survive_the_file(tmp_path):
    wrote = statistics(feature_statistics.fit(numbers(500, 0), numbers(400, 1), COPY))
    read = feature_statistics.read(feature_statistics.save(wrote, tmp_path))
    assert feature_statistics.as_bytes(read) == feature_statistics.as_bytes(wrote)
    assert read.false_alarms == {"Lakeside": (0.02, 100)}
    np.testing.assert_array_equal(read.distances(numbers(9, 4)), wrote.distances(numbers(9, 4)))


def test_a_path_in_a_name_of_a_dataset_is_not_kept(tmp_path):
    one = statistics(feature_statistics.fit(numbers(500, 0), numbers(400, 1), COPY))
    one = replace(one, false_alarms={"/home/jsmith/nih": (0.0, 3)})
    assert "/home" not in str(feature_statistics.read(feature_statistics.save(one, tmp_path)).false_alarms)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: b"text", lambda data: data[:-90]])
def test_a_damaged_file_is_one_clear_line(tmp_path, damage):
    path = feature_statistics.save(statistics(feature_statistics.fit(numbers(500, 0), numbers(400, 1), COPY)), tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="feature_statistics.npz is damaged .*: delete it and run score.py again"):
        feature_statistics.read(path)


def test_any_damaged_bytes_are_one_clear_line_or_change_nothing_that_is_read(tmp_path):
    path = feature_statistics.save(statistics(feature_statistics.fit(numbers(500, 0), numbers(400, 1), COPY)), tmp_path)
    whole, refused = path.read_bytes(), 0
    for number in range(300):
        random, data = np.random.default_rng(number), bytearray(whole)
        data[random.integers(len(data))] ^= int(random.integers(1, 256))
        path.write_bytes(bytes(data))
        try:
            feature_statistics.read(path)
        except ValueError as error:
            assert "\n" not in str(error) and "delete it and run score.py again" in str(error)
            refused += 1
    assert refused > 200
