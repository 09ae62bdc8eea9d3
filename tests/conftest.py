"""A miniature NIH release, with the real headers and the odd rows, in every layout it is handed out in."""

import contextlib
import importlib
import itertools
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import blank_pictures
from recorder import RecordedHub

ROOT = Path(__file__).parents[1]
NIH = ROOT.parent / "shared" / "nih"

os.environ["HF_HUB_OFFLINE"] = "1"  # whatever a test loads, it has made itself
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for a busy core cost more than they bring

HEADERS = {
    "2017": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "v2020": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    "sex": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "quoted": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    '"OriginalImage[Width,Height]","OriginalImagePixelSpacing[x,y]"',
}
ROWS = [  # v2020 numbers follow-ups anew and reorders rows; labels are not always in alphabetical order
    "00000003_001.png,Hernia,0,3,74,F,PA,2500,2048,0.168,0.168",
    "00000003_000.png,Hernia,1,3,81,F,PA,2582,2991,0.14300000000000002,0.14300000000000002",
    "00000013_000.png,No Finding,0,13,0,M,AP,3056,2544,0.139,0.139",
    "00000798_022.png,Consolidation|Effusion,22,798,57,M,AP,2500,2048,0.168,0.168",
    "00010007_000.png,Mass|Infiltration|Pneumonia,0,10007,95,F,PA,2992,2991,0.143,0.143",
    "00013118_008.png,Atelectasis|Pleural_Thickening,8,13118,69,M,PA,2992,2991,0.143,0.143",
    "00013118_009.png,Infiltration,9,13118,69,M,AP,2500,2048,0.168,0.168",
    "00029817_009.png,Edema|Emphysema|Fibrosis|Nodule|Pneumothorax|Cardiomegaly,9,29817,62,M,AP,2500,2048,0.168,0.168",
]
TEST_PATIENTS = ("00013118", "00029817")
NAMES = [row.split(",")[0] for row in ROWS]
BOXES = {  # the forms in which the box list circulates
    "commas": "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661\n"
    "00013118_009.png,Infiltrate,10,20,30,40,,,\n",
    "plain": "Image Index,Finding Label,Bbox [x,y,w,h]\n"
    "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661\n"
    "00013118_009.png,Infiltrate,10,20,30,40\n",
    "rounded": "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "00013118_008.png,Atelectasis,225.085,547.019,86.780,79.186\n00013118_009.png,Infiltrate,10,20,30,40\n",
    "quoted": '"Image Index","Finding Label","Bbox [x,y,w,h]"\n'
    '"00013118_008.png","Atelectasis",225.084745762712,547.019216763771,86.7796610169491,79.1864406779661\n'
    '"00013118_009.png","Infiltrate",10,20,30,40\n',
}


TINY = {  # a configuration of each family, small enough for a test
    "convnext": {"model_type": "convnextv2", "depths": [1, 1], "hidden_sizes": [8, 16], "num_stages": 2},
    "vit": {
        "model_type": "vit",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "patch_size": 8,
    },
    "timm": {"model_type": "timm_wrapper", "architecture": "test_convnext"},
    "timm-vit": {"model_type": "timm_wrapper", "architecture": "test_vit"},
}


# What takes longest begins first: so pytest's workers, each of which takes a file at a time, end together.
SLOW = [
    "finetune",
    "publish",
    "score",
    "explain",
    "box_weight",
    "dataset",
    "onnx_graph",
    "static_page",
    "freeze",
    "push",
    "launch",
    "export",
    "transfer",
    "predict",
    "faults",
    "ablate",
    "roundtrip",
    "seen",
    "app",
    "package",
    "resume",
    "contributing",
    "readme",
    "describe",
    "unlike",
    "presets",
    "predict_heatmaps",
    "notebook",
    "hospitals",
    "scorecard",
]


def pytest_collection_modifyitems(items):
    place = {f"test_{name}": number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: place.get(item.path.stem, len(SLOW)))


