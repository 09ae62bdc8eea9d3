"""NIH's release as Google Cloud's DICOM files: the same rows and pixels as from PNG, and one line for what is wrong."""

import io
import re
import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless

import finetune
import publish
from chestxray.data import nih_dicom, registry, sources
from chestxray.data.descriptor import BuildOptions
from chestxray.data.nih import builder_file
from chestxray.images import pixels, reading
from conftest import NIH, ROOT
from dicoms import radiograph

REAL = ROOT.parent / "shared" / "dicom" / "dx-nih.dcm"
ONE = "00000003_000.dcm"


def write_dicom(png, folder, syntax=None, **fields):
    """A PNG's grey as a DICOM file with the tags of Google's; fields: more elements, by keyword."""
    grey = np.asarray(Image.open(png).convert("L"))
    made = radiograph(grey, bits=8, Modality="DX", BodyPartExamined="CHEST", PatientPosition="PA", **fields)
    made.PatientID = str(int(png.name[:8]))
    if syntax:
        made.compress(syntax)
    folder.mkdir(exist_ok=True)
    pydicom.dcmwrite(folder / f"{png.stem}.dcm", made, enforce_file_format=True)


@pytest.fixture
def both(release):
    """A release with each image as PNG and as DICOM, as who copies the whole bucket has it."""
    folder = release()
    (folder / "images").rename(folder / "png")
    for number, png in enumerate(sorted((folder / "png").iterdir())):
        write_dicom(png, folder / "dicom", syntax=JPEG2000Lossless if number == 1 else None)
    return folder


@pytest.fixture
def bucket(both):
    """A release as DICOM files alone."""
    (both / "png").rename(both.parent / "png")
    return both


def grey_of(row):
    return np.asarray(row["image"].convert("L"))


def test_rows_and_pixels_are_those_of_the_png_files(both, tmp_path):
    with_png = shutil.copytree(both, tmp_path / "with-png", ignore=shutil.ignore_patterns("dicom"))
    shutil.rmtree(both / "png")
    assert registry.recognise(both) is nih_dicom.DESCRIPTOR
    ours, theirs = sources.load(str(both)), sources.load(str(with_png))
    assert ours.num_rows == theirs.num_rows == {"train": 5, "test": 3}
    for split, rows in theirs.items():
        assert ours[split].features == rows.features
        for row, other in zip(ours[split], rows, strict=True):
            assert np.array_equal(grey_of(row), grey_of(other))
            assert {**row, "image": None} == {**other, "image": None}


def test_the_pixel_cache_holds_what_predict_py_reads_from_the_file(bucket):
    rows = sources.load(str(bucket), num_proc=2)["test"]
    shrunk = pixels.shrink(rows, 16)
    for path, cached in zip(shrunk["image_file_path"], shrunk["pixels"], strict=True):
        file = bucket / "dicom" / path.replace("images/", "").replace(".png", ".dcm")
        assert reading.read_pixels(file, 16).tobytes() == cached


def test_labels_come_from_nihs_table_and_a_header_does_not_matter(bucket):
    write_dicom(bucket.parent / "png" / ONE.replace("dcm", "png"), bucket / "dicom", StudyDescription="Mass",
                ViewPosition="LATERAL", PatientName="Doe")  # fmt: skip
    rows = sources.load(str(bucket))["train"]
    (row,) = [row for row in rows if row["image_file_path"] == "images/00000003_000.png"]
    assert [builder_file.LABELS[label] for label in row["labels"]] == ["Hernia"]
    stored = io.BytesIO()
    row["image"].save(stored, format="PNG")
    assert not row["image"].info and b"Doe" not in stored.getvalue()


def test_png_and_dicom_together_are_read_as_png_and_one_line_says_so(both, caplog):
    assert type(registry.recognise(both).build(both, BuildOptions())).__name__ == "NIHChestXray"
    (line,) = [record.message for record in caplog.records if "DICOM" in record.message]
    assert "Only the PNG files are read" in line


def test_without_nihs_table_the_error_names_the_table_and_nothing_of_png(bucket, caplog):
    (bucket / "Data_Entry_2017_v2020.csv").unlink()
    with pytest.raises(FileNotFoundError, match="No Data_Entry_2017_v2020.csv or Data_Entry_2017.csv in "):
        sources.load(str(bucket))
    assert not [record for record in caplog.records if "PNG" in record.message]


