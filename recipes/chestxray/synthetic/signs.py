"""Draw the 14 findings on a synthetic chest radiograph, each as one visible sign in its anatomical place.

A sign may alter the body before it is drawn (a larger heart, a flatter diaphragm) and may add to the film's
density; it returns its box if it is one of the eight findings that NIH boxed. The signs follow the textbooks
(Goodman, *Felson's Principles of Chest Roentgenology*; Fleischner Society, *Glossary of Terms for Thoracic
Imaging*, Radiology 2008), made stronger so that each can be seen at 64 pixels. They teach nothing about disease.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from chestxray.synthetic.chest import Body, Box, Film, heart_box, lungs, stream


def random_side(rng) -> int:
    return int(rng.choice([-1, 1]))


def one_lung(film: Film, body: Body, side: int):
    """1 inside the lung on that side, 0 elsewhere."""
    return film.inside(side * (film.x - body.middle)) * lungs(film, body)


def box_around(x: float, y: float, rx: float, ry: float) -> Box:
    return x - rx, y - ry, x + rx, y + ry


def emphysema(film, body, rng):
    """Black, overfilled lungs over a low, flat diaphragm, with few vessels and a narrow heart."""
    body.air, body.dome, body.drop = 1.2, body.dome + rng.uniform(0.07, 0.10), 0.2 * body.drop
    body.ctr *= 0.8
    film.markings = film.markings * 0.3


def cardiomegaly(film, body, rng):
    """A cardiothoracic ratio of 0.60 to 0.70; more than 0.5 is enlarged."""
    body.ctr = rng.uniform(0.60, 0.70)
    return heart_box(body)


def effusion(film, body, rng):
    """Fluid that blunts one costophrenic angle and climbs the wall as a meniscus."""
    side, height = random_side(rng), rng.uniform(0.04, 0.14)
    level = body.dome - height + 0.10 * (1 - np.clip(body.across(film.x), 0, 1) ** 3)
    film.density += 0.75 * film.inside(film.y - level, 0.015) * one_lung(film, body, side)
    wall, inner = (body.middle + side * body.width * across for across in (1, 0.3))
    return min(wall, inner), body.dome - height, max(wall, inner), body.dome + body.drop


def pneumothorax(film, body, rng):
    """One lung falls from the wall: black beyond a thin white pleural line, and no vessels there."""
    side, gap = random_side(rng), rng.uniform(0.20, 0.32)
    edge = (1 - gap) * body.wall(film.y - 0.08) - body.across(film.x)
    lung = one_lung(film, body, side)
    free = lung * film.inside(-edge, 0.02)
    film.density += 0.3 * lung * np.exp(-((edge / 0.025) ** 2)) - 0.3 * free
    film.markings = film.markings * (1 - free)
    wall, inner = (body.middle + side * body.width * across for across in (1, 0.25))
    return min(wall, inner), body.apex, max(wall, inner), body.dome + body.drop


def mass(film, body, rng):
    """A round, dense, sharp opacity of 4.5 to 6 cm; a mass is more than 3 cm."""
    x, y = body.at(random_side(rng), rng.uniform(0.5, 0.72), rng.uniform(0.3, 0.8))
    r, oval, lean = rng.uniform(0.065, 0.085), rng.uniform(0.85, 1.1), rng.uniform(-0.2, 0.2)
    film.density += 0.85 * film.ellipse(x, y, r, r * oval, lean, 0.25)
    return box_around(x, y, r, r * oval)


def nodule(film, body, rng):
    """A round, very dense spot of 2.3 to 2.9 cm; a nodule is at most 3 cm."""
    x, y = body.at(random_side(rng), rng.uniform(0.5, 0.8), rng.uniform(0.25, 0.85))
    r = rng.uniform(0.032, 0.040)
    film.density += 1.2 * film.ellipse(x, y, r, r, 0, 0.3)
    return box_around(x, y, r, r)


def atelectasis(film, body, rng):
    """Plates of collapsed lung: three nearly level bands that fade at their ends, above the diaphragm."""
    x, y = body.at(random_side(rng), 0.62, 0.88)
    for rise in (0.0, 0.06, 0.12):
        tilt, bend = rng.uniform(-0.15, 0.15), rng.uniform(-0.6, 0.6)
        line = y - rise + tilt * (film.x - x) + bend * (film.x - x) ** 2
        ends = np.exp(-(((film.x - x) / rng.uniform(0.10, 0.14)) ** 4))
        film.density += 0.7 * np.exp(-(((film.y - line) / 0.012) ** 2)) * ends * lungs(film, body)
    return x - 0.13, y - 0.15, x + 0.13, y + 0.03


def consolidation(film, body, rng):
    """One upper lobe turned white above a straight fissure, its bronchi still black with air."""
    side, depth = random_side(rng), rng.uniform(0.38, 0.48)
    fissure = body.at(side, 0, depth)[1] + 0.06 * (body.across(film.x) - 0.5)
    tips = [body.at(side, across, depth) for across, depth in ((0.6, 0.15), (0.65, 0.27), (0.42, 0.14))]
    bronchi = film.strokes([(0.008, [body.at(side, 0.25, 0.5), tip]) for tip in tips])
    lobe = film.inside(fissure - film.y, 0.012) * one_lung(film, body, side)
    film.density += lobe * (0.7 + 0.08 * film.cloud(rng, 30) - 0.4 * bronchi)


def pneumonia(film, body, rng):
    """One patch with no clear border, in the middle or lower zone."""
    x, y = body.at(random_side(rng), rng.uniform(0.5, 0.65), rng.uniform(0.6, 0.85))
    r = rng.uniform(0.09, 0.12)
    patch = film.haze(x, y, r, r) * (1 + 0.25 * film.cloud(rng, 40))
    film.density += 0.75 * patch * lungs(film, body)
    return box_around(x, y, r, r)


def infiltration(film, body, rng):
    """Patchy mottle scattered over one lung."""
    (x, y), rx, ry = body.at(random_side(rng), 0.55, rng.uniform(0.5, 0.6)), 0.13, 0.20
    mottle = np.clip(film.cloud(rng, 24) - 0.1, 0, 1.5)
    film.density += 0.7 * mottle * film.ellipse(x, y, rx, ry, 0, 0.4) * lungs(film, body)
    return box_around(x, y, rx, ry)


def edema(film, body, rng):
    """The bat's wings: haze around both hila that spares the periphery."""
    for side in (-1, 1):
        wing = film.haze(*body.at(side, 0.42, 0.55), 0.10, rng.uniform(0.14, 0.17))
        film.density += 0.65 * wing * lungs(film, body)


