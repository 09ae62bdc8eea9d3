"""What leaves the machine: every byte of a push, and of the pages that people attach to a paper."""

import os
import re
import shutil
import time

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors import safe_open
from transformers import AutoModelForImageClassification

import finetune
import forks
import publish
import score
from chestxray.data import labels, predictions, sources
from chestxray.publishing import hub
from conftest import ROOT
from private_words import leaks, texts

TOKEN = "hf_secretOfJsmith"
CHECKPOINT = {
    *("README.md", "all_results.json", "config.json", "epochs.csv", "model.safetensors", "preprocessor_config.json"),
    *("results.png", "settings.yaml", "calibration.json", "feature_statistics.npz", "example.png"),
}
# Image names and patients as any of the archives spells them
NIH_WORDS = [rb"\d{8}_\d{3}\b", rb"(?<![\d.])0000\d{4}(?!\d)"]
CHEXPERT_WORDS = [*NIH_WORDS, rb"patient\d{5}", rb"study\d", rb"view\d+_(frontal|lateral)"]
STRAY = {  # what else lies in somebody's folder of a run
    "mimic/predictions.parquet": None,
    "predictions.parquet": None,
    "images (copy).parquet": None,
    "notes.md": "patient64541 looks odd",
    "id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----",
    ".env": f"HF_TOKEN={TOKEN}",
    "checkpoints/step-1/model.safetensors": "patient64541",
    "logs/chestxray/events": "patient64541",
    "train.log": "patient64541",
    "config.json.bak": "patient64541",
    "model.safetensors.pt": "patient64541",
    "patients.csv": "patient64541",
    "score.html": "patient64541",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder, whose name is in every path below it."""
    return tmp_path_factory.mktemp("jsmith")


@pytest.fixture(scope="module")
def nih(synthetic, home):
    return shutil.copytree(synthetic(patients=60), home / "nih")


@pytest.fixture(scope="module")
def chexpert(hospital, home):
    return shutil.copytree(hospital("chexpert", 60), home / "CheXpert-v1.0-small")


@pytest.fixture(scope="module")
def runs(nih, chexpert, tiny, home):
    """{dataset: a folder of a run with all that may lie there}: NIH's of a validation list, CheXpert's of a teacher."""
    train = sources.load(str(nih))["train"]
    held_out = [path for path in train["image_file_path"] if sources.is_validation(sources.patient(path))]
    (home / "my-validation.txt").write_text("\n".join(held_out))
    write_teacher(chexpert, home / "my-teacher.parquet")
    model = tiny("vit").rename(home / "my-model.json")
    flags = {
        "nih": ["--dataset", nih, "--validation-list", home / "my-validation.txt", "--findings", "shared"],
        "chexpert": ["--dataset", chexpert, "--teacher", home / "my-teacher.parquet", "--uncertain", "self-trained"],
    }
    for name, words in flags.items():
        words += ["--model", model, "--epochs", 1, "--output-dir", home / "runs" / name]
        finetune.main([str(word) for word in words])
    for name, other in (("nih", chexpert), ("chexpert", nih)):
        run = home / "runs" / name
        score.main([str(run), "--dataset", str(other), "--output-dir", str(run / "elsewhere")])
        for file, text in STRAY.items():
            (run / file).parent.mkdir(parents=True, exist_ok=True)
            (run / file).write_bytes(
                text.encode() if text else (run / "elsewhere" / "predictions.parquet").read_bytes()
            )
    return {name: (home / "runs" / name, list(map(str, words))) for name, words in flags.items()}


def write_teacher(chexpert, path):
    rows = sources.load(str(chexpert))["train"]
    findings = labels.findings(None, [rows])
    table = pd.DataFrame({"image_file_path": rows["image_file_path"], "split": "train"})
    table["patient"] = sources.patients(rows)
    zeros = np.zeros((len(rows), len(findings)))
    predictions.write(predictions.Predictions(table, zeros, zeros, findings, {}), path)


FINETUNE = [ROOT / "recipes" / "finetune.py"]
WITHOUT_PICTURES = [ROOT / "tests" / "blank_pictures.py", *FINETUNE]


def push(server, home, flags, command=FINETUNE):
    environment = {
        **{"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN},
        **{"HOME": home, "USER": "jsmith", "HF_HOME": os.environ.get("HF_HOME", home / "hub")},
    }
    return forks.run(*command, *flags, "--push-to-hub", server.repository, **environment)


def words_of(home):
    return [re.escape(word.encode()) for word in (TOKEN, str(home), home.name, "jsmith", os.path.expanduser("~/"))]


@pytest.mark.parametrize("dataset, visibility", [("nih", "private"), ("chexpert", "public")])
def test_no_byte_of_a_pushed_model_tells_token_place_image_or_patient(runs, home, recorder, dataset, visibility):
    folder, flags = runs[dataset]
    server = recorder("someone/model")
    done = push(server, home, [*flags, *(["--public"] if visibility == "public" else [])])
    assert done.returncode == 0, done.stderr
    pushed = server.kept["main"]
    assert set(pushed) == CHECKPOINT, "nothing else that lies in the folder"
    private = [*words_of(home), *CHEXPERT_WORDS, b"BEGIN OPENSSH"]
    assert not leaks(pushed, private)
    others = {path: b"".join(bodies) for path, bodies in server.sent.items() if "/commit/" not in path}
    assert not leaks(others, private), "nor what is asked before"
    assert TOKEN not in done.stdout + done.stderr
    (created,) = server.created
    assert created.get("visibility", "private" if created.get("private") else "public") == visibility

    # and the copy is as good as the folder
    assert pushed["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    settings = yaml.safe_load(pushed["settings.yaml"])
    assert settings["dataset"] == [{"nih": "nih", "chexpert": "CheXpert-v1.0-small"}[dataset]]
    assert settings["model"] == "my-model.json" and settings["epochs"] == 1
    assert settings["validation_list"] == ("my-validation.txt" if dataset == "nih" else None)
    assert settings["teacher"] == ("my-teacher.parquet" if dataset == "chexpert" else None)
    assert b"Results on Synthetic" in pushed["README.md"] and b"my-model.json" in pushed["README.md"]
    assert (b"may not be passed on" in pushed["README.md"]) == (dataset == "chexpert")


def test_what_is_searched_for_is_found_where_it_is(runs, home):
    folder, _ = runs["chexpert"]
    files = {name: (folder / name).read_bytes() for name in ("settings.yaml", "elsewhere/predictions.parquet")}
    found = leaks(files, [*words_of(home), *CHEXPERT_WORDS])
    assert {name for name, _ in found} == set(files)
    assert ("elsewhere/predictions.parquet", NIH_WORDS[0]) in found, "in compressed cells as well"


@pytest.mark.usefixtures("no_pictures")
def test_a_pushed_copy_is_a_checkpoint_for_transformers_and_for_score(runs, chexpert, tmp_path):
    folder, _ = runs["chexpert"]
    copy = tmp_path / "downloaded"
    copy.mkdir()
    for name, content in hub.model_files(folder).items():
        (copy / name).write_bytes(content if isinstance(content, bytes) else (folder / name).read_bytes())
    ours, theirs = (AutoModelForImageClassification.from_pretrained(path).state_dict() for path in (folder, copy))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    score.main([str(copy), "--dataset", str(chexpert), "--output-dir", str(tmp_path / "out")])
    assert (tmp_path / "out" / "scorecard.json").exists()


def test_pages_tell_no_place_no_image_and_no_patient(runs, home):
    for folder, _ in runs.values():
        pages = [path for path in (folder / "elsewhere").rglob("*") if path.suffix != ".parquet" and path.is_file()]
        assert {"report.html", "report.md", "scorecard.json", "README.md", "roc.svg"} < {page.name for page in pages}
        files = {page.name: page.read_bytes() for page in pages}
        assert len(list(texts(files["report.html"]))) > 5, "its pictures are read"
        assert not leaks(files, [*words_of(home), *CHEXPERT_WORDS])


def test_sharded_weights_and_an_older_configuration_go_without_places(tmp_path, home):
    wanted = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"}
    for name in (*wanted, "optimizer-00001-of-00002.safetensors", "model.bin", "config.yaml"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text(f'{{"_name_or_path": "{home}/base", "deep": [{{"file": "{home}/w.bin"}}]}}')
    files = hub.model_files(tmp_path)
    assert set(files) == {*wanted, "config.json"}
    assert b"jsmith" not in files["config.json"] and b'"w.bin"' in files["config.json"]


def test_results_that_name_a_path_stay(tmp_path):
    (tmp_path / "settings.yaml").write_text("dataset: [/home/jsmith/a/nih, /home/jsmith/b/nih]\n")
    (tmp_path / "results.png").write_bytes(b"a picture with both names")
    for name, goes in (("NIH ChestX-ray14, /home/jsmith/a/nih", False), ("NIH ChestX-ray14, nih (2)", True)):
        (tmp_path / "all_results.json").write_text(f'{{"datasets": ["{name}"]}}')
        assert ({"all_results.json", "results.png"} <= set(hub.model_files(tmp_path))) == goes


def test_what_is_there_stays_as_visible_as_it_is(runs, home, recorder):
    folder, flags = runs["nih"]
    there = recorder("someone/model", {"old.txt": b""})
    done = push(there, home, flags, WITHOUT_PICTURES)
    assert done.returncode == 0, done.stderr
    assert not [path for path, _ in there.seen if path.endswith("/settings")], "visibility is changed there"
    assert set(there.kept["main"]) == {*CHECKPOINT, "old.txt"}


def test_a_refusal_is_one_line_without_the_token(runs, home, recorder):
    server = recorder("someone/model", refusal=401)
    done = push(server, home, runs["nih"][1], WITHOUT_PICTURES)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("finetune.py: ")]
    assert line == done.stderr.splitlines()[-1]
    assert "the Hub refuses someone/model (401): HF_TOKEN" in line
    assert TOKEN not in done.stdout + done.stderr


def test_other_answers_of_the_hub_are_one_line_without_the_token(recorder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with (
        pytest.raises(OSError, match="cannot be reached for someone/model") as offline,
        hub.clear_errors("someone/model"),
    ):
        raise ConnectionError(f"Bearer {TOKEN}\nwas sent")
    assert TOKEN not in str(offline.value) and "\n" not in str(offline.value)


LARGE = (".parquet", ".safetensors", ".npz", ".png")


def wait_for_blobs(server, count, script):
    while len(server.blobs) < count:
        assert script.is_running(), script.finish().stderr
        time.sleep(0.05)


@pytest.mark.parametrize("job", ["publish", "finetune"])
def test_a_push_that_is_killed_goes_on_and_uploads_nothing_twice(runs, nih, home, recorder, tmp_path, job):
    server = recorder("someone/thing", large=LARGE, most=2)
    environment = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    if job == "publish":
        script, *words = [ROOT / "recipes" / "publish.py", nih, tmp_path / "out", "--num-proc", 1, "--push"]
    else:
        script, *words = [*WITHOUT_PICTURES, *runs["nih"][1], "--push-to-hub"]
    killed = forks.Script(script, [*words, server.repository], **environment)
    wait_for_blobs(server, 2, killed)
    assert TOKEN not in "".join((done := killed.kill()).stdout + done.stderr)
    assert not any(path.endswith(LARGE) for path in server.kept["main"]), "nothing was committed"
    before, server.most = dict(server.blobs), None
    done = forks.run(script, *words, server.repository, **environment)
    assert done.returncode == 0, done.stderr
    assert before.items() < server.blobs.items()
    assert sorted(server.uploads) == sorted(server.blobs), "each blob was sent once"
    folder = tmp_path / "out" if job == "publish" else runs["nih"][0]
    large = {name: content for name, content in server.kept["main"].items() if name.endswith(LARGE)}
    assert len(large) > 2 and all((folder / name).read_bytes() == content for name, content in large.items())


@pytest.mark.usefixtures("no_pictures")
def test_the_token_is_read_for_a_push_alone(nih, tiny, tmp_path, monkeypatch):
    def refuse():
        raise AssertionError("the token was read")

    for source in ("environment", "file"):
        monkeypatch.setattr(f"huggingface_hub.utils._auth._get_token_from_{source}", refuse)
    publish.main([str(nih), str(tmp_path / "out"), "--num-proc", "1"])
    flags = ["--dataset", nih, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "run"]
    finetune.main([str(flag) for flag in flags])
    score.main([str(tmp_path / "run")])
    with pytest.raises(AssertionError, match="the token was read"):
        publish.main([str(nih), str(tmp_path / "out"), "--num-proc", "1", "--push", "someone/set"])


def test_weights_hold_no_metadata_of_this_machine(runs):
    for folder, _ in runs.values():
        with safe_open(folder / "model.safetensors", framework="pt") as weights:
            assert set(weights.metadata() or {}) <= {"format"}


@pytest.mark.usefixtures("no_pictures")
def test_trackers_hear_of_no_place(nih, tiny, home, tmp_path):
    pytest.importorskip("tensorboard")
    flags = ["--dataset", nih, "--model", tiny("vit"), "--epochs", 0, "--trackers", "tensorboard"]
    finetune.main([str(flag) for flag in (*flags, "--output-dir", tmp_path / "run")])
    files = {path.name: path.read_bytes() for path in (tmp_path / "run" / "logs").rglob("*") if path.is_file()}
    assert "hparams.yml" in files
    assert not leaks(files, [*words_of(home), re.escape(str(tmp_path).encode())])


def test_public_without_a_repository_is_refused():
    with pytest.raises(ValueError, match="give --push-to-hub as well"):
        finetune.parse_settings(["--public"])
