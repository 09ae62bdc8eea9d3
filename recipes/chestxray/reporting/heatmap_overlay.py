"""How a heatmap is drawn over its image: the hotter a place, the less of the image is seen through the colour.

The colours are relative to their own map: its coldest place has none, and its hottest place has the brightest one.
"""

import cv2
import numpy as np

from chestxray.images.geometry import edge
from chestxray.scoring.boxes_of_maps import Places, scale

OPACITY = 0.6  # of the hottest place, so that what lies below it can be seen
# (256, 3) uint8, red, green and blue from cold to hot; Matplotlib's "inferno", which colour-blind people can read
SHADES = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
SIDE = 512  # of a picture at least, pixels


def colour_maps(maps: np.ndarray, side: int, places: Places | None = None) -> np.ndarray:
    """(n, h, w) float32, finite, to (n, side, side, 4) uint8: red, green, blue and opacity. places: see `scale`."""
    heat = np.rint(scale(maps, side, places) * 255).astype(np.uint8)
    opacity = np.rint(heat * OPACITY).astype(np.uint8)
    return np.concatenate([SHADES[heat], opacity[..., None]], axis=-1)


def blend(grey: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The colours over an image: (s, s) uint8 and (s, s, 4) uint8 to (s, s, 3) uint8."""
    opacity = colours[..., 3:] / 255
    return np.rint(grey[..., None] * (1 - opacity) + colours[..., :3] * opacity).astype(np.uint8)


def draw_overlay(pixels: np.ndarray, heatmap: np.ndarray, view: int, places: Places | None = None) -> np.ndarray:
    """A heatmap over the whole image, enlarged to SIDE if it is smaller: (s, s, 3) uint8.

    Args:
        pixels: (whole, whole) uint8.
        heatmap: (h, w) float32, finite, of the middle of the image.
        view: side of this middle, which the model sees, pixels of the image. What lies around it has no colour.
        places: see `boxes_of_maps.scale`.
    """
    whole = len(pixels)
    side = max(SIDE, whole)
    grey = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC)
    start, length = round(edge(whole, view) * side / whole), round(view * side / whole)
    (colours,) = colour_maps(heatmap[None], length, places)
    drawn, seen = np.repeat(grey[..., None], 3, axis=-1), slice(start, start + length)
    drawn[seen, seen] = blend(grey[seen, seen], colours)
    return drawn


def png(picture: np.ndarray) -> bytes:
    """(h, w), (h, w, 3) or (h, w, 4) uint8 of greys, colours, or colours and opacity, as a PNG without metadata."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, order[picture.shape[2]])
    return cv2.imencode(".png", stored)[1].tobytes()
