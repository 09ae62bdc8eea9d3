"""What of a drawing lies outside of its axes, where nobody sees it."""

import numpy as np
from matplotlib.collections import LineCollection, PathCollection


def unseen(figure):
    """The data points (x, y) of every dot, line and interval that the limits of their axes cut off."""
    figure.canvas.draw()
    return [point for axes in figure.axes for points in drawn(axes) for point in outside(axes, points)]


def drawn(axes):
    """Arrays (n, 2) in data coordinates, one of each artist."""
    for line in axes.lines:
        # A reference line across the axes has one coordinate that is no datum: 0 to 1 of the axes.
        across, along = line.get_transform().contains_branch_seperately(axes.transData)
        points = np.array(line.get_xydata(), dtype=float)
        middle = np.mean(axes.get_xlim()), np.mean(axes.get_ylim())
        yield np.where([across, along], points, middle)
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            yield np.ma.filled(np.ma.asarray(collection.get_offsets(), dtype=float), np.nan)
        elif isinstance(collection, LineCollection):
            yield np.concatenate([np.empty((0, 2)), *(part.reshape(-1, 2) for part in collection.get_segments())])


def outside(axes, points):
    points = points[~np.isnan(points).any(axis=1)]
    (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    wrong = (points[:, 0] < left) | (points[:, 0] > right) | (points[:, 1] < low) | (points[:, 1] > high)
    return [tuple(point) for point in points[wrong].tolist()]
