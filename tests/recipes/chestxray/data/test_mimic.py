"""What the builder of MIMIC-CXR-JPG promises of the folder it reads, and the synthetic archive of its likeness."""

import gzip
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from archives import build, change, plain, read_lines, write_archive, write_lines
from chestxray.data.chexpert import is_chexpert
from chestxray.data.mimic import MIMICCXR, UNLABELLED, is_mimic
from chestxray.data.observations import DISAGREEMENT, OBSERVATIONS, STATES
from conftest import ROOT

LABELS = (  # as in the real tables
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
SPLIT, CHEXPERT, NEGBIO = (f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("split", "chexpert", "negbio"))
RADIOLOGIST = "mimic-cxr-2.1.0-test-set-labeled.csv"
METADATA_TABLE = "mimic-cxr-2.0.0-metadata.csv.gz"
CELLS = {"": "not mentioned", "1.0": "positive", "0.0": "negative", "-1.0": "uncertain"}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_archive("mimic", tmp_path_factory.mktemp("mimic") / "2.1.0", 20)


@pytest.fixture
def archive(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / original.name)


@pytest.fixture
def load(tmp_path):
    return lambda folder, **options: build(MIMICCXR, folder, tmp_path / "cache", **options)


def table(path):
    """A table's rows as dicts."""
    header, *rows = (line.split(",") for line in read_lines(path))
    return [dict(zip(header, row, strict=True)) for row in rows]


def everything(dataset):
    return {path: row for split in dataset.values() for path, row in plain(split).items()}


def words(row):
    """A row's states in words: {observation: state}"""
    return {name: STATES[row[name]] for name in OBSERVATIONS}


def labelled(original):
    """The rows of the table of splits whose study has labels: all but one study's."""
    return [row for row in table(original / SPLIT) if int(row["study_id"]) not in UNLABELLED]


# What it gives


def test_the_columns_are_those_that_every_dataset_of_the_recipes_shares(original, load):
    features = load(original)["train"].features
    own = "image_file_path,image,patient_id,study_id,patient_age,patient_sex,view_position".split(",")
    assert list(features) == own + list(OBSERVATIONS)
    assert set(OBSERVATIONS) == set(LABELS.split(","))
    assert [features[name].dtype for name in ("patient_id", "study_id", "patient_age")] == ["int32"] * 3
    assert all(features[name].names == list(STATES) for name in OBSERVATIONS)


@pytest.mark.parametrize("num_proc", [None, 2])
def test_the_official_split_and_the_files_own_bytes(original, load, num_proc):
    dataset = load(original, num_proc=num_proc)
    assert list(dataset) == ["train", "validation", "test"]
    for split, name in {"train": "train", "validation": "validate", "test": "test"}.items():
        rows = plain(dataset[split])
        named = {
            (row["dicom_id"], row["subject_id"], row["study_id"]) for row in labelled(original) if row["split"] == name
        }
        assert len(named) == dataset[split].num_rows > 0
        for path, row in rows.items():
            files, group, patient, study, file = path.split("/")
            assert (files, group) == ("files", patient[:3]) and row["image"] == (original / path).read_bytes()
            assert (patient, study) == (f"p{row['patient_id']}", f"s{row['study_id']}")
            assert (file.removesuffix(".jpg"), patient[1:], study[1:]) in named
            assert row["patient_age"] is row["patient_sex"] is None  # the release has neither


@pytest.mark.parametrize(("labeler", "name"), [("chexpert", CHEXPERT), ("negbio", NEGBIO)])
def test_a_labelers_states_are_those_of_the_study_in_its_own_table(original, load, labeler, name):
    studies = {(int(row["subject_id"]), int(row["study_id"])): row for row in table(original / name)}
    rows = everything(load(original, labeler=labeler))
    assert len(rows) == len(labelled(original)) > len(studies) / 2
    for row in rows.values():
        cells = studies[row["patient_id"], row["study_id"]]
        assert words(row) == {observation: CELLS[cells[observation]] for observation in OBSERVATIONS}


def test_both_labelers_give_what_they_agree_on_and_disagreement_elsewhere(original, load):
    chexpert, negbio, both = (everything(load(original, labeler=name)) for name in ("chexpert", "negbio", "both"))
    pairs = Counter()
    for path, row in both.items():
        for name in OBSERVATIONS:
            one, other = chexpert[path][name], negbio[path][name]
            assert row[name] == (one if one == other else DISAGREEMENT)
            pairs[STATES[one], STATES[other]] += 1
    assert {("positive", "uncertain"), ("negative", "not mentioned"), ("positive", "positive")} <= set(pairs)


def test_the_radiologists_labels_are_a_test_set_of_their_own_studies(original, load):
    dataset = load(original, labeler="radiologist")
    studies = {int(row["study_id"]): row for row in table(original / RADIOLOGIST)}
    assert list(dataset) == ["test"] and set(dataset["test"]["study_id"]) == set(studies)
    assert set(studies) < {int(row["study_id"]) for row in table(original / SPLIT) if row["split"] == "test"}
    for row in dataset["test"].remove_columns("image"):
        cells = studies[row["study_id"]]
        cells["Lung Opacity"] = cells["Airspace Opacity"]
        assert words(row) == {observation: CELLS[cells[observation]] for observation in OBSERVATIONS}


def test_labels_are_joined_on_subject_and_study(archive, load):
    """A study's number alone is not enough: with another subject it is another study, without labels."""
    row = read_lines(archive / CHEXPERT)[1].split(",")
    change(archive / CHEXPERT, 2, row[0], "19999999")
    with pytest.raises(ValueError, match=f"s{row[1]}/.* is of a study without labels in {CHEXPERT[:-3]}"):
        load(archive)


def test_views_are_those_of_the_metadata_and_a_blank_one_is_none(original, load):
    views = {row["dicom_id"]: row["ViewPosition"] for row in table(original / METADATA_TABLE)}
    train = load(original)["train"].remove_columns("image")
    names = train.features["view_position"].names
    given = {row["image_file_path"][-48:-4]: row["view_position"] for row in train}
    assert {dicom: "" if view is None else names[view] for dicom, view in given.items()} == {
        dicom: views[dicom] for dicom in given
    }
    assert {"", "PA", "AP", "LATERAL", "LL", "AP AXIAL", "SWIMMERS"} <= {views[dicom] for dicom in given}


@pytest.mark.parametrize("view", ["PA LLD", "PA RLD", "AP LLD", "AP RLD", "XTABLE LATERAL", "LAO", "RAO", "LPO"])
def test_every_view_of_the_release_is_known(archive, load, view):
    row = read_lines(archive / METADATA_TABLE)[2].split(",")
    change(archive / METADATA_TABLE, 3, f",{row[4]},", f",{view},")
    train = load(archive)["train"].remove_columns("image")
    names = train.features["view_position"].names
    found = [names[one["view_position"]] for one in train if row[0] in one["image_file_path"]]
    assert found == [view]


def test_tables_may_be_unzipped(archive, load):
    expected = everything(load(archive))
    for zipped in archive.glob("*.csv.gz"):
        zipped.with_suffix("").write_bytes(gzip.decompress(zipped.read_bytes()))
        zipped.unlink()
    assert everything(load(archive)) == expected


def test_version_2_0_0_has_all_but_the_radiologists_labels(original, load, tmp_path):
    older = write_archive("mimic", tmp_path / "2.0.0", 20, "--version", "2.0.0")
    assert everything(load(older)) == everything(load(original))
    with pytest.raises(FileNotFoundError, match=f"{RADIOLOGIST} is in .* since 2.1.0"):
        load(older, labeler="radiologist")


def test_the_studies_that_the_release_left_unlabelled_are_skipped_and_counted(original, load, caplog):
    rows = load(original)
    (warning,) = [record.getMessage() for record in caplog.records]
    unlabelled = [row for row in table(original / SPLIT) if int(row["study_id"]) in UNLABELLED]
    assert f"skipped {len(unlabelled)} of {len(table(original / SPLIT))} rows" in warning
    assert unlabelled and sum(rows.num_rows.values()) == len(table(original / SPLIT)) - len(unlabelled)


def test_a_study_whose_row_is_blank_is_kept_with_nothing_mentioned(original, load):
    blank = {int(row["study_id"]) for row in table(original / CHEXPERT) if not any(list(row.values())[2:])}
    rows = [row for row in everything(load(original)).values() if row["study_id"] in blank]
    assert rows and {state for row in rows for state in words(row).values()} == {"not mentioned"}


def test_each_labeler_and_each_change_has_a_cache_of_its_own(archive, tmp_path):
    def prepared(**options):
        builder = MIMICCXR(data_dir=str(archive), cache_dir=str(tmp_path / "cache"), **options)
        builder.download_and_prepare()
        return builder.cache_dir

    first = prepared()
    assert prepared() == first != prepared(labeler="negbio")
    row = read_lines(archive / CHEXPERT)[1].split(",")
    change(archive / CHEXPERT, 2, ",".join(row[:3]), ",".join([*row[:2], "" if row[2] else "1.0"]))
    assert prepared() != first


def test_synthetic_archives_are_called_so_and_others_by_their_name(archive, load):
    assert load(archive)["train"].info.description.startswith("Synthetic")
    (archive / "SYNTHETIC.txt").unlink()
    assert load(archive)["train"].info.description.startswith("MIMIC-CXR-JPG")


def test_a_folder_is_told_by_its_contents(original, archive, tmp_path):
    assert is_mimic(original) and is_mimic(str(original)) and not is_chexpert(original)
    assert not is_mimic(ROOT / "data" / "sample") and not is_mimic(tmp_path / "nowhere")
    for zipped in archive.glob("*.gz"):
        zipped.rename(zipped.with_suffix(""))
    assert is_mimic(archive)


# Bad input


@pytest.mark.parametrize(
    ("name", "line", "old", "new", "message"),
    [
        (SPLIT, 3, ",train", ",training", "split.csv.gz, line 3: unknown split 'training'; known are train, validate"),
        (SPLIT, 1, "split", "fold", "split.csv.gz has no column 'split'"),
        (METADATA_TABLE, 1, "ViewPosition", "View", "metadata.csv.gz has no column 'ViewPosition'"),
        (METADATA_TABLE, 2, ",,", ",SIDEWAYS,", "metadata.csv.gz, line 2: unknown view position 'SIDEWAYS'"),
        (CHEXPERT, 1, "Pneumonia", "Pneumonitis", "chexpert.csv.gz has no column 'Pneumonia'"),
        (CHEXPERT, 1, "Support Devices", "Support Devices,Hernia", "chexpert.csv.gz has an unknown column 'Hernia'"),
        (CHEXPERT, 2, "1.0", "yes", "chexpert.csv.gz, line 2: .* is 'yes'; known are 1.0, 0.0, -1.0 and blank"),
        (CHEXPERT, 2, ",", ",,", "chexpert.csv.gz, line 2: not 16 cells, as in the header"),
        (CHEXPERT, 2, "1", "x", "chexpert.csv.gz, line 2: invalid literal for int.*'x"),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_file_and_line(archive, load, name, line, old, new, message):
    change(archive / name, line, old, new)
    with pytest.raises(ValueError, match=message):
        load(archive)


def test_an_image_outside_the_folder_is_refused(archive, load):
    dicom = read_lines(archive / SPLIT)[2].split(",")[0]
    for name in (SPLIT, METADATA_TABLE):
        change(archive / name, 3, dicom, "../../../../secret")
    with pytest.raises(ValueError, match=r"split.csv.gz, line 3: dicom_id '\.\./\.\./\.\./\.\./secret', expected"):
        load(archive)


def test_the_radiologists_table_keeps_its_own_name_for_lung_opacity(archive, load):
    change(archive / RADIOLOGIST, 1, "Airspace Opacity", "Lung Opacity")
    with pytest.raises(ValueError, match=f"{RADIOLOGIST} has no column 'Airspace Opacity'"):
        load(archive, labeler="radiologist")


def test_an_image_without_metadata_and_a_study_labelled_twice_are_refused(archive, load):
    lines = read_lines(archive / METADATA_TABLE)
    write_lines(archive / METADATA_TABLE, lines[:2] + lines[3:])
    with pytest.raises(ValueError, match=f"split.csv.gz, line 3: {lines[2][:44]} has no row in {METADATA_TABLE[:-3]}"):
        load(archive)
    lines = read_lines(archive / NEGBIO)
    write_lines(archive / NEGBIO, [*lines, lines[1]])
    with pytest.raises(ValueError, match=f"negbio.csv.gz, line {len(lines) + 1}: study .* comes a second time"):
        load(archive, labeler="negbio")


@pytest.mark.parametrize("name", [SPLIT, METADATA_TABLE, CHEXPERT, NEGBIO])
def test_a_missing_table_is_named(archive, load, name):
    (archive / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"Neither {name} nor {name[:-3]} is in"):
        load(archive, labeler="both")


def test_a_table_in_another_encoding_is_refused_by_line(archive, load):
    lines = read_lines(archive / SPLIT)
    (archive / SPLIT).write_bytes(gzip.compress("\n".join([*lines[:3], "größer"]).encode("latin-1")))
    with pytest.raises(ValueError, match="split.csv.gz, line 4: byte 0xf6 is no UTF-8 text. Save it as UTF-8"):
        load(archive)


def test_a_table_cut_short_is_named(archive, load):
    whole = (archive / SPLIT).read_bytes()
    (archive / SPLIT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="split.csv.gz is damaged"):
        load(archive)


def test_an_unknown_labeler_is_refused(archive, load):
    with pytest.raises(ValueError, match="labeler is 'chexbert'; known are chexpert, negbio, both, radiologist"):
        load(archive, labeler="chexbert")


@pytest.mark.parametrize("labeler", ["chexpert", "both"])
def test_a_study_without_labels_is_named_or_counted(archive, load, caplog, labeler):
    whole = load(archive, labeler=labeler)
    lines = read_lines(archive / CHEXPERT)
    study = lines[1].split(",")[1]
    write_lines(archive / CHEXPERT, lines[:1] + lines[2:])
    with pytest.raises(ValueError, match=f"split.csv.gz, line 2: .*/s{study}/.* is of a study without labels in mimic"):
        load(archive, labeler=labeler)
    caplog.clear()
    partial = load(archive, labeler=labeler, allow_missing=True)
    gone = set(everything(whole)) - set(everything(partial))
    assert gone == {path for path in everything(whole) if f"/s{study}/" in path} != set()
    (warning,) = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert f"{len(gone)} like {SPLIT}, line 2: " in warning


def test_an_image_the_disk_lacks_is_named_or_counted(archive, load, caplog):
    whole = load(archive)
    unlabelled = len(table(archive / SPLIT)) - len(everything(whole))
    lost = sorted(everything(whole))[:3]
    for path in lost:
        (archive / path).unlink()
    with pytest.raises(ValueError, match=r"split.csv.gz, line \d+: files/.*\.jpg is not in .*the same holds for 3 of"):
        load(archive)
    caplog.clear()
    partial = load(archive, allow_missing=True)
    assert set(everything(whole)) - set(everything(partial)) == set(lost)
    (warning,) = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert f"skipped {3 + unlabelled} of" in warning


@pytest.mark.parametrize("where", ["nowhere", "train"])
def test_a_study_the_radiologist_read_is_counted_where_it_is_not_in_test(archive, load, caplog, where):
    lines, train = read_lines(archive / RADIOLOGIST), table(archive / SPLIT)[0]
    study = train["study_id"] if where == "train" else "59999999"
    assert train["split"] == "train"
    write_lines(archive / RADIOLOGIST, [*lines, study + lines[1][8:]])
    assert set(load(archive, labeler="radiologist")["test"]["study_id"]) == {int(line[:8]) for line in lines[1:]}
    (warning,) = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert f"study {study}, which has no image in the test split of {SPLIT[:-3]}" in warning


def test_a_jpeg_cut_short_is_named(archive, load):
    path = sorted(everything(load(archive)))[0]
    (archive / path).write_bytes((archive / path).read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{path} is damaged: 100 bytes that are no whole JPEG"):
        load(archive)


# The synthetic archive


def test_the_synthetic_tables_look_like_the_real_ones(original):
    heads = {path.name: read_lines(path)[0] for path in original.glob("*.csv*")}
    assert heads == {
        SPLIT: "dicom_id,study_id,subject_id,split",
        METADATA_TABLE: METADATA,
        CHEXPERT: f"subject_id,study_id,{LABELS}",
        NEGBIO: f"subject_id,study_id,{LABELS}",
        RADIOLOGIST: f"study_id,{LABELS.replace('Lung', 'Airspace').replace('Airspace Lesion', 'Lung Lesion')}",
    }
    cells = Counter(cell for row in table(original / CHEXPERT) for cell in list(row.values())[2:])
    assert set(cells) == set(CELLS) and cells[""] > sum(cells.values()) / 2
    images = read_lines(original / "IMAGE_FILENAMES")
    assert sorted(images) == sorted(str(path.relative_to(original)) for path in original.rglob("*.jpg"))


def test_the_synthetic_images_are_histogram_equalised(original):
    """As many pixels are darker than a grey level as the level says, the black of the surroundings left out."""
    for path in (images := list(original.rglob("*.jpg"))):
        grey = np.sort(np.asarray(Image.open(path)).ravel().astype(int))
        lit = grey[grey > grey.min() + 16]  # JPEG spreads the one level of the surroundings
        assert np.abs(lit / 255 - (np.arange(len(lit)) + 1) / len(lit)).mean() < 0.05  # CheXpert's: 0.03 to 0.18
    assert len(images) > 20


def test_the_same_command_gives_the_same_bytes(original, tmp_path):
    again = write_archive("mimic", tmp_path / "again", 20)
    files = {path.relative_to(original): path.read_bytes() for path in original.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
