"""What a viewer shows of a DICOM file: each step of the standard, beside the formula or pydicom's own function."""

import re

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from chestxray.dicom import display
from chestxray.dicom.dicom_files import UnreadableDicom
from conftest import ROOT
from dicoms import pixels, radiograph, save

REAL = ROOT.parent / "shared" / "dicom"
SYNTAXES = (
    *(ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian),
    *(JPEG2000Lossless, JPEGLSLossless, RLELossless),
)


def shown(tmp_path, values, bits=12, photometric="MONOCHROME2", voi="table", **fields):
    return display.read_display(save(tmp_path, radiograph(values, bits, photometric, **fields)), voi).astype(int)


def stretched(values, low, high):
    """`low` to `high` as 0 to 255."""
    return np.rint(((values.astype(float) - low) / (high - low)).clip(0, 1) * 255).astype(int)


def table(entries, first=0, depth=16):
    """A sequence of one table."""
    made = Dataset()
    made.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) & 0xFFFF, first, depth])
    made.add_new("LUTData", "OW", np.asarray(entries, np.uint16).tobytes())
    return Sequence([made])


# Without values of interest


def test_eight_bits_stay_as_they_are(tmp_path):
    values = pixels(8)
    assert np.array_equal(shown(tmp_path, values, 8), values)
    assert np.array_equal(shown(tmp_path / "inverted", values, 8, "MONOCHROME1"), 255 - values.astype(int))


@pytest.mark.parametrize("bits, signed", [(8, True), (10, False), (12, False), (12, True), (14, False), (16, True)])
def test_the_whole_range_of_the_stored_bits_becomes_0_to_255(tmp_path, bits, signed):
    values, low = pixels(bits, signed), -(2 ** (bits - 1)) if signed else 0
    assert np.array_equal(shown(tmp_path, values, bits), stretched(values, low, low + 2**bits - 1))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_every_transfer_syntax_gives_the_same_picture(tmp_path, syntax):
    values = pixels()
    path = save(tmp_path, radiograph(values, WindowCenter="2000", WindowWidth="1500"), syntax=syntax)
    plain = shown(tmp_path / "plain", values, WindowCenter="2000", WindowWidth="1500")
    assert np.array_equal(display.read_display(path), plain) and np.ptp(plain) > 100


def test_bits_beyond_those_stored_are_no_part_of_a_value(tmp_path):
    values = pixels()
    overlay = values | np.where(np.eye(40, 32, dtype=bool), 0x8000, 0).astype(np.uint16)
    assert np.array_equal(shown(tmp_path, overlay), stretched(values, 0, 4095))


# The modality's values


def test_a_rescale_comes_before_the_window_also_with_a_negative_slope(tmp_path):
    values = pixels()
    fields = {"WindowCenter": "1000", "WindowWidth": "1501", "VOILUTFunction": "LINEAR_EXACT"}
    up = shown(tmp_path / "up", values, RescaleSlope="0.5", RescaleIntercept="-20", **fields)
    assert np.array_equal(up, stretched(values * 0.5 - 20, 1000 - 750.5, 1000 + 750.5))
    down = shown(tmp_path / "down", values, RescaleSlope="-0.5", RescaleIntercept="2047", **fields)
    assert np.array_equal(down, stretched(2047 - values * 0.5, 1000 - 750.5, 1000 + 750.5))
    assert np.corrcoef(down.ravel(), values.ravel())[0, 1] < -0.9


def test_a_negative_slope_alone_inverts(tmp_path):
    values = pixels()
    down = shown(tmp_path, values, RescaleSlope="-1", RescaleIntercept="4095")
    assert np.array_equal(down, stretched(4095 - values.astype(int), 0, 4095))


