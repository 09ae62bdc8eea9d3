"""What `recipes/explain.py` promises, asked of the command itself."""

import html
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset
from PIL import Image

import explain
import finetune
import forks
import score
from chestxray.data import predictions, sources
from chestxray.images.reading import read_pixels
from chestxray.models.classifiers import load_classifier
from chestxray.models.heatmap_methods import PATH
from chestxray.models.heatmaps import Heatmapper
from chestxray.models.inference import model_input
from chestxray.models.processors import sides
from chestxray.models.weights import digest_weights
from chestxray.publishing import hub
from chestxray.scoring import heatmap_file, mapping
from conftest import ROOT

SCRIPT = ROOT / "recipes" / "explain.py"
PAGES = {"localisation.html", "localisation.md", "localisation.json", "contact_sheet.png"}
pytestmark = pytest.mark.usefixtures("no_pictures", "no_sheet")
FILES = PAGES | {"heatmaps.parquet", "coco_boxes.json", "coco_detections.json"}


def run(*flags):
    explain.main([str(flag) for flag in flags])


@pytest.fixture
def no_sheet(monkeypatch):
    """explain.py without drawing the contact sheet, which takes most of its time."""
    monkeypatch.setattr(explain.contact_sheet, "draw", lambda *_: b"a picture")


@pytest.fixture(scope="session")
def archive(synthetic):
    return synthetic(patients=200)


