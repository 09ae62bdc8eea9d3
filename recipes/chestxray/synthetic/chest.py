"""Draw the synthetic chest radiograph of a healthy patient: the body, the film, and what the film shows.

Everything is measured in fractions of the picture plane, x to the right and y down, so that one chest can be
drawn at any size. The plane is about 36 cm wide; 3 cm, the border between a nodule and a mass, is 0.083.
As on every radiograph the patient faces us: side -1, on the left, is the patient's right.

Everything that is drawn adds density, and air takes it away. The more density a ray crosses, the brighter is the film.
Two methods are used everywhere: `body.across(x)` is 1 at the chest wall, and `film.inside(d)` is 1 where d > 0, with a
soft edge.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

Box = tuple[float, float, float, float]  # left, top, right, bottom
LETTER = (0.008, [(0.92, 0.05), (0.92, 0.09), (0.94, 0.09)])  # the L that marks the patient's left


def stream(key: tuple[int, ...], name: str) -> np.random.Generator:
    """A generator for each named detail of a patient, so that a new detail leaves the others as they were."""
    return np.random.default_rng([*key, zlib.crc32(name.encode())])


@dataclass
class Body:
    """One patient's chest; lengths are fractions of the picture plane."""

    key: tuple[int, ...]  # (seed, patient): where every random detail of this patient comes from
    middle: float = 0.5  # x of the spine
    apex: float = 0.09  # y of the top of the lungs
    dome: float = 0.70  # y of the top of the diaphragm
    drop: float = 0.12  # from the dome down to the costophrenic angle
    width: float = 0.38  # from the spine to the inner chest wall, at the base
    ctr: float = 0.45  # cardiothoracic ratio: transverse heart over inner chest width, healthy below 0.5
    fat: float = 0.5  # habitus, 0 slender to 1 stout
    breast: float = 0.0  # density of the breast shadows
    pitch: float = 0.075  # from one rib to the next
    air: float = 1.0  # how black the lungs are

    def across(self, x):
        """Distance from the spine, 1 at the chest wall."""
        return np.abs(x - self.middle) / self.width

    def wall(self, y):
        """Where the lung ends laterally, in units of `across`: narrow at the apex, 1 at the base."""
        depth = np.clip((y - self.apex) / (self.dome - self.apex), 0, 1)
        return (1 - (1 - depth) ** 2.5) ** 0.45

    def hilum(self, y):
        """Where the lung begins medially, in units of `across`: beside spine and great vessels."""
        depth = np.clip((y - self.apex) / (self.dome - self.apex), 0, 2)
        return 0.15 + 0.20 * np.exp(-depth / 0.06)

    def floor(self, x):
        """The diaphragm's y: a dome on each side, the patient's right one a little higher."""
        u = self.across(x)
        lateral = np.clip((u - 0.45) / 0.55, 0, 1.2) ** 2.4
        medial = 0.25 * np.clip((0.45 - u) / 0.45, 0, 1) ** 2
        return self.dome + 0.02 * np.clip(5 * (x - self.middle) + 0.5, 0, 1) + self.drop * (lateral + medial)

    def at(self, side: int, across: float, depth: float) -> tuple[float, float]:
        """The point (x, y) in one lung, `across` of the way to the wall, `depth` of the way to the dome."""
        y = self.apex + depth * (self.dome - self.apex)
        return self.middle + side * self.width * across * float(self.wall(y)), y