def test_missing_files_are_one_line_and_may_be_allowed(bucket):
    (bucket / "dicom" / ONE).unlink()
    message = r"1 of the 5 images that train_val_list.txt names are missing from .* \(DICOM files\): 00000003_000.png"
    with pytest.raises(ValueError, match=message):
        sources.load(str(bucket))
    assert sources.load(str(bucket), allow_missing=True).num_rows == {"train": 4, "test": 3}


def test_an_image_that_lies_twice_is_refused(bucket):
    shutil.copytree(bucket / "dicom", bucket / "more")
    with pytest.raises(ValueError, match=r"00000003_000.png lies twice in the archive: .* Remove one of them"):
        sources.load(str(bucket))


def damage(path, how):
    made = pydicom.dcmread(path)
    if how == "no PixelData":
        del made.PixelData
    elif how == "several frames":
        made.NumberOfFrames, made.PixelData = 2, made.PixelData * 2
    elif how == "in colour":
        made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
        made.PixelData = made.PixelData * 3
    pydicom.dcmwrite(path, made)
    if how == "is damaged or no DICOM file":
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["no PixelData", "several frames", "in colour", "is damaged or no DICOM file"])
def test_a_file_without_one_grey_picture_is_one_line_that_names_it(bucket, how):
    damage(bucket / "dicom" / ONE, how)
    with pytest.raises(ValueError, match=rf"dicom/{ONE}.*{how}") as caught:
        sources.load(str(bucket))
    assert "\n" not in str(caught.value)


def test_without_pydicom_the_error_says_what_to_install(bucket, monkeypatch):
    monkeypatch.setattr(nih_dicom.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=re.escape("need pip install -e '.[dicom]'")):
        sources.load(str(bucket))


def test_the_table_alone_is_read_without_an_image(bucket, builder):
    assert builder("metadata", data_dir=str(bucket)).config.files_read()[1] == []
    made = builder("metadata", data_dir=str(bucket))
    made.download_and_prepare()
    assert made.as_dataset().num_rows == {"train": 5, "test": 3}, "as describe.py reads it"


def test_the_folder_itself_cannot_be_streamed_and_one_line_says_what_can(bucket):
    with pytest.raises(ValueError, match="give a folder of Parquet, as publish.py writes it, or a Hub id$"):
        sources.stream(str(bucket))


def test_changed_files_are_read_again_and_a_moved_folder_is_not(bucket, tmp_path):
    builder = nih_dicom.build(bucket, BuildOptions())
    moved = shutil.copytree(bucket, tmp_path / "moved")
    assert nih_dicom.build(moved, BuildOptions()).cache_dir == builder.cache_dir
    write_dicom(bucket.parent / "png" / "00000003_001.png", bucket / "dicom")
    assert nih_dicom.build(bucket, BuildOptions()).cache_dir != builder.cache_dir


@pytest.mark.usefixtures("no_wait_after_streams")
def test_finetune_trains_on_it_and_publish_makes_parquet_that_streams(synthetic, tiny, tmp_path):
    archive = synthetic(patients=60)
    folder = shutil.copytree(archive, tmp_path / "bucket", ignore=shutil.ignore_patterns("images"))
    for png in (archive / "images").iterdir():
        write_dicom(png, folder / "dicom")
    publish.main([str(folder), str(tmp_path / "published"), "--num-proc", "1"])
    runs = {}
    for name, source in {"png": archive, "dicom": folder, "stream": tmp_path / "published"}.items():
        flags = ["--dataset", source, "--model", tiny("vit"), "--epochs", 1, "--output-dir", tmp_path / name]
        finetune.main([str(flag) for flag in [*flags, *(["--streaming"] if name == "stream" else [])]])
        runs[name] = (tmp_path / name / "all_results.json").is_file(), (tmp_path / name / "model.safetensors")
    assert all(done for done, _ in runs.values())
    assert runs["png"][1].read_bytes() == runs["dicom"][1].read_bytes()


@pytest.mark.skipif(not REAL.is_file(), reason="no DICOM file of NIH's is on this machine (../shared/dicom)")
def test_a_real_file_has_the_pixels_that_it_stores(tmp_path):
    header = pydicom.dcmread(REAL)
    path = shutil.copy(REAL, tmp_path / "00000002_000.dcm")
    png = Image.open(io.BytesIO(nih_dicom.read_image(str(path))))
    assert png.size == (1024, 1024) and np.array_equal(np.asarray(png), header.pixel_array)
    original = NIH / "images" / "00000002_000.png"
    if original.is_file():
        assert np.array_equal(np.asarray(png), np.asarray(Image.open(original).convert("L")))
