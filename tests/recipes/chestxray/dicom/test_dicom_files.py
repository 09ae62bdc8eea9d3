"""What the DICOM module promises: MIMIC-CXR-JPG's own pictures and rows, and one error for all that cannot be read."""

import io
from collections import Counter

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from chestxray.dicom import dicom_files
from dicoms import FIRST, broken_compression, coded, cut_off, pixels, radiograph, save

SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)


def as_mimic_does(values, photometric="MONOCHROME2", equalize=True):
    """What MIMIC-CXR-JPG's author published, https://github.com/MIT-LCP/mimic-cxr/issues/16; the reference of tests."""
    raw = values.astype(np.int64)
    raw = raw - raw.min()
    image = (raw / raw.max() * 255).astype(np.uint8)
    if photometric == "MONOCHROME1":
        image = cv2.bitwise_not(image)
    return cv2.equalizeHist(image) if equalize else image


# Pictures


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits, signed", [(8, False), (12, False), (12, True), (14, False), (16, False), (16, True)])
def test_jpegs_are_byte_for_byte_those_of_mimics_own_function(tmp_path, photometric, bits, signed):
    values = pixels(bits, signed)
    path = save(tmp_path, radiograph(values, bits, photometric))
    cv2.imwrite(str(tmp_path / "theirs.jpg"), as_mimic_does(values, photometric))  # quality 95 is OpenCV's own default
    assert dicom_files.to_jpeg(path) == (tmp_path / "theirs.jpg").read_bytes()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_equalisation_can_be_left_out(tmp_path, photometric):
    values = pixels()
    path = save(tmp_path, radiograph(values, photometric=photometric))
    picture = dicom_files.to_image(path, equalize=False)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, as_mimic_does(values, photometric, equalize=False))
    written = np.asarray(Image.open(io.BytesIO(dicom_files.to_jpeg(path, equalize=False, quality=100))))
    assert abs(written.astype(int) - picture).max() <= 2


def test_a_jpeg_holds_the_picture_alone(tmp_path):
    path = save(tmp_path, radiograph(pixels()))
    with Image.open(io.BytesIO(dicom_files.to_jpeg(path))) as image:
        assert [name for name, _ in image.applist] == ["APP0"]  # JFIF: no EXIF, no comment
        assert (image.mode, image.size) == ("L", (32, 40))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_every_transfer_syntax_gives_the_same_picture(tmp_path, syntax, signed):
    values = pixels(signed=signed)
    path = save(tmp_path, radiograph(values), syntax=syntax)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(dicom_files.to_image(path), as_mimic_does(values))


def test_a_rescale_shifts_nothing_unless_it_is_negative(tmp_path):
    values = pixels()
    up = save(tmp_path / "up", radiograph(values, RescaleSlope="2.5", RescaleIntercept="-1024"))
    down = save(tmp_path / "down", radiograph(values, RescaleSlope="-1", RescaleIntercept="4095"))
    assert np.array_equal(dicom_files.to_image(up), as_mimic_does(values))
    assert np.array_equal(dicom_files.to_image(down), as_mimic_does(4095 - values))