@dataclass
class Film:
    """The part of the picture plane that is exposed, and what the signs add to it (float32, size x size)."""

    size: int
    window: tuple[float, float, float] = (0.0, 0.0, 1.0)  # left, top, side
    density: np.ndarray = field(init=False)  # added to the healthy chest; negative is air
    markings: np.ndarray | float = 1.0  # what is left of the vessels; 0 where there is no lung

    def __post_init__(self):
        left, top, side = self.window
        steps = (np.arange(self.size, dtype=np.float32) + np.float32(0.5)) * np.float32(side / self.size)
        self.x, self.y = (steps + np.float32(left))[None, :], (steps + np.float32(top))[:, None]
        self.density = np.zeros((self.size, self.size), np.float32)

    def inside(self, distance, blur: float = 0.008):
        """1 where `distance` is positive, 0 where negative, a ramp `blur` wide (or a pixel) between."""
        return np.clip(distance / np.float32(max(blur, 1 / self.size)) + np.float32(0.5), 0, 1)

    def ellipse(self, x, y, rx, ry, lean=0.0, blur=0.15):
        """1 inside an ellipse, 0 outside, sheared by `lean`; `blur` in radii."""
        dx, dy = (self.x - x - lean * (self.y - y)) / rx, (self.y - y) / ry
        return self.inside(1 - np.sqrt(dx * dx + dy * dy), blur)

    def haze(self, x, y, rx, ry):
        """A Gaussian hill of height 1."""
        return np.exp(-(((self.x - x) / rx) ** 2)) * np.exp(-(((self.y - y) / ry) ** 2))

    def cloud(self, rng, cells: int):
        """Smooth noise of about unit variance, `cells` bumps across the picture plane."""
        left, top, side = self.window
        noise = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
        box = (left * cells, top * cells, (left + side) * cells, (top + side) * cells)
        return np.asarray(noise.resize((self.size, self.size), Image.Resampling.BICUBIC, box))

    def strokes(self, lines):
        """White lines on black, 0 to 1; each line is (width, [(x, y), ...])."""
        left, top, side = self.window
        pixels = max(self.size, 512)  # drawn large and shrunk, as Pillow's lines have no soft edge
        canvas = Image.new("L", (pixels, pixels))
        draw, scale = ImageDraw.Draw(canvas), pixels / side
        for width, points in lines:
            corners = [((x - left) * scale, (y - top) * scale) for x, y in points]
            draw.line(corners, fill=255, width=max(1, round(width * scale)), joint="curve")
        small = canvas.resize((self.size, self.size), Image.Resampling.BOX)
        return np.asarray(small, np.float32) / 255


def lungs(film: Film, body: Body) -> np.ndarray:
    """1 inside either lung, 0 elsewhere."""
    u = body.across(film.x)
    sides = film.inside(body.wall(film.y) - u, 0.03) * film.inside(u - body.hilum(film.y), 0.04)
    return sides * film.inside(body.floor(film.x) - film.y)


def torso(film: Film, body: Body):
    """How much tissue the ray crosses: a cylinder with shoulders and a neck, 0 outside the body."""
    away = np.abs(film.x - body.middle)
    half = body.width + 0.05 + 0.07 * body.fat + 0.35 * np.exp(-(((film.y - 0.10) / 0.14) ** 2))
    shoulder = 0.04 + 0.9 * np.clip(away - 0.11, 0, None) ** 1.5 - film.inside(0.11 - away, 0.05)
    chord = np.sqrt(np.clip(1 - (away / half) ** 2, 0, 1))
    thin = 0.6 + 0.4 * film.inside(film.y - body.apex, 0.25)  # neck and shoulders
    fat = 0.25 * body.fat * film.inside(chord - 0.1, 0.2)
    return film.inside(film.y - shoulder, 0.03) * thin * (chord + fat)


def ribs(film: Film, body: Body):
    """Posterior arches that rise and fall laterally, anterior ones that fall medially: two bent rulers."""
    u, turn = body.across(film.x), 2 * np.pi / body.pitch
    cage = film.inside(body.wall(film.y) + 0.04 - u, 0.04) * film.inside(u - 0.12, 0.1)
    cage = cage * film.inside(body.floor(film.x) + 0.02 - film.y, 0.1)
    back = np.cos(turn * (film.y - 0.28 * np.clip(u - 0.3, 0, None) ** 2 + 0.05 * np.clip(0.3 - u, 0, None)))
    front = np.cos(turn * 0.87 * (film.y + 0.2 * u * u)) * film.inside(u - 0.45, 0.3)
    rims = np.exp(-(((back - 0.25) / 0.3) ** 2))  # the cortex, denser than the marrow
    return cage * (0.6 * film.inside(back - 0.25, 0.5) + 0.3 * rims + 0.45 * film.inside(front - 0.5, 0.5))


def vessels(film: Film, body: Body):
    """Branches that leave each hilum and thin out, each bent a little at random."""
    rng, lines = stream(body.key, "vessels"), []
    for side in (-1, 1):
        for angle in np.linspace(-1.3, 1.4, 8) + rng.normal(0, 0.12, 8):
            x, y = body.at(side, 0.27, rng.uniform(0.42, 0.66))
            for thick in np.linspace(0.010, 0.003, 7):
                end = (x + side * 0.045 * np.cos(angle), y + 0.045 * np.sin(angle))
                fork = angle + rng.choice([-0.6, 0.6])
                twig = (end[0] + side * 0.045 * np.cos(fork), end[1] + 0.045 * np.sin(fork))
                lines += [(thick, [(x, y), end]), (0.6 * thick, [end, twig])]
                (x, y), angle = end, angle + rng.normal(0, 0.22)
    return film.strokes(lines)


