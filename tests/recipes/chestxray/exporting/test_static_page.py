"""What the static page promises, in a real headless browser: the numbers of predict.py, and no word to anybody else."""

import contextlib
import io
import json
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

import predict
from browser import LOADED, answer_to, choose, chromium_or_skip, open_page, runtime_or_skip, serve
from chestxray.exporting import static_page
from dicoms import coded, radiograph, save
from small_onnx import FINDINGS, onnx_bytes

CLOSE = 1e-3
UNLIKE = "This does not look like the images"


@pytest.fixture(scope="module")
def runtime():
    return runtime_or_skip()


@pytest.fixture(scope="module")
def launch():
    with chromium_or_skip() as start:
        yield start


@pytest.fixture(scope="module")
def browser(launch):
    found = launch()
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(runtime, tmp_path_factory):
    made = tmp_path_factory.mktemp("page")
    static_page.write_page(made, onnx_bytes(), "small", runtime)
    return made


@pytest.fixture(scope="module")
def visit(folder, browser):
    """(a tab with the page, all requests of the browser)"""
    with serve(folder) as address:
        context, requests = browser.new_context(), []
        context.on("request", lambda request: requests.append(request))
        yield open_page(context, address), requests
        context.close()


@pytest.fixture
def tab(visit):
    return visit[0]


# Files


def picture(*shape, seed=0):
    """Smooth values with some noise, 0 to 255."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 6, *shape[2:]), np.uint8)
    grown = np.asarray(Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC)).astype(int)
    return (grown * 0.7 + random.integers(0, 60, shape)).clip(0, 255).astype(np.uint8)


def stored(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(kind, depth, rows, width, height, interlaced=0, before=b""):
    """A PNG file by hand: rows of bytes, each with its filter's number in front."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), before, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def interlaced(grey):
    """A grey picture in the seven passes of Adam7."""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.tobytes() for x, y, across, down in starts for row in grey[y::down, x::across] if len(row)
    )
    return png(0, 8, rows, grey.shape[1], grey.shape[0], interlaced=1)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


IMAGES = {
    "grey.png": lambda: stored(Image.fromarray(picture(70, 51)), "PNG"),
    "sixteen.png": lambda: stored(Image.fromarray(picture(60, 60).astype(np.uint16) * 16), "PNG"),
    "colour.png": lambda: stored(Image.fromarray(picture(90, 61, 3)), "PNG"),
    "alpha.png": lambda: stored(Image.fromarray(picture(64, 64, 4), "RGBA"), "PNG"),
    "alpha-grey.png": lambda: stored(Image.fromarray(picture(64, 64, 2), "LA"), "PNG"),
    "palette.png": lambda: stored(Image.fromarray(picture(64, 60, 3)).quantize(11), "PNG"),
    "one-bit.png": lambda: stored(Image.fromarray(picture(64, 61)).convert("1"), "PNG"),
    "interlaced.png": lambda: interlaced(picture(37, 45)),
    "turned.png": lambda: stored(Image.fromarray(picture(40, 70)), "PNG", exif=turned()),
    "grey.jpg": lambda: stored(Image.fromarray(picture(200, 150)), "JPEG"),
    "colour.jpg": lambda: stored(Image.fromarray(picture(120, 160, 3)), "JPEG", quality=92),
    "progressive.jpg": lambda: stored(Image.fromarray(picture(120, 160)), "JPEG", progressive=True),
    "turned.jpg": lambda: stored(Image.fromarray(picture(90, 160)), "JPEG", exif=turned()),
    "jpeg-called.png": lambda: stored(Image.fromarray(picture(90, 90)), "JPEG"),
}


def dicom(bits=12, seed=0, **fields):
    values = picture(60, 50, seed=seed).astype(np.uint8 if bits == 8 else np.uint16) << max(0, bits - 9)
    return radiograph(values, bits, **fields)


def jpeg_dicom():
    made = dicom(8)
    made.PixelData = encapsulate([stored(Image.fromarray(picture(60, 50)), "JPEG", quality=95)])
    return made


WINDOW = {"WindowCenter": 14000, "WindowWidth": 20000}
DICOMS = {
    "plain": (lambda: dicom(), {}),
    "sixteen-inverted-window": (lambda: dicom(16, photometric="MONOCHROME1", **WINDOW), {}),
    "rescaled-implicit": (
        lambda: dicom(RescaleSlope="-2", RescaleIntercept="100.5", WindowCenter=[-2000, 1], WindowWidth=[3000, 2]),
        {"syntax": ImplicitVRLittleEndian},
    ),
    "jpeg": (jpeg_dicom, {"syntax": JPEGBaseline8Bit}),
}


