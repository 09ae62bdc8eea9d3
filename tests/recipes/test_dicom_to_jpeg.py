"""What `recipes/dicom_to_jpeg.py` promises: MIMIC-CXR-JPG's own bytes, no text of a header, nothing done twice."""

import csv
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

import dicom_to_jpeg
from chestxray.dicom import dicom_files
from conftest import ROOT

SCRIPT = ROOT / "recipes" / "dicom_to_jpeg.py"
TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"
FIRST = "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)


def pixels(bits=12, signed=False, seed=0):
    """40 × 32 stored values that fill no more than the middle of their range, most of them in a few levels."""
    noise = np.random.default_rng(seed).normal(0.5, 0.08, (40, 32)).clip(0.1, 0.9)
    values = noise * 2**bits - (2 ** (bits - 1) if signed else 0)
    return values.astype(np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"))


def radiograph(values, bits=12, photometric="MONOCHROME2", **fields):
    """A DICOM data set of these stored values; fields: more elements, by keyword."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = DigitalXRayImageStorageForPresentation
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = "1.2.3"
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, photometric
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * values.itemsize, bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.PixelData = values.tobytes()
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def save(source, made, place=FIRST, syntax=ExplicitVRLittleEndian):
    """Write a data set into MIMIC-CXR's tree in a transfer syntax; returns the file."""
    path = source / f"{place}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax.is_encapsulated:
        made.compress(syntax)
    elif syntax == ExplicitVRBigEndian:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, made, enforce_file_format=True, little_endian=None, implicit_vr=None)
    return path


def archive(source, images):
    """An archive of so many radiographs, two to a study; returns their places in order."""
    places = []
    for number in range(images):
        digits = hashlib.sha256(str(number).encode()).hexdigest()
        name = "-".join(digits[start : start + 8] for start in range(0, 40, 8))
        places.append(f"files/p10/p{10000032 + number // 4}/s{50414267 + number // 2}/{name}")
        save(source, radiograph(pixels(seed=number)), places[-1])
    return sorted(places)


def convert(source, out, *flags):
    """The command in this process."""
    dicom_to_jpeg.main(
        [str(source), str(out), *map(str, flags), *([] if "--num-proc" in flags else ["--num-proc", "1"])]
    )


