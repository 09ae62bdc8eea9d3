"""What `recipes/predict.py` promises, asked of the command itself."""

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from PIL import Image
from scipy.special import expit

import finetune
import forks
import predict
import score
import small_chunks
from chestxray.data import predictions, sources
from chestxray.images import pixels, reading
from chestxray.predicting import file_chunks, file_predictor
from chestxray.scoring import validation
from conftest import ROOT
from dicoms import radiograph, save

pytestmark = pytest.mark.usefixtures("no_pictures_in_file")
SCRIPT = ROOT / "recipes" / "predict.py"


def run(*flags):
    predict.main([str(flag) for flag in flags])


def grey_of(path):
    with Image.open(path) as image:
        return image.convert("L")


def stored(image, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def sixteen(grey, factor):
    return Image.fromarray(np.asarray(grey).astype(np.uint16) * factor)


FORMS = {  # how the first test images are stored, all under their names of NIH
    "png": lambda grey: stored(grey, format="PNG"),
    "jpeg": lambda grey: stored(grey, format="JPEG", quality=90),
    "tiff": lambda grey: stored(grey, format="TIFF", compression="tiff_lzw"),
    "rgba": lambda grey: stored(grey.convert("RGBA"), format="PNG"),
    "sixteen-png": lambda grey: stored(sixteen(grey, 257), format="PNG"),
    "sixteen-tiff": lambda grey: stored(sixteen(grey, 16), format="TIFF"),
    "cmyk": lambda grey: stored(grey.convert("CMYK"), format="TIFF"),
}


@pytest.fixture(scope="module")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def checkpoint(archive, tiny, tmp_path_factory):
    """A scored checkpoint: with its calibration.json."""
    folder = tmp_path_factory.mktemp("runs") / "vit"
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 1, "--output-dir", folder]
    finetune.main([str(flag) for flag in flags])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "FEWEST", 1)  # a small archive has few positives
        score.main([str(folder), "--batch-size", "1"])
    return folder


@pytest.fixture(scope="module")
def mixed(archive, checkpoint, tmp_path_factory):
    """({format: file}, {file: logits of score.py}): test images in other formats, in a dataset and as files."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "files").mkdir()
    rows = pixels.keep_encoded(sources.load(str(archive))["test"])
    images, files = list(rows["image"]), {}
    for number, (form, store) in enumerate(FORMS.items()):
        with Image.open(io.BytesIO(images[number]["bytes"])) as image:
            images[number] = {"path": None, "bytes": store(image.convert("L"))}
        files[form] = folder / "files" / os.path.basename(rows["image_file_path"][number])
        files[form].write_bytes(images[number]["bytes"])
    columns = {**{name: rows[name] for name in rows.column_names}, "image": images}
    (folder / "dataset").mkdir()
    made = Dataset.from_dict({name: list(cells) for name, cells in columns.items()}, features=rows.features)
    made.to_parquet(folder / "dataset" / "test-00000-of-00001.parquet")
    flags = [checkpoint, "--dataset", folder / "dataset", "--output-dir", folder / "score"]
    score.main([str(flag) for flag in [*flags, "--batch-size", 1]])
    return files, logits_of(folder / "score")


def logits_of(score_folder):
    """{file name: logits} of score.py's predictions."""
    table = predictions.read(score_folder / "predictions.parquet")
    names = table.rows["image_file_path"].str.rpartition("/")[2]
    return dict(zip(names, table.logits, strict=True))


@pytest.fixture(scope="module")
def plain(checkpoint, tmp_path_factory):
    """The same checkpoint as it was before score.py."""
    return shutil.copytree(
        checkpoint,
        tmp_path_factory.mktemp("plain") / "vit",
        ignore=shutil.ignore_patterns("calib*", "feature*", "score"),
    )


@pytest.fixture(scope="module")
def scored(checkpoint):
    """What score.py predicted: {file name: logits}, and the findings."""
    return logits_of(checkpoint / "score"), predictions.read(checkpoint / "score" / "predictions.parquet").findings


