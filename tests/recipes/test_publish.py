"""What `recipes/publish.py` promises: a repository that loads, the same bytes every time, one clear error."""

import doctest
import hashlib
import http.server
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import forks
from chestxray.data import archive, opening, sources
from chestxray.images.grey import shrink_image
from chestxray.publishing import dataset_card, hub, parquet, shards, subset
from chestxray.training.settings import Settings
from conftest import NIH, ROOT
from private_words import leaks

PUBLISH = ROOT / "recipes" / "publish.py"
CONFIGS = ("image-classification", "full", "object-detection", "metadata")
needs_nih = pytest.mark.skipif(not NIH.is_dir(), reason="NIH's own files are not on this machine (../shared/nih)")
# What a test of many small shards runs in a process of its own: the command with other constants.
SMALL_SHARDS = """
import runpy, sys
from chestxray.publishing import shards
shards.SHARD_IMAGES = 2
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """`datasets` would serve a folder of the same name and README from an earlier run of these tests."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def publish(folder, out, *flags):
    """The command in this process and one thread of it."""
    words = [str(word) for word in (folder, out, *flags)]
    runpy.run_path(str(PUBLISH))["main"]([*words, *([] if "--num-proc" in words else ["--num-proc", "1"])])


def start(folder, out, *flags, **environment):
    """Start the command in a process of its own, with shards of two images."""
    script = out.parent / "small_shards.py"
    script.write_text(SMALL_SHARDS)
    return forks.Script(script, [PUBLISH, folder, out, *flags], **environment)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_IMAGES", 2)