@pytest.fixture(scope="module")
def trained(archive, tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "convnext"
    flags = ["--dataset", archive, "--model", tiny("convnext"), "--epochs", 1, "--output-dir", folder]
    finetune.main([str(flag) for flag in flags])
    return folder


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A copy of the checkpoint, in which a test may write."""
    return shutil.copytree(trained, tmp_path / "convnext")


@pytest.fixture(scope="module")
def explained(trained, tmp_path_factory):
    """The command as a user runs it: (standard output, output folder)."""
    output = tmp_path_factory.mktemp("explain") / "out"
    done = subprocess.run([sys.executable, SCRIPT, trained, "--output-dir", output], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, output


@pytest.fixture(scope="module")
def boxes(archive):
    """The boxes of the test images, straight from NIH's list."""
    table = pd.read_csv(archive / "BBox_List_2017.csv", skiprows=1, header=None).iloc[:, :6]
    table.columns = ["name", "finding", "x", "y", "width", "height"]
    test = (archive / "test_list.txt").read_text().split()
    assert set(table["name"]) & set(test)
    return table[table["name"].isin(test)].replace({"finding": {"Infiltrate": "Infiltration"}})


def numbers_of(output):
    return json.loads((output / "localisation.json").read_text())


def value(numbers, method, finding, rule, quantity, above=None):
    key = (method, finding, rule, quantity, above)
    names = ("method", "finding", "rule", "quantity", "above")
    (row,) = [row for row in numbers["table"] if tuple(row[name] for name in names) == key]
    return row


def maps_of(path):
    (first, *others) = heatmap_file.read_rows(path)
    parts = [first, *others]
    names = [name for part in parts for name in part.images]
    return names, np.concatenate([part.logits for part in parts]), np.concatenate([part.maps for part in parts])


def parquet_of(archive, builder, folder, change=lambda row: row):
    """The archive's test images as a folder of Parquet, as somebody may have it."""
    made = builder("full", data_dir=str(archive), cache_dir=str(folder / "cache"))
    made.download_and_prepare()
    rows = made.as_dataset(split="test")
    kept = [number for number, objects in enumerate(rows["objects"]) if objects["bbox"]][:6]
    out = folder / "hospital"
    out.mkdir()
    rows = rows.select(kept).map(change)
    rows.to_parquet(out / "test-00000-of-00001.parquet")
    return out


# Heatmaps


def test_the_boxed_images_of_the_split_have_the_logits_that_score_gives(trained, explained, boxes, tmp_path):
    score.main([str(trained), "--output-dir", str(tmp_path)])
    scored = predictions.read(tmp_path / "predictions.parquet")
    names, logits, maps = maps_of(explained[1] / "heatmaps.parquet")
    assert sorted(names) == sorted({f"images/{name}" for name in boxes["name"]}) and len(names) > 10
    rows = scored.rows.reset_index().set_index("image_file_path").loc[names, "index"]
    np.testing.assert_allclose(logits, scored.logits[rows], atol=1e-5)
    np.testing.assert_allclose(maps.mean((2, 3)), logits, rtol=1e-3, atol=1e-4)  # the method is cam


def test_datasets_opens_the_file_and_its_metadata_say_what_it_is(trained, explained):
    path = explained[1] / "heatmaps.parquet"
    rows = load_dataset("parquet", data_files=str(path), split="train").with_format("numpy")
    names, logits, maps = maps_of(path)
    about = predictions.read_about(path)
    k, (height, width) = len(about["findings"]), about["grid"]
    assert list(rows["image_file_path"][:]) == names
    np.testing.assert_array_equal(rows[3]["heatmaps"], maps[3])
    assert maps.shape == (len(names), k, height, width) and rows[3]["logits"].shape == (k,)
    assert about["method"] == "cam" and about["models"][0]["sha256"] == digest_weights(trained)
    table = pq.read_table(path)
    flat = table["heatmaps"].combine_chunks().flatten().flatten().flatten()  # as the module says
    np.testing.assert_array_equal(np.asarray(flat).reshape(maps.shape), maps)


def test_two_processes_compute_what_one_does(trained, explained, tmp_path):
    done = forks.run_two(SCRIPT, trained, "--batch-size", 6, "--output-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("random map") == 1
    one, two = (maps_of(folder / "heatmaps.parquet") for folder in (explained[1], tmp_path))
    assert one[0] == two[0]
    np.testing.assert_allclose(one[1], two[1], atol=1e-5)
    np.testing.assert_allclose(one[2], two[2], atol=1e-4)
    assert FILES == {path.name for path in tmp_path.iterdir()}


def test_a_killed_run_goes_on_with_its_finished_chunks(trained, explained, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "CHUNK", 8)
    compute, seen = mapping.heatmap_passes.compute_heatmaps, []

    def stop_after_two(mapper, part, *others):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(part))
        return compute(mapper, part, *others)

    monkeypatch.setattr(mapping.heatmap_passes, "compute_heatmaps", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(trained, "--output-dir", tmp_path)
    assert not (tmp_path / "heatmaps.parquet").exists() and seen == [8, 8]
    monkeypatch.setattr(
        mapping.heatmap_passes,
        "compute_heatmaps",
        lambda mapper, part, *others: seen.append(len(part)) or compute(mapper, part, *others),
    )
    with pytest.raises(ValueError, match="with method cam, not grad-cam; give another --output-dir"):
        run(trained, "--method", "grad-cam", "--output-dir", tmp_path)
    run(trained, "--output-dir", tmp_path)
    whole, resumed = (maps_of(folder / "heatmaps.parquet") for folder in (explained[1], tmp_path))
    assert sum(seen) == len(whole[0]) == len(set(resumed[0]))
    assert whole[0] == resumed[0]
    np.testing.assert_allclose(whole[2], resumed[2], atol=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == FILES, "no chunk is left"


def test_a_second_run_computes_no_heatmap_anew(trained, explained, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping.classifiers, "load_classifier", lambda _: pytest.fail("the model was loaded again"))
    output = shutil.copytree(explained[1], tmp_path / "out")
    (output / "localisation.json").unlink()
    run(trained, "--output-dir", output)
    assert numbers_of(output) == numbers_of(explained[1])


def test_heatmaps_of_another_method_model_or_image_are_not_taken_for_these(trained, checkpoint, explained, tmp_path):
    with pytest.raises(ValueError, match="with method cam, not grad-cam; give another --output-dir"):
        run(trained, "--method", "grad-cam", "--output-dir", explained[1])
    (tmp_path / "list.txt").write_text(maps_of(explained[1] / "heatmaps.parquet")[0][0])
    with pytest.raises(ValueError, match="of other images; give another --output-dir"):
        run(trained, "--images", tmp_path / "list.txt", "--output-dir", explained[1])
    with pytest.raises(ValueError, match="with equalize False, not True"):
        run(trained, "--equalize", "--output-dir", explained[1])
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ValueError, match="with sha256 of the weights"):
        run(checkpoint, "--output-dir", explained[1])


# Numbers


def top(places, line, cell):
    """Where the parabola through a line's largest cell and its neighbours is highest."""
    if not 0 < cell < len(line) - 1:
        return places[cell]
    square, linear, _ = np.polyfit([-1, 0, 1], line[cell - 1 : cell + 2], 2)
    return np.interp(cell - linear / (2 * square), np.arange(len(line)), places)


def test_the_pointing_game_is_that_of_the_list_of_boxes(explained, boxes):
    names, _, maps = maps_of(explained[1] / "heatmaps.parquet")
    about, numbers = predictions.read_about(explained[1] / "heatmaps.parquet"), numbers_of(explained[1])
    hits = {}
    for (name, finding), found in boxes.groupby(["name", "finding"]):
        heat = maps[names.index(f"images/{name}"), about["findings"].index(finding)]
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        rows, columns = about["places"]
        x, y = top(columns, heat[y], x) * 1024, top(rows, heat[:, x], y) * 1024
        inside = (found["x"] <= x) & (x <= found["x"] + found["width"])
        inside &= (found["y"] <= y) & (y <= found["y"] + found["height"])
        hits.setdefault(finding, []).append(inside.any())
    assert len(hits) >= 6
    for finding, found in hits.items():
        row = value(numbers, "this model", finding, "peak", "hit")
        assert row["value"] == pytest.approx(np.mean(found)), finding
    mean = value(numbers, "this model", "mean", "peak", "hit")
    assert mean["value"] == pytest.approx(np.mean([np.mean(found) for found in hits.values()]))
    assert mean["low"] <= mean["value"] <= mean["high"] and mean["boxes"] == len(boxes)


def test_the_screen_shows_every_finding_and_what_needs_no_image(explained, boxes):
    screen, output = explained
    numbers = numbers_of(output)
    lines = {line.split("  ")[0]: line for line in screen.splitlines()}
    for finding in sorted(set(boxes["finding"])):
        assert f"{value(numbers, 'this model', finding, 'peak', 'hit')['value']:.3f}" in lines[finding]
    for name, method in (("mean", "this model"), ("image-blind", "image-blind"), ("random map", "random map")):
        for measure in (("peak", "hit"), ("one box", "IoU", 0.3), ("regions", "IoBB", 0.5), ("mask", "IoU")):
            assert f"{value(numbers, method, 'mean', *measure)['value']:.3f}" in lines[name]
    assert "Synthetic images: these scores say nothing about radiographs." in screen
    assert "cross-fitted" in screen
    table = screen.splitlines().index(lines["image-blind"])
    assert max(map(len, screen.splitlines()[: table + 2])) <= 110


def test_the_pages_hold_every_table_and_the_published_rows_with_source_and_trap(explained):
    numbers = numbers_of(explained[1])
    for name in ("localisation.md", "localisation.html"):
        page = html.unescape((explained[1] / name).read_text())
        for row in numbers["published"]:
            assert row["method"] in page and row["trap"] in page and row["source"] in page
        for finding in {row["finding"] for row in numbers["table"]} - {"mean"}:
            assert page.count(finding) >= 5
        assert "Synthetic images" in page and "image-blind" in page and str(explained[1].parent) not in page
    assert "![Best and worst boxes" in (explained[1] / "localisation.md").read_text()
    assert "data:image/png;base64" in (explained[1] / "localisation.html").read_text()


def test_the_contact_sheet_has_a_row_for_each_finding(explained, boxes):
    width, height = Image.open(explained[1] / "contact_sheet.png").size
    assert width == 1200 and height > 150 * boxes["finding"].nunique()


def test_the_boxes_are_cocos(explained, boxes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(explained[1] / "coco_boxes.json"))
    results = truth.loadRes(str(explained[1] / "coco_detections.json"))
    assert len(truth.anns) == len(boxes) and len(truth.imgs) == boxes["name"].nunique()
    assert {(row["width"], row["height"]) for row in truth.imgs.values()} == {(1024, 1024)}
    assert all(0 <= row["score"] <= 1 and min(row["bbox"]) >= 0 for row in results.anns.values())
    judged = COCOeval(truth, results, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert 0 <= judged.stats[1] <= 1


# Comparisons


def test_two_methods_are_compared_on_the_same_boxes(trained, explained, tmp_path, capsys):
    output = shutil.copytree(explained[1], tmp_path / "out")
    run(trained, "--against-method", "grad-cam++", "--output-dir", output)
    numbers = numbers_of(output)
    for row in numbers["comparison"]:
        key = ("this model", row["finding"], row["rule"], row["quantity"], row["above"])
        if row["a"] is not None:
            assert row["a"] == pytest.approx(value(numbers, *key)["value"])
            assert row["difference"] == pytest.approx(row["a"] - row["b"]), key
    assert predictions.read_about(output / "against.parquet")["method"] == "grad-cam++"
    assert "A is convnext by cam, B is convnext by grad-cam++" in capsys.readouterr().out
    with pytest.raises(ValueError, match="the method is cam on both sides"):
        run(trained, "--against-method", "cam", "--output-dir", output)


def test_a_model_is_not_compared_with_itself_but_with_another(trained, checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit):
        explain.parse([str(trained), "--against", f"{trained}/"])
    assert "is the model itself" in capsys.readouterr().err
    rename_findings(checkpoint, {"Mass": "Lump"})
    run(trained, "--against", checkpoint, "--output-dir", tmp_path / "out")
    numbers = numbers_of(tmp_path / "out")
    assert {row["difference"] for row in numbers["comparison"] if row["a"] is not None} == {0}
    assert any(note.startswith("Boxes of findings that the model does not have") for note in numbers["notes"])
    assert "Mass" not in {row["finding"] for row in numbers["table"]}


def test_a_model_with_random_weights_scores_as_chance(trained, tmp_path, capsys):
    run(trained, "--randomise", "--output-dir", tmp_path)
    numbers = numbers_of(tmp_path)
    for measure in (("peak", "hit"), ("one box", "IoU", 0.3), ("mask", "IoU")):
        random = value(numbers, "random weights", "mean", *measure)
        chance = value(numbers, "random map", "mean", *measure)
        assert random["low"] <= chance["high"] and chance["low"] <= random["high"], measure
    trained_maps, random_maps = (maps_of(tmp_path / f"{name}.parquet")[2] for name in ("heatmaps", "random-weights"))
    assert trained_maps.shape == random_maps.shape and not np.allclose(trained_maps, random_maps)
    assert "Random weights: the same network, not trained." in " ".join(capsys.readouterr().out.split())


# Other maps


def test_larger_and_mirrored_images_give_finer_maps_and_the_probabilities_of_score(trained, explained, tmp_path):
    output = tmp_path / "fine"
    run(trained, "--image-size", 64, "--tta", "flip", "--output-dir", output)
    score.main([str(trained), "--tta", "flip", "--output-dir", str(tmp_path)])
    scored = predictions.read(tmp_path / "predictions.parquet")
    names, logits, maps = maps_of(output / "heatmaps.parquet")
    rows = scored.rows.reset_index().set_index("image_file_path").loc[names, "index"]
    np.testing.assert_allclose(logits, scored.logits[rows], atol=1e-5)
    assert maps.shape[2] == 2 * maps_of(explained[1] / "heatmaps.parquet")[2].shape[2]
    words = "by cam at 64 pixels, averaged with the mirror image"
    assert words in (output / "localisation.md").read_text().replace("\n", " ")
    model = numbers_of(output)["about"]["models"][0]
    assert (model["image_size"], model["tta"], model["relative"]) == (64, "flip", False)


def test_relative_maps_lack_the_mean_map_of_validation(trained, explained, tmp_path, monkeypatch):
    monkeypatch.setattr(mapping, "CHUNK", 8)
    compute, seen = mapping.heatmap_passes.compute_heatmaps, []

    def note(mapper, part, *others):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append((len(part), compute(mapper, part, *others)))
        return seen[-1][1]

    monkeypatch.setattr(mapping.heatmap_passes, "compute_heatmaps", note)
    with pytest.raises(KeyboardInterrupt):
        run(trained, "--relative", "--output-dir", tmp_path)
    assert seen[1][0] == 8, "the mean map comes first"
    with pytest.raises(ValueError, match="with relative True, not False; give another --output-dir"):
        run(trained, "--output-dir", tmp_path)
    monkeypatch.setattr(mapping.heatmap_passes, "compute_heatmaps", compute)
    run(trained, "--relative", "--output-dir", tmp_path)
    (_, plain_logits, plain), (_, logits, maps) = (
        maps_of(folder / "heatmaps.parquet") for folder in (explained[1], tmp_path)
    )
    np.testing.assert_allclose(plain - maps, np.broadcast_to(seen[0][1][1].mean(0), maps.shape), atol=1e-4)
    np.testing.assert_allclose(logits, plain_logits, atol=1e-5)
    assert "minus the mean map of validation images" in (tmp_path / "localisation.md").read_text().replace("\n", " ")


def test_integrated_gradients_begin_at_the_mean_of_validation_images(trained, archive, explained, tmp_path):
    run(
        trained,
        "--method",
        "integrated-gradients",
        "--tta",
        "flip",
        "--against-method",
        "cam",
        "--output-dir",
        tmp_path,
    )
    names, _, maps = maps_of(tmp_path / "heatmaps.parquet")
    about = predictions.read_about(tmp_path / "heatmaps.parquet")
    assert about["places"] == [[(cell + 0.5) / 32 for cell in range(32)]] * 2 and about["grid"] == [32, 32]
    plain_names, _, plain = maps_of(explained[1] / "heatmaps.parquet")
    assert names == plain_names
    rival = maps_of(tmp_path / "against.parquet")[2]
    assert rival.shape == plain.shape and "integrated-gradients" in (tmp_path / "localisation.md").read_text()

    model, processor, _ = load_classifier(trained)

    def shown(chosen):
        pixels = np.stack([read_pixels(archive / "images" / Path(name).name, sides(processor)[0]) for name in chosen])
        return model_input(torch.from_numpy(pixels)[:, None], processor, channels_last=False)

    train = (archive / "train_val_list.txt").read_text().split()
    start = shown([name for name in train if sources.is_validation(name[:8])]).mean(0, keepdim=True)
    first = shown(names[:2])
    own, mirrored = (
        Heatmapper(model, "integrated-gradients", start=begin).compute(image)[1]
        for begin, image in ((start, first), (start.flip(-1), first.flip(-1)))
    )
    wanted = (own + mirrored.flip(-1)) / 2
    np.testing.assert_allclose(maps[:2], wanted, atol=1e-4 * float(wanted.abs().max()))


def test_a_mean_of_validation_images_that_are_not_there_is_one_clear_line(trained, archive, builder, tmp_path):
    folder = parquet_of(archive, builder, tmp_path)
    for flags, why in (
        (["--relative"], "mean map --relative takes"),
        (["--method", PATH], f"mean image {PATH} begin at"),
    ):
        with pytest.raises(ValueError, match=f"hospital has no validation images, whose {why}"):
            run(trained, *flags, "--dataset", folder, "--output-dir", tmp_path / "out")


def test_a_size_that_gives_no_finer_map_or_that_the_model_does_not_take_is_refused(trained, archive, tiny, tmp_path):
    with pytest.raises(ValueError, match="image size 16 is less than the .* pixels of"):
        run(trained, "--image-size", 16, "--output-dir", tmp_path / "small")
    flags = ["--dataset", archive, "--model", tiny("vit"), "--epochs", 0, "--output-dir", tmp_path / "vit"]
    finetune.main([str(flag) for flag in flags])
    with pytest.raises(ValueError, match="takes no images of 64 pixels: give no --image-size"):
        run(tmp_path / "vit", "--image-size", 64, "--output-dir", tmp_path / "out")


# Lists of images


def test_listed_images_get_heatmaps_and_are_never_judged_without_a_box(trained, archive, boxes, tmp_path, capsys):
    test = (archive / "test_list.txt").read_text().split()
    empty = [name for name in test if name not in set(boxes["name"])][:3]
    (tmp_path / "empty.txt").write_text("\n".join(empty))
    run(trained, "--images", tmp_path / "empty.txt", "--output-dir", tmp_path / "empty")
    assert maps_of(tmp_path / "empty" / "heatmaps.parquet")[0] == sorted(f"images/{name}" for name in empty)
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"heatmaps.parquet"}
    assert "No listed image has a box of a finding that the model has." in capsys.readouterr().out
    boxed = sorted(set(boxes["name"]))[:4]
    (tmp_path / "both.txt").write_text("".join(f"{name.removesuffix('.png')} 1 2\n\n" for name in [*empty, *boxed]))
    run(trained, "--images", tmp_path / "both.txt", "--output-dir", tmp_path / "both")
    assert len(maps_of(tmp_path / "both" / "heatmaps.parquet")[0]) == 7
    numbers = numbers_of(tmp_path / "both")
    assert numbers["about"]["n_images"] == 4 and numbers["about"]["n_boxes"] == boxes["name"].isin(boxed).sum()


def test_a_name_that_is_not_there_is_refused_by_its_line(trained, boxes, tmp_path):
    (tmp_path / "list.txt").write_text(f"{boxes['name'].iloc[0]}\n\nnobody.png\n")
    with pytest.raises(ValueError, match=r"list.txt, line 3: nobody.png is not in test of .* \(1 such images\)"):
        run(trained, "--images", tmp_path / "list.txt", "--output-dir", tmp_path / "out")
    run(trained, "--images", tmp_path / "list.txt", "--allow-missing", "--output-dir", tmp_path / "out")
    assert len(maps_of(tmp_path / "out" / "heatmaps.parquet")[0]) == 1
    (tmp_path / "list.txt").write_text("nobody.png")
    with pytest.raises(ValueError, match="list.txt names no image of test"):
        run(trained, "--images", tmp_path / "list.txt", "--allow-missing", "--output-dir", tmp_path / "none")


# What leaves the machine


def test_a_push_takes_nothing_of_it(checkpoint, boxes):
    score.main([str(checkpoint)])
    before = set(hub.model_files(checkpoint))
    run(checkpoint)
    assert FILES <= {path.name for path in (checkpoint / "explain").iterdir()}
    pushed = hub.model_files(checkpoint)
    assert set(pushed) == before and "README.md" in pushed
    card = (checkpoint / "README.md").read_text()
    assert "## Where it looks" in card and "![" not in card
    assert not any(name[:12] in card for name in boxes["name"])


def test_the_card_has_the_same_section_whichever_command_comes_first(checkpoint):
    score.main([str(checkpoint)])
    without = (checkpoint / "README.md").read_text()
    run(checkpoint)
    last = (checkpoint / "README.md").read_text()
    run(checkpoint)
    assert (checkpoint / "README.md").read_text() == last, "it is there once"
    score.main([str(checkpoint)])
    assert (checkpoint / "README.md").read_text() == last != without
    assert all("Where it looks" in (checkpoint / "score" / f"report.{form}").read_text() for form in ("md", "html"))
    mean = value(numbers_of(checkpoint / "explain"), "this model", "mean", "peak", "hit")
    blind = value(numbers_of(checkpoint / "explain"), "image-blind", "mean", "peak", "hit")
    section = last.partition("## Where it looks")[2].partition("## Limits")[0]
    for row in (mean, blind):
        assert f"{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})" in section
    numbers = numbers_of(checkpoint / "explain")
    numbers["about"]["models"][0]["sha256"] = "of other weights"
    (checkpoint / "explain" / "localisation.json").write_text(json.dumps(numbers))
    score.main([str(checkpoint)])
    assert (checkpoint / "README.md").read_text() == without


def test_images_that_may_not_be_passed_on_are_in_no_page(trained, archive, builder, tmp_path):
    hospital = parquet_of(archive, builder, tmp_path)
    run(trained, "--dataset", hospital, "--output-dir", tmp_path / "out")
    page, numbers = (tmp_path / "out" / "localisation.html").read_text(), numbers_of(tmp_path / "out")
    assert numbers["about"]["may_be_passed_on"] is False and numbers["about"]["n_images"] == 6
    assert "data:image" not in page and "may not be passed on" in page
    assert "![" not in (tmp_path / "out" / "localisation.md").read_text()
    assert (tmp_path / "out" / "contact_sheet.png").exists()
    assert str(tmp_path) not in page + json.dumps(numbers)


# Bad input


def rename_findings(checkpoint, names):
    config = json.loads((checkpoint / "config.json").read_text())
    config["id2label"] = {number: names.get(name, name) for number, name in config["id2label"].items()}
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (checkpoint / "config.json").write_text(json.dumps(config))


def test_boxes_of_findings_that_the_model_lacks_are_left_out_and_counted(checkpoint, boxes, tmp_path, capsys):
    rename_findings(checkpoint, {"Mass": "Lump"})
    run(checkpoint, "--output-dir", tmp_path / "out")
    count = (boxes["finding"] == "Mass").sum()
    assert f"Boxes of findings that the model does not have are left out: Mass {count}." in capsys.readouterr().out
    assert numbers_of(tmp_path / "out")["about"]["n_boxes"] == len(boxes) - count
    rename_findings(checkpoint, {name: f"not {name}" for name in set(boxes["finding"])})
    with pytest.raises(ValueError, match="the model has none of the findings that have boxes"):
        run(checkpoint, "--output-dir", tmp_path / "none")


def test_a_dataset_without_boxes_is_one_clear_line(trained, archive, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in archive.iterdir():
        if path.name != "BBox_List_2017.csv":
            (plain / path.name).symlink_to(path)
    with pytest.raises(
        ValueError, match="no image of test of .*plain has a box: give another --dataset or --split, or"
    ):
        run(trained, "--dataset", plain, "--output-dir", tmp_path / "out")
    with pytest.raises(ValueError, match="has no split nothing"):
        run(trained, "--split", "nothing", "--output-dir", tmp_path / "out")


def test_a_box_outside_its_image_is_refused_by_image_and_finding(trained, archive, builder, tmp_path):
    def move(row):
        row["objects"]["bbox"] = [[x + 2000, y, width, height] for x, y, width, height in row["objects"]["bbox"]]
        return row

    hospital = parquet_of(archive, builder, tmp_path, move)
    with pytest.raises(
        ValueError, match=r"\d{8}_\d{3}.png: the box of .* is not inside its image of 1024 × 1024 pixels"
    ):
        run(trained, "--dataset", hospital, "--output-dir", tmp_path / "out")


def test_a_checkpoint_of_no_one_dataset_needs_one(checkpoint, tmp_path):
    (checkpoint / "settings.yaml").unlink()
    with pytest.raises(ValueError, match="names no dataset: give one --dataset"):
        run(checkpoint, "--output-dir", tmp_path / "out")


def test_another_method_than_the_architecture_has_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="attention needs layers of attention"):
        run(trained, "--method", "attention", "--output-dir", tmp_path / "out")
