"""What `NIH-Chest-X-ray-dataset.py` promises about the archive it reads."""

import errno
import hashlib
import http.server
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections import Counter
from functools import partial

import datasets
import pytest
from PIL import Image

from conftest import BOXES, HEADERS, LAYOUTS, NAMES, NIH, ROOT, TEST_PATIENTS

LABELS = (
    "No Finding,Atelectasis,Cardiomegaly,Effusion,Infiltration,Mass,Nodule,Pneumonia,Pneumothorax,Consolidation,"
    "Edema,Emphysema,Fibrosis,Pleural_Thickening,Hernia"
).split(",")
needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("olah") is None, reason="the Hub server, olah, is not installed"
)
needs_nih = pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")


@pytest.fixture
def build(builder, tmp_path):
    """`build(config, folder, num_proc=…, **options)` prepares the dataset in a cache of its own."""

    def run(config, folder, num_proc=None, **options):
        made = builder(config, data_dir=str(folder), cache_dir=str(tmp_path / "cache"), **options)
        made.download_and_prepare(num_proc=num_proc)
        return made.as_dataset()

    return run


def raw(split):
    return {
        row["image_file_path"]: row["image"]["bytes"]
        for row in split.cast_column("image", datasets.Image(decode=False))
    }


# What each config holds


def test_the_default_config_is_path_image_and_labels_in_the_published_order(builder, release):
    made = builder(data_dir=str(release()))
    assert made.config.name == "image-classification"
    assert list(made.info.features) == ["image_file_path", "image", "labels"]
    assert made.info.features["labels"].feature.names == LABELS


def test_labels_keep_the_order_of_their_cell(build, release):
    train = build("image-classification", release())["train"]
    labels = {row["image_file_path"]: row["labels"] for row in train.remove_columns("image")}
    assert labels["images/00000798_022.png"] == [9, 3]
    assert labels["images/00010007_000.png"] == [5, 4, 7]
    assert labels["images/00000013_000.png"] == [0]


def test_full_gives_every_column_of_the_metadata(build, release):
    dataset = build("full", release())
    row = dataset["train"].remove_columns("image")[0]
    assert row == {
        "image_file_path": "images/00000003_001.png",
        "labels": [14],
        "patient_id": 3,
        "follow_up": 0,
        "patient_age": 74,
        "patient_sex": 0,
        "view_position": 0,
        "original_width": 2500,
        "original_height": 2048,
        "original_pixel_spacing": pytest.approx([0.168, 0.168]),
        "objects": {"bbox": [], "category": []},
    }
    assert dataset["train"].features["patient_sex"].names == ["F", "M"]
    assert dataset["train"].features["view_position"].names == ["PA", "AP"]
    boxed = dataset["test"][0]
    assert boxed["objects"]["bbox"] == [pytest.approx([225.0847, 547.0192, 86.7797, 79.1864], abs=1e-3)]
    assert dataset["test"][1]["objects"]["category"] == [LABELS.index("Infiltration")]  # written Infiltrate


def test_metadata_needs_no_image_and_matches_full(build, release):
    folder = release()
    full = build("full", folder)
    shutil.rmtree(folder / "images")
    metadata = build("metadata", folder)
    plain = [name.replace(" ", "_") for name in LABELS]
    for split in full:
        assert metadata[split].remove_columns(plain).to_list() == full[split].remove_columns("image").to_list()
        for row in metadata[split]:
            assert [number for number, name in enumerate(plain) if row[name]] == sorted(row["labels"])


def test_object_detection_has_the_form_hugging_face_code_expects(build, release):
    dataset = build("object-detection", release())
    assert list(dataset) == ["test"]
    row = dataset["test"][0]
    assert (row["image_id"], row["width"], row["height"]) == (13118008, 32, 32)
    assert row["image"].size == (32, 32)
    x, y, width, height = row["objects"]["bbox"][0]  # boxes are drawn at 1024 pixels, this image has 32
    assert (x * 32, y * 32) == pytest.approx((225.0847, 547.0192), abs=1e-2)
    assert row["objects"]["area"] == [pytest.approx(width * height)]
    assert [row["objects"]["id"] for row in dataset["test"]] == [[1], [2]]