@pytest.fixture(scope="session")
def builder():
    """The dataset's class, as recipes reach it."""
    return importlib.import_module("NIH-Chest-X-ray-dataset").NIHChestXray


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """`once(name, make)` is a folder that `make(folder)` filled, once for all of pytest's workers: only to be read."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def share(name, make):
        folder = base / "once" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        finished = folder.with_name(f"{name}.finished")
        with FileLock(folder.with_name(f"{name}.lock")):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                finished.touch()
        return folder

    return share


@pytest.fixture(scope="session")
def synthetic(once):
    """`synthetic(patients=60)` is a synthetic archive of 32-pixel images, on which a model trains in seconds."""
    from chestxray.synthetic import phantom

    return lambda patients: once(
        f"synthetic-{patients}", lambda folder: phantom.make_archive(folder, patients, size=32, num_proc=1)
    )


@pytest.fixture(scope="session")
def hospital(once):
    """`hospital("chexpert", 60)` is a synthetic archive in the layout of CheXpert, or of "mimic", called so."""
    from archives import write_archive  # a release's environment has no more than `datasets`

    def draw(layout, patients):
        beside = once(f"{layout}-{patients}", lambda folder: write_archive(layout, folder / layout, patients))
        return beside / layout

    return draw


@pytest.fixture(scope="session")
def shown(once):
    """A folder with the checkpoint of `shown_model` as `convnext`, and its export as `model.onnx`."""
    from shown_model import write_checkpoint, write_onnx

    return once("shown-model", lambda folder: write_onnx(write_checkpoint(folder / "convnext"), folder / "model.onnx"))


@pytest.fixture(scope="session")
def radiographs(once):
    """Two hundred of NIH's radiographs as an archive: its tables have their rows alone."""
    names = {path.name for path in (NIH / "images").iterdir()}

    def make(folder):
        folder.mkdir()
        (folder / "images").symlink_to(NIH / "images")
        for table in (*NIH.glob("*.csv"), *NIH.glob("*.txt")):
            header, *lines = table.read_text().splitlines(keepends=True)
            header = header if table.suffix == ".csv" or header.strip() in names else ""
            kept = (line for line in lines if line.split(",")[0].strip() in names)
            (folder / table.name).write_text(header + "".join(kept))

    return once("radiographs", make)


@pytest.fixture(scope="session")
def nih_metadata(once, builder):
    """A cache in which NIH's metadata, all of its rows, is built; beside it in `log.txt` what was said about it."""

    def make(cache):
        cache.mkdir()
        handler = logging.FileHandler(cache / "log.txt")
        logging.getLogger().addHandler(handler)
        builder("metadata", data_dir=str(NIH), cache_dir=str(cache)).download_and_prepare()
        logging.getLogger().removeHandler(handler)

    return once("nih-metadata", make)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """`tiny(family)` writes a small model's configuration and returns its path."""

    def write(family):
        path = tmp_path_factory.mktemp(family) / "tiny.json"
        path.write_text(json.dumps({**TINY[family], "image_size": 32}))
        return path

    return write


@pytest.fixture
def no_pictures(monkeypatch):
    """See `blank_pictures`, for one test."""
    blank_pictures.replace(monkeypatch.setattr)


@pytest.fixture(scope="module")
def no_pictures_in_file():
    """See `blank_pictures`, for all tests of a file and for what they share."""
    with pytest.MonkeyPatch.context() as patch:
        blank_pictures.replace(patch.setattr)
        yield


@pytest.fixture
def no_wait_after_streams(monkeypatch):
    """datasets 5 sleeps five seconds at the end of each shuffled epoch, for the threads that read Parquet."""
    import datasets

    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0.1, raising=False)


@pytest.fixture
def release(tmp_path):
    """`release(layout="flat", header="v2020", box_form="commas")` writes a release and returns its folder."""
    return partial(write_release, tmp_path)


