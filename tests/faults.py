"""Damage what a person brings to the recipes, one fault a case, and judge what they make of it.

    python tests/faults.py --cases 10000 --seed 0                     of all parts, evenly
    python tests/faults.py --cases 500 --seed 3 --part nih-zip        of one
    python tests/faults.py --seed 3 --part nih-zip --only 417         one case, with what happened

A case is a part, a seed and a number; it damages one file: a bit turned over, the end cut off, a run of zeros, a line
doubled, two lines or two columns exchanged. It then reads everything through the entry that the recipes use. One of

    right       the same as of the undamaged files
    refused     a ValueError or OSError of one line that names a file
    other       another valid input: a strict reading of the damaged files, written here without the code under test,
                gives the same (a digit of an age, another pixel of a DICOM file: no format notices)
    FAULT       any other exception, another result, a hang, 2 GB of memory, a file outside of the output folder

The exit status is 1 where there is a FAULT.
"""

import argparse
import collections
import contextlib
import importlib
import io
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import traceback
import zipfile
from gzip import compress, decompress
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import torch
import yaml
from PIL import Image
from transformers import AutoConfig, AutoModelForImageClassification, ViTImageProcessor

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))  # as pytest has it: the metric is no part of the package

from chestxray.data import predictions, sources
from chestxray.data.chexpert import SEXES, VIEWS
from chestxray.data.mimic import VIEWS as MIMIC_VIEWS
from chestxray.data.observations import CELLS, OBSERVATIONS
from chestxray.dicom import dicom_files
from chestxray.images import pixels
from chestxray.models import classifiers
from chestxray.scoring import scorecard
from chestxray.training.averaging import Average
from chestxray.training.checkpoints import Checkpoints
from chestxray.training.command_line import parse_settings
from chestxray.training.settings import TYPES
from chestxray.training.settings_files import read_settings, write_settings
from conftest import BOXES, HEADERS, LAYOUTS, ROWS, TEST_PATIENTS, TINY

publish = importlib.import_module("publish")
nih = importlib.import_module("NIH-Chest-X-ray-dataset")

SECONDS = 60  # that a case may take; a damaged file takes no longer than a whole one, which takes one
MEMORY = 2 << 30  # bytes more than the process has before it
BATCH = 50  # cases of one process: what it leaves in memory ends with it
FLOATS = "f4"


class Invalid(Exception):
    """A file is not what its format says, by the strict reading."""


def require(condition, what=""):
    if not condition:
        raise Invalid(what)


# Damage ---------------------------------------------------------------------------------------------------------------


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def zeros(data, rng):
    at, length = rng.randrange(len(data)), rng.choice((1, 4, 64, 512))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def double(data, rng):
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at:]])


def exchange(data, rng):
    lines = data.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def columns(data, rng):
    """Two columns exchanged: in the header too, or not."""
    lines = [line.split(b",") for line in data.splitlines()]
    one, other = (rng.randrange(min(map(len, lines))) for _ in range(2))
    for line in lines[rng.randrange(2) :]:
        line[one], line[other] = line[other], line[one]
    return b"".join(b",".join(line) + b"\n" for line in lines)


BYTES, LINES, TABLE = (flip, cut, zeros), (double, exchange), (columns, columns)


def damage(path, rng):
    """Damage a file; in words what was done."""
    data, name = path.read_bytes(), path.name
    inside = name.endswith(".csv.gz") and rng.random() < 0.5
    data = decompress(data) if inside else data
    text = inside or path.suffix in (".csv", ".txt", ".json", ".yaml")
    kinds = BYTES + (LINES if text else ()) + (TABLE if text and ".csv" in name else ())
    how = rng.choice(kinds)
    data = how(data, rng)
    path.write_bytes(compress(data) if inside else data)
    return f"{how.__name__} in {name}"


