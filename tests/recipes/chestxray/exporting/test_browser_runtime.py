"""onnxruntime-web's files come from a package with the right content, and from nowhere else."""

import io
import tarfile

import pytest

from chestxray.exporting import browser_runtime
from chestxray.files import digest

CONTENT = b"a program"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Every file has a short content, and the cache is empty. The network answers with what `network` holds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(browser_runtime, "SHA256", dict.fromkeys(browser_runtime.SHA256, digest(CONTENT)))
    monkeypatch.setattr(browser_runtime.constants, "HF_HUB_OFFLINE", False)
    network = []
    monkeypatch.setattr(browser_runtime.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(network.pop()))
    return network


def package(content=CONTENT, names=None):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in browser_runtime.SHA256 if names is None else names:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_it_is_downloaded_once_and_then_taken_from_the_cache(small):
    small.append(package())
    first = browser_runtime.collect()
    assert not small and browser_runtime.collect() == first, "a second download would find an empty list"
    assert all(path.read_bytes() == CONTENT for path in first.values()) and set(first) == set(browser_runtime.SHA256)


def test_a_damaged_cache_is_filled_again(small):
    small += [package(), package()]
    next(iter(browser_runtime.collect().values())).write_bytes(b"half")
    assert all(path.read_bytes() == CONTENT for path in browser_runtime.collect().values()) and not small


def test_a_package_of_another_version_or_a_damaged_one_is_refused(small, tmp_path):
    for data, reason in (
        (package(b"other"), "has another ort"),
        (package(names=[]), "is damaged, or not"),
        (package()[:50], "is damaged, or not"),
        (b"no package", "is damaged, or not"),
    ):
        (tmp_path / "given.tgz").write_bytes(data)
        with pytest.raises(ValueError, match=reason):
            browser_runtime.collect(str(tmp_path / "given.tgz"))
        small.append(data)
        with pytest.raises(ValueError, match=reason):
            browser_runtime.collect()


def test_it_takes_a_package_or_an_unpacked_one_without_network(tmp_path):
    (tmp_path / "given.tgz").write_bytes(package())
    with tarfile.open(tmp_path / "given.tgz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    for place in (tmp_path / "unpacked", tmp_path / "unpacked" / "package", tmp_path / "given.tgz"):
        assert set(browser_runtime.collect(str(place))) == set(browser_runtime.SHA256)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty has no ort.wasm.min.mjs"):
        browser_runtime.collect(str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="gone.tgz does not exist"):
        browser_runtime.collect(str(tmp_path / "gone.tgz"))


def test_without_network_it_says_what_to_do(monkeypatch):
    def refuse(url, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr(browser_runtime.urllib.request, "urlopen", refuse)
    with pytest.raises(ValueError, match="cannot be downloaded .*no route to host.* --onnxruntime-web FILE"):
        browser_runtime.collect()
    monkeypatch.setattr(browser_runtime.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE forbids its download.* --onnxruntime-web FILE"):
        browser_runtime.collect()