def average_precision(rows, detect):
    """COCO's mAP of `detect(row)`, a list of (box, category), on the rows of `object-detection`."""
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    images, truth, found = [], [], []
    for row in rows.remove_columns("image"):
        image = {"image_id": row["image_id"], "iscrowd": 0}
        images.append({"id": row["image_id"], "width": row["width"], "height": row["height"]})
        columns = (row["objects"][name] for name in ("id", "bbox", "area", "category"))
        for number, box, area, label in zip(*columns, strict=True):
            truth.append({**image, "id": number, "bbox": box, "area": area, "category_id": label})
        for box, label in detect(row):
            area = box[2] * box[3]
            found.append({**image, "id": len(found) + 1, "bbox": box, "area": area, "category_id": label, "score": 1.0})
    sides = []
    for annotations in (truth, found):
        sides.append(coco.COCO())
        categories = [{"id": number, "name": name} for number, name in enumerate(LABELS)]
        sides[-1].dataset = {"images": images, "annotations": annotations, "categories": categories}
        sides[-1].createIndex()
    scores = cocoeval.COCOeval(*sides, "bbox")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    return scores.stats[0]


def true_boxes(row):
    return list(zip(row["objects"]["bbox"], row["objects"]["category"], strict=True))


def test_pycocotools_gives_a_perfect_detector_1_and_an_empty_one_0(build, release):
    rows = build("object-detection", release())["test"]
    assert average_precision(rows, true_boxes) == pytest.approx(1.0, abs=1e-9)
    assert average_precision(rows, lambda row: []) == 0.0


# Where it reads from


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("num_proc", [None, 2])
def test_every_layout_gives_the_same_rows_and_the_files_own_bytes(build, release, tmp_path, layout, num_proc):
    dataset = build("image-classification", release(layout), num_proc)
    files = {f"images/{name}": (tmp_path / "nih-pngs" / name).read_bytes() for name in NAMES}
    assert {**raw(dataset["train"]), **raw(dataset["test"])} == files
    assert {path[7:15] for path in raw(dataset["test"])} == set(TEST_PATIENTS)


@pytest.mark.parametrize("layout", ["flat", "box", "hub"])
def test_streaming_gives_the_same_rows(builder, build, release, layout):
    folder = release(layout)
    streamed = builder("full", data_dir=str(folder)).as_streaming_dataset()
    for split, prepared in build("full", folder).items():
        exact = ["image_file_path", "labels", "patient_id", "patient_age", "patient_sex", "view_position"]
        assert list(streamed[split].select_columns(exact)) == prepared.select_columns(exact).to_list()
        assert [row["image"].tobytes() for row in streamed[split]] == [image.tobytes() for image in prepared["image"]]


@pytest.mark.skipif(datasets.__version__ >= "4", reason="datasets runs loading scripts before its release 4 only")
@pytest.mark.parametrize("config", [None, "full"])
@pytest.mark.parametrize("streaming", [False, True])
def test_before_datasets_4_the_file_is_a_loading_script(release, tmp_path, config, streaming):
    trust = {} if datasets.__version__ < "2.16" else {"trust_remote_code": True}
    place = {"data_dir": str(release("hub")), "cache_dir": str(tmp_path / "cache")}
    script = str(ROOT / "NIH-Chest-X-ray-dataset.py")
    dataset = datasets.load_dataset(script, config, streaming=streaming, **place, **trust)
    assert {split: len(list(rows)) for split, rows in dataset.items()} == {"train": 5, "test": 3}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("box_form", BOXES)
def test_every_form_of_the_tables_reads_the_same(build, release, header, box_form):
    dataset = build("metadata", release(header=header, box_form=box_form))
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 5, "test": 3}
    assert dataset["test"][0]["objects"]["bbox"][0] == pytest.approx([225.085, 547.019, 86.780, 79.186], abs=1e-2)
    assert dataset["train"]["original_height"][:2] == [2048, 2991]