# Parts ----------------------------------------------------------------------------------------------------------------
# Each: `make(folder)` writes whole files; `read(folder, out)` is the code under test; `strictly(folder, whole)` gives
# what valid files hold, whole being the result of the undamaged ones, or raises.


class Nih:
    def __init__(self, layout):
        self.layout = layout

    def make(self, folder):
        names = [row.split(",")[0] for row in ROWS]
        test = [name for name in names if name.startswith(TEST_PATIENTS)]
        (folder / "Data_Entry_2017_v2020.csv").write_text("\r\n".join([HEADERS["v2020"], *ROWS]) + "\r\n")
        (folder / "BBox_List_2017.csv").write_text(BOXES["commas"])
        (folder / "train_val_list.txt").write_text("\n".join(name for name in names if name not in test))
        (folder / "test_list.txt").write_text("\n".join(test))
        (folder / "data").mkdir()
        with tempfile.TemporaryDirectory() as beside:
            for number, name in enumerate(names):
                grey = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
                Image.fromarray(grey).save(Path(beside) / name)
            LAYOUTS[self.layout](folder, sorted(Path(beside).iterdir()))

    def read(self, folder, out):
        return load(folder)

    def strictly(self, folder, whole):
        rows = {}
        header, *lines = strict_lines(folder / "Data_Entry_2017_v2020.csv", "\r\n")
        order = strict_columns(header, HEADERS["v2020"].split(","))
        for line in lines:
            cells = line.split(",")
            require(len(cells) == 11)
            cells = [cells[at].strip() for at in order]
            name = cells[0]
            require(strict_number(cells[3]) == int(name[:8]) and name not in rows)
            numbers = [strict_number(cells[at]) for at in (2, 3, 4, 7, 8)]
            rows[name] = {
                "image_file_path": f"images/{name}",
                "labels": [nih.LABELS.index(label) for label in cells[1].split("|")],
                "follow_up": numbers[0],
                "patient_id": numbers[1],
                "patient_age": numbers[2],
                "patient_sex": "FM".index(cells[5]),
                "view_position": ["PA", "AP"].index(cells[6]),
                "original_width": numbers[3],
                "original_height": numbers[4],
                "original_pixel_spacing": [strict_float(cell) for cell in cells[9:]],
                "objects": {"bbox": [], "category": []},
            }
        header, *lines = strict_lines(folder / "BBox_List_2017.csv")
        require(header.startswith("Image Index,Finding Label,Bbox [x,y,w,h]") and len(set(lines)) == len(lines))
        for line in lines:
            name, label, *sides = line.split(",")[:6]
            require(len(sides) == 4)
            rows[name]["objects"]["bbox"].append([strict_float(side) for side in sides])
            rows[name]["objects"]["category"].append(nih.LABELS.index(label.replace("Infiltrate", "Infiltration")))
        lists = {
            split: (folder / name).read_bytes().decode().split() for split, name in
            (("train", "train_val_list.txt"), ("test", "test_list.txt"))
        }  # fmt: skip
        names = [name for listed in lists.values() for name in listed]
        require(len(set(names)) == len(names))
        images = self.images(folder)
        return {
            (split, f"images/{name}"): {**rows[name], "image": strict_png(images[name])}
            for split, listed in lists.items()
            for name in listed
        }

    def images(self, folder):
        """{name: PNG bytes}"""
        found = {path.name: path.read_bytes() for path in (folder / "images").glob("*.png")}
        for path in folder.glob("*.tar.gz"):
            with tarfile.open(fileobj=io.BytesIO(decompress(path.read_bytes()))) as archive:
                found |= {os.path.basename(member.name): archive.extractfile(member).read() for member in archive}
        for path in folder.glob("data/images/*.zip"):
            with zipfile.ZipFile(path) as archive:
                require(archive.testzip() is None)
                found |= {os.path.basename(name): archive.read(name) for name in archive.namelist()}
        return found