@pytest.fixture(scope="module")
def predicted(checkpoint, archive, tmp_path_factory):
    """The command as a user runs it, on the archive's folder: (standard output, folder of the output)."""
    output = tmp_path_factory.mktemp("predicted")
    command = [sys.executable, SCRIPT, checkpoint, archive, "--output-dir", output, "--format", "parquet"]
    done = subprocess.run([*command, "--batch-size", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, output


def table_of(output):
    (path,) = output.glob("predicted.*")
    return (
        pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False, na_values=[""])
    )


# The evaluation's own path


def test_every_image_has_the_logits_of_score_bit_for_bit(predicted, scored, archive):
    logits, findings = scored
    table = table_of(predicted[1])
    assert len(table) == len(list((archive / "images").iterdir())) and not table["error"].any()
    kept = table[table["path"].map(os.path.basename).isin(logits)]
    assert len(kept) == len(logits) > 20, "validation and test are scored"
    wanted = np.stack([logits[os.path.basename(path)] for path in kept["path"]])
    assert np.array_equal(kept[[f"prob_{finding}" for finding in findings]].to_numpy(), expit(wanted))


@pytest.mark.parametrize("form", FORMS)
def test_each_format_has_the_logits_of_score_bit_for_bit(checkpoint, mixed, scored, tmp_path, form):
    files, logits = mixed
    run(checkpoint, files[form], "--output-dir", tmp_path, "--format", "parquet")
    (row,) = table_of(tmp_path)[[f"prob_{finding}" for finding in scored[1]]].to_numpy()
    assert np.array_equal(row, expit(logits[files[form].name]))


def test_a_dicom_of_8_bits_has_the_logits_of_its_png(checkpoint, archive, scored, tmp_path, capsys):
    logits, findings = scored
    name = (archive / "test_list.txt").read_text().split()[0]
    path = save(tmp_path, radiograph(np.asarray(grey_of(archive / "images" / name)), 8))
    run(checkpoint, path, "--output-dir", tmp_path / "out", "--format", "parquet")
    (row,) = table_of(tmp_path / "out")[[f"prob_{finding}" for finding in findings]].to_numpy()
    np.testing.assert_allclose(row, expit(logits[name]), rtol=1e-5)
    assert "percentile" in capsys.readouterr().out


def test_the_views_of_the_calibration_are_averaged(checkpoint, archive, scored, tmp_path):
    _, findings = scored
    copy = shutil.copytree(checkpoint, tmp_path / "vit", ignore=shutil.ignore_patterns("score"))
    score.main([str(copy), "--tta", "flip"])
    name = (archive / "test_list.txt").read_text().split()[0]
    run(copy, archive / "images" / name, "--output-dir", tmp_path / "out", "--format", "parquet")
    wanted = predictions.read(copy / "score" / "predictions.parquet")
    row = wanted.rows["image_file_path"].str.endswith(name).to_numpy()
    found = table_of(tmp_path / "out")[[f"prob_{finding}" for finding in findings]].to_numpy()
    np.testing.assert_allclose(found, expit(wanted.logits[row]), rtol=1e-5)


# What the table says


def test_calibration_calls_and_percentiles_are_those_of_validation(checkpoint, predicted, scored):
    logits, findings = scored
    table, card = table_of(predicted[1]), json.loads((checkpoint / "score" / "scorecard.json").read_text())
    validation = predictions.read(checkpoint / "score" / "predictions.parquet").of("validation").logits
    known = 0
    for column, finding in enumerate(findings):
        own = table[f"prob_{finding}"].to_numpy()
        logit = np.log(own / (1 - own))
        slope, intercept = (card["calibration"][finding][name] for name in ("slope", "intercept"))
        limit = card["thresholds"]["youden"][finding]["logit"]
        if slope is None:
            assert table[f"calibrated_{finding}"].isna().all()
        else:
            known += 1
            np.testing.assert_allclose(table[f"calibrated_{finding}"], expit(slope * logit + intercept), atol=1e-9)
        if limit is None:
            assert table[f"call_{finding}"].isna().all()
        else:
            far = np.abs(logit - limit) > 1e-9
            assert np.array_equal(table[f"call_{finding}"][far] == 1, (logit >= limit)[far])
        below = (validation[:, column][None] < logit[:, None]).mean(axis=1) * 100
        apart = np.abs(table[f"percentile_{finding}"] - below).max()
        assert apart <= 150 / len(validation) + 1, "as near as so few images allow; test_calibration_file.py has more"
    assert known > 3


def test_a_folder_has_a_summary_on_the_screen_which_says_synthetic(predicted):
    screen, output = predicted
    n = len(table_of(output))
    assert f"{n} of {n} files were read." in screen and "files called" in screen
    assert "validation images of Synthetic" in screen
    assert "validated on synthetic images" in screen and "not a medical device" in screen
    assert f"{output} holds predicted.parquet" in screen
    assert [path.name for path in output.iterdir()] == ["predicted.parquet"], "the parts are gone"


def test_one_file_has_a_table_and_some_have_lines(checkpoint, archive, scored, capsys):
    files = sorted((archive / "images").iterdir())[:3]
    run(checkpoint, files[0])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(files[0]) and lines[1].split() == [
        "finding",
        "model's",
        "own",
        "calibrated",
        "call",
        "percentile",
    ]
    assert [line.split()[0] for line in lines[3 : 3 + len(scored[1])]] == scored[1]
    run(checkpoint, *files)
    screen = capsys.readouterr().out
    assert all(str(file) in screen for file in files) and screen.count("    called: ") == 3


def test_without_calibration_it_says_what_to_run(plain, archive, scored, tmp_path, capsys):
    files = sorted((archive / "images").iterdir())[:2]
    run(plain, *files, "--output-dir", tmp_path)
    screen = capsys.readouterr().out
    assert f"has no calibration.json. Run: python recipes/score.py {plain}" in screen and "highest: " in screen
    columns = list(table_of(tmp_path))
    assert (
        not [name for name in columns if name.startswith(("calibrated", "call", "percentile"))] and len(columns) == 16
    )


@pytest.mark.parametrize("drawn", [True, False])
def test_without_calibration_the_results_of_the_training_say_whether_it_knows_radiographs(
    plain, archive, tmp_path, capsys, drawn
):
    copy = shutil.copytree(plain, tmp_path / "copy")
    (copy / "all_results.json").write_text(json.dumps({"synthetic": drawn}))
    run(copy, sorted((archive / "images").iterdir())[0])
    assert ("validated on synthetic images and knows no radiograph" in capsys.readouterr().out) is drawn


def test_the_calibration_of_other_weights_is_not_taken(checkpoint, archive, tmp_path, capsys):
    copy = shutil.copytree(checkpoint, tmp_path / "vit")
    content = json.loads((copy / "calibration.json").read_text())
    content["about"]["sha256"] = "0" * 64
    (copy / "calibration.json").write_text(json.dumps(content))
    run(copy, next((archive / "images").iterdir()))
    assert "calibration.json is of other weights. Run: python recipes/score.py" in capsys.readouterr().out
    (copy / "calibration.json").write_text("{")
    with pytest.raises(ValueError, match="calibration.json is damaged .*run score.py again"):
        run(copy, next((archive / "images").iterdir()))


@pytest.mark.parametrize("rule", ["f1", "sensitivity"])
def test_another_rule_calls_by_its_own_threshold(checkpoint, archive, scored, tmp_path, rule):
    run(checkpoint, archive, "--rule", rule, "--output-dir", tmp_path, "--format", "parquet")
    table = table_of(tmp_path)
    limits = json.loads((checkpoint / "score" / "scorecard.json").read_text())["thresholds"][rule]
    finding = next(name for name in scored[1] if limits[name]["logit"] is not None)
    assert np.array_equal(table[f"call_{finding}"] == 1, table[f"prob_{finding}"] >= limits[finding]["probability"])


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_all_formats_say_the_same(checkpoint, archive, scored, tmp_path, form):
    (tmp_path / "bad.png").write_text("no image")
    run(
        checkpoint,
        next((archive / "images").iterdir()),
        tmp_path / "bad.png",
        "--output-dir",
        tmp_path,
        "--format",
        form,
    )
    if form == "json":
        content = json.loads((tmp_path / "predicted.json").read_text())
        good, bad = content["files"]
        assert content["about"]["calibrated_on"]["images"] > 10 and content["about"]["rule"] == "youden"
        assert bad["findings"] is None and "no PNG" in bad["error"] and good["error"] is None
        assert list(good["findings"]) == scored[1]
        assert set(good["findings"]["Mass"]) == {"prob", "calibrated", "call", "percentile"}
        return
    table = table_of(tmp_path)
    assert list(table)[:4] == ["path", "error", "prob_Atelectasis", "calibrated_Atelectasis"]
    assert "no PNG" in table["error"][1] and table.iloc[1, 2:].isna().all()


def test_score_reads_the_table(checkpoint, archive, tmp_path):
    run(checkpoint, archive / "images", "--output-dir", tmp_path)
    score.main([str(tmp_path / "predicted.csv"), "--dataset", str(archive), "--output-dir", str(tmp_path / "again")])
    ours, theirs = (
        json.loads((path / "scorecard.json").read_text()) for path in (checkpoint / "score", tmp_path / "again")
    )
    assert theirs["findings"]["mean"]["auroc"] == pytest.approx(ours["findings"]["mean"]["auroc"], abs=1e-3)


# Which files


def test_a_folder_a_table_and_files_mean_the_same(checkpoint, archive, tmp_path):
    names = sorted(path.name for path in (archive / "images").iterdir())[:3]
    (tmp_path / "some").mkdir()
    for name in names:
        shutil.copy(archive / "images" / name, tmp_path / "some" / name)
    (tmp_path / "some" / "notes.txt").write_text("no image")
    (tmp_path / "list.csv").write_text("ward,path\n" + "".join(f"A,some/{name}\n" for name in names))
    run(checkpoint, tmp_path / "some", "--output-dir", tmp_path / "a")
    run(checkpoint, tmp_path / "list.csv", "--output-dir", tmp_path / "b")
    run(checkpoint, *(tmp_path / "some" / name for name in names), "--output-dir", tmp_path / "c")
    one, two, three = (table_of(tmp_path / name) for name in "abc")
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, three)