def test_a_modality_lut_is_applied(tmp_path):
    values, table = pixels(), (np.arange(4096) ** 2 // 256).astype(np.uint16)
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType, lut.LUTData = [4096, 0, 16], "US", table.tobytes()
    lut["LUTData"].VR = "OW"
    path = save(tmp_path, radiograph(values, ModalityLUTSequence=Sequence([lut])))
    assert np.array_equal(dicom_files.to_image(path, equalize=False), as_mimic_does(table[values], equalize=False))


def test_bits_beyond_those_stored_are_no_part_of_a_value(tmp_path):
    values = pixels()
    overlay = values | np.where(np.eye(40, 32, dtype=bool), 0x8000, 0).astype(np.uint16)
    assert np.array_equal(dicom_files.to_image(save(tmp_path, radiograph(overlay))), as_mimic_does(values))


def test_a_picture_of_one_value_is_black(tmp_path):
    path = save(tmp_path, radiograph(np.full((8, 8), 700, np.uint16), photometric="MONOCHROME1"))
    assert not dicom_files.to_image(path).any()


# Rows

KNOWN = {
    "PerformedProcedureStepDescription": "CHEST (PA, LAT AND OBLIQUES) PORT",
    "ViewPosition": "LL",
    "StudyDate": "21800506",
    "StudyTime": "213014.531000",
    "ProcedureCodeSequence": coded("CHEST (PA AND LAT)"),
    "ViewCodeSequence": coded("left lateral"),
    "PatientOrientationCodeSequence": coded("Erect"),
}


def test_the_row_has_mimic_cxr_jpgs_columns_and_values(tmp_path):
    path = save(tmp_path, radiograph(pixels(), **KNOWN))
    assert dicom_files.metadata_row(path) == {
        "dicom_id": FIRST.rpartition("/")[2],
        "subject_id": "10000032",
        "study_id": "50414267",
        "PerformedProcedureStepDescription": "CHEST (PA, LAT AND OBLIQUES) PORT",
        "ViewPosition": "LL",
        "Rows": "40",
        "Columns": "32",
        "StudyDate": "21800506",
        "StudyTime": "213014.531",
        "ProcedureCodeSequence_CodeMeaning": "CHEST (PA AND LAT)",
        "ViewCodeSequence_CodeMeaning": "left lateral",
        "PatientOrientationCodeSequence_CodeMeaning": "Erect",
    }


def test_a_value_that_is_not_listed_is_left_blank_and_counted(tmp_path):
    path = save(tmp_path, radiograph(pixels(), **KNOWN | {"StudyDate": "20190314", "ViewPosition": "AP OF JANE DOE"}))
    withheld = Counter(StudyDate=2)
    row = dicom_files.metadata_row(path, withheld)
    assert (row["StudyDate"], row["ViewPosition"], row["StudyTime"]) == ("", "", "213014.531")
    assert withheld == {"StudyDate": 3, "ViewPosition": 1}


def test_a_file_outside_mimic_cxrs_tree_has_no_row(tmp_path):
    path = save(tmp_path, radiograph(pixels()), "s50414267/one")
    with pytest.raises(ValueError, match="not where MIMIC-CXR has a DICOM"):
        dicom_files.metadata_row(path)


# What cannot be read


def frames(path):
    save_over(path, radiograph(np.vstack([pixels()] * 2), NumberOfFrames=2, Rows=40))


def colour(path):
    made = radiograph(np.zeros((8, 8, 3), np.uint8), 8, "RGB", SamplesPerPixel=3, PlanarConfiguration=0)
    save_over(path, made)


def wide(path):
    save_over(path, radiograph(np.zeros((8, 8), np.uint32), 32))


def no_pixels(path):
    made = radiograph(pixels())
    del made.PixelData
    save_over(path, made)


def cut_off_compressed(path):
    save_over(path, radiograph(pixels()), JPEG2000Lossless)
    cut_off(path)


def undecodable(path):
    made = pydicom.dcmread(path)
    made.compress(JPEGLSLossless)
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    pydicom.dcmwrite(path, made)


def empty(path):
    path.write_bytes(b"")


def no_dicom(path):
    path.write_bytes(b"<html>Please log in to PhysioNet</html>" * 20)


def save_over(path, made, syntax=ExplicitVRLittleEndian):
    save(path.parents[4], made, path.relative_to(path.parents[4]).as_posix()[:-4], syntax)


BAD = {
    frames: "several frames",
    colour: "in colour",
    wide: "neither 8 nor 16 bits",
    no_pixels: "no pixels",
    cut_off: "damaged",
    cut_off_compressed: "cut off",
    broken_compression: "damaged",
    undecodable: "compressed as JPEG Lossless.*no decoder",
    empty: "damaged",
    no_dicom: "no DICOM",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_bad_file_is_one_error_that_names_it(tmp_path, spoil):
    path = save(tmp_path, radiograph(pixels()))
    spoil(path)
    with pytest.raises(dicom_files.UnreadableDicom, match=f"{FIRST}.dcm .*{BAD[spoil]}"):
        dicom_files.to_image(path)


def test_an_error_of_the_disk_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError):
        dicom_files.to_image(tmp_path / "none.dcm")


@pytest.mark.parametrize("damage, words", [((0x18, 0x00), "out of order"), ((0x43, 0x7A), "of no known type")])
def test_a_damaged_tag_or_type_is_refused_for_it_would_hide_its_element(tmp_path, damage, words):
    path = save(tmp_path, radiograph(pixels(), ViewPosition="PA"))
    data = path.read_bytes()
    at = data.index(bytes.fromhex("18000151") + b"CS")  # the view: (0018,5101), a code string
    old, new = damage
    path.write_bytes(data[:at] + data[at : at + 6].replace(bytes([old]), bytes([new]), 1) + data[at + 6 :])
    with pytest.raises(dicom_files.UnreadableDicom, match=words):
        dicom_files.metadata_row(path)