def test_an_archive_that_grew_is_not_served_from_the_old_cache(build, release):
    folder = release()
    hidden = folder / "images" / NAMES[0]
    hidden.rename(folder.parent / NAMES[0])
    assert len(build("full", folder, allow_missing=True)["train"]) == 4
    (folder.parent / NAMES[0]).rename(hidden)
    assert len(build("full", folder, allow_missing=True)["train"]) == 5


# The cache is that of what is read


def png(level):
    data = io.BytesIO()
    Image.new("L", (32, 32), level).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def cache_of(builder, tmp_path):
    """`cache_of(folder)` is the folder that the builder would write to."""
    return lambda folder, config="full", **options: (
        builder(config, data_dir=str(folder), cache_dir=str(tmp_path / "cache"), **options).cache_dir
    )


def test_an_image_that_was_replaced_in_place_is_not_served_from_the_old_cache(build, release):
    folder = release()
    image = folder / "images" / NAMES[0]
    build("full", folder)
    image.write_bytes(png(level=7))
    assert raw(build("full", folder)["train"])[f"images/{NAMES[0]}"] == image.read_bytes()


@pytest.mark.parametrize("config", ["image-classification", "full", "object-detection"])
@pytest.mark.parametrize("layout, file", [("flat", f"images/{NAMES[0]}"), ("box", "images_001.tar.gz")])
def test_a_new_date_or_size_of_an_image_or_archive_makes_a_new_cache(cache_of, release, config, layout, file):
    folder = release(layout)
    path, before = folder / file, cache_of(folder, config)
    os.utime(path, ns=(0, 10**18))
    dated = cache_of(folder, config)
    path.write_bytes(path.read_bytes() + b" ")
    os.utime(path, ns=(0, 10**18))
    assert len({before, dated, cache_of(folder, config)}) == 3


@pytest.mark.parametrize("table", ["Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "test_list.txt"])
def test_another_table_of_the_same_size_and_date_makes_a_new_cache(cache_of, release, table):
    folder = release()
    path, before = folder / table, cache_of(folder)
    state, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cache_of(folder) != before
    path.write_bytes(data)
    assert cache_of(folder) == before


@pytest.mark.parametrize("layout", ["flat", "box", "hub"])
def test_what_is_not_read_makes_no_new_cache(cache_of, release, layout):
    folder = release(layout)
    before = cache_of(folder)
    (folder / "note.txt").write_text("seen")
    (folder / "nothing.txt").symlink_to(folder / "nowhere")
    (folder / "runs" / "first").mkdir(parents=True)
    (folder / "runs" / "first" / "predictions.parquet").write_bytes(b"PAR1")
    (folder / "published" / "full").mkdir(parents=True)
    (folder / "published" / "full" / "train-00000-of-00001.tar").write_bytes(b"no archive of NIH's")
    (folder / "Data_Entry_2017.csv").write_text("the older release, which the corrected one replaces")
    assert cache_of(folder) == before


def test_the_metadata_without_images_has_a_cache_of_their_own(cache_of, release):
    folder = release()
    before = cache_of(folder, "metadata")
    shutil.rmtree(folder / "images")
    assert cache_of(folder, "metadata") == before


def test_the_mark_of_a_synthetic_archive_counts(builder, build, release):
    folder = release()
    assert build("metadata", folder)["test"].info.description.startswith("NIH")
    (folder / "SYNTHETIC.txt").write_text("drawn")
    assert build("metadata", folder)["test"].info.description.startswith("Synthetic")
    (folder.parent / "outer").mkdir()
    inner = folder.rename(folder.parent / "outer" / "nih")
    assert build("metadata", inner.parent)["test"].info.description.startswith("Synthetic"), "one folder above it"


def test_the_mark_of_what_was_published_into_an_archives_folder_does_not_count(build, release):
    folder = release()
    (folder / "published").mkdir()
    (folder / "published" / "SYNTHETIC.txt").write_text("drawn")
    assert build("metadata", folder)["test"].info.description.startswith("NIH")


def test_a_folder_that_is_spelt_otherwise_or_moved_has_the_same_cache(cache_of, release, monkeypatch):
    folder = release()
    before = cache_of(folder)
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for spelling in (f"{folder}/", folder / "..", folder.parent / "link", ".", "../link/", "./images/.."):
        spelling = f"{spelling}/{folder.name}" if spelling == folder / ".." else spelling
        assert cache_of(spelling) == before, spelling
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.parent / "moved")
    assert cache_of("moved") == before


def test_read_from_inside_its_folder_it_keeps_the_images_themselves(builder, release, tmp_path, monkeypatch):
    folder = release()
    monkeypatch.chdir(folder)
    made = builder("full", data_dir=".", cache_dir=str(tmp_path / "cache"))
    made.download_and_prepare()
    monkeypatch.chdir(tmp_path)
    train = made.as_dataset()["train"]
    assert all(data == (folder / path).read_bytes() for path, data in raw(train).items())
    assert train[0]["image"].size == (32, 32)


# What may lie in the folder


def test_a_link_to_a_folder_above_or_to_itself_changes_nothing(build, release):
    folder = release()
    (folder / "images" / "above").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "again").symlink_to(folder / "images")
    assert build("full", folder).num_rows == {"train": 5, "test": 3}