# Bad files


def test_a_file_that_cannot_be_read_is_a_named_row_and_not_the_end(checkpoint, archive, tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    image = grey_of(next((archive / "images").iterdir()))
    (bad / "empty.png").write_bytes(b"")
    image.save(bad / "cut.png")
    (bad / "cut.png").write_bytes((bad / "cut.png").read_bytes()[:-40])
    image.save(bad / "pages.tif", save_all=True, append_images=[image])
    image.save(bad / "whole.jpg")
    made = save(tmp_path, radiograph(np.asarray(image), 8, Modality="CT", PatientName="DOE^JANE", PatientID="4711"))
    made.rename(bad / "slice.dcm")
    run(checkpoint, bad, tmp_path / "bad" / "whole.jpg", "--output-dir", tmp_path / "out")
    table = table_of(tmp_path / "out").set_index("path")
    assert list(table["error"].fillna("")) == [
        table.loc[str(bad / "cut.png"), "error"],
        "it is empty",
        "it holds 2 pictures, a radiograph is one: save the one that you mean",
        "is no frontal chest radiograph by its header: Modality is CT; --force reads it all the same",
        "",
    ]
    assert "damaged" in table.loc[str(bad / "cut.png"), "error"]
    screen = capsys.readouterr().out
    assert screen.count("    not read: ") == 4 and screen.count("    called: ") == 1
    text = screen + (tmp_path / "out" / "predicted.csv").read_text()
    assert "DOE" not in text and "4711" not in text
    run(checkpoint, bad / "slice.dcm", "--force")
    assert "percentile" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_word_of_a_header_reaches_the_screen_or_the_table(checkpoint, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)
    words = {"PatientName": "DOE^JANE", "BodyPartExamined": "hand of J. Doe", "WindowCenter": "4711.12345678901234"}
    for number in range(24):
        odd = {} if number % 2 else {"BodyPartExamined": "CHEST", "Modality": "of DOE"}
        path = save(tmp_path, radiograph(grey, 8, PatientID="4711", **words | odd))
        path.rename(tmp_path / f"{number}.dcm")
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
    done = forks.run(SCRIPT, checkpoint, tmp_path, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr + (tmp_path / "out" / "predicted.csv").read_text()
    assert not [word for word in ("DOE", "Doe", "JANE", "4711") if word in text.replace(str(tmp_path), "")]


def test_files_none_of_which_can_be_read_are_one_clear_line(checkpoint, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "more.png").write_text("no image")
    done = forks.run(SCRIPT, checkpoint, tmp_path / "text.png")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        f"predict.py: {tmp_path / 'text.png'}: it is no PNG, JPEG, TIFF or DICOM"
    )
    with pytest.raises(ValueError, match="None of the other 1 files could be read either"):
        run(checkpoint, tmp_path / "text.png", tmp_path / "more.png")
    with pytest.raises(FileNotFoundError, match="none.png does not exist"):
        run(checkpoint, tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="is no checkpoint's folder: it has no config.json"):
        run(tmp_path, tmp_path / "text.png")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="holds no .*safetensors"):
        run(tmp_path, tmp_path / "text.png")