def write_release(tmp_path, layout="flat", header="v2020", box_form="commas", rows=ROWS, name="nih"):
    folder = tmp_path / name
    folder.mkdir()
    tables = folder / "data" if layout == "hub" else folder
    tables.mkdir(exist_ok=True)
    year = "Data_Entry_2017.csv" if header == "2017" else "Data_Entry_2017_v2020.csv"
    (tables / year).write_text("\r\n".join([HEADERS[header], *rows]) + "\r\n")
    (tables / "BBox_List_2017.csv").write_text(BOXES[box_form])
    names = [row.split(",")[0] for row in rows]
    test = [name for name in names if name.startswith(TEST_PATIENTS)]
    (tables / "train_val_list.txt").write_text("\n".join(name for name in names if name not in test))
    (tables / "test_list.txt").write_text("\n".join(test))
    images = tmp_path / f"{name}-pngs"
    images.mkdir()
    for number, png in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
        mode = "RGBA" if number == 2 else "L"  # NIH stores a few hundred radiographs in colour
        Image.fromarray(pixels).convert(mode).save(images / png)
    LAYOUTS[layout](folder, sorted(images.iterdir()))
    return folder


def flat(folder, images):
    place(folder / "images", images)


def kaggle(folder, images):
    place(folder / "images_001" / "images", images[:4])
    place(folder / "images_002" / "images", images[4:])


def nested(folder, images):
    for image in images:
        place(folder / "images" / image.name[:5], [image])


def box(folder, images, suffix=".tar.gz"):
    for number, part in enumerate((images[:4], images[4:]), start=1):
        with tarfile.open(folder / f"images_{number:03}{suffix}", "w:gz" if suffix == ".tar.gz" else "w") as archive:
            for image in part:
                archive.add(image, f"images/{image.name}")


def tar(folder, images):
    box(folder, images, suffix=".tar")


def hub(folder, images):
    (folder / "data" / "images").mkdir()
    Image.new("L", (4, 4)).save(folder / "data" / "portrait.png")  # the Hub's copy has such a picture
    for number, part in enumerate((images[:4], images[4:]), start=1):
        with zipfile.ZipFile(folder / "data" / "images" / f"images_{number:03}.zip", "w") as archive:
            archive.mkdir("images") if hasattr(archive, "mkdir") else archive.writestr("images/", "")
            for image in part:
                archive.write(image, f"images/{image.name}")
            archive.writestr(f"__MACOSX/images/._{part[0].name}", b"resource fork, no image")


def place(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        (folder / image.name).write_bytes(image.read_bytes())


PORTS = itertools.count(16 * os.getpid())


def own_port():
    """A free port that stays so: below those that the system gives away, another for each process and call."""
    while True:
        port = 10_000 + next(PORTS) % 20_000
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


LAYOUTS = {"flat": flat, "kaggle": kaggle, "nested": nested, "box": box, "tar": tar, "hub": hub}


@pytest.fixture
def hub_of(tmp_path):
    """`hub_of({"someone/name": folder})` serves folders as dataset repositories; returns the endpoint's address."""
    servers = []

    def start(folders):
        for repository, folder in folders.items():
            served = tmp_path / "mirrors" / "datasets" / repository
            shutil.copytree(folder, served)
            for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "published"]):
                identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
                subprocess.run(["git", "-C", served, *identity, *command], check=True)
        port = own_port()
        config = tmp_path / "olah.toml"
        config.write_text(
            f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "{tmp_path}/olah"\n'
            f'mirrors-path = ["{tmp_path}/mirrors"]\n[accessibility]\noffline = true\n'
        )
        command = [Path(sys.executable).with_name("olah-cli"), "--config", config, "--log-path", tmp_path / "log"]
        with open(tmp_path / "olah.log", "w") as log:
            servers.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/api/datasets/{next(iter(folders))}/revision/main").read()
                return address
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"the Hub server did not start: {(tmp_path / 'olah.log').read_text()}")

    yield start
    for server in servers:
        server.terminate()
        server.wait()


@pytest.fixture
def recorder():
    """`recorder("someone/name")` starts a server that takes uploads to this repository; see `RecordedHub`."""
    servers = []

    def start(repository, main=(), refusal=None, **options):
        servers.append(RecordedHub(repository, main, refusal, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