def run(source, out, *flags):
    """The command as a person runs it; returns the finished process."""
    command = [sys.executable, SCRIPT, source, out, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def rows(out):
    return list(csv.DictReader(gzip.decompress((out / TABLE).read_bytes()).decode().splitlines()))


def digests(out):
    """{file: SHA-256} of everything in a folder."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    assert files
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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
    save(tmp_path / "dicom", radiograph(values, bits, photometric))
    convert(tmp_path / "dicom", tmp_path / "out")
    cv2.imwrite(str(tmp_path / "theirs.jpg"), as_mimic_does(values, photometric))  # quality 95 is OpenCV's own default
    assert (tmp_path / "out" / f"{FIRST}.jpg").read_bytes() == (tmp_path / "theirs.jpg").read_bytes()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_equalisation_can_be_left_out(tmp_path, photometric):
    values = pixels()
    path = save(tmp_path, radiograph(values, photometric=photometric))
    picture = dicom_files.to_image(path, equalize=False)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, as_mimic_does(values, photometric, equalize=False))
    convert(tmp_path, tmp_path / "plain", "--no-equalize", "--quality", 100)
    written = np.asarray(Image.open(tmp_path / "plain" / f"{FIRST}.jpg"))
    assert abs(written.astype(int) - picture).max() <= 2
    assert json.loads((tmp_path / "plain" / "conversion.json").read_text()) == {"equalize": False, "quality": 100}


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


# The table


def coded(meaning):
    item = Dataset()
    item.CodeMeaning = meaning
    return Sequence([item])


KNOWN = {
    "PerformedProcedureStepDescription": "CHEST (PA, LAT AND OBLIQUES) PORT",
    "ViewPosition": "LL",
    "StudyDate": "21800506",
    "StudyTime": "213014.531000",
    "ProcedureCodeSequence": coded("CHEST (PA AND LAT)"),
    "ViewCodeSequence": coded("left lateral"),
    "PatientOrientationCodeSequence": coded("Erect"),
}


def test_the_table_has_mimic_cxr_jpgs_columns_and_values(tmp_path):
    save(tmp_path, radiograph(pixels(), **KNOWN))
    convert(tmp_path, tmp_path / "out")
    assert rows(tmp_path / "out") == [
        {
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
    ]


# Whoever fills in a header may write a name anywhere, in the fields that the table keeps too.
NAMED = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN0042137",
    "PatientBirthDate": "19310704",
    "AccessionNumber": "MRN0042137",
    "InstitutionName": "DOE MEMORIAL",
    "StudyDescription": "CHEST FOR JANE DOE",
    "ImageComments": "JANE DOE, MRN0042137",
    "StudyID": "MRN0042137",
    "PerformedProcedureStepDescription": "CHEST (PORTABLE AP) JANE DOE",
    "ViewPosition": "AP JANE DOE",
    "StudyDate": "20190314",  # a date of its own time is an identifier
    "StudyTime": "MRN0042137",
    "ProcedureCodeSequence": coded("CHEST (PA AND LAT)\nDOE^JANE"),
    "ViewCodeSequence": coded("JANE DOE"),
    "PatientOrientationCodeSequence": coded("Erect, MRN0042137"),
    "IconImageSequence": Sequence([radiograph(np.full((4, 4), 42, np.uint8), 8, ImageComments="JANE DOE")]),
}
TRACES = (b"JANE", b"DOE", b"MRN0042137", b"0042137", b"19310704", b"20190314")


def named(**more):
    with pydicom.config.disable_value_validation():
        made = radiograph(pixels(), **NAMED, **more)
        made.private_block(0x0011, "DOE", create=True).add_new(0x01, "LO", "JANE DOE")
    made.preamble = b"JANE DOE MRN0042137".ljust(128, b" ")
    return made


def traces(out, finished):
    """What of the header can be read in any file of a folder, packed ones included, or on the terminal."""
    contents = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    contents += [gzip.decompress(content) for content in contents if content[:2] == b"\x1f\x8b"]
    contents += [str(path).encode() for path in out.rglob("*")] + [(finished.stdout + finished.stderr).encode()]
    assert len(contents) > 4
    return {trace for trace in TRACES for content in contents if trace in content}


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own, about such values
def test_a_header_full_of_a_name_leaves_none_of_it_behind(tmp_path):
    path = save(tmp_path / "dicom", named())
    assert b"JANE" in path.read_bytes()[:128] and b"MRN0042137" in path.read_bytes()
    finished = run(tmp_path / "dicom", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert traces(tmp_path / "out", finished) == set()
    row = rows(tmp_path / "out")[0]
    assert {column for column, value in row.items() if value} == {
        "dicom_id",
        "subject_id",
        "study_id",
        "Rows",
        "Columns",
    }
    assert "ViewPosition was left blank 1 times" in finished.stdout  # nothing is left out in silence
    assert finished.stdout.count("was left blank") == 7


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nor_does_a_file_that_cannot_be_read(tmp_path):
    odd = {
        b"MONOCHROME2 ": b"JANE DOE    ",
        b"1.2.840.10008.1.2.1\0": b"1.2.3.DOE.JANE.9999\0",  # the transfer syntax
        b"111 ": b"DOE ",  # the number of frames
        b"\x28\0\x02\0US": b"\x28\0\x02\0PN",  # samples per pixel
    }
    for number, (usual, name) in enumerate(odd.items()):
        path = save(tmp_path / "dicom", named(NumberOfFrames="111"), FIRST[:-1] + str(number))
        assert usual in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(usual, name))
    broken_compression(save(tmp_path / "dicom", named(), FIRST[:-1] + "8"))
    save(tmp_path / "dicom", radiograph(pixels()))
    finished = run(tmp_path / "dicom", tmp_path / "out", "--skip-damaged")
    assert finished.returncode == 0, finished.stderr
    assert "5 files were left out" in finished.stdout
    assert traces(tmp_path / "out", finished) == set()


def test_jpegs_hold_the_picture_alone(tmp_path):
    save(tmp_path, radiograph(pixels()))
    convert(tmp_path, tmp_path / "out")
    with Image.open(tmp_path / "out" / f"{FIRST}.jpg") as image:
        assert [name for name, _ in image.applist] == ["APP0"]  # JFIF: no EXIF, no comment
        assert (image.mode, image.size) == ("L", (32, 40))


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


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def cut_off_compressed(path):
    save_over(path, radiograph(pixels()), JPEG2000Lossless)
    cut_off(path)


def broken_compression(path):
    made = pydicom.dcmread(path)
    made.compress(JPEG2000Lossless)
    made.PixelData = made.PixelData[:200] + bytes(len(made.PixelData) - 200)
    pydicom.dcmwrite(path, made)


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
    with pytest.raises(ValueError, match=f"{FIRST}.dcm .*{BAD[spoil]}"):
        convert(tmp_path, tmp_path / "out")


def test_the_command_ends_in_one_line(tmp_path):
    archive(tmp_path / "dicom", 3)
    cut_off(save(tmp_path / "dicom", radiograph(pixels())))
    finished = run(tmp_path / "dicom", tmp_path / "out", "--num-proc", 2)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert finished.stderr.strip().splitlines()[-1].startswith("dicom_to_jpeg.py: ") and FIRST in finished.stderr
    assert not (tmp_path / "out" / TABLE).exists()


def test_damaged_files_are_listed_and_the_rest_is_converted(tmp_path, capsys):
    places = archive(tmp_path / "dicom", 5)
    cut_off(save(tmp_path / "dicom", radiograph(pixels())))
    convert(tmp_path / "dicom", tmp_path / "out", "--skip-damaged")
    assert "1 files were left out" in capsys.readouterr().out
    listed = list(csv.DictReader((tmp_path / "out" / "damaged.csv").read_text().splitlines()))
    assert [row["file"] for row in listed] == [f"{FIRST}.dcm"] and "damaged" in listed[0]["reason"]
    assert sorted(row["dicom_id"] for row in rows(tmp_path / "out")) == sorted(place[-44:] for place in places)

    save(tmp_path / "dicom", radiograph(pixels()))  # downloaded again
    convert(tmp_path / "dicom", tmp_path / "out", "--skip-damaged")
    assert len(rows(tmp_path / "out")) == 6
    assert not (tmp_path / "out" / "damaged.csv").exists()


@pytest.mark.parametrize(
    "name", ["files/p10/p10000032/s50414267/JANE_DOE", "files/p11/" + FIRST[10:], "files/p10/p10000032/" + FIRST[-44:]]
)
def test_a_file_under_another_name_is_refused(tmp_path, name):
    save(tmp_path, radiograph(pixels()), name)
    with pytest.raises(ValueError, match=f"{name}.dcm is not named as MIMIC-CXR's"):
        convert(tmp_path, tmp_path / "out")


def test_a_folder_without_dicoms_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no files/p10"):
        convert(tmp_path, tmp_path / "out")


# Nothing twice


def test_killed_and_started_again_it_ends_with_the_same_files(tmp_path):
    archive(tmp_path / "dicom", 300)
    convert(tmp_path / "dicom", tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, tmp_path / "dicom", out, "--num-proc", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(list((out / ".unfinished").glob("*.csv"))) < 2 and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    assert 32 <= len(before) < 300 and not (out / TABLE).exists()

    finished = run(tmp_path / "dicom", out, "--num-proc", 2)
    assert finished.returncode == 0, finished.stderr
    assert "of 300 images are finished already" in finished.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before  # none was written again
    assert digests(out) == digests(tmp_path / "whole")


def test_a_second_run_reads_nothing_again(tmp_path):
    archive(tmp_path / "dicom", 4)
    convert(tmp_path / "dicom", tmp_path / "out")
    before = digests(tmp_path / "out")
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        path.write_bytes(b"")  # an error, if it were opened
    convert(tmp_path / "dicom", tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_an_image_that_is_there_is_not_decoded_again(tmp_path):
    archive(tmp_path / "dicom", 4)
    convert(tmp_path / "dicom", tmp_path / "out")
    before = digests(tmp_path / "out")
    (tmp_path / "out" / TABLE).unlink()  # as after a kill in the middle of a shard: images without rows
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        cut_off(path)  # an error, if its pixels were read
    convert(tmp_path / "dicom", tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_an_archive_that_comes_in_parts_grows_into_one(tmp_path):
    places = archive(tmp_path / "all", 6)
    convert(tmp_path / "all", tmp_path / "whole")
    for name, part in (("a", places[:2]), ("b", places[2:])):
        for place in part:
            target = tmp_path / name / f"{place}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((tmp_path / "all" / f"{place}.dcm").read_bytes())
        convert(tmp_path / name, tmp_path / "out")
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.parametrize("name", [TABLE, "conversion.json"])
def test_a_damaged_table_or_settings_of_an_earlier_run_are_named(tmp_path, name):
    archive(tmp_path / "source", 2)
    convert(tmp_path / "source", tmp_path / "out")
    whole = (tmp_path / "out" / name).read_bytes()
    (tmp_path / "out" / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        convert(tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("damage, words", [((0x18, 0x00), "out of order"), ((0x43, 0x7A), "of no known type")])
def test_a_damaged_tag_or_type_is_refused_for_it_would_hide_its_element(tmp_path, damage, words):
    path = save(tmp_path, radiograph(pixels(), ViewPosition="PA"))
    data = path.read_bytes()
    at = data.index(bytes.fromhex("18000151") + b"CS")  # the view: (0018,5101), a code string
    old, new = damage
    path.write_bytes(data[:at] + data[at : at + 6].replace(bytes([old]), bytes([new]), 1) + data[at + 6 :])
    with pytest.raises(dicom_files.UnreadableDicom, match=words):
        dicom_files.metadata(path)


def test_images_of_other_settings_are_not_mixed(tmp_path):
    archive(tmp_path / "dicom", 1)
    convert(tmp_path / "dicom", tmp_path / "out")
    with pytest.raises(FileExistsError, match="Choose another folder"):
        convert(tmp_path / "dicom", tmp_path / "out", "--no-equalize")
    with pytest.raises(FileExistsError, match="no conversion.json"):
        convert(tmp_path / "dicom", tmp_path / "dicom")


def test_a_ray_cluster_makes_the_same_files(tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra: pip install ray")
    archive(tmp_path / "dicom", 70)
    convert(tmp_path / "dicom", tmp_path / "whole")
    finished = run(tmp_path / "dicom", tmp_path / "out", "--ray", "local")
    assert finished.returncode == 0, finished.stderr
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


# Reports


def write_reports(folder, places):
    for number, place in enumerate(places):
        path = folder / f"{Path(place).parent}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f" FINAL REPORT\n FINDINGS:  Clear\n lungs, {number}.\n \n IMPRESSION:  Normal.\n")


@pytest.mark.parametrize("packed", [False, True])
def test_reports_come_along(tmp_path, packed):
    places = archive(tmp_path / "dicom", 4)
    write_reports(tmp_path / "reports", [places[0], "files/p19/p19999999/s59999999/other"])
    source = tmp_path / "reports"
    if packed:
        source = tmp_path / "mimic-cxr-reports.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in (tmp_path / "reports").rglob("*.txt"):
                file.write(path, path.relative_to(tmp_path / "reports"))
    convert(tmp_path / "dicom", tmp_path / "out", "--reports", source)
    (row,) = pq.read_table(tmp_path / "out" / "reports.parquet").to_pylist()
    assert row == {
        "subject_id": 10000032,
        "study_id": int(places[0].split("/s")[1][:8]),
        "findings": "Clear lungs, 0.",
        "impression": "Normal.",
        "text": " FINAL REPORT\n FINDINGS:  Clear\n lungs, 0.\n \n IMPRESSION:  Normal.\n",
    }


def test_reports_that_arrive_later_are_added(tmp_path, capsys):
    places = archive(tmp_path / "dicom", 4)
    write_reports(tmp_path / "reports", places[:1])
    convert(tmp_path / "dicom", tmp_path / "out", "--reports", tmp_path / "reports")
    assert "1 of 2 studies have a report" in capsys.readouterr().out
    write_reports(tmp_path / "reports", places)
    convert(tmp_path / "dicom", tmp_path / "out", "--reports", tmp_path / "reports")
    assert "2 of 2 studies have a report" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "out" / "reports.parquet").num_rows == 2


def test_damaged_reports_are_one_error_that_names_them(tmp_path):
    places = archive(tmp_path / "dicom", 1)
    write_reports(tmp_path / "reports", places)
    next((tmp_path / "reports").rglob("*.txt")).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="s50414267.txt is damaged or no text"):
        convert(tmp_path / "dicom", tmp_path / "out", "--reports", tmp_path / "reports")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="broken.zip is no zip"):
        convert(tmp_path / "dicom", tmp_path / "out", "--reports", tmp_path / "broken.zip")