# Many files


def test_a_stopped_run_goes_on_with_what_it_had(checkpoint, archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(file_chunks, "CHUNK", 16)
    files, read = sorted((archive / "images").iterdir()), reading.read_pixels
    run(checkpoint, archive, "--output-dir", tmp_path / "whole", "--format", "parquet")
    seen = []

    def stop(file, *settings):
        seen.append(file)
        if file == str(files[40]):
            raise KeyboardInterrupt
        return read(file, *settings)

    monkeypatch.setattr(file_predictor, "read_pixels", stop)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, archive, "--output-dir", tmp_path / "out", "--format", "parquet")
    assert not list((tmp_path / "out").glob("predicted*"))
    monkeypatch.setattr(file_predictor, "read_pixels", lambda file, *rest: again.append(file) or read(file, *rest))
    again, before = [], capsys.readouterr()
    run(checkpoint, archive, "--output-dir", tmp_path / "out", "--format", "parquet")
    assert "2 of " in capsys.readouterr().out and before
    assert sorted(again) == [str(file) for file in files[32:]], "finished parts are not read again"
    pd.testing.assert_frame_equal(table_of(tmp_path / "out"), table_of(tmp_path / "whole"))


def test_the_parts_of_another_job_are_not_taken(checkpoint, archive, tmp_path, monkeypatch):
    files = sorted((archive / "images").iterdir())[:4]
    monkeypatch.setattr(file_chunks, "predict_chunks", lambda *_: pytest.exit("stopped"))
    with pytest.raises(BaseException, match="stopped"):
        run(checkpoint, *files, "--output-dir", tmp_path)
    monkeypatch.undo()
    for others in (["--force"], [files[0]]):
        with pytest.raises(
            ValueError, match="unfinished run with other files, weights or settings: delete it, or give"
        ):
            run(checkpoint, *(files if others == ["--force"] else []), *others, "--output-dir", tmp_path)