def test_images_behind_a_link_are_read(build, release):
    folder = release()
    (folder / "images").rename(folder.parent / "elsewhere")
    (folder / "pictures").symlink_to(folder.parent / "elsewhere")
    assert build("full", folder).num_rows == {"train": 5, "test": 3}


def lost_link(path):
    path.symlink_to(path.parent / "nowhere")


def own_link(path):
    path.symlink_to(path)


@pytest.mark.parametrize("file", [f"images/{NAMES[0]}", "Data_Entry_2017_v2020.csv", "test_list.txt"])
@pytest.mark.parametrize(
    "put, message", [(lost_link, "No such file"), (own_link, "symbolic links"), (os.mkfifo, "is no ordinary file")]
)
def test_what_is_to_be_read_and_is_no_file_is_named(builder, release, tmp_path, file, put, message):
    folder = release()
    (folder / file).unlink()
    put(folder / file)
    with pytest.raises(OSError, match=f"{re.escape(str(folder / file))} .*{message}.*out of the folder"):
        builder("full", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("layout, file", [("flat", f"images/{NAMES[0]}"), ("box", "images_001.tar.gz")])
def test_a_file_that_this_user_may_not_read_is_named(build, release, layout, file):
    folder = release(layout)
    path = folder / file
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user, root perhaps, may read every file")
    with pytest.raises(ValueError, match=f"^.*Permission denied: .*{path.name}'$"):
        build("full", folder)


@pytest.mark.parametrize("num_proc", [None, 2])
def test_what_the_disk_says_of_an_image_comes_in_one_line(build, release, monkeypatch, builder, num_proc):
    def refuse(paths, wanted):
        raise PermissionError(errno.EACCES, "Permission denied", paths[0])
        yield

    monkeypatch.setattr(sys.modules[builder.__module__], "read_files", refuse)
    with pytest.raises(ValueError, match=r"^.*Permission denied: .*\.png'$"):
        build("full", release(), num_proc)


def test_a_folder_with_an_images_or_a_tables_name_is_none(build, release):
    folder = release()
    for name in (NAMES[0], "Data_Entry_2017_v2020.csv"):
        (path,) = folder.rglob(name)
        path.unlink()
        path.mkdir()
        with pytest.raises((ValueError, FileNotFoundError), match=name):
            build("full", folder)


def test_of_two_tables_with_one_name_the_upper_counts_and_neighbours_have_to_agree(build, release):
    folder = release()
    for copy in ("old/older/oldest", "one", "two"):
        (folder / copy).mkdir(parents=True)
    shutil.copy(folder / "test_list.txt", folder / "one")
    shutil.move(folder / "test_list.txt", folder / "two")
    (folder / "old" / "older" / "oldest" / "test_list.txt").write_text(NAMES[0])
    assert build("full", folder).num_rows == {"train": 5, "test": 3}
    edit(folder, "two/test_list.txt", "00013118_008.png", "")
    with pytest.raises(ValueError, match="one/test_list.txt and .*two/test_list.txt differ. Remove one of them"):
        build("full", folder)


def test_lists_may_come_from_windows(build, release):
    folder = release()
    for name in ("train_val_list.txt", "test_list.txt"):
        names = (folder / name).read_text().split()
        (folder / name).write_bytes(b"\xef\xbb\xbf" + "".join(f"{name}\r\n" for name in names).encode())
    assert build("metadata", folder).num_rows == {"train": 5, "test": 3}


DOWNLOAD = """
import importlib, json, sys
module = importlib.import_module("NIH-Chest-X-ray-dataset")
module.NIH_LINK, module.NIH_ARCHIVES = json.loads(sys.argv[2])
dataset = module.NIHChestXray(source=sys.argv[1])
dataset.download_and_prepare()
print(dataset.as_dataset().num_rows)
"""


def download(source, link, archives, endpoint, tmp_path):
    """Let a fresh process, in a fresh cache, download from servers on loopback."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", DOWNLOAD, source, json.dumps([link, archives])]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@needs_hub
def test_without_a_folder_it_downloads_from_the_hub(builder, release, hub_of, tmp_path):
    module = sys.modules[builder.__module__]
    endpoint = hub_of({module.HUB_REPOSITORY: release("hub")})
    done = download("hub", "", {"images_001": ["", ""], "images_002": ["", ""]}, endpoint, tmp_path)
    assert "{'train': 5, 'test': 3}" in done.stdout, done.stderr


@needs_hub
def test_nih_links_are_checked_against_their_published_md5(builder, release, hub_of, tmp_path):
    module = sys.modules[builder.__module__]
    endpoint = hub_of({module.HUB_REPOSITORY: release("hub")})
    folder = release("box", name="box")
    archives = {}
    for archive in sorted(folder.glob("*.tar.gz")):
        name = archive.name.removesuffix(".tar.gz")
        archives[name] = [name, hashlib.md5(archive.read_bytes()).hexdigest()]
        archive.rename(folder / f"{name}.gz")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as box:
        threading.Thread(target=box.serve_forever, daemon=True).start()
        link = f"http://127.0.0.1:{box.server_port}/{{}}.gz"
        done = download("nih", link, archives, endpoint, tmp_path)
        assert "{'train': 5, 'test': 3}" in done.stdout, done.stderr
        archives["images_002"][1] = "0" * 32
        done = download("nih", link, archives, endpoint, tmp_path / "again")
        assert re.search(r"ValueError: .*images_002.gz came damaged: MD5 .*, published 0000", done.stderr)
        box.shutdown()


def test_nih_archive_table_is_complete(builder):
    table = sys.modules[builder.__module__].NIH_ARCHIVES
    assert list(table) == [f"images_{number:03}" for number in range(1, 13)]
    assert len({md5 for _, md5 in table.values()}) == len({link for link, _ in table.values()}) == 12


@pytest.mark.parametrize("options, message", [({"source": "mirror"}, '"hub" or "nih"'), ({"sauce": "nih"}, "sauce")])
def test_unknown_options_are_refused(builder, options, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        builder(cache_dir=str(tmp_path), **options).download_and_prepare()


# What is wrong gets one clear error


def edit(folder, file, old, new):
    path = folder / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("Data_Entry_2017_v2020.csv", "Hernia", "Hernias", r"line 2 \(00000003_001.png\): unknown finding 'Hernias'"),
        ("Data_Entry_2017_v2020.csv", ",F,", ",X,", r"line 2 .*unknown sex 'X'; known are F, M"),
        ("Data_Entry_2017_v2020.csv", ",PA,", ",LL,", r"unknown view position 'LL'"),
        ("Data_Entry_2017_v2020.csv", ",74,", ",old,", r"line 2 .*'old'"),
        ("Data_Entry_2017_v2020.csv", ",PA,2500,2048,0.168,0.168", "", r"line 2: 6 cells, the header has 11"),
        ("Data_Entry_2017_v2020.csv", "00000003_000", "00000003_001", r"line 3: 00000003_001.png comes a second time"),
        ("Data_Entry_2017_v2020.csv", "00000003_001.png", "3_1.png", r"line 2: image name '3_1.png'"),
        ("Data_Entry_2017_v2020.csv", "View Position", "Position", r"no column 'View Position'"),
        ("train_val_list.txt", "00000003_000", "00000003_001", r"00000003_001.png comes twice in the lists"),
        ("test_list.txt", "00013118_008", "00000798_022", r"00000798_022.png comes twice .*train_val.* and test_list"),
        ("test_list.txt", "00013118_008", "00013118_007", r"00013118_007.png, named by test_list.txt, has no row"),
        ("BBox_List_2017.csv", "Infiltrate", "Infiltrated", r"BBox_List_2017.csv, line 3: unknown finding"),
        ("BBox_List_2017.csv", "10,20,30,40", "10,20,30,wide", r"BBox_List_2017.csv, line 3: .*'wide'"),
        ("BBox_List_2017.csv", "00013118_009", "00013118_001", r"line 3: 00013118_001.png has no row"),
        ("Data_Entry_2017_v2020.csv", ",74,", ",7_4,", r"line 2 .*'7_4' is no whole number"),
        ("Data_Entry_2017_v2020.csv", ",74,", ",-4,", r"line 2 .*'-4' is no whole number"),
        ("Data_Entry_2017_v2020.csv", ",74,", ",12345678901,", r"line 2 .*'12345678901' is no whole number"),
        ("Data_Entry_2017_v2020.csv", "0.168,0.168", "0.168,nan", r"line 2 .*'nan' is no length"),
        ("Data_Entry_2017_v2020.csv", "Hernia,0,3,", "Hernia,0,4,", r"line 2 \(00000003_001.png\): patient 4"),
        ("Data_Entry_2017_v2020.csv", "Hernia", '"Hernia', r"Data_Entry_2017_v2020.csv, line \d+: unexpected end"),
        ("BBox_List_2017.csv", "10,20,30,40", "10,2_0,30,40", r"line 3: '2_0' is no length"),
        ("BBox_List_2017.csv", "[x,y,w,h]", "[x,y,h,w]", r"BBox_List_2017.csv, line 1: .* expected Image Index"),
        (
            "BBox_List_2017.csv",
            "00013118_009.png,Infiltrate,10,20,30,40",
            "00013118_009.png,Infiltrate,10,20,30,40\n00013118_009.png,Infiltrate,10,20,30,40",
            r"line 4: this box of 00013118_009.png comes a second time",
        ),
    ],
)
def test_a_wrong_table_is_named_with_its_row_and_value(build, release, file, old, new, message):
    folder = release()
    edit(folder, file, old, new)
    with pytest.raises(ValueError, match=message):
        build("full", folder)


@pytest.mark.parametrize("table", ["Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "test_list.txt"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("_", "\xe9", 1).encode("latin1"),
        lambda text: text.replace("00013118_009.png", "00013118\0_009.png", 1).encode(),
        lambda text: text.replace("00013118_009.png", '"00013118_009.png', 1).encode(),
    ],
    ids=["utf-16", "latin1", "nul", "quote"],
)
def test_a_table_that_is_no_text_is_named(build, release, table, damage):
    path = release() / table
    path.write_bytes(damage(path.read_text()))
    with pytest.raises(ValueError, match=table):
        build("full", path.parent)


def test_a_zip_with_a_damaged_directory_is_named(build, release):
    folder = release("hub")
    path = folder / "data" / "images" / "images_001.zip"
    data = path.read_bytes()
    at = data.index(b"PK\1\2")  # where the list of its members begins
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    with pytest.raises(ValueError, match="images_001.zip is damaged: Bad magic number .* Download it again"):
        build("full", folder)


@pytest.mark.parametrize("encoding, line", [("latin-1", 3), ("utf-16", 1), ("utf-16-le", 1)])
@pytest.mark.parametrize(
    "file", ["Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"]
)
def test_a_table_saved_in_another_encoding_is_named_with_its_line(build, release, file, encoding, line):
    path = release() / file
    lines = path.read_text().splitlines()
    path.write_bytes("\n".join([*lines[:2], "größer", *lines[2:]]).encode(encoding))
    with pytest.raises(ValueError, match=rf"{file}, line {line}: byte 0x\w\w is no UTF-8 text. Save it as UTF-8"):
        build("full", path.parent)


@pytest.mark.parametrize(
    "gone, message",
    [
        ("Data_Entry_2017_v2020.csv", "No Data_Entry_2017_v2020.csv or Data_Entry_2017.csv"),
        ("test_list.txt", "No test_list.txt"),
        ("BBox_List_2017.csv", "object-detection needs BBox_List_2017.csv"),
    ],
)
def test_a_missing_table_is_named(build, release, gone, message):
    folder = release()
    (folder / gone).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        build("object-detection", folder)


def test_a_folder_below_the_tables_is_told_where_they_are(build, release):
    folder = release()
    with pytest.raises(FileNotFoundError, match=f"{folder} has it: give that folder"):
        build("full", folder / "images")


def test_a_folder_that_does_not_exist_is_named(builder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        builder(data_dir=str(tmp_path / "nowhere"))


def drop(folder, layout, name):
    """Take one image out of a release, whatever its layout."""
    if layout == "flat":
        (folder / "images" / name).unlink()
        return
    for archive in folder.rglob("images_00*"):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as old:
                kept = [(member, old.read(member)) for member in old.namelist() if not member.endswith(f"/{name}")]
            with zipfile.ZipFile(archive, "w") as new:
                for member, data in kept:
                    new.writestr(member, data)
        else:
            with tarfile.open(archive) as old:
                kept = [(member, old.extractfile(member).read()) for member in old if not member.name.endswith(name)]
            with tarfile.open(archive, "w:gz") as new:
                for member, data in kept:
                    new.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("layout", ["flat", "box", "hub"])
@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_partial_archive_is_an_error_unless_asked_for(build, release, layout, num_proc):
    folder = release(layout)
    drop(folder, layout, "00000013_000.png")
    message = r"1 of the 5 images that train_val_list.txt names are missing .*00000013_000.png.*allow_missing=True"
    with pytest.raises(ValueError, match=message):
        build("image-classification", folder, num_proc)
    dataset = build("image-classification", folder, num_proc, allow_missing=True)
    assert dataset.num_rows == {"train": 4, "test": 3}


def test_an_archive_with_no_image_at_all_is_an_error_even_then(build, release):
    folder = release()
    shutil.rmtree(folder / "images")
    with pytest.raises(ValueError, match="None of the 5 images"):
        build("full", folder, allow_missing=True)


def test_an_image_that_lies_twice_is_named(build, release):
    folder = release("kaggle")
    shutil.copy(folder / "images_001" / "images" / NAMES[0], folder / "images_002" / "images" / NAMES[0])
    with pytest.raises(ValueError, match=f"{NAMES[0]} lies twice in the archive"):
        build("full", folder)


@pytest.mark.parametrize("num_proc", [None, 2])
def test_an_image_in_two_archives_is_named(build, release, num_proc):
    folder = release("box")
    shutil.copy(folder / "images_001.tar.gz", folder / "images_003.tar.gz")
    with pytest.raises(ValueError, match="twice|two archives"):
        build("full", folder, num_proc)


@pytest.mark.parametrize("num_proc", [None, 2])
def test_an_image_that_comes_twice_in_one_archive_is_named(build, release, num_proc):
    folder = release("hub")
    with zipfile.ZipFile(folder / "data" / "images" / "images_001.zip", "a") as archive:
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(f"images/{NAMES[0]}", png(level=7))
    with pytest.raises(ValueError, match=f"{NAMES[0]} comes twice"):
        build("full", folder, num_proc)


@pytest.mark.parametrize("num_proc", [None, 2])
@pytest.mark.parametrize(
    "damage, where",
    [
        (lambda png: b"GIF89a" + png[6:], "IHDR, byte 8"),
        (lambda png: png[:16] + b"\xff" + png[17:], "IHDR, byte 8"),
        (lambda png: png[:200] + b"\x00\x00\x00" + png[203:], "IDAT"),
        (lambda png: png[:200], "IDAT"),
        (lambda png: png[:-12], "end of file"),
        (lambda png: b"", "end of file"),
    ],
)
def test_a_damaged_png_is_named(build, release, num_proc, damage, where):
    folder = release()
    png = folder / "images" / "00000798_022.png"
    png.write_bytes(damage(png.read_bytes()))
    with pytest.raises(ValueError, match=f"00000798_022.png is damaged at its {where}"):
        build("full", folder, num_proc)


@pytest.mark.parametrize("layout, archive", [("box", "images_001.tar.gz"), ("hub", "data/images/images_001.zip")])
@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_damaged_archive_is_named(build, release, layout, archive, num_proc):
    path = release(layout) / archive
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path.name}.* is damaged at"):
        build("full", path.parents[2] if layout == "hub" else path.parent, num_proc)


@pytest.mark.parametrize("member", ["../00000003_000.png", "/images/00000003_000.png", "images/../../00000003_000.png"])
def test_archive_members_outside_the_archive_are_refused(build, release, member):
    folder = release("box")
    with tarfile.open(folder / "images_000.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match=re.escape(repr(member))):
        build("full", folder)


def test_a_table_that_is_no_published_release_is_called_so(build, release, caplog):
    datasets.logging.enable_propagation()
    build("metadata", release())
    assert "is not NIH's v2020 metadata" in caplog.text
    assert "is not NIH's test list" in caplog.text


def test_run_by_hand_it_says_in_one_line_what_to_do():
    done = subprocess.run([sys.executable, ROOT / "NIH-Chest-X-ray-dataset.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    advice = "trust_remote_code=True" if datasets.__version__ < "4" else "from `chestxray`"
    assert advice in done.stderr


# NIH's own files


@needs_nih
def test_label_counts_equal_the_published_card(builder, nih_metadata):
    dataset = builder("metadata", data_dir=str(NIH), cache_dir=str(nih_metadata)).as_dataset()
    assert dataset.num_rows == {"train": 86524, "test": 25596}
    counts = {
        split: Counter(LABELS[label] for row in rows["labels"] for label in row) for split, rows in dataset.items()
    }
    assert counts == json.loads((ROOT / "tests" / "published_counts.json").read_text())
    assert not set(dataset["train"]["patient_id"]) & set(dataset["test"]["patient_id"])


@needs_nih
def test_pycocotools_gives_a_perfect_detector_1_on_all_boxes_of_the_release(build, tmp_path):
    folder, blank = tmp_path / "boxes", io.BytesIO()
    (folder / "images").mkdir(parents=True)
    for table in (*NIH.glob("*.csv"), *NIH.glob("*.txt")):
        shutil.copyfile(table, folder / table.name)
    Image.new("L", (1024, 1024)).save(blank, "PNG")  # a detection is scored without a look at the image
    for name in {line.split(",")[0] for line in (NIH / "BBox_List_2017.csv").read_text().split("\n")[1:] if line}:
        (folder / "images" / name).write_bytes(blank.getvalue())
    rows = build("object-detection", folder)["test"]
    objects = [row["objects"] for row in rows.remove_columns("image")]
    assert sorted(number for row in objects for number in row["id"]) == list(range(1, 985))
    assert average_precision(rows, true_boxes) == pytest.approx(1.0, abs=1e-9)
    assert average_precision(rows, lambda row: []) == 0.0


@needs_nih
def test_published_tables_raise_no_warning(nih_metadata):
    assert (nih_metadata / "log.txt").read_text() == ""


@needs_nih
@pytest.mark.parametrize("layout", ["flat", "kaggle", "box", "hub"])
def test_the_real_images_come_through_untouched(build, radiographs, tmp_path, layout):
    folder = tmp_path / "nih"
    (folder / "data" if layout == "hub" else folder).mkdir(parents=True)
    for table in (*radiographs.glob("*.csv"), *radiographs.glob("*.txt")):
        shutil.copy(table, folder / "data" if layout == "hub" else folder)
    LAYOUTS[layout](folder, sorted((NIH / "images").iterdir()))
    dataset = build("image-classification", folder)
    assert dataset.num_rows == {"train": 163, "test": 37}
    for split in dataset.values():
        assert all(data == (NIH / path).read_bytes() for path, data in raw(split).items())