def test_a_modality_table_is_looked_up_and_its_bits_are_the_range(tmp_path):
    values, entries = pixels(), (np.arange(4096) ** 2 // 256).astype(np.uint16)
    found = shown(tmp_path, values, ModalityLUTSequence=table(entries))
    assert np.array_equal(found, stretched(entries[values], 0, 65535))


# Values of interest


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("centre, width", [("2000", "1200"), ("2047.5", "4096")])
def test_windows_are_those_of_pydicom_where_it_is_right(tmp_path, function, centre, width):
    values, fields = pixels(), {"WindowCenter": centre, "WindowWidth": width}
    fields |= {"VOILUTFunction": function} if function else {}
    theirs = apply_voi_lut(values, radiograph(values, **fields))
    assert np.abs(shown(tmp_path, values, **fields) - stretched(theirs, 0, 4095)).max() <= 1


def test_of_several_windows_the_first_counts(tmp_path):
    values = pixels()
    several = shown(tmp_path / "two", values, WindowCenter=["2000", "500"], WindowWidth=["1200", "10"])
    assert np.array_equal(several, shown(tmp_path / "one", values, WindowCenter="2000", WindowWidth="1200"))


def test_a_window_of_one_is_a_step_and_one_of_nothing_is_none(tmp_path):
    values = pixels()
    step = shown(tmp_path / "step", values, WindowCenter="2000", WindowWidth="1")
    assert np.array_equal(step, np.where(values > 1999.5, 255, 0))
    for number, fields in enumerate(({"WindowCenter": "2000", "WindowWidth": "0"}, {"WindowCenter": "2000"})):
        assert np.array_equal(shown(tmp_path / str(number), values, **fields), stretched(values, 0, 4095))


@pytest.mark.parametrize("depth", [10, 12, 16])
def test_tables_are_those_of_pydicom_where_it_is_right(tmp_path, depth):
    values = pixels()
    entries = (np.sqrt(np.arange(3000) / 2999) * (2**depth - 1)).astype(np.uint16)
    sequence = {"VOILUTSequence": table(entries, 600, depth)}
    theirs = apply_voi_lut(values, radiograph(values, **sequence))
    assert np.array_equal(shown(tmp_path, values, **sequence), stretched(theirs, 0, 2**depth - 1))


def test_a_table_of_8_bits_may_have_more_than_256_entries(tmp_path):
    values, entries = pixels(), np.arange(4096) // 16
    assert np.array_equal(shown(tmp_path, values, VOILUTSequence=table(entries, 0, 8)), values // 16)


def test_a_table_may_begin_below_zero(tmp_path):
    values = pixels(signed=True)
    entries = np.arange(4096) * 16
    found = shown(tmp_path, values, VOILUTSequence=table(entries, -2048))
    assert np.array_equal(found, stretched(entries[values.astype(int) + 2048], 0, 65535))


def test_of_table_and_window_the_one_asked_for_is_taken(tmp_path):
    values = pixels()
    both = {"VOILUTSequence": table(np.arange(4096) * 16), "WindowCenter": "2000", "WindowWidth": "1200"}
    assert np.array_equal(shown(tmp_path / "a", values, **both), stretched(values * 16, 0, 65535))
    window = shown(tmp_path / "b", values, voi="window", WindowCenter="2000", WindowWidth="1200")
    assert np.array_equal(shown(tmp_path / "c", values, voi="window", **both), window)


# The inversion


@pytest.mark.parametrize(
    "photometric, shape, inverts",
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
def test_the_inversion_comes_last_and_once(tmp_path, photometric, shape, inverts):
    values, fields = pixels(), {"WindowCenter": "1800", "WindowWidth": "900"}
    fields |= {"PresentationLUTShape": shape} if shape else {}
    found = shown(tmp_path / "found", values, photometric=photometric, **fields)
    plain = shown(tmp_path / "plain", values, WindowCenter="1800", WindowWidth="900")
    assert np.abs(found - (255 - plain if inverts else plain)).max() <= 1


# Real files and bad ones


@pytest.mark.skipif(not REAL.is_dir(), reason="the two public files are not on this machine (../shared/dicom)")
@pytest.mark.parametrize("name", ["dx-nih", "cr-rsna"])
def test_real_files_of_8_bits_are_shown_as_they_are_stored(name):
    found = display.read_display(REAL / f"{name}.dcm")
    assert found.dtype == np.uint8 and np.array_equal(found, pydicom.dcmread(REAL / f"{name}.dcm").pixel_array)


def test_a_compression_without_decoder_is_named(tmp_path):
    path = save(tmp_path, radiograph(pixels()), syntax=JPEGLSLossless)
    made = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    pydicom.dcmwrite(path, made)
    with pytest.raises(UnreadableDicom, match="compressed as JPEG Lossless.*no decoder is installed"):
        display.read_display(path)


@pytest.mark.parametrize("syntax", [MPEG2MPML, JPEGExtended12Bit], ids=lambda syntax: syntax.keyword)
def test_a_film_and_a_jpeg_of_12_bits_are_named_as_such_and_not_as_damaged(tmp_path, syntax):
    path = save(tmp_path, radiograph(pixels()), syntax=JPEGLSLossless)
    made = pydicom.dcmread(path)
    made.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, made)
    with pytest.raises(UnreadableDicom, match=f"compressed as {re.escape(syntax.name)}, for which no decoder"):
        display.read_display(path)


def test_an_odd_function_is_refused_without_a_word_of_the_header(tmp_path):
    path = save(tmp_path, radiograph(pixels(), WindowCenter="1", WindowWidth="2", VOILUTFunction="DOE_JANE"))
    with pytest.raises(UnreadableDicom, match="damaged") as error:
        display.read_display(path)
    assert "DOE" not in str(error.value)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=lambda syntax: syntax.keyword)
@pytest.mark.filterwarnings("ignore")
def test_damaged_pixels_are_one_error_whatever_the_decoder_does(tmp_path, syntax):
    path = save(tmp_path, radiograph(pixels()), syntax=syntax)
    data, damaged = path.read_bytes(), 0
    for number in range(150):  # some of these make the RLE decoder, which is in Rust, panic
        random = np.random.default_rng(number)
        at = random.integers(len(data) - 2000, len(data) - 64)
        path.write_bytes(data[:at] + random.bytes(8) + data[at + 8 :])
        try:
            assert display.read_display(path).shape == (40, 32)
        except UnreadableDicom:
            damaged += 1
    assert damaged