def test_two_processes_predict_each_file_once_and_as_one_does(checkpoint, archive, tmp_path, monkeypatch):
    more = tmp_path / "more"
    more.mkdir()
    for path in sorted((archive / "images").iterdir())[:30]:
        os.link(path, more / path.name)
    (more / "bad.png").write_bytes(b"")
    flags = [checkpoint, more, "--format", "parquet", "--output-dir"]
    done = forks.run_two(ROOT / "tests" / "small_chunks.py", SCRIPT, *flags, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("files were read.") == 1, "one process reports"
    monkeypatch.setattr(file_chunks, "CHUNK", small_chunks.SIZE)
    run(*flags, tmp_path / "one")
    one, two = (table_of(tmp_path / name) for name in ("one", "two"))
    assert len(one) > 4 * small_chunks.SIZE, "each process has several chunks"
    pd.testing.assert_frame_equal(one, two, atol=1e-6)


def test_two_processes_without_a_folder_to_meet_in_are_refused(checkpoint, archive):
    done = forks.run_two(SCRIPT, checkpoint, next((archive / "images").iterdir()))
    assert done.returncode == 1 and "several processes need --output-dir" in done.stderr


def test_the_output_inside_of_the_folder_is_not_read_again(checkpoint, archive, tmp_path):
    (tmp_path / "out").mkdir()
    for place in (tmp_path, tmp_path / "out"):
        shutil.copy(next((archive / "images").iterdir()), place / "a.png")
    run(checkpoint, tmp_path, "--output-dir", tmp_path / "out")
    assert list(table_of(tmp_path / "out")["path"]) == [str(tmp_path / "a.png")]