def digests(out):
    """{file: SHA-256} of everything in a published folder."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    assert files
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def matter(out):
    return yaml.safe_load((out / "README.md").read_text().split("---\n")[1])


ONE_FOR_TEST = "00013118_008.png,Atelectasis,8,13118,69,M,PA,2992,2991,0.143,0.143"


def many_rows(count):
    row = "{:08}_{:03}.png,No Finding,0,{},50,F,PA,2500,2048,0.168,0.168"
    return [row.format(number // 3 + 1, number % 3, number // 3 + 1) for number in range(count)]


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    out = tmp_path_factory.mktemp("published") / "nih"
    publish(NIH, out, "--allow-missing")
    return out


@pytest.fixture(scope="module")
def nih_subset(tmp_path_factory):
    out = tmp_path_factory.mktemp("published") / "subset"
    publish(NIH, out, "--allow-missing", "--patients", 8400, "--seed", 42, "--sizes", "full", 256, 512, "thumbnail")
    return out


# What is published


def test_every_config_gives_the_builders_rows_plain_and_streaming(builder, release, tmp_path):
    folder, out = release(), tmp_path / "out"
    publish(folder, out)
    for config in CONFIGS:
        made = builder(config, data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
        made.download_and_prepare()
        loaded = datasets.load_dataset(str(out), config)
        streamed = datasets.load_dataset(str(out), config, streaming=True)
        assert list(loaded) == list(streamed) == list(made.as_dataset())
        for split, expected in made.as_dataset().items():
            assert loaded[split].features == streamed[split].features == expected.features
            assert undecoded(loaded[split]).to_list() == undecoded(expected).to_list()
            assert list(undecoded(streamed[split])) == undecoded(expected).to_list()
    default = datasets.load_dataset(str(out))
    assert default["train"].column_names == ["image_file_path", "image", "labels"]


def undecoded(rows):
    return rows.cast_column("image", datasets.Image(decode=False)) if "image" in rows.features else rows


def test_the_front_matter_counts_what_is_there(release, tmp_path):
    publish(release(), tmp_path / "out", "--sizes", "full", 256, "thumbnail")
    infos = {info["config_name"]: info for info in matter(tmp_path / "out")["dataset_info"]}
    assert set(infos) == {*CONFIGS, "image-classification-256", "full-256", "thumbnails"}
    for config, info in infos.items():
        loaded = datasets.load_dataset(str(tmp_path / "out"), config)
        assert {s["name"]: s["num_examples"] for s in info["splits"]} == {s: len(r) for s, r in loaded.items()}
        described = {column["name"] for column in info["features"]}
        assert all(described == set(rows.column_names) for rows in loaded.values())
    folders = {config["config_name"]: {file["path"] for file in config["data_files"]} for config in configs(tmp_path)}
    assert folders["full"] == folders["image-classification"]  # one set of shards, two configs
    assert infos["image-classification"]["download_size"] == infos["full"]["download_size"]
    assert folders["full-256"] == folders["image-classification-256"] and len(folders) == 7


def configs(tmp_path):
    return matter(tmp_path / "out")["configs"]


def test_lists_are_written_with_the_word_that_every_release_knows(release, tmp_path):
    publish(release(), tmp_path / "out")
    files = list((tmp_path / "out").rglob("*.parquet"))
    assert len(files) == 7
    for file in files:
        written = pq.read_schema(file).metadata[b"huggingface"].decode()
        assert '"Sequence"' in written and '"List"' not in written
    front = yaml.safe_dump(matter(tmp_path / "out"))
    assert "sequence:" in front and "list:" not in front


@needs_nih
def test_shrunk_images_are_grey_lossless_and_what_the_recipes_train_on(nih_subset):
    full = datasets.load_dataset(str(nih_subset), "full", split="train")
    assert {image.mode for image in full["image"]} == {"L", "RGBA"}
    for size in (256, 512):
        shrunk = datasets.load_dataset(str(nih_subset), f"full-{size}", split="train")
        assert undecoded(shrunk).remove_columns("image").to_list() == undecoded(full).remove_columns("image").to_list()
        for small, large in zip(shrunk["image"], full["image"], strict=True):
            assert (small.mode, small.format, small.size) == ("L", "PNG", (size, size))
            assert np.array_equal(np.asarray(small), shrink_image(large, size))


def test_one_size_alone_has_neither_full_images_nor_thumbnails(release, tmp_path):
    publish(release(), tmp_path / "out", "--sizes", 256)
    assert {path.parent.name for path in tmp_path.glob("out/*/*.parquet")} == {"image-classification-256", "metadata"}
    (default,) = (entry["config_name"] for entry in configs(tmp_path) if entry.get("default"))
    assert default == "image-classification-256"
    row = datasets.load_dataset(str(tmp_path / "out"), split="train")[0]
    assert row["image"].size == (256, 256) and list(row) == ["image_file_path", "image", "labels"]


def test_a_config_of_a_size_has_the_columns_of_the_config_of_the_same_name(release, tmp_path):
    publish(release(), tmp_path / "out", "--sizes", "full", 256)
    for name in ("image-classification", "full"):
        for streaming in (False, True):
            large, small = (
                datasets.load_dataset(str(tmp_path / "out"), config, split="train", streaming=streaming)
                for config in (name, f"{name}-256")
            )
            assert small.features == large.features
            assert next(iter(small))["image"].size == (256, 256)


@pytest.mark.parametrize("sizes, side", [((256, 128), 256), ((128, "thumbnail"), 128), (("full", 256), 32)])
def test_the_recipes_read_the_largest_size_with_all_columns(release, tmp_path, sizes, side):
    publish(release(), tmp_path / "out", "--sizes", *sizes)
    row = sources.load(str(tmp_path / "out"))["train"][0]
    assert row["image"].size == (side, side) and "patient_id" in row
    _, streams = sources.stream(str(tmp_path / "out"))
    assert "patient_id" in streams["train"].features


def test_the_folder_of_a_size_can_be_named_and_drawn_images_stay_drawn(synthetic, tmp_path):
    publish(synthetic(patients=40), tmp_path / "out", "--sizes", "full", 256)
    source = str(tmp_path / "out" / "image-classification-256")
    opened = opening.open_dataset(source, Settings(dataset=[source], num_proc=1))
    row = opened.splits["train"][0]
    assert row["image"].size == (256, 256) and "patient_id" in row
    assert opened.synthetic


def test_several_sizes_read_and_decode_each_image_once(release, tmp_path, monkeypatch):
    read, decoded = [], []
    read_member, decode_grey = archive.read_member, shards.decode_grey
    monkeypatch.setattr(archive, "read_member", lambda place: read.append(place.name) or read_member(place))
    monkeypatch.setattr(shards, "decode_grey", lambda data: decoded.append(data) or decode_grey(data))
    publish(release(), tmp_path / "out", "--sizes", 256, 512, 128, "thumbnail")
    assert len(read) == len(set(read)) == len(decoded) == 8


def test_a_size_that_is_added_later_gives_the_bytes_of_both_at_once(release, small_shards, tmp_path, capsys):
    publish(release(), tmp_path / "once", "--sizes", "full", 256, "thumbnail")
    publish(release(name="again"), tmp_path / "out", "--sizes", 256)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*.parquet")}
    publish(tmp_path / "again", tmp_path / "out", "--sizes", "thumbnail", "full", 256)
    assert "7 of 18 shards are finished already" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert digests(tmp_path / "out") == digests(tmp_path / "once")


def test_thumbnails_have_the_metadata_and_one_column_per_label(release, tmp_path):
    publish(release(), tmp_path / "out")
    metadata = datasets.load_dataset(str(tmp_path / "out"), "metadata", split="train")
    thumbnails = datasets.load_dataset(str(tmp_path / "out"), "thumbnails", split="train")
    assert thumbnails.remove_columns("image").to_list() == metadata.to_list()
    names = metadata.features["labels"].feature.names
    for row in thumbnails:
        assert (row["image"].format, row["image"].mode, row["image"].size) == ("JPEG", "L", (224, 224))
        found = [label for label, name in enumerate(names) if row[name.replace(" ", "_")] is True]
        assert found == sorted(row["labels"])


@needs_nih
def test_thumbnails_of_the_whole_release_fit_into_what_the_viewer_filters(nih_subset):
    rows = datasets.load_dataset(str(nih_subset), "thumbnails", split="train")
    full = datasets.load_dataset(str(nih_subset), "full", split="train")
    size = sum(file.stat().st_size for file in (nih_subset / "thumbnails").glob("train-*"))
    assert size / len(rows) * 112_120 < 1.5e9  # it filters 5 GB
    for small, large in zip(rows["image"], full["image"], strict=True):
        difference = np.abs(np.asarray(small).astype(int) - shrink_image(large, 224))
        assert difference.mean() < 2


@needs_nih
def test_all_of_the_metadata_costs_a_few_megabytes(nih):
    assert sum(file.stat().st_size for file in (nih / "metadata").iterdir()) < 5e6
    assert datasets.load_dataset(str(nih), "metadata").num_rows == {"train": 86524, "test": 25596}


@needs_nih
@pytest.mark.parametrize("folder", ["full", "thumbnails"])
def test_shards_are_paged_for_the_viewer(nih, folder):
    footer = pq.read_metadata(nih / folder / "train-00000-of-00001.parquet")
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [100, 63]
    column = footer.row_group(0).column(0)
    assert column.has_offset_index and column.has_column_index


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A file server that understands Range and counts what it sends."""

    sent = 0

    def do_GET(self):
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "bytes=0-")).groups()
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(part)
        Ranges.sent += len(part)

    def log_message(self, *words):
        pass