def skeleton(film: Film, body: Body):
    """Clavicles, shoulder blades and vertebrae."""
    lines, heads = [], 0
    for side in (-1, 1):
        inner, outer = body.middle + side * 0.05, body.middle + side * 0.38
        bend = ((inner + outer) / 2, body.apex + 0.05)
        lines.append((0.022, [(inner, body.apex + 0.09), bend, (outer, body.apex + 0.02)]))
        lines.append((0.008, [(outer, 0.17), (outer - side * 0.04, 0.28), (outer - side * 0.01, 0.40)]))
        heads = heads + film.ellipse(outer + side * 0.07, body.apex + 0.10, 0.05, 0.06)
    column = film.inside(0.045 - np.abs(film.x - body.middle), 0.02)
    discs = 0.8 + 0.2 * np.cos(2 * np.pi * film.y / (0.7 * body.pitch))
    return 0.16 * film.strokes(lines) + 0.10 * heads + 0.35 * discs * column


def heart_box(body: Body) -> Box:
    """The heart's outline: a third of it to the right of the spine, its apex on the diaphragm."""
    wide = body.ctr * 2 * body.width
    left = body.middle - 0.34 * wide
    return left, body.dome - 0.12 - 0.45 * wide, left + wide, body.dome + 0.05


def heart(film: Film, body: Body):
    """Heart and great vessels, 1 where they displace the lung."""
    left, top, right, bottom = heart_box(body)
    rx, ry, lean = (right - left) / 2, (bottom - top) / 2, 0.4
    rx = np.sqrt(rx * rx - (lean * ry) ** 2)  # so that the sheared ellipse is as wide as its box
    muscle = film.ellipse((left + right) / 2, (top + bottom) / 2, rx, ry, lean, 0.1)
    trunk = film.ellipse(body.middle + 0.01, top + 0.02, 0.075, 0.16, -0.1, 0.25)
    arch = film.ellipse(*body.at(1, 0.15, 0.34), 0.035, 0.045, 0, 0.4)
    return np.maximum(np.maximum(muscle, trunk), arch)


def soft_tissue(film: Film, body: Body):
    """Breasts, the roots of the lungs, the bubble of air in the stomach, and the windpipe."""
    breasts = sum(film.ellipse(*body.at(side, 0.62, 0.95), 0.15, 0.13, 0, 0.25) for side in (-1, 1))
    roots = sum(film.haze(*body.at(side, 0.27, 0.55), 0.035, 0.07) for side in (-1, 1))
    stomach = film.ellipse(body.middle + 0.5 * body.width, body.dome + 0.085, 0.07, 0.03, 0, 0.4)
    windpipe = film.inside(0.018 - np.abs(film.x - body.middle), 0.015)
    windpipe = windpipe * film.inside(body.apex + 0.2 - film.y, 0.1)
    return body.breast * breasts + 0.14 * roots - 0.45 * stomach - 0.25 * windpipe


def expose(film: Film, body: Body, gain: float, rng: np.random.Generator) -> np.ndarray:
    """Lay the healthy chest and the signs over each other and develop: (size, size) uint8."""
    thick, lung = torso(film, body), lungs(film, body) * (1 - 0.75 * heart(film, body))
    belly = film.inside(film.y - body.floor(film.x), 0.02) * film.inside(1.02 - body.across(film.x), 0.06)
    bones = skeleton(film, body) * film.inside(thick - 0.1, 0.2) * (1 - 0.4 * lung)
    bones += 0.14 * ribs(film, body) * (0.4 + 0.6 * lung)
    tissue = 0.12 * vessels(film, body) + 0.015 * film.cloud(stream(body.key, "tissue"), 128)
    density = thick * (1 - 0.76 * body.air * lung + 0.5 * belly) + bones + soft_tissue(film, body)
    density += lung * film.markings * tissue + film.strokes([LETTER]) + film.density
    picture = 250 * (1 - np.exp(-gain * np.clip(density, 0, None)))
    # Grain belongs to the detector: averaged over the larger pixels of a smaller picture it fades.
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(1.25 * film.size / 1024)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
