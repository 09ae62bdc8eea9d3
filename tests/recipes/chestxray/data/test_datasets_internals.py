"""What the library asks of the insides of `datasets`."""

import multiprocessing
import shutil
import tempfile
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from datasets import Dataset, concatenate_datasets

from chestxray.data import datasets_internals
from chestxray.data.datasets_internals import FolderBuilder
from chestxray.data.mimic import MIMICCXR
from chestxray.data.tar_subsets import TarSubset


@pytest.fixture
def rows():
    return Dataset.from_dict({"name": list("abcdef"), "number": range(6)})


def test_a_column_follows_rows_that_were_chosen_or_put_together(rows):
    for chosen in (rows, rows.select([4, 0, 0]), concatenate_datasets([rows.select([5]), rows])):
        column = datasets_internals.column(chosen, "name")
        assert isinstance(column, pa.Array) and column.to_pylist() == chosen["name"][:]


def test_a_fingerprint_is_that_of_the_rows_and_of_every_part(rows):
    of_all = datasets_internals.fingerprint(rows, 224, False)
    assert datasets_internals.fingerprint(rows, 224, False) == of_all
    others = [(rows, 225, False), (rows, 224, True), (rows.select([1]), 224, False)]
    assert len({of_all, *(datasets_internals.fingerprint(*other) for other in others)}) == 4


def test_the_bytes_of_a_cache_are_counted_and_a_dataset_in_memory_has_none(rows, tmp_path):
    assert datasets_internals.cache_folder(rows) is None
    rows.to_parquet(tmp_path / "rows.parquet")
    stored = Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    doubled = stored.map(lambda row: {"number": 2 * row["number"]}, new_fingerprint="doubled")
    folder = datasets_internals.cache_folder(stored)
    written = sum(file.stat().st_size for file in folder.glob("cache-doubled*.arrow"))
    assert datasets_internals.cached_bytes(folder, "doubled") == written > 0 and len(doubled) == 6
    assert datasets_internals.cached_bytes(folder, "tripled") == 0


class Careless(FolderBuilder):
    """A builder whose rows cannot be read."""

    def _info(self):
        return datasets.DatasetInfo(features=datasets.Features({"name": datasets.Value("string")}))

    def _split_generators(self, dl_manager):
        return [datasets.SplitGenerator("train", {"rows": ["a"]})]

    def _generate_examples(self, rows):
        raise OSError("a.png cannot be read")
        yield


def test_an_error_while_reading_comes_out_as_it_was_raised(tmp_path):
    with pytest.raises(ValueError, match="^a.png cannot be read$"):
        Careless(cache_dir=str(tmp_path)).download_and_prepare()


def test_a_builders_code_is_its_own_and_that_of_all_it_inherits_from_here(tmp_path, monkeypatch):
    digests = {datasets_internals.digest_code(builder) for builder in (FolderBuilder, TarSubset, MIMICCXR)}
    assert len(digests) == 3
    before = datasets_internals.digest_code(MIMICCXR)
    files = {}

    def edited(kind):
        """Each file of the library copied, that of the parent with a new line."""
        name = kind.__module__.rpartition(".")[2]
        files[name] = shutil.copy(module_file(kind), tmp_path / name)
        if name == "observation_builder":
            with open(files[name], "a") as file:
                file.write("# edited\n")
        return files[name]

    module_file = datasets_internals.inspect.getfile
    monkeypatch.setattr(datasets_internals.inspect, "getfile", edited)
    assert datasets_internals.digest_code(MIMICCXR) != before
    assert {"mimic", "observation_builder", "datasets_internals"} <= set(files)


def test_a_cache_is_written_by_one_process_and_keeps_nothing_of_a_killed_one(tmp_path, capfd):
    mine, others = tmp_path / f"{datasets_internals.UNFINISHED}ab12", tmp_path / "tmpab12"
    for left in (mine, others):
        left.write_bytes(b"half")
    with datasets_internals.claim_cache(tmp_path):
        assert not mine.exists() and others.exists(), "`datasets` may be writing it"
        with tempfile.NamedTemporaryFile(dir=tmp_path, delete=False) as file:
            half = Path(file.name)
        assert half.name.startswith(datasets_internals.UNFINISHED)
        waiting = multiprocessing.get_context("fork").Process(target=wait_for_cache, args=[tmp_path])
        waiting.start()
        while "waiting for it" not in (said := capfd.readouterr().out):
            assert waiting.is_alive()
        assert str(tmp_path) in said and waiting.is_alive()
    waiting.join()
    assert waiting.exitcode == 0 and not half.exists()


def wait_for_cache(folder):
    with datasets_internals.claim_cache(folder):
        pass
