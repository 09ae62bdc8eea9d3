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

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from pydicom.sequence import Sequence

import dicom_to_jpeg
from chestxray.dicom import dicom_files
from conftest import ROOT
from dicoms import FIRST, broken_compression, coded, cut_off, pixels, radiograph, save

SCRIPT = ROOT / "recipes" / "dicom_to_jpeg.py"
TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"


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


# Pictures and table


@pytest.mark.parametrize(
    "flags, settings", [([], {}), (["--no-equalize", "--quality", 100], {"equalize": False, "quality": 100})]
)
def test_the_tree_holds_the_modules_jpegs_and_the_settings(tmp_path, flags, settings):
    path = save(tmp_path / "dicom", radiograph(pixels()))
    convert(tmp_path / "dicom", tmp_path / "out", *flags)
    assert (tmp_path / "out" / f"{FIRST}.jpg").read_bytes() == dicom_files.to_jpeg(path, **settings)
    written = json.loads((tmp_path / "out" / "conversion.json").read_text())
    assert written == {"equalize": True, "quality": 95} | settings


def test_the_table_holds_the_modules_rows(tmp_path):
    places = archive(tmp_path / "dicom", 3)
    convert(tmp_path / "dicom", tmp_path / "out")
    assert rows(tmp_path / "out") == [dicom_files.metadata_row(tmp_path / "dicom" / f"{place}.dcm") for place in places]


# What a header says


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


# What cannot be read


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