def fibrosis(film, body, rng):
    """A net of lines at both bases, denser toward the wall."""
    net = sum(np.clip(1 - np.abs(film.cloud(rng, cells)) / 0.45, 0, 1) for cells in (34, 56))
    basal = film.inside(film.y - (body.dome - 0.20), 0.15) * film.inside(body.across(film.x) - 0.35, 0.4)
    film.density += 0.4 * net * basal * lungs(film, body)


def pleural_thickening(film, body, rng):
    """A rind along one lateral wall, uneven on its inner edge, that leaves the costophrenic angle free."""
    side, thick = random_side(rng), rng.uniform(0.13, 0.18)
    inner = body.wall(film.y) - thick - 0.03 * film.cloud(rng, 12)
    rind = film.inside(body.across(film.x) - inner, 0.04) * film.inside(body.dome - 0.08 - film.y, 0.05)
    film.density += 0.7 * rind * one_lung(film, body, side)


def hernia(film, body, rng):
    """A bubble of stomach behind the heart: a bright wall, air above a level of fluid."""
    x, y = body.middle + rng.uniform(0.05, 0.08), body.dome - rng.uniform(0.05, 0.08)
    r = rng.uniform(0.06, 0.08)
    air = film.ellipse(x, y, 0.82 * r, 0.82 * r, 0, 0.15) * film.inside(y + 0.2 * r - film.y)
    film.density += 0.5 * film.ellipse(x, y, r, r, 0, 0.15) - 1.3 * air


SIGNS = {
    # In the order of drawing: the first two change the body on which the others are drawn.
    "Emphysema": emphysema,
    "Cardiomegaly": cardiomegaly,
    "Atelectasis": atelectasis,
    "Consolidation": consolidation,
    "Edema": edema,
    "Effusion": effusion,
    "Fibrosis": fibrosis,
    "Hernia": hernia,
    "Infiltration": infiltration,
    "Mass": mass,
    "Nodule": nodule,
    "Pleural_Thickening": pleural_thickening,
    "Pneumonia": pneumonia,
    "Pneumothorax": pneumothorax,
}


def draw_signs(film: Film, body: Body, findings: Iterable[str]) -> tuple[Body, dict[str, Box]]:
    """Put the findings on the film. Returns the body with its changes, and {finding: box} of those that NIH boxed."""
    body, boxes = replace(body), {}
    for finding, draw in SIGNS.items():
        if finding in findings:
            boxes[finding] = draw(film, body, stream(body.key, finding))
    return body, {finding: box for finding, box in boxes.items() if box}
