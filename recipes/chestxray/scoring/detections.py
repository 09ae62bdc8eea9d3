"""Heatmaps as an object detector: boxes with scores, and COCO's two JSON files, for pycocotools and its readers.

Average precision asks more than the rules of `localisation`. Every box that is drawn for a finding counts, on every
image that is in the truth. NIH's doctors did not draw all that is there: a right box of a finding that an image has,
but that nobody drew, counts as false. So compare models by it on the same images, and do not read it as precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chestxray.scoring import boxes_of_maps
from chestxray.scoring.boxes_of_maps import Places


@dataclass(frozen=True)
class Detections:
    """r boxes with scores.

    Attributes:
        maps: (r,) int, the map that each is from.
        boxes: (r, 4) float64, x, y, width, height in units of the view.
        scores: (r,) float64, 0 to 1.
    """

    maps: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def detect(
    maps: np.ndarray, probabilities: np.ndarray, thresholds: float | np.ndarray, places: Places | None = None
) -> Detections:
    """A box round each region that reaches the threshold, with the finding's probability times the region's peak.

    Among images the probability says how sure the model is of the finding. Within an image the peak, as a share of the
    map's largest value, ranks the regions: the hottest one keeps the whole probability.

    Args:
        maps: (n, h, w) float, one for each image and finding.
        probabilities: (n,), of the finding in the image.
        thresholds: of the map scaled to 0..1, above 0; one for all or (n,). `Localised.thresholds[:, 0]` are fitted on
            other patients.
        places: where the grid's rows and columns look, see `boxes_of_maps.scale`.

    Raises:
        ValueError: as `boxes_of_maps.check_maps`; a map is named by its number.
    """
    maps = boxes_of_maps.check_maps(maps, np.arange(len(probabilities)))
    probabilities, thresholds = np.asarray(probabilities), np.broadcast_to(thresholds, len(maps))
    parts = []
    for some in boxes_of_maps.chunks(len(maps)):
        found = boxes_of_maps.find_regions(boxes_of_maps.scale(maps[some], places=places), thresholds[some])
        parts.append((found.maps + some.start, found.boxes, probabilities[some][found.maps] * found.peaks))
    return Detections(*(np.concatenate(part) for part in zip(*parts, strict=True)))


# COCO's format, https://cocodataset.org/#format-data and #format-results


def coco_truth(
    images: Sequence[str],
    frames: np.ndarray,
    boxes: np.ndarray,
    names: Sequence[str],
    findings: Sequence[str],
    categories: Sequence[str],
) -> dict:
    """The true boxes, as a dict that `json` writes and `pycocotools.coco.COCO` reads.

    Numbers of images, boxes and categories begin with 1: pycocotools takes the match with a box 0 for no match.

    Args:
        images: the names of all images that are judged. frames: (images, 2), their width and height in pixels.
        boxes: (n, 4) of x, y, width, height in pixels of the original image. names, findings: (n,), of each box.
        categories: all findings, in order.
    """
    annotations = [
        {**place, "id": number, "area": place["bbox"][2] * place["bbox"][3], "iscrowd": 0}
        for number, place in enumerate(coco_places(boxes, names, findings, images, categories), start=1)
    ]
    sides = np.asarray(frames).tolist()
    return {
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, (width, height)) in enumerate(zip(images, sides, strict=True), start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, start=1)],
    }


def coco_results(
    boxes: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    findings: Sequence[str],
    images: Sequence[str],
    categories: Sequence[str],
) -> list[dict]:
    """Detected boxes, as a list that `json` writes and `COCO.loadRes` reads.

    Args:
        boxes, names, findings: (r, 4) in pixels of the original image, and (r,), as for `coco_truth`.
        scores: (r,), 0 to 1.
        images, categories: as for `coco_truth`; their order gives the numbers.
    """
    places = coco_places(boxes, names, findings, images, categories)
    return [{**place, "score": float(score)} for place, score in zip(places, scores, strict=True)]


def coco_places(
    boxes: np.ndarray, names: Sequence[str], findings: Sequence[str], images: Sequence[str], categories: Sequence[str]
) -> list[dict]:
    """`image_id`, `category_id` and `bbox` of each box. Raises KeyError for a name that is not listed."""
    image_ids = {str(name): number for number, name in enumerate(images, start=1)}
    category_ids = {str(name): number for number, name in enumerate(categories, start=1)}
    return [
        {"image_id": image_ids[str(name)], "category_id": category_ids[str(finding)], "bbox": box}
        for box, name, finding in zip(np.asarray(boxes, float).tolist(), names, findings, strict=True)
    ]