FIRST = """
import datasets, os, sys
rows = datasets.load_dataset("parquet", data_files={"train": sys.argv[1]}, split="train", streaming=True)
print(next(iter(rows))["image_file_path"], flush=True)
os._exit(0)  # Arrow's reader may wait for ever for a group that nobody asks for any more
"""


@needs_nih
def test_the_first_streamed_example_needs_the_first_row_groups_alone(radiographs, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "IMAGE_GROUP", 20)  # so that 163 images are many groups
    publish(radiographs, tmp_path / "out", "--sizes", "full")
    file = tmp_path / "out" / "full" / "train-00000-of-00001.parquet"
    group = pq.read_metadata(file).row_group(0).total_byte_size
    handler = partial(Ranges, directory=str(tmp_path / "out"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/full/{file.name}"
        environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", FIRST, url], capture_output=True, text=True, env=environment, timeout=60
        )
        server.shutdown()
    assert done.stdout.startswith("images/"), done.stderr
    # `datasets` asks for a second group while it decodes the first, and fsspec adds a block of 5 MB to each request
    assert group < Ranges.sent < 2 * group + 4 * 5.3e6 < file.stat().st_size


# WebDataset


def test_webdataset_shards_are_read_by_datasets_and_by_webdataset(release, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    folder, out = release(), tmp_path / "out"
    publish(folder, out, "--format", "webdataset")
    tars = sorted(map(str, out.glob("image-classification/*.tar")))
    read = {sample["__key__"]: sample for sample in webdataset.WebDataset(tars, shardshuffle=False)}
    assert len(read) == 8
    for key, sample in read.items():
        assert sample["png"] == (folder / "images" / f"{key}.png").read_bytes()
    described = json.loads(read["00013118_009"]["json"])
    assert described["label_names"] == ["Infiltration"]
    assert (described["patient_id"], described["patient_sex"], described["view_position"]) == (13118, "M", "AP")
    assert json.loads(described["boxes"]) == [{"bbox": [10, 20, 30, 40], "label": "Infiltration"}]

    for streaming in (False, True):
        loaded = datasets.load_dataset("webdataset", data_files={"train": tars}, streaming=streaming)["train"]
        rows = list(loaded)
        assert {row["__key__"] for row in rows} == set(read)
        assert next(row for row in rows if row["__key__"] == "00000798_022")["json"]["labels"] == [9, 3]
        assert rows[0]["png"].size == (32, 32)
    assert datasets.load_dataset(str(out)).num_rows == {"train": 5, "test": 3}


# The card


def code_blocks(out, language):
    """The blocks of the part that every published card has."""
    text = (out / "README.md").read_text().partition("## Load it\n")[2]
    part = "\n## ".join(text.split("\n## ")[: 2 if "## Look through it" in text else 1])
    return re.findall(rf"^```{language}\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("sizes, smallest", [(("full", 128, "thumbnail"), "full"), ((256,), "full-256")])
def test_every_line_of_the_card_loads_and_the_table_names_its_config(tmp_path, sizes, smallest):
    publish(ROOT / "data" / "sample", tmp_path / "out", "--sizes", *sizes)
    (block,) = code_blocks(tmp_path / "out", "python")
    start, _, lines = block.strip().partition("\n\n")
    loaded = []
    for line in lines.splitlines():
        values = {}
        exec(f"{start}\n{line.replace('YOUR_NAME/YOUR_DATASET', str(tmp_path / 'out'))}", values)
        assert len(list(values["dataset"]["test"])) == (65 if "object-detection" in line else 193)
        loaded.append(re.search(r'", "([\w-]+)"', line)[1])
    names = [entry["config_name"] for entry in configs(tmp_path)]
    (default,) = (entry["config_name"] for entry in configs(tmp_path) if entry.get("default"))
    assert sorted(loaded) == sorted([*names, default])
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(f"| `{name}` | " in card for name in names)
    assert f"The smallest is `metadata`; the smallest to train on is `{smallest}`." in card


def test_the_sql_of_the_card_runs_on_the_files_and_is_the_same_for_the_hub(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    publish(ROOT / "data" / "sample", tmp_path / "out", "--sizes", 128)
    find, count = code_blocks(tmp_path / "out", "sql")
    (command,) = code_blocks(tmp_path / "out", "bash")
    assert command.strip() == f'hf datasets sql "{find.strip()}"'
    hub = "hf://datasets/YOUR_NAME/YOUR_DATASET/"
    found, counted = (duckdb.sql(query.replace(hub, f"{tmp_path}/out/")).df() for query in (find, count))
    rows = datasets.load_dataset(str(tmp_path / "out"), "metadata")
    train = [row for row in rows["train"] if row["Effusion"] and not row["Infiltration"] and row["view_position"] == 0]
    expected = sorted(train, key=lambda row: (-row["patient_age"], row["image_file_path"]))[:5]
    assert list(found["image_file_path"]) == [row["image_file_path"] for row in expected] != []
    every = [row for split in rows.values() for row in split]
    assert dict(zip(counted["view_position"], counted["effusion"], strict=True)) == {
        view: sum(3 in row["labels"] for row in every if row["view_position"] == view) for view in (0, 1)
    }


def test_the_card_counts_the_labels_of_this_subset_and_says_whom_to_acknowledge(release, tmp_path):
    publish(release(), tmp_path / "out", "--patients", 4)
    card = (tmp_path / "out" / "README.md").read_text()
    rows = datasets.load_dataset(str(tmp_path / "out"), "full")
    names = rows["train"].features["labels"].feature.names
    for label, name in enumerate(names):
        counts = [sum(label in labels for labels in part["labels"]) for part in rows.values()]
        assert f"| {name} | {' | '.join(map(str, counts))} |" in card
    assert "NIH Clinical Center" in card and "@inproceedings{Wang_2017," in card


def test_the_card_of_a_push_names_its_repository(release, recorder, tmp_path):
    server = recorder("someone/set")
    assert pushed(server, tmp_path, release(), tmp_path / "out").returncode == 0
    card = server.kept["main"]["README.md"].decode()
    assert 'load_dataset("someone/set", "metadata")' in card and "YOUR_NAME" not in card
    assert "https://huggingface.co/datasets/someone/set/viewer/thumbnails/train?row=0" in card


# Subsets


@needs_nih
def test_8400_patients_with_seed_42_are_the_published_subset(nih_subset):
    rows = datasets.load_dataset(str(nih_subset), "metadata")
    assert rows.num_rows == {"train": 21172, "validation": 2896, "test": 6480}
    patients = {split: set(part["patient_id"]) for split, part in rows.items()}
    assert {split: len(part) for split, part in patients.items()} == {"train": 5880, "validation": 840, "test": 1680}
    assert len(set().union(*patients.values())) == 8400  # none in two splits
    official = set((NIH / "test_list.txt").read_text().split())
    overlap = sum(path.removeprefix("images/") in official for path in rows["train"]["image_file_path"])
    card = (nih_subset / "README.md").read_text()
    assert overlap == 5277
    assert "5,277 of its 21,172 training images are in the official test list" in card
    assert "official split by patient" not in card


def test_a_subset_is_drawn_again_the_same_and_differs_by_seed():
    names = [f"{patient:08}_{image:03}.png" for patient in range(40) for image in range(patient % 3 + 1)]
    drawn = subset.draw_splits(names, subset.Draw(20, 0))
    assert drawn == subset.draw_splits(names, subset.Draw(20, 0)) != subset.draw_splits(names, subset.Draw(20, 1))
    assert {split: len({name[:8] for name in part}) for split, part in drawn.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }
    with pytest.raises(ValueError, match="40 patients were asked for; choose from 4 to 39"):
        subset.draw_splits(names, subset.Draw(40, 0))


# Repeatable and safe

EVERY_FORM = ("--sizes", "full", 128, "thumbnail")


def test_the_same_bytes_from_every_layout(release, small_shards, tmp_path):
    publish(release("flat"), tmp_path / "out-flat", *EVERY_FORM)
    expected = digests(tmp_path / "out-flat")
    folders = ("full", "image-classification-128", "thumbnails")
    assert {f"{folder}/train-00002-of-00003.parquet" for folder in folders} < set(expected)
    for layout in ("kaggle", "nested", "tar", "hub"):
        publish(release(layout, name=layout), tmp_path / f"out-{layout}", *EVERY_FORM)
        assert digests(tmp_path / f"out-{layout}") == expected


@pytest.mark.parametrize("layout, form", [("box", "parquet"), ("flat", "webdataset")])
def test_the_same_bytes_whatever_the_number_of_processes(release, small_shards, tmp_path, layout, form):
    folder = release(layout)
    publish(folder, tmp_path / "one", "--format", form)
    publish(folder, tmp_path / "three", "--format", form, "--num-proc", 3)
    assert digests(tmp_path / "one") == digests(tmp_path / "three")


# What spawned processes run as they start: once 30 shards are in their place, no more get there.
STUCK = """
import os, pathlib, time

def replace(one, other, move=os.replace):
    while len(list(pathlib.Path(os.environ["STUCK"]).glob("*/*.parquet"))) >= 30:
        time.sleep(1)
    move(one, other)

os.replace = replace
"""


def test_killed_and_started_again_it_ends_with_the_same_bytes(release, small_shards, tmp_path, capsys):
    folder, out = release(rows=many_rows(100) + [ONE_FOR_TEST]), tmp_path / "out"
    (folder / "BBox_List_2017.csv").unlink()
    publish(folder, tmp_path / "undisturbed")
    (tmp_path / "stuck").mkdir()
    (tmp_path / "stuck" / "sitecustomize.py").write_text(STUCK)
    process = start(folder, out, "--num-proc", 2, STUCK=out, PYTHONPATH=tmp_path / "stuck")
    wait_for(lambda: len(list(out.glob("*/*.parquet"))) >= 30 or not process.is_running())
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert process.kill().returncode == -signal.SIGKILL and len(children) >= 2
    assert not (out / "README.md").exists()
    wait_for(lambda: not any(map(is_alive, children)))
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.parquet")}
    assert 30 <= len(before) <= 31
    publish(folder, out)
    assert f"{len(before)} of 104 shards are finished already" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())  # not redone
    assert digests(out) == digests(tmp_path / "undisturbed")


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=100):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_folder_of_another_run_is_refused(release, small_shards, tmp_path, monkeypatch):
    publish(release(), tmp_path / "out")
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match="holds 10 shards of another archive or other settings, full/test-00000-of-00002"
    ):
        publish(release(name="again"), tmp_path / "out")


def the_error(done):
    """The one line a failed run ends with, apart from the progress bar."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("publish.py: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_damaged_png_is_named_and_finished_shards_stay(release, tmp_path):
    folder, out = release(), tmp_path / "out"
    png = folder / "images" / "00029817_009.png"
    whole = png.read_bytes()
    png.write_bytes(whole[:200] + b"\0\0\0" + whole[203:])
    error = the_error(start(folder, out, "--num-proc", 1).finish())
    assert "00029817_009.png is damaged at its IDAT" in error
    finished = sorted(path.relative_to(out).as_posix() for path in out.glob("full/*"))
    assert finished == [f"full/{name}.parquet" for name in FINISHED]
    assert [pq.read_table(out / path).num_rows for path in finished] == [2, 2, 2, 1]
    png.write_bytes(whole)
    assert re.search(r"\d+ of 13 shards are finished already", start(folder, out, "--num-proc", 1).finish().stdout)


FINISHED = ("test-00000-of-00002", "train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003")


@pytest.mark.parametrize("layout", ["flat", "box"])
def test_a_missing_image_is_named_before_anything_is_written(release, tmp_path, layout):
    folder = release(layout)
    with (folder / "test_list.txt").open("a") as list_, (folder / "Data_Entry_2017_v2020.csv").open("a") as table:
        list_.write("\n00029999_000.png")
        table.write("00029999_000.png,No Finding,0,29999,50,F,PA,2500,2048,0.168,0.168\r\n")
    message = r"1 of the 4 images that test_list.txt names are missing .*00029999_000.png"
    with pytest.raises(ValueError, match=message):
        publish(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    publish(folder, tmp_path / "out", "--allow-missing")
    assert "**Partial**: 1 of the 9 images" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("layout", ["box", "tar", "hub"])
def test_a_damaged_archive_is_named(release, tmp_path, layout):
    folder = release(layout)
    path = next(folder.rglob("images_001.*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"images_001\.\S+ is damaged"):
        publish(folder, tmp_path / "out")


def test_a_full_disk_is_one_clear_error_and_what_was_finished_stays(release, tmp_path):
    folder = release(rows=[*many_rows(300), ONE_FOR_TEST])
    (folder / "BBox_List_2017.csv").unlink()
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    script = 'mount -t tmpfs -o size=400k none "$1" || exit 77; shift; "$@"; code=$?; cp -r "$4" "$0"; exit $code'
    command = [sys.executable, "-c", SMALL_SHARDS, PUBLISH, folder, out, "--num-proc", "2"]
    inner = ["unshare", "-rm", "sh", "-c", script.replace('"$4"', f'"{out}"'), kept, out, *command]
    done = subprocess.run(inner, capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of his own")
    expected = r"The disk of .* is full; (full|thumbnails)/train-\d{5}-of-00150.parquet did not fit"
    assert re.search(expected, the_error(done))
    finished = sorted(kept.glob("full/*.parquet"))
    assert finished and all(pq.read_table(path).num_rows == 2 for path in finished)
    assert not list(kept.glob("*/.*"))


# The Hub


LOAD = """
import datasets, sys
for streaming in (False, True):
    loaded = datasets.load_dataset(*sys.argv[1:], streaming=streaming)
    print(list(loaded), [len(list(rows)) for rows in loaded.values()], next(iter(loaded["train"]))["labels"])
"""


def load_from(endpoint, tmp_path, *words):
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home")}
    return subprocess.run([sys.executable, "-c", LOAD, *words], env=environment, capture_output=True, text=True)


def test_served_by_a_hub_it_loads_and_with_the_script_on_main_it_does_not(release, hub_of, tmp_path):
    publish(release(), tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "with-script")
    shutil.copy(ROOT / hub.SCRIPT, tmp_path / "with-script" / "With-script.py")
    endpoint = hub_of(
        {"someone/NIH-Chest-X-ray-dataset": tmp_path / "out", "someone/With-script": tmp_path / "with-script"}
    )
    done = load_from(endpoint, tmp_path, "someone/NIH-Chest-X-ray-dataset")
    assert done.stdout.splitlines() == ["['train', 'test'] [5, 3] [14]"] * 2, done.stderr
    done = load_from(endpoint, tmp_path, "someone/With-script")
    assert "Dataset scripts are no longer supported" in done.stderr  # why `push` keeps it from main


def test_push_puts_the_tables_on_main_and_the_script_on_its_own_revision(release, recorder, tmp_path):
    folder, out = release(), tmp_path / "out"
    # a repository as it stood until now, a script and an older table on main
    old = {"set.py": b"old", "full/train-00000-of-00009.parquet": b"old", ".gitattributes": b""}
    server = recorder("someone/set", old)
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.address,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(tmp_path / "home"),
    }
    # a loading script, which would break a repository of its name, and what else may lie about
    strangers = (hub.SCRIPT, "notes.md", "full/notes.md", "predictions.parquet", "data/figures/mine.svg", "id_rsa")
    for name in strangers:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    command = [sys.executable, PUBLISH, folder, out, "--push", "someone/set"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    published = {path: (out / path).read_bytes() for path in digests(out) if path not in strangers}
    assert server.kept["main"] == {**published, ".gitattributes": b""}
    assert server.kept["script"]["set.py"] == (ROOT / hub.SCRIPT).read_bytes()
    asked = [token for path, token in server.seen if "someone/set" in path or "/repos/" in path]
    assert len(asked) > 5 and set(asked) == {"Bearer hf_secret"}
    assert "hf_secret" not in done.stdout + done.stderr
    secrets = [re.escape(str(word).encode()) for word in ("hf_secret", tmp_path, Path.home() / "", Path.cwd())]
    assert not leaks({**server.kept["main"], **server.kept["script"]}, secrets)
    assert not leaks({path: b"".join(bodies) for path, bodies in server.sent.items()}, secrets)


@pytest.mark.parametrize("form", ["parquet", "webdataset"])
def test_no_byte_of_what_is_published_tells_a_place(release, tmp_path, form):
    publish(release(), tmp_path / "out", "--format", form, "--sizes", "full", 128)
    files = {path: (tmp_path / "out" / path).read_bytes() for path in digests(tmp_path / "out")}
    assert not leaks(files, [re.escape(str(place).encode()) for place in (tmp_path, Path.home() / "", Path.cwd())])


def pushed(server, tmp_path, *words):
    environment = {"HF_ENDPOINT": server.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_secret"}
    words = [*words, "--num-proc", 1, "--push", server.repository]
    return forks.run(PUBLISH, *words, **environment, HF_HOME=tmp_path / "home")


def test_a_new_repository_is_private_unless_asked_otherwise(release, recorder, tmp_path):
    folder = release()
    for flags, seen_by in (([], "private"), (["--public"], "public")):
        server = recorder("someone/set")
        done = pushed(server, tmp_path, folder, tmp_path / "out", *flags)
        assert done.returncode == 0, done.stderr
        (made,) = server.created
        assert made.get("visibility", "private" if made.get("private") else "public") == seen_by
    there = recorder("someone/set", {"README.md": b"old"})
    assert pushed(there, tmp_path, folder, tmp_path / "out").returncode == 0
    assert not [path for path, _ in there.seen if path.endswith("/settings")], "visibility is changed there"
    with pytest.raises(SystemExit):
        publish(folder, tmp_path / "out", "--public")


def test_a_refusal_is_one_line_without_the_token(release, recorder, tmp_path):
    done = pushed(recorder("someone/set", refusal=403), tmp_path, release(), tmp_path / "out")
    assert "the Hub refuses someone/set (403): HF_TOKEN" in the_error(done)
    assert "hf_secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("layout, name", [("chexpert", "CheXpert"), ("mimic", "MIMIC-CXR-JPG")])
def test_what_may_not_be_passed_on_is_refused_before_anything_is_written(hospital, recorder, tmp_path, layout, name):
    folder = hospital(layout, 60)
    server = recorder("someone/set")
    done = pushed(server, tmp_path, folder, tmp_path / "out")
    assert f"{layout} holds {name}, which may not be passed on: " in the_error(done)
    assert not server.seen and not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_go_where_and_writes_nothing(release, tmp_path, capsys):
    publish(release(), tmp_path / "out", "--push", "someone/set", "--dry-run")
    printed = capsys.readouterr().out
    assert "someone/set@main: full/train-00000-of-00001.parquet  5 rows" in printed
    assert "someone/set@script: set.py" in printed
    assert "someone/set@main: set.py" not in printed
    assert not (tmp_path / "out").exists()


def test_wrong_words_are_refused(release, tmp_path, capsys):
    with pytest.raises(SystemExit):
        publish(release(), tmp_path / "out", "--sizes", "257")
    assert "invalid choice: '257'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--sizes thumbnail needs --format parquet"):
        publish(release(name="again"), tmp_path / "out", "--format", "webdataset", "--sizes", "thumbnail")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        publish(tmp_path / "nowhere", tmp_path / "out")


def test_half_a_shard_is_no_finished_shard(release, tmp_path, capsys):
    publish(release(), tmp_path / "out")
    file = tmp_path / "out" / "full" / "test-00000-of-00001.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    publish(tmp_path / "nih", tmp_path / "out")
    assert "6 of 7 shards" in capsys.readouterr().out
    assert file.read_bytes() == whole


def test_an_image_that_decodes_to_nothing_is_named():
    with pytest.raises(ValueError, match="images/1.png is damaged"):
        shards.shrink({"path": "images/1.png", "bytes": b"\x89PNG\r\n\x1a\n" + bytes(30)}, {8})


def test_sources_reads_a_published_folder(release, tmp_path):
    from chestxray.data import sources

    for sizes, side in ((("full", 128, "thumbnail"), 32), ((128, 256), 256), (("thumbnail",), 224)):
        out = tmp_path / str(side)
        publish(release(name=f"nih-{side}"), out, "--sizes", *sizes)
        loaded = sources.load(str(out))
        assert loaded.num_rows == {"train": 5, "test": 3}
        assert loaded["train"][0]["image"].size == (side, side)  # the largest that is there
        assert {"patient_id", "view_position", "objects"} < set(loaded["train"].features)


def test_the_whole_releases_card_is_the_repositorys_without_what_only_holds_there():
    assert doctest.testmod(dataset_card) == (0, 1)
    text = dataset_card.hub_text((ROOT / "README.md").read_text())
    assert "on the Hub yet" not in text
    assert "](recipes/" not in text and "](data/figures/" in text and "](https://" in text
