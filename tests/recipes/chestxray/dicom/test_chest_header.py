"""Which DICOM files are refused by their own header, with which tag, and which of them `force` reads."""

import numpy as np
import pytest

from chestxray.dicom.chest_header import MOST_PIXELS, NoFrontalChest
from chestxray.dicom.dicom_files import UnreadableDicom
from chestxray.dicom.display import read_display
from dicoms import coded, pixels, radiograph, save

OTHERS = [
    ({"Modality": "CT"}, "Modality is CT"),
    ({"Modality": "MG"}, "Modality is MG"),
    ({"BodyPartExamined": "HAND"}, "BodyPartExamined is HAND"),
    ({"BodyPartExamined": "CHESTABDPELVIS"}, "BodyPartExamined is CHESTABDPELVIS"),
    ({"ViewPosition": "LATERAL"}, "ViewPosition is LATERAL"),
    ({"ViewPosition": "LL"}, "ViewPosition is LL"),
    ({"ViewPosition": "RL"}, "ViewPosition is RL"),
    ({"ViewCodeSequence": coded("Left lateral")}, "ViewCodeSequence is lateral"),
    ({"PresentationIntentType": "FOR PROCESSING"}, "PresentationIntentType is FOR PROCESSING"),
    ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation is YES"),
]
FRONTAL = [
    {},
    {"Modality": "CR", "BodyPartExamined": "CHEST", "ViewPosition": "PA"},
    {"Modality": "DX", "BodyPartExamined": "Thorax", "ViewPosition": "AP", "BurnedInAnnotation": "NO"},
    {"Modality": "DR", "BodyPartExamined": "", "ViewPosition": "", "PresentationIntentType": "FOR PRESENTATION"},
    {"BodyPartExamined": "CHEST PA", "ViewCodeSequence": coded("postero-anterior")},
]
WHO = {"PatientName": "DOE^JANE", "PatientID": "4711", "StudyDate": "20240229", "InstitutionName": "Lakeside"}


@pytest.mark.parametrize("fields, reason", OTHERS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_another_picture_is_refused_with_the_tag_that_says_so_and_read_by_force(tmp_path, fields, reason):
    path = save(tmp_path, radiograph(pixels(), **WHO, **fields))
    with pytest.raises(NoFrontalChest, match=f"no frontal chest radiograph by its header: {reason}$") as error:
        read_display(path)
    told = str(error.value).replace(str(path), "")
    assert not any(word in told for word in WHO.values())
    assert np.ptp(read_display(path, force=True)) > 0


@pytest.mark.parametrize("fields", FRONTAL)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_header_leaves_out_is_no_reason(tmp_path, fields):
    assert np.ptp(read_display(save(tmp_path, radiograph(pixels(), **WHO, **fields)))) > 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_text_that_somebody_typed_is_not_shown(tmp_path):
    path = save(tmp_path, radiograph(pixels(), BodyPartExamined="hand of J. Doe, 4711"))
    with pytest.raises(NoFrontalChest, match="BodyPartExamined is another one$"):
        read_display(path)


def several_frames():
    return radiograph(np.vstack([pixels()] * 2), NumberOfFrames=2, Rows=40)


def colour():
    return radiograph(np.zeros((8, 8, 3), np.uint8), 8, "RGB", SamplesPerPixel=3, PlanarConfiguration=0)


def wide():
    return radiograph(np.zeros((8, 8), np.uint32), 32)


def no_pixels():
    made = radiograph(pixels())
    del made.PixelData
    return made


def huge():
    made = radiograph(pixels(8), 8)
    made.Rows = made.Columns = 10_000
    return made


UNDRAWABLE = {
    several_frames: "NumberOfFrames is 2",
    colour: "PhotometricInterpretation is RGB",
    wide: "BitsAllocated is 32",
    no_pixels: "no PixelData",
    huge: f"more than {MOST_PIXELS:,} pixels: Rows × Columns is 10000 × 10000",
}


@pytest.mark.parametrize("make", UNDRAWABLE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_single_grey_picture_is_refused_by_force_too(tmp_path, make, force):
    path = save(tmp_path, make())
    with pytest.raises(UnreadableDicom, match=UNDRAWABLE[make]):
        read_display(path, force=force)
