"""Which findings have a picture, and where it lies."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from chestxray.predicting import overlays
from chestxray.predicting.overlays import HIGHEST, MOST, choose_findings, draw_missing, plan, refuse_without_maps
from chestxray.scoring.calibration_file import PERCENTS, ModelCalibration

K = 8
NAMES = [f"Finding {number}" for number in range(K)]


def calibration(limits):
    """Thresholds, and percentiles that fall with the number of the finding."""
    return ModelCalibration(
        findings=NAMES,
        sha256="ab" * 32,
        tta="none",
        datasets=["Lakeside"],
        synthetic=False,
        n_images=100,
        rule="youden",
        sensitivity=0.9,
        platt=np.full((K, 2), np.nan),
        limits={"youden": np.asarray(limits, float)},
        quantiles=np.stack([PERCENTS - 95 + 5 * number for number in range(K)]),
    )


class Predictor:
    """Its map of a finding is hot in one place; the map of the last one is not finite."""

    has_maps, view, places = True, 8, None

    def __init__(self):
        self.asked = []

    def maps(self, pixels):
        self.asked.append(len(pixels))
        found = np.zeros((len(pixels), K, 2, 2), np.float32)
        found[:, :, 0, 0] = 1
        found[:, -1] = np.nan
        return found


def draw(drawn, predictor, files, logits):
    with ThreadPoolExecutor(1) as pool:
        pixels = np.zeros((len(files), 8, 8), np.uint8)
        return draw_missing(drawn, predictor, files, pixels, np.asarray(logits, np.float32), pool)


def test_the_called_findings_with_the_highest_percentiles_are_chosen():
    model = calibration([0.0] * K)
    assert choose_findings(np.ones(K), model, "youden") == list(range(MOST))
    few = np.array([-1, 1, -1, 1] + [-1] * 4, float)
    assert choose_findings(few, model, "youden") == [1, 3]
    assert choose_findings(np.full(K, -1.0), model, "youden") == [], "nothing is called"


def test_without_any_threshold_the_highest_values_are_chosen():
    logits = np.arange(K, dtype=float)
    for model, rule in ((None, None), (calibration([np.nan] * K), "youden")):
        assert choose_findings(logits, model, rule) == [K - 1 - number for number in range(HIGHEST)]


def test_a_finding_without_threshold_is_not_chosen_beside_others():
    assert choose_findings(np.ones(K), calibration([np.nan, 0.0] + [9.0] * (K - 2)), "youden") == [1]


def test_files_of_one_name_have_places_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = plan(tmp_path, ["a/1.png", str(tmp_path / "b" / "1.png"), "a/../c.png", "a/1.dcm"], NAMES, None, None)
    places = [drawn.places(file, [0])[0].as_posix() for file in ("a/1.png", "b/1.png", "c.png", "a/1.dcm")]
    assert places == [f"heatmaps/{name}/Finding 0.png" for name in ("a/1.png", "b/1.png", "c.png", "a/1.dcm")]


def test_a_name_of_a_finding_leaves_its_folder_never():
    names = ["Fluid/air", "Fluid:air", "../../up", ".."]
    places = plan(Path("x"), ["/scans/a.png"], names, None, None).places("/scans/a.png", range(4))
    assert len(set(places)) == 4 and {place.parent for place in places} == {Path("heatmaps/a.png")}
    assert all(place.name.endswith(".png") for place in places)


def test_only_missing_pictures_are_drawn(tmp_path):
    files, predictor = [str(tmp_path / "scans" / name) for name in ("1.png", "2.png")], Predictor()
    drawn = plan(tmp_path / "out", files, NAMES, calibration([0.0] * K), "youden")
    logits = [[1, 1] + [-1] * (K - 2), [-1] * K]
    first = draw(drawn, predictor, files, logits)
    assert first == ["heatmaps/1.png/Finding 0.png; heatmaps/1.png/Finding 1.png", overlays.NOT_CALLED]
    assert predictor.asked == [1], "no map for a file without a called finding"
    assert draw(drawn, predictor, files, logits) == first and predictor.asked == [1]
    (tmp_path / "out" / "heatmaps/1.png/Finding 1.png").unlink()
    assert draw(drawn, predictor, files, logits) == first and predictor.asked == [1, 1]


def test_a_map_that_is_not_finite_is_told(tmp_path):
    files = [str(tmp_path / "1.png")]
    drawn = plan(tmp_path / "out", files, NAMES, calibration([9.0] * (K - 1) + [0.0]), "youden")
    assert draw(drawn, Predictor(), files, [[1] * K]) == [overlays.NOT_FINITE]


def test_a_model_without_maps_is_refused_by_name():
    predictor = Predictor()
    refuse_without_maps(predictor, "model.onnx")
    predictor.has_maps = False
    with pytest.raises(ValueError, match="vit gives no heatmaps: leave --heatmaps out$"):
        refuse_without_maps(predictor, "runs/vit")
