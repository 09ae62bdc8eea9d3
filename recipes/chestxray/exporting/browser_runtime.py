"""The files of onnxruntime-web that a static page needs: from npm's registry once, then from a cache.

Two builds of WebAssembly are taken, and a browser loads one of them: the plain one, with SIMD, and the one that also
has WebGPU, for browsers in which WebAssembly can wait for promises (JSPI). The latter is smaller than the build for all
browsers with WebGPU (17 against 27 MB), and the others run the plain one.
"""

import io
import os
import tarfile
import urllib.request
import zlib
from pathlib import Path

from huggingface_hub import constants

from chestxray.files import digest, digest_files, write

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA256 = {  # of files in its folder `dist`
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.jspi.min.mjs": "bc57179d923fda2d88d4a395359c8df44399dde087bf9ff44fc0e40ab398e4d9",
    "ort-wasm-simd-threaded.jspi.mjs": "270e2c6da9f297239d301d329782b6446641cb1e16a77967690adcfca35f3268",
    "ort-wasm-simd-threaded.jspi.wasm": "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93",
}
TIMEOUT = 60  # seconds without an answer
ADVICE = (
    f"Get {URL} on a machine with network (npm pack onnxruntime-web@{VERSION}), and give the file: "
    "--onnxruntime-web FILE"
)


def collect(source: str | None = None) -> dict[str, Path]:
    """{file name: path} of the files in SHA256, each with that content.

    Args:
        source: the package as npm packs it (.tgz), or unpacked as a folder; None is the cache, or else the network.

    Raises:
        FileNotFoundError, ValueError: they are not there, or of another version.
    """
    folder = cache_folder()
    if source and Path(source).is_dir():
        return check(Path(source), find_below(Path(source)))
    if source:
        keep_files(read_package(source), folder)
    elif not is_complete(folder):
        keep_files(download(), folder)
    return check(folder, {name: folder / name for name in SHA256})


def cache_folder() -> Path:
    """Where the files are kept, by the XDG Base Directory Specification."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "chestxray" / f"onnxruntime-web-{VERSION}"


def is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() and digest_files(folder / name) == SHA256[name] for name in SHA256)


def find_below(folder: Path) -> dict[str, Path]:
    """{file name: path} in an unpacked package, or in its parent or its `dist`."""
    places = [folder / part for part in ("package/dist", "dist", ".")]
    found = {name: [place / name for place in places if (place / name).is_file()] for name in SHA256}
    if missing := [name for name, paths in found.items() if not paths]:
        raise FileNotFoundError(f"{folder} has no {missing[0]}: it is not the npm package onnxruntime-web. {ADVICE}")
    return {name: paths[0] for name, paths in found.items()}


def check(source: Path, files: dict[str, Path]) -> dict[str, Path]:
    """The same files. Raises ValueError if one has another content."""
    for name, path in files.items():
        if digest_files(path) != SHA256[name]:
            raise ValueError(f"{source} has another {name} than onnxruntime-web {VERSION}. {ADVICE}")
    return files


def read_package(path: str) -> bytes:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist. {ADVICE}")
    return Path(path).read_bytes()


def download() -> bytes:
    """The package from npm's registry. Raises ValueError where there is no network."""
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"a page needs onnxruntime-web {VERSION}, and HF_HUB_OFFLINE forbids its download. {ADVICE}")
    print(f"Downloading onnxruntime-web {VERSION} from npm's registry ...")
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT) as answer:
            return answer.read()
    except OSError as error:
        raise ValueError(f"onnxruntime-web {VERSION} cannot be downloaded ({error}). {ADVICE}") from error


def keep_files(package: bytes, folder: Path) -> None:
    """Write the files of a package into a folder. Raises ValueError if they are not in it, or of another version."""
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for name, sha256 in SHA256.items():
                part = archive.extractfile(f"package/dist/{name}")
                content = part.read() if part else b""
                if digest(content) != sha256:
                    raise ValueError(f"the package has another {name} than onnxruntime-web {VERSION}. {ADVICE}")
                write(folder / name, content)
    except (tarfile.TarError, zlib.error, KeyError, EOFError, OSError) as error:
        raise ValueError(f"the package is damaged, or not onnxruntime-web {VERSION} ({error}). {ADVICE}") from error