def save_dicom(folder, name, make, syntax=None):
    made = make()
    if syntax is JPEGBaseline8Bit:  # its pixels are compressed already
        made.file_meta.TransferSyntaxUID = syntax
        path = folder / f"{name}.dcm"
        made.save_as(path, enforce_file_format=True)
        return path
    return save(folder, made, name, **({"syntax": syntax} if syntax else {}))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{name: path} of pictures that can be read."""
    place = tmp_path_factory.mktemp("files")
    found = {name: place / name for name in IMAGES}
    for name, path in found.items():
        path.write_bytes(IMAGES[name]())
    return found | {name: save_dicom(place, name, make, **how) for name, (make, how) in DICOMS.items()}


@pytest.fixture(scope="module")
def predicted(files, tmp_path_factory):
    """What predict.py says: a table with the name of each file."""
    output = tmp_path_factory.mktemp("predicted")
    (output / "model.onnx").write_bytes(onnx_bytes())
    flags = [output / "model.onnx", *files.values(), "--output-dir", output, "--format", "parquet"]
    predict.main([str(flag) for flag in flags])
    return pd.read_parquet(output / "predicted.parquet").set_index(pd.Index(files))


def shown(tab):
    """{finding: {what: number or None}} of the page."""
    lines = tab.locator("#findings label").all()
    rows = [line.evaluate("line => ({...line.dataset})") for line in lines]
    assert len(rows) == len(FINDINGS)
    numbers = {"": None, "true": 1.0, "false": 0.0}
    return {
        row.pop("name"): {what: numbers[text] if text in numbers else float(text) for what, text in row.items()}
        for row in rows
    }


# The same numbers as predict.py


@pytest.mark.parametrize("name", [*IMAGES, *DICOMS])
def test_each_file_has_the_numbers_of_predict(tab, files, predicted, name):
    assert choose(tab, files[name]) == ""
    wanted, found = predicted.loc[name], shown(tab)
    assert wanted["error"] == ""
    columns = {"own": "prob", "calibrated": "calibrated", "call": "call", "percentile": "percentile"}
    for finding in FINDINGS:
        for what, column in columns.items():
            value = wanted[f"{column}_{finding}"]
            if pd.isna(value):
                assert found[finding][what] is None, (finding, what)
            else:
                apart = 0.5 if what == "percentile" else CLOSE
                assert found[finding][what] == pytest.approx(float(value), abs=apart), (finding, what)
    assert tab.is_visible("#unlike") == bool(wanted["unlike_training"])


def test_a_change_of_one_grey_would_be_seen(predicted):
    """Else the comparison above would say little."""
    random = np.random.default_rng(3).integers(50, 200, (1, 48, 48), np.uint8)
    model = static_page.onnx_file.load(onnx_bytes())
    changed = model.outputs(random + 1)["probabilities"] - model.outputs(random)["probabilities"]
    assert np.abs(changed).max() > CLOSE
    assert predicted["prob_Mass"].nunique() > 10


def test_a_picture_beyond_the_distance_is_flagged(tab, tmp_path):
    for grey, is_far in ((230, True), (100, False)):
        Image.fromarray(np.full((60, 60), grey, np.uint8)).save(tmp_path / "flat.png")
        assert choose(tab, tmp_path / "flat.png") == ""
        assert tab.is_visible("#unlike") == is_far
    assert UNLIKE in tab.text_content("#unlike")


def test_a_file_that_comes_before_the_model_waits_for_it(folder, browser, files):
    context = browser.new_context()
    with serve(folder) as address:
        tab = context.new_page()
        tab.goto(address)  # the model takes longer
        tab.set_input_files("#input", files["grey.png"])
        tab.wait_for_selector("body[data-answers='1']", timeout=LOADED)
        assert tab.is_visible("#result")
    context.close()


# What is drawn


def pixels(tab, canvas):
    """(height, width, 4) of a canvas."""
    text = tab.evaluate(
        "name => { const c = document.querySelector(name);"
        "return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]] }",
        canvas,
    )
    return np.array(text[2], np.uint8).reshape(text[1], text[0], 4)


def test_the_picture_and_a_heatmap_for_each_finding_are_drawn(tab, files):
    assert choose(tab, files["grey.png"]) == ""
    with Image.open(files["grey.png"]) as image:
        assert np.array_equal(pixels(tab, "#picture")[..., 0], np.asarray(image))
    first = pixels(tab, "#heatmap")
    assert first.shape[:2] == (70, 51) and first[..., 3].max() > 100 and first[..., :3].std() > 10
    edge = first[: 70 * 4 // 48 - 1]
    assert not edge.any(), "the model sees the middle 40 of 48"
    tab.locator("#findings input").nth(1).check()
    assert not np.array_equal(pixels(tab, "#heatmap"), first)
    tab.uncheck("#show-heatmap")
    assert not pixels(tab, "#heatmap").any()
    tab.check("#show-heatmap")


def test_a_map_lies_where_its_rows_and_columns_look(folder, browser, files, tmp_path):
    count = static_page.onnx_file.load(onnx_bytes()).outputs(np.zeros((1, 48, 48), np.uint8))["maps"].shape[-1]
    lower = {}
    for name, places in {"even": None, "top": [np.linspace(0.1, 0.2, count).tolist()] * 2}.items():
        place = tmp_path / name
        place.mkdir()
        for path in folder.iterdir():
            (place / path.name).write_bytes(path.read_bytes())
        about = json.loads((folder / "model.json").read_text()) | {"places": places}
        (place / "model.json").write_text(json.dumps(about))
        with serve(place) as address, contextlib.closing(browser.new_context()) as context:
            tab = open_page(context, address)
            assert choose(tab, files["grey.png"]) == ""
            lower[name] = pixels(tab, "#heatmap")[35:60, 16:40].astype(int)
    spread = {name: np.ptp(part, axis=(0, 1)).max() for name, part in lower.items()}
    assert spread["top"] <= 2 < 20 < spread["even"], "below the last place all is as at the last place"


def test_all_works_with_the_keyboard(tab, files):
    tab.focus("#example")
    assert answer_to(tab, lambda: tab.keyboard.press("Enter")) == ""
    assert "The example, 80 × 80 pixels" in tab.inner_text("#file")
    tab.focus("#findings input:checked")
    before = pixels(tab, "#heatmap")
    tab.keyboard.press("ArrowDown")
    assert tab.locator("#findings input").nth(1).is_checked()
    assert not np.array_equal(pixels(tab, "#heatmap"), before)


def test_a_file_can_be_dropped(tab, files):
    drop = """data => {
        const transfer = new DataTransfer();
        for (const name of ["dropped.png", "second.png"])
            transfer.items.add(new File([new Uint8Array(data)], name));
        dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }"""
    assert answer_to(tab, lambda: tab.evaluate(drop, list(files["grey.png"].read_bytes()))) == ""
    assert "dropped.png, 51 × 70 pixels" in tab.inner_text("#file")
    tab.get_by_text("One picture at a time").wait_for(timeout=LOADED)


def test_it_fits_a_phone(tab, files):
    assert choose(tab, files["grey.png"]) == ""
    size = tab.viewport_size
    tab.set_viewport_size({"width": 320, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    tab.set_viewport_size(size)


CONTRAST = """() => {
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const found = numbers(getComputedStyle(node).backgroundColor);
            if (found.length < 4 || found[3] > 0) return found;
        }
    };
    const shown = [...document.querySelectorAll("body *")].filter(node => node.checkVisibility() && node.innerText);
    return shown.map(node => {
        const pair = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_by_weak_eyes(tab, files, scheme):
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    assert choose(tab, files["grey.png"]) == ""
    tab.emulate_media(color_scheme=scheme)
    found = tab.evaluate(CONTRAST)
    tab.emulate_media(color_scheme="light")
    assert len(found) > 40 and min(found) >= 4.5


def test_it_says_what_it_is(tab):
    text = tab.inner_text("body")
    assert "not a medical device" in text and "never leaves your computer" in text
    assert "The model: small" in text and "synthetic images" in tab.inner_text("#synthetic")
    assert "from 100 validation images of Small" in text and "200 training images" in text


# What is refused


def scene(frames):
    pictures = [Image.fromarray(picture(20, 20, seed=seed)) for seed in range(frames)]
    return stored(pictures[0], "PNG", save_all=True, append_images=pictures[1:])


def truncated(data, share=0.6):
    return data[: int(len(data) * share)]


BAD = {
    "text.png": (lambda: b"this is no picture", "is no PNG, JPEG or DICOM file"),
    "empty.png": (lambda: b"", "it is empty"),
    "cut.png": (lambda: truncated(IMAGES["grey.png"]()), "cut off"),
    "cut-early.png": (lambda: IMAGES["grey.png"]()[:20], "damaged, or cut off"),
    "cut.jpg": (lambda: truncated(IMAGES["grey.jpg"]()), "it is cut off"),
    "cut-early.jpg": (lambda: IMAGES["grey.jpg"]()[:30], "it is cut off"),
    "huge.png": (lambda: png(0, 8, b"", 10_000, 10_000), "10000 × 10000 pixels, more than 67,108,864"),
    "bomb.png": (lambda: png(0, 8, b"", 1 << 30, 1 << 30), "more than 67,108,864"),
    "short.png": (lambda: png(0, 8, bytes(100), 8000, 8000), "it is cut off"),
    "filter.png": (lambda: png(0, 8, b"\x09" + bytes(10), 10, 1), "it is damaged"),
    "animated.png": (lambda: scene(3), "it holds 3 pictures"),
    "cmyk.jpg": (lambda: stored(Image.fromarray(picture(40, 40)).convert("CMYK"), "JPEG"), "CMYK"),
    "picture.tif": (lambda: stored(Image.fromarray(picture(40, 40)), "TIFF"), "a TIFF file"),
    "locked.zip": (lambda: b"PK\x03\x04" + bytes(50), "an archive"),
}
BAD_DICOMS = {
    "ct": (lambda: dicom(Modality="CT"), {}, "Modality is CT"),
    "lateral": (lambda: dicom(ViewPosition="LATERAL"), {}, "ViewPosition is LATERAL"),
    "coded-lateral": (lambda: dicom(ViewCodeSequence=coded("left lateral")), {}, "ViewCodeSequence is lateral"),
    "hand": (lambda: dicom(BodyPartExamined="HAND OF MR SMITH"), {}, "BodyPartExamined is another one"),
    "raw": (lambda: dicom(PresentationIntentType="FOR PROCESSING"), {}, "PresentationIntentType is FOR PROCESSING"),
    "burnt-in": (lambda: dicom(BurnedInAnnotation="YES"), {}, "BurnedInAnnotation is YES"),
    "frames": (lambda: dicom(NumberOfFrames=3), {}, "NumberOfFrames is 3"),
    "colour": (lambda: dicom(photometric="RGB"), {}, "PhotometricInterpretation is RGB"),
    "huge": (lambda: dicom(Rows=10000, Columns=10000), {}, "10000 × 10000"),
    "deflated": (lambda: dicom(), {"syntax": DeflatedExplicitVRLittleEndian}, "is deflated"),
    "jpeg2000": (lambda: dicom(), {"syntax": JPEG2000Lossless}, r"compressed (JPEG 2000)"),
}


def refusal(tab, path):
    error = choose(tab, path)
    assert error.startswith(f"{path.name} cannot be read: it") and error.endswith(".") and len(error) < 250
    assert "SMITH" not in error and not tab.is_visible("#result")
    return error


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_picture_gets_a_sentence(tab, tmp_path, name):
    make, reason = BAD[name]
    (tmp_path / name).write_bytes(make())
    assert reason in refusal(tab, tmp_path / name)


@pytest.mark.parametrize("name", BAD_DICOMS)
def test_a_dicom_file_that_is_no_frontal_chest_gets_the_tag_that_says_so(tab, tmp_path, name):
    make, how, reason = BAD_DICOMS[name]
    assert reason in refusal(tab, save_dicom(tmp_path, name, make, **how))


def test_a_dicom_file_that_is_cut_off_is_refused_at_every_length(tab, tmp_path):
    data = save_dicom(tmp_path, "whole", dicom).read_bytes()
    for length in (140, 300, 400, 600, len(data) - 5000, len(data) - 1):
        path = tmp_path / f"cut-{length}.dcm"
        path.write_bytes(data[:length])
        assert "cut off" in (error := refusal(tab, path)) or "damaged" in error


def test_it_answers_after_all_of_these(tab, files):
    assert choose(tab, files["plain"]) == "" and tab.is_visible("#result")


# Nobody else


def test_all_requests_go_to_the_page_and_none_carries_anything(visit, files):
    tab, requests = visit
    assert choose(tab, files["grey.png"]) == ""
    home = tab.url.rstrip("/")
    assert len(requests) > 15 and any(request.url.endswith("model.onnx") for request in requests)
    for request in requests:
        assert request.url.startswith((home, f"blob:{home}")), request.url
        assert request.method == "GET" and not request.post_data, request.url


def test_a_file_makes_no_request(visit, files):
    tab, requests = visit
    before = len(requests)
    for name in ("grey.png", "colour.jpg", "plain"):
        assert choose(tab, files[name]) == ""
    assert len(requests) == before


def test_the_page_forbids_other_hosts(tab):
    assert "connect-src 'self'" in tab.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert tab.evaluate("fetch('http://127.0.0.2:9/').then(() => 'went', () => 'refused')") == "refused"


def test_it_works_without_network_after_the_first_visit(folder, browser, files):
    context = browser.new_context()
    with serve(folder) as address:
        open_page(context, address).close()
    context.set_offline(True)
    tab = open_page(context, address)  # the server is gone
    assert tab.get_attribute("body", "data-state") == "ready" and "works without network" in tab.inner_text("body")
    assert choose(tab, files["grey.png"]) == "" and tab.is_visible("#result")
    assert answer_to(tab, lambda: tab.click("#example")) == ""
    context.close()


def test_a_new_version_comes_with_the_visit_after_the_next(runtime, browser, tmp_path):
    """The next one shows what is kept, and loads the new version; no visit mixes the two."""
    context, names = browser.new_context(), []
    with serve(tmp_path) as address:
        for name in ("first", "second", "second", "second"):
            static_page.write_page(tmp_path, onnx_bytes(calibrated=name == "first"), name, runtime)
            tab = open_page(context, address)
            names.append(
                (tab.inner_text("#model-name"), tab.is_visible("#key") or "thresholds by" in tab.inner_text("dl"))
            )
            tab.evaluate("navigator.serviceWorker.getRegistration().then(one => one.update())")
            tab.close()
    context.close()
    assert names[0] == names[1] == ("first", True) and names[-1] == ("second", False)


# Other models


def test_it_runs_on_webgpu_where_there_is_one(launch, folder, files, tmp_path):
    """SwiftShader stands in for a graphics processor; the page itself would not take it."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    engine, refusal = (folder / "engine.js").read_text(), " && !adapter.info?.isFallbackAdapter"
    assert refusal in engine
    (tmp_path / "engine.js").write_text(engine.replace(refusal, ""))
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    other = launch(*flags)
    with contextlib.closing(other), serve(tmp_path) as address:
        tab = open_page(other.new_context(), address)
        assert tab.get_attribute("body", "data-state") == "ready"
        if tab.get_attribute("body", "data-backend") == "wasm":
            pytest.skip("no WebGPU here")
        assert choose(tab, files["grey.png"]) == ""
        model = static_page.onnx_file.load(onnx_bytes())
        wanted = model.outputs(static_page.read_pixels(files["grey.png"], model.size)[None])["probabilities"][0]
        assert [shown(tab)[name]["own"] for name in FINDINGS] == pytest.approx(list(wanted), abs=CLOSE)


def test_without_calibration_it_shows_the_models_own_probability(runtime, browser, files, tmp_path):
    bare = onnx_bytes(calibrated=False, with_distance=False, with_maps=False, equalize=True, synthetic=None)
    static_page.write_page(tmp_path, bare, "bare", runtime)
    with serve(tmp_path) as address:
        context = browser.new_context()
        tab = open_page(context, address)
        assert choose(tab, files["grey.png"]) == ""
        found = shown(tab)
        assert all(row["calibrated"] is row["call"] is None for row in found.values())
        text = tab.inner_text("body")
        assert "the model's own probability" in text and "no thresholds" in text and "no exact heatmap" in text
        assert "not noticed" in text and not tab.is_visible("#synthetic")
        model = static_page.onnx_file.load(bare)
        greys = static_page.read_pixels(files["grey.png"], model.size, True)
        wanted = model.outputs(greys[None])["probabilities"][0]
        assert [found[name]["own"] for name in FINDINGS] == pytest.approx(list(wanted), abs=CLOSE)
        context.close()


def test_a_browser_that_computes_other_numbers_is_told_so(folder, browser, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    about = json.loads((folder / "model.json").read_text())
    about["example"]["probabilities"][2] += 0.002
    (tmp_path / "model.json").unlink()
    (tmp_path / "model.json").write_text(json.dumps(about))
    with serve(tmp_path) as address:
        context = browser.new_context()
        tab = open_page(context, address)
        assert "computes another Mass for the example" in tab.inner_text("#error")
        assert tab.is_disabled("#choose") and tab.get_attribute("body", "data-state") == "failed"
        context.close()


# The folder


def test_the_folder_is_a_space_of_kind_static(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---")[1])
    assert header["sdk"] == "static" and (folder / header["app_file"]).is_file()
    assert all(path.is_file() for path in folder.iterdir()), "no folder in it"


def test_another_model_has_another_version_of_the_page(folder, runtime, tmp_path):
    static_page.write_page(tmp_path, onnx_bytes(calibrated=False), "small", runtime)
    first, second = ((place / "sw.js").read_text().split("\n")[0] for place in (folder, tmp_path))
    assert first != second and first.startswith('const VERSION = "')
    static_page.write_page(tmp_path, onnx_bytes(), "small", runtime)
    assert (tmp_path / "sw.js").read_text().split("\n")[0] == first
