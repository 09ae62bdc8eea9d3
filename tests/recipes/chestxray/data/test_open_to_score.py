"""A dataset is opened to be scored without the images that a model has seen, and it says what is in doubt."""

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chestxray import repository
from chestxray.data import exposure, opening
from chestxray.training.settings import Settings

SAMPLE = str(repository.SAMPLE)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def settings():
    return Settings(dataset=[SAMPLE], num_proc=1)


@pytest.fixture(scope="module")
def sample(settings):
    return opening.open_dataset(SAMPLE, settings)


@pytest.fixture
def model(sample, tmp_path):
    """`model(name, train=range, validation=range)`: a folder that has seen these rows of the sample's test split."""

    def write(name, **seen):
        images, patients = sample.keys("test")
        rows = [(SAMPLE, split, images[row], patients[row]) for split, rows in seen.items() for row in rows]
        table = pa.Table.from_pandas(pd.DataFrame(rows, columns=["dataset", "split", "image", "patient"]))
        metadata = {**table.schema.metadata, b"digests": b"[]", b"complete": b"true"}
        (tmp_path / name).mkdir()
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / name / exposure.FILE)
        return tmp_path / name

    return write


def test_images_of_a_patient_that_a_model_knows_are_refused_or_left_out(sample, settings, model):
    knows = model("knows", train=[0])
    patient = sample.keys("test").patients[0]
    count = sample.keys("test").patients.count(patient)
    with pytest.raises(ValueError, match=f"^{count} of the .* images of test in .* --seen leave-out"):
        opening.open_to_score(SAMPLE, "test", settings, [knows])
    left = opening.open_to_score(SAMPLE, "test", settings, [knows], leave_out=True)
    assert patient not in left.keys("test").patients
    assert len(left.splits["test"]) == len(sample.splits["test"]) - count
    assert any("are left out: a model was trained on them" in note for note in left.notes)


def test_all_models_count_and_so_does_a_rival(settings, model):
    knows, fresh = model("knows", train=[0]), model("fresh", train=[])
    for models, rivals in (([fresh, knows], []), ([fresh], [knows])):
        with pytest.raises(ValueError, match="must not be scored"):
            opening.open_to_score(SAMPLE, "test", settings, models, rivals)
    assert opening.open_to_score(SAMPLE, "test", settings, [fresh]).notes == ()


def test_images_that_a_model_was_chosen_by_are_scored_with_a_word(settings, model):
    chosen = opening.open_to_score(SAMPLE, "test", settings, [model("chosen", validation=[0, 1])])
    assert [note for note in chosen.notes if note.startswith("A model was chosen by 2 of the ")]


def test_validation_is_the_rule_where_nobody_tells_and_the_doubt_is_named(sample, settings, tmp_path):
    opened = opening.open_to_score(SAMPLE, "test", settings, [tmp_path], [tmp_path])
    assert opened.splits["validation"]["image_file_path"] == sample.splits["validation"]["image_file_path"]
    assert all("It is not known which images" in note for note in opened.notes) and len(opened.notes) == 2


def test_the_training_images_themselves_are_opened_with_a_word(settings, tmp_path):
    assert opening.TRAINED_ON in opening.open_to_score(SAMPLE, "train", settings, [tmp_path]).notes


def test_a_split_that_is_not_there_is_refused_with_those_that_are(settings, tmp_path):
    with pytest.raises(opening.NoSplit, match="has no split other, only train, .*: give another --split"):
        opening.open_to_score(SAMPLE, "other", settings, [tmp_path])