class Publish(Nih):
    def read(self, folder, out):
        publish.main([str(folder), str(out / "published"), "--num-proc", "1"])
        found = {}
        for path in sorted((out / "published" / "full").glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                row["image"] = sha256(row["image"]["bytes"]).hexdigest()
                found[path.name.partition("-")[0], row["image_file_path"]] = row
        return found


class TarShards:
    def make(self, folder):
        with tempfile.TemporaryDirectory() as beside:
            Nih("flat").make(Path(beside))
            publish.main([beside, str(folder / "out"), "--format", "webdataset", "--num-proc", "1"])
        for path in (folder / "out" / "image-classification").glob("*.tar"):
            path.rename(folder / path.name)
        for path in (folder / "out" / "full").glob("*.tar"):
            path.rename(folder / path.name)
        shutil.rmtree(folder / "out")

    def read(self, folder, out):
        return load(folder)

    def strictly(self, folder, whole):
        found = {}
        for path in folder.glob("*.tar"):
            with tarfile.open(path) as archive:
                members = {member.name: archive.extractfile(member).read() for member in archive}
                end = max(member.offset_data + -(-member.size // 512) * 512 for member in archive)
            rest = path.read_bytes()[end:]
            require(len(rest) >= 1024 and not any(rest))
            for name in members:
                if name.endswith(".json"):
                    row, png = strict_json(members[name]), name.replace(".json", ".png")
                    require([nih.LABELS[number] for number in row["labels"]] == row["label_names"])
                    require(type(row["patient_age"]) is int and "FM".index(row["patient_sex"]) >= 0)
                    found[path.name.partition("-")[0], f"images/{png}"] = {
                        "image_file_path": f"images/{png}",
                        "image": strict_png(members[png]),
                        "labels": row["labels"],
                        "patient_id": int(name[:8]),
                        "patient_age": row["patient_age"],
                        "patient_sex": ["F", "M"].index(row["patient_sex"]),
                        "view_position": ["PA", "AP"].index(row["view_position"]),
                    }
        return found


class CheXpert:
    layout = "chexpert"

    def make(self, folder):
        command = [sys.executable, "-m", "chestxray.synthetic.archives", self.layout, folder, "--patients", "5"]
        subprocess.run([*command, "--size", "24", "--num-proc", "1"], check=True, capture_output=True)
        for name in ("groundtruth.csv", "SYNTHETIC.txt", "IMAGE_FILENAMES"):  # not read where the others are
            (folder / name).unlink(missing_ok=True)

    def read(self, folder, out):
        return load(folder)

    def strictly(self, folder, whole):
        found = {}
        for split, name in (("train", "train.csv"), ("validation", "valid.csv"), ("test", "test_labels.csv")):
            for cells in strict_rows(folder / name):
                _, path = cells["Path"].split("/", 1)
                place, patient, study, file = path.split("/")
                require(
                    place in ("train", "valid", "test") and patient[:7] == "patient" and study[:5] == "study"
                    and (split, path) not in found
                )  # fmt: skip
                side = cells.get("Frontal/Lateral") or file.split("_")[1].removesuffix(".jpg")
                found[split, path] = {
                    "image_file_path": path,
                    "image": strict_jpeg(folder / path),
                    "patient_id": strict_number(patient[7:]),
                    "study_id": strict_number(study[5:]),
                    "patient_age": strict_number(cells["Age"]) if cells.get("Age") else None,
                    "patient_sex": SEXES[cells.get("Sex", "")],
                    "view_position": VIEWS.index(cells.get("AP/PA") or side.upper()),
                    **{name: CELLS[cells[name]] for name in OBSERVATIONS},
                }
        return found


class Mimic(CheXpert):
    layout = "mimic"

    def strictly(self, folder, whole):
        tables = {
            name: strict_rows(folder / f"mimic-cxr-2.0.0-{name}.csv.gz") for name in ("split", "chexpert", "metadata")
        }
        states = {(row["subject_id"], row["study_id"]): row for row in tables["chexpert"]}
        views = {row["dicom_id"]: row["ViewPosition"] for row in tables["metadata"]}
        require(len(states) == len(tables["chexpert"]) and len(views) == len(tables["metadata"]))
        found = {}
        for row in tables["split"]:
            patient, study = row["subject_id"], row["study_id"]
            path = f"files/p{patient[:2]}/p{patient}/s{study}/{row['dicom_id']}.jpg"
            split = {"train": "train", "validate": "validation", "test": "test"}[row["split"]]
            require((split, path) not in found)
            if (patient, study) not in states:
                require(int(study) in importlib.import_module("chestxray.data.mimic").UNLABELLED)
                continue
            view = views[row["dicom_id"]]
            found[split, path] = {
                "image_file_path": path,
                "image": strict_jpeg(folder / path),
                "patient_id": strict_number(patient),
                "study_id": strict_number(study),
                "patient_age": None,
                "patient_sex": None,
                "view_position": MIMIC_VIEWS.index(view) if view else None,
                **{name: CELLS[states[patient, study][name]] for name in OBSERVATIONS},
            }
        return found


class PredictionsFile:
    def make(self, folder):
        rng = np.random.default_rng(0)
        rows = pd.DataFrame(
            {
                "image_file_path": [f"images/{number:08}_000.png" for number in range(80)],
                "split": ["validation"] * 40 + ["test"] * 40,
                "patient": [f"{number // 2:08}" for number in range(80)],
                "sex": ["F", "M"] * 40,
                "age": rng.integers(1, 90, 80),
            }
        )
        targets = rng.integers(0, 2, (80, 2)).astype(float)
        about = {"dataset": "made up", "source": "nowhere", "synthetic": True, "models": [{"checkpoint": "m"}]}
        logits = (rng.normal(size=(80, 2)) + targets).astype(np.float32).astype(float)
        made = predictions.Predictions(rows, logits, targets, ["Mass", "Hernia"], about)
        predictions.write(made, folder / "predictions.parquet")

    def read(self, folder, out):
        table = predictions.read(folder / "predictions.parquet")
        numbers = scorecard.as_json(scorecard.make(table))
        columns = {name: table.rows[name].tolist() for name in table.rows}
        return columns, table.logits.tolist(), table.targets.tolist(), list(table.findings), table.about, str(numbers)

    def strictly(self, folder, whole):
        """The pages have checksums; of the rest only what the footer says of dataset and models is free text."""
        found = self.read(folder, None)
        require(found[:4] == whole[:4] and set(found[4]) == set(whole[4]))
        return found


class Checkpoint:
    def make(self, folder):
        torch.manual_seed(0)
        names = dict(enumerate(["Mass", "Hernia"]))
        config = AutoConfig.for_model(
            **{**TINY["vit"], "image_size": 16, "id2label": names, "label2id": {n: i for i, n in names.items()}}
        )
        AutoModelForImageClassification.from_config(config).save_pretrained(folder)
        size, mean = {"height": 16, "width": 16}, [0.41, 0.42, 0.43]
        ViTImageProcessor(size=size, image_mean=mean, image_std=mean).save_pretrained(folder)
        write_settings(parse_settings(["--model", "resnet18", "--dataset", "/data/nih", "--clip", "2"]), folder)

    def read(self, folder, out):
        model, processor, findings = classifiers.load_classifier(folder)
        settings = read_settings(folder)
        with torch.inference_mode():
            picture = torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16)
            logits = model(pixel_values=picture).logits
        return (
            sorted(digests({name: weight.numpy() for name, weight in model.state_dict().items()}).values()),
            list(logits.shape),  # a weight of 1e38 makes them infinite, which score.py refuses
            (processor.size["height"], list(processor.image_mean), list(processor.image_std)),
            list(findings),
            {name: getattr(settings, name) for name in TYPES},
        )

    def strictly(self, folder, whole):
        """What the weights' file holds; in the texts one value may differ, and nothing else."""
        with tempfile.TemporaryDirectory() as beside:
            self.make(Path(beside))
            (config, shown), others = (
                [strict_json((Path(place) / f"{name}config.json").read_bytes()) for name in ("", "preprocessor_")]
                for place in (folder, beside)
            )
            weights, had = (strict_safetensors(Path(place) / "model.safetensors")[0] for place in (folder, beside))
        strict_same_keys([config, shown], others)
        names = {int(number): name for number, name in config["id2label"].items()}
        require({name: number for number, name in names.items()} == config["label2id"])
        require(weights.keys() == had.keys())
        return (
            sorted(digests(weights).values()),
            whole[1],
            (shown["size"]["height"], shown["image_mean"], shown["image_std"]),
            [names[number] for number in sorted(names)],
            strict_settings(folder / "settings.yaml", whole[4]),
        )


class Resume:
    """`checkpoints/last.safetensors`, from which a run goes on."""

    def make(self, folder):
        checkpoints, model, optimizer = self.run(folder)
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        checkpoints.save({"step": 3, "best": 1, "losses": [0.5, 0.25]})

    def run(self, folder):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
        optimizer = torch.optim.AdamW(model.parameters())
        alone = SimpleNamespace(is_main_process=True, scaler=None, unwrap_model=lambda model, **_: model)
        return Checkpoints(folder / "checkpoints", alone, model, optimizer, Average(model, 0.0)), model, optimizer

    def read(self, folder, out):
        checkpoints, model, optimizer = self.run(folder)
        facts = checkpoints.restore()
        state = {f"model.{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
        for (name, _), moments in zip(model.named_parameters(), optimizer.state_dict()["state"].values(), strict=True):
            state |= {f"optimizer.{name}.{moment}": tensor.numpy() for moment, tensor in moments.items()}
        return facts, digests(state)

    def strictly(self, folder, whole):
        tensors, facts = strict_safetensors(folder / "checkpoints" / "last.safetensors")
        facts, found = strict_json(facts["facts"].encode()), digests(tensors)
        require(facts.keys() == whole[0].keys() and found.keys() == whole[1].keys())
        return facts, found


class Dicom:
    def __init__(self, syntax):
        self.syntax = syntax

    def make(self, folder):
        from recipes.test_dicom_to_jpeg import pixels as values
        from recipes.test_dicom_to_jpeg import radiograph, save

        made = radiograph(values(), ViewPosition="PA", StudyDate="21800506", PatientName="Nobody", RescaleSlope="1")
        save(folder, made, syntax=getattr(pydicom.uid, self.syntax))

    def file(self, folder):
        return next(folder.rglob("*.dcm"))

    def read(self, folder, out):
        path = self.file(folder)
        return dicom_files.metadata_row(path), sha256(dicom_files.to_image(path, equalize=False).tobytes()).hexdigest()

    def strictly(self, folder, whole):
        """Every element is well-formed and in its place; what they say is theirs."""
        strict_dicom(self.file(folder).read_bytes())
        return self.read(folder, None)


PARTS = {
    "nih-flat": Nih("flat"),
    "nih-tar": Nih("box"),
    "nih-zip": Nih("hub"),
    "publish-flat": Publish("flat"),
    "publish-zip": Publish("hub"),
    "tar-shards": TarShards(),
    "chexpert": CheXpert(),
    "mimic": Mimic(),
    "predictions": PredictionsFile(),
    "checkpoint": Checkpoint(),
    "resume": Resume(),
    "dicom": Dicom("ExplicitVRLittleEndian"),
    "dicom-jpegls": Dicom("JPEGLSLossless"),
}


def load(folder):
    """{(split, path): row, the image as its digest} as the recipes read a folder, after every image was decoded."""
    dataset, found = sources.load(str(folder), num_proc=None), {}
    for split, rows in dataset.items():
        pixels.shrink(rows, 16)
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            row["image"] = sha256(row["image"]["bytes"]).hexdigest()
            found[split, row["image_file_path"]] = row
    return found


def digests(tensors):
    return {
        name: (str(array.dtype), array.shape, sha256(np.ascontiguousarray(array).tobytes()).hexdigest())
        for name, array in tensors.items()
    }


# The strict reading ---------------------------------------------------------------------------------------------------


def strict_lines(path, end="\n"):
    text = (decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    require('"' not in text and text.isprintable() or set(text) & set("\r\n"), "quotes")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip(", \t")]


def strict_columns(header, wanted):
    """Where each wanted column is."""
    cells = header.rstrip(",").split(",")
    require(sorted(cells) == sorted(wanted))
    return [cells.index(name) for name in wanted]


def strict_rows(path):
    header, *lines = [line.split(",") for line in strict_lines(path)]
    require(len(set(header)) == len(header) and all(len(line) == len(header) for line in lines))
    return [{name: cell.strip() for name, cell in zip(header, line, strict=True)} for line in lines]


def strict_number(text):
    require(text.isascii() and text.isdigit() and len(text) < 10)
    return int(text)


def strict_float(text):
    require(set(text) <= set("0123456789.") and text.count(".") <= 1 and text[0] != "." != text[-1])
    return float(np.float32(text))


def strict_png(data):
    for check in ("verify", "load"):
        with Image.open(io.BytesIO(data)) as image:
            getattr(image, check)()
    return sha256(data).hexdigest()


def strict_jpeg(path):
    """A JPEG has no checksum: any that decodes is one."""
    with Image.open(path) as image:
        image.load()
    return sha256(path.read_bytes()).hexdigest()


def strict_json(data):
    def unique(pairs):
        require(len(dict(pairs)) == len(pairs))
        return dict(pairs)

    return json.loads(data.decode(), object_pairs_hook=unique)


def strict_same_keys(one, other):
    require(type(one) is type(other))
    if isinstance(one, dict):
        require(one.keys() == other.keys() or {type(key) for key in one} == {str})
        require(list(map(str, one)) == list(map(str, other)))
        for key in one:
            strict_same_keys(one[key], other[key])
    if isinstance(one, list):
        require(len(one) == len(other))


def strict_safetensors(path):
    """({name: array}, metadata): the tensors fill the file, without gap or overlap, and are finite."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, body = strict_json(data[8 : 8 + length]), data[8 + length :]
    metadata, tensors, end = header.pop("__metadata__", {}), {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        require(begin == end and entry["dtype"] == "F32" and entry.keys() == {"dtype", "shape", "data_offsets"})
        tensors[name], end = np.frombuffer(body[begin:stop], "<f4").reshape(entry["shape"]), stop
        require(np.isfinite(tensors[name]).all())
    require(end == len(body))
    return tensors, metadata


def strict_settings(path, whole):
    """Every key of the undamaged file, its value as it is written."""
    text = path.read_bytes().decode()
    require(text.startswith("---\n") and text.endswith("\n...\n"))
    text = yaml.load(text, yaml.BaseLoader)
    require(text.keys() <= whole.keys())
    found = dict(whole)
    for name, written in text.items():
        had = whole[name]
        if isinstance(had, list) or isinstance(written, list):
            require(isinstance(had, list) and isinstance(written, list) and len(had) == len(written))
            found[name] = written
        elif isinstance(had, bool):
            require(written in ("true", "false"))
            found[name] = written == "true"
        elif had is None:
            found[name] = None if written == "null" else written
        elif isinstance(had, str):
            found[name] = written
        else:
            found[name] = type(had)(float(written))
            require(math.isfinite(found[name]))
    return found


def strict_dicom(data):
    """Explicit VR, little endian: elements in ascending order that end where the file does."""
    require(data[128:132] == b"DICM")
    at, last, long = 132, (0, 0), (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT")
    known = {name.encode() for name in "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()}
    while at < len(data):
        *tag, vr = struct.unpack_from("<HH2s", data, at)
        require(tuple(tag) > last and vr in (*known, *long))
        last = tuple(tag)
        (length,) = struct.unpack_from("<I", data, at + 8) if vr in long else struct.unpack_from("<H", data, at + 6)
        at += 12 if vr in long else 8
        if length == 0xFFFFFFFF:
            require(last == (0x7FE0, 0x0010))
            item = None
            while item != (0xFFFE, 0xE0DD):
                *item, length = struct.unpack_from("<HHI", data, at)
                item, at = tuple(item), at + 8 + length
                require(item in ((0xFFFE, 0xE000), (0xFFFE, 0xE0DD)))
            continue
        at += length
    require(at == len(data) and last == (0x7FE0, 0x0010))


DAMAGED = (".csv", ".gz", ".txt", ".png", ".jpg", ".zip", ".tar", ".parquet", ".safetensors", ".json", ".yaml", ".dcm")

# Cases ----------------------------------------------------------------------------------------------------------------


def judge(part, whole, pristine, number, seed, folder):
    """(class, what was done and what came of it)."""
    rng = random.Random(f"{part} {seed} {number}")
    given, out = folder / "given", folder / "out"
    shutil.copytree(pristine, given)
    out.mkdir()
    files = sorted(path for path in given.rglob("*") if path.is_file() and path.suffix in DAMAGED)
    suffix = rng.choice(sorted({path.suffix for path in files}))  # or nearly all cases would be of images
    chosen = rng.choice([path for path in files if path.suffix == suffix])
    done = damage(chosen, rng)
    before = contents(folder)
    datasets.config.HF_DATASETS_CACHE = out / "cache"
    try:
        verdict, said = compare(PARTS[part], PARTS[part].read(given, out), whole, given)
    except Exception as error:
        verdict, said = refusal(error, given)
    if strangers := {path for path in contents(folder) ^ before if not path.startswith("out/")}:
        verdict, said = "FAULT", f"left {sorted(strangers)[:3]} outside of the output folder"
    return verdict, f"{done}: {said}"


def contents(folder):
    """What lies in and beside a case's folder."""
    inside = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return inside | {f"../{path.name}" for path in folder.parent.iterdir()}


def refusal(error, given):
    """Whether an exception is a clear refusal, and its words."""
    words, kind = str(error), type(error)
    own = kind.__module__ == "builtins" or kind.__module__.startswith(("chestxray", "NIH"))
    clear = isinstance(error, (ValueError, OSError)) and not isinstance(error, UnicodeError) and own
    names = {part for path in given.rglob("*") for part in (path.name, path.stem)}
    if clear and "\n" not in words and (str(given) in words or any(name in words for name in names)):
        return "refused", words
    return "FAULT", f"{kind.__module__}.{kind.__name__}: {words}\n{traceback.format_exc()}"


def compare(part, found, whole, given):
    if same(found, whole):
        return "right", ""
    try:
        expected = part.strictly(given, whole)
    except Exception as error:
        return "FAULT", f"a wrong result of what is not valid: {error!r}{differences(found, whole)}"
    if same(found, expected):
        return "other", differences(found, whole)
    return "FAULT", f"not what the files say:{differences(found, expected)}"


def same(one, other):
    return repr(ordered(one)) == repr(ordered(other))


def ordered(value):
    if isinstance(value, dict):
        return sorted((str(key), ordered(item)) for key, item in value.items())
    return [ordered(item) for item in value] if isinstance(value, (list, tuple)) else value


def differences(one, other):
    one, other = (dict(flat(value)) for value in (one, other))
    lines = [f"\n    {key}: {one.get(key)!r}, not {other.get(key)!r}" for key in {**one, **other}
             if repr(one.get(key)) != repr(other.get(key))]  # fmt: skip
    return "".join(lines[:4])


def flat(value, place=""):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        yield from flat(item, f"{place}/{key}")
    if not items:
        yield place, value


def work(connection, part, pristine, seed, numbers, log):
    """A process: the result of the whole files, then of each case."""
    with quietly(log), tempfile.TemporaryDirectory() as scratch:
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        sandbox = Path(scratch) / "sandbox"
        (sandbox / "whole").mkdir(parents=True)
        os.chdir(sandbox)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        datasets.config.HF_DATASETS_CACHE = sandbox / "whole" / "cache"
        whole = PARTS[part].read(pristine, sandbox / "whole")
        strictly = PARTS[part].strictly(pristine, whole)
        if not same(strictly, whole):
            raise AssertionError(f"{part}: the strict reading of whole files differs{differences(strictly, whole)}")
        connection.send("whole")
        for number in numbers:
            folder = sandbox / "case"
            folder.mkdir()
            connection.send((number, *judge(part, whole, pristine, number, seed, folder)))
            shutil.rmtree(folder)


def run(part, seed, numbers, pristine, log):
    """(number, class, words) of each case, from processes that a hang or a crash does not take along."""
    context, waiting = multiprocessing.get_context("fork"), list(numbers)
    while waiting:
        here, there = context.Pipe(duplex=False)
        batch = waiting[:BATCH]
        process = context.Process(target=work, args=(there, part, pristine, seed, batch, log))
        process.start()
        there.close()
        if ask(here, "whole") != "whole":
            raise SystemExit(f"{part}: nothing came of its whole files\n{log.read_text()}")
        for number in batch:
            answer = ask(here, number)
            waiting.pop(0)
            yield answer[:3]
            if len(answer) > 3:
                break
        process.kill() if len(answer) > 3 else None
        process.join()


def ask(connection, number):
    """A case's answer, with one word more where the process is of no more use."""
    try:
        return connection.recv() if connection.poll(SECONDS) else (number, "FAULT", f"no answer in {SECONDS} s", "hang")
    except EOFError:
        return number, "FAULT", "the process ended", "end"


@contextlib.contextmanager
def quietly(log):
    """What is printed, by libraries in C as well, goes into a file."""
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            traceback.print_exc()
            raise


def make(part, folder, log):
    """Write the whole files in a process of their own: what it starts does not survive a fork."""

    def write():
        with quietly(log):
            PARTS[part].make(folder)

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{part}: its whole files could not be made\n{log.read_text()}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=650, help="of all chosen parts together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, action="append", help="by default all; may be given several times")
    parser.add_argument("--only", type=int, help="the number of the one case to run")
    parser.add_argument("--show", choices=("right", "refused", "other"), help="print the cases of this class as well")
    arguments = parser.parse_args(argv)
    datasets.disable_progress_bars()
    parts, faults = arguments.part or list(PARTS), 0
    for position, part in enumerate(parts):
        count = len(range(position, arguments.cases, len(parts)))
        numbers = range(count) if arguments.only is None else [arguments.only]
        with tempfile.TemporaryDirectory() as scratch:
            log, pristine, classes = Path(scratch) / "log", Path(scratch) / "pristine", collections.Counter()
            pristine.mkdir()
            make(part, pristine, log)
            for number, verdict, words in run(part, arguments.seed, numbers, pristine, log):
                classes[verdict] += 1
                if verdict in ("FAULT", arguments.show) or arguments.only is not None:
                    print(f"{part} --only {number}: {verdict}, {words}", flush=True)
        faults += classes["FAULT"]
        print(
            f"{part}: {', '.join(f'{classes[name]} {name}' for name in ('right', 'refused', 'other', 'FAULT'))}",
            flush=True,
        )
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main())
