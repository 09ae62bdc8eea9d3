"""What a dataset says about its images is taken without a look at any of them."""

import numpy as np

from chestxray.data import image_rows, opening
from chestxray.reporting.score_tables import TableSettings
from conftest import ROOT

SAMPLE = ROOT / "data" / "sample"


def test_all_images_come_with_labels_patients_and_metadata_and_none_is_decoded(monkeypatch):
    from PIL import Image

    opened = opening.open_dataset(str(SAMPLE), TableSettings([str(SAMPLE)], "all", "chexpert", allow_missing=False))
    monkeypatch.setattr(Image, "open", lambda *_: 1 / 0)
    images = image_rows.labelled_images(opened, "test")
    assert list(dict.fromkeys(images.rows["split"])) == ["validation", "test", "train"]
    assert len(images.rows) == sum(map(len, opened.splits.values())) and len(images.findings) == 14
    row = images.rows.iloc[-1]
    assert row["image_file_path"].startswith(f"images/{row['patient']}_") and row["sex"] in ("F", "M")
    assert row["view"] in ("PA", "AP") and set(np.unique(images.targets)) == {0, 1}
    assert images.about["dataset"].startswith("Synthetic") and images.about["synthetic"] is True
