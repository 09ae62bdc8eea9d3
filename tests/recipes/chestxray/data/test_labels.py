"""Datasets meet in one label space, and an uncertain label counts as the policy says, in training only."""

import ast
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value, concatenate_datasets, load_dataset

from chestxray import NIHChestXray
from chestxray.data import label_choices, labels, predictions, registry
from chestxray.data.descriptor import equal as equal_to
from chestxray.data.labels import Policy
from chestxray.data.observations import OBSERVATIONS, STATES, state_feature
from conftest import ROOT

NEGATIVE, POSITIVE, UNCERTAIN, BLANK, DISAGREEMENT = STATES
COLUMNS = sorted(OBSERVATIONS)  # as MIMIC-CXR-JPG orders them


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    builder = NIHChestXray(
        "metadata", data_dir=str(ROOT / "data" / "sample"), cache_dir=str(tmp_path_factory.mktemp("c"))
    )
    builder.download_and_prepare()
    return builder.as_dataset()["train"]


def chexpert(names=OBSERVATIONS, **states):
    """Images whose observations are negative but for those given: `Pleural_Effusion=[state of each image]`."""
    given = {name.replace("_", " "): column for name, column in states.items()}
    count = max(map(len, given.values()), default=5)
    table = {name: [NEGATIVE] * count for name in names} | given
    paths = [f"train/patient{row:05}/study1/view1_frontal.jpg" for row in range(count)]
    features = {"image_file_path": Value("string"), **{name: state_feature() for name in table}}
    return Dataset.from_dict({"image_file_path": paths, **table}, features=Features(features))


def one(**states):
    """A dataset of the observations given and no other."""
    return chexpert(names=(), **states)


def equal(values, wanted):
    return np.array_equal(values, np.array(wanted, np.float32), equal_nan=True)


# Names


def test_a_dataset_keeps_its_own_findings_in_their_own_order(nih):
    assert labels.findings(None, [nih]) == nih.features["labels"].feature.names[1:]
    assert labels.findings(None, [chexpert(COLUMNS)]) == COLUMNS
    assert labels.findings("nih14", [chexpert()]) == nih.features["labels"].feature.names[1:]
    assert labels.findings("chexpert14", [nih]) == list(OBSERVATIONS)


def test_what_datasets_share_goes_by_meaning_not_by_spelling(nih):
    shared = ["Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax", "Consolidation", "Edema"]
    assert labels.findings("shared", [nih, chexpert()]) == shared
    assert sorted(labels.findings("shared", [chexpert(), nih])) == sorted(shared)
    assert len(labels.findings("shared", [chexpert(), chexpert(COLUMNS)])) == 14
    radiologists = one(Airspace_Opacity=[POSITIVE], Fracture=[POSITIVE])
    assert labels.findings("shared", [radiologists, chexpert()]) == ["Lung Opacity", "Fracture"]
    assert equal(labels.targets(radiologists, ["Lung Opacity"]), [[1]])


def test_several_datasets_together_keep_all_that_any_of_them_labels(nih):
    names = labels.findings(None, [nih, chexpert()])
    assert names[:14] == labels.findings(None, [nih])
    assert len(names) == len({labels.canonical(name) for name in names}) == 21
    assert labels.findings(None, [chexpert(), nih])[:14] == list(OBSERVATIONS)


def test_a_choice_that_makes_no_sense_is_refused_by_name(nih):
    with pytest.raises(ValueError, match="no findings 'chexpert6'; choose from nih14, chexpert14, chexpert5, shared"):
        labels.findings("chexpert6", [nih])
    with pytest.raises(ValueError, match="share no finding: .*Hernia; Fracture"):
        labels.findings("shared", [nih, one(Fracture=[POSITIVE])])
    with pytest.raises(ValueError, match="labels nothing: .* only image_file_path"):
        labels.findings(None, [chexpert(names=()).select_columns(["image_file_path"])])


def test_the_table_covers_every_name_says_where_from_and_never_says_two_things():
    names = {"nih": NIHChestXray("metadata").info.features["labels"].feature.names, "chexpert": OBSERVATIONS}
    assert list(registry.vocabularies()) == ["nih", "chexpert", "mimic"]
    for dataset in registry.vocabularies():
        said = [finding.meanings[dataset] for finding in labels.TABLE]
        told = [name for meaning in said if meaning.relation == "equal" for name in meaning.names]
        assert len(told) == len(set(told))
        assert set(names.get(dataset, (*OBSERVATIONS, "Airspace Opacity"))) == {n for m in said for n in m.names}
        assert all(meaning.source for meaning in said)
    meanings = {finding.name: finding.meanings for finding in labels.TABLE}
    assert meanings["Nodule"]["chexpert"][:2] == ("broader", ("Lung Lesion",))
    assert meanings["Lung Lesion"]["nih"][:2] == ("narrower", ("Mass", "Nodule"))
    assert meanings["Lung Opacity"]["mimic"][:2] == ("equal", ("Lung Opacity", "Airspace Opacity"))
    assert meanings["No Finding"]["nih"].relation != "equal"


def test_a_name_that_is_said_to_equal_two_findings_is_refused():
    table = [labels.Finding(name, {"nih": equal_to("Mass", source="a book")}) for name in ("Mass", "Nodule")]
    with pytest.raises(ValueError, match="Mass is said to be equal to Mass and to Nodule"):
        labels.canonical_names(table)


# Targets of lists


def test_lists_become_ones_and_zeros_and_no_finding_the_row_of_zeros(nih):
    names = labels.findings(None, [nih])
    text = nih.features["labels"].feature
    wanted = [[float(name in map(text.int2str, row)) for name in names] for row in nih["labels"]]
    assert [0.0] * 14 in wanted and any(sum(row) > 1 for row in wanted)
    values = labels.targets(nih, names)
    assert values.dtype == np.float32 and equal(values, wanted)
    assert equal(labels.targets(nih, names, Policy.parse("ones"), training=True), wanted)


def test_targets_follow_rows_that_were_shuffled_cut_or_put_together(nih):
    names = labels.findings(None, [nih])
    order = np.random.default_rng(0).permutation(len(nih))[:50]
    mixed = concatenate_datasets([nih.select(order), nih.select(range(7, 19))])
    wanted = labels.targets(nih, names)[[*order, *range(7, 19)]]
    assert equal(labels.targets(mixed, names), wanted)


def test_a_published_parquet_gives_the_builders_targets(nih, tmp_path):
    nih.to_parquet(tmp_path / "train.parquet")
    read = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))["train"]
    assert equal(labels.targets(read, ["Hernia", "Effusion"]), labels.targets(nih, ["Hernia", "Effusion"]))


def test_what_a_dataset_does_not_label_is_unknown_and_never_negative(nih):
    values = labels.targets(nih, OBSERVATIONS)
    unknown = [name for name, column in zip(OBSERVATIONS, values.T, strict=True) if np.isnan(column).all()]
    assert unknown == [
        "No Finding",  # NIH's is another one
        "Enlarged Cardiomediastinum",
        "Lung Opacity",  # although many have an infiltration
        "Lung Lesion",
        "Pleural Other",
        "Fracture",
        "Support Devices",
    ]
    assert np.isfinite(values[:, [name not in unknown for name in OBSERVATIONS]]).all()
    assert np.isnan(labels.targets(chexpert(Lung_Lesion=[POSITIVE]), ["Mass", "Hernia"])).all()


# Targets of states


def states():
    return one(Edema=list(STATES), Pleural_Effusion=list(STATES))


@pytest.mark.parametrize("policy", ["ignore", "zeros", "ones", "multi-class", "smooth-ones", "chexpert-mix"])
def test_a_score_never_depends_on_the_policy(policy):
    wanted = [[0, 0], [1, 1], [np.nan] * 2, [0, 0], [np.nan] * 2]
    for blank in labels.BLANKS:
        assert equal(labels.targets(states(), ["Edema", "Effusion"], Policy.parse(policy, blank)), wanted)


@pytest.mark.parametrize(
    "policy, edema, effusion",
    [
        ("ignore", np.nan, np.nan),
        ("zeros", 0, 0),
        ("ones", 1, 1),
        ("multi-class", label_choices.UNCERTAIN_CLASS, label_choices.UNCERTAIN_CLASS),
        ("zeros,Edema=ones", 1, 0),
        (" ignore , Pleural Effusion = zeros", np.nan, 0),
        ("Effusion=ones", np.nan, 1),
        ("chexpert-mix", 1, 0),
        ("chexpert-mix,Edema=multi-class", 2, 0),
    ],
)
def test_in_training_an_uncertain_label_is_what_the_policy_says(policy, edema, effusion):
    values = labels.targets(states(), ["Pleural Effusion", "Edema"], Policy.parse(policy), training=True)
    assert equal(values, [[0, 0], [1, 1], [effusion, edema], [0, 0], [np.nan] * 2])


def test_the_published_mix_treats_the_five_findings_and_ignores_the_rest():
    rows = chexpert(**{name.replace(" ", "_"): [UNCERTAIN] for name in OBSERVATIONS})
    values = labels.targets(rows, OBSERVATIONS, Policy.parse("chexpert-mix"), training=True)[0]
    told = {name: value for name, value in zip(OBSERVATIONS, values, strict=True) if not np.isnan(value)}
    assert told == {"Atelectasis": 1, "Edema": 1, "Cardiomegaly": 0, "Consolidation": 0, "Pleural Effusion": 0}
    assert sorted(told) == sorted(labels.findings("chexpert5", [rows]))


def test_a_blank_is_negative_or_missing_but_in_no_finding_it_means_that_something_was_found():
    rows = one(Fracture=[POSITIVE, BLANK], No_Finding=[POSITIVE, BLANK])
    for blank, wanted in (("negative", 0), ("missing", np.nan)):
        values = labels.targets(rows, ["Fracture", "No Finding"], Policy(blank=blank), training=True)
        assert equal(values, [[1, 1], [wanted, 0]])


@pytest.mark.parametrize("word, low, high", [("smooth-ones", 0.55, 0.85), ("smooth-zeros", 0, 0.3)])
def test_smoothed_labels_fill_their_range_and_differ_by_image_and_finding(word, low, high):
    rows = one(Edema=[UNCERTAIN, POSITIVE] * 2000, Fracture=[UNCERTAIN] * 4000)
    values = labels.targets(rows, ["Edema", "Fracture"], Policy.parse(word), training=True)
    assert (values[1::2, 0] == 1).all()
    for drawn in (values[::2, 0], values[:, 1]):
        assert low <= drawn.min() < low + 0.01 and high - 0.01 < drawn.max() <= high
        assert drawn.mean() == pytest.approx((low + high) / 2, abs=0.01)
        assert len(set(drawn.tolist())) > 0.99 * len(drawn)
    assert abs(np.corrcoef(values[::2].T)[0, 1]) < 0.1


def test_smoothed_labels_come_again_in_any_order_and_process_and_change_with_the_seed():
    rows, policy = one(Edema=[UNCERTAIN] * 100), Policy.parse("smooth-ones")
    first = labels.targets(rows, ["Edema"], policy, training=True, seed=3)
    order = np.random.default_rng(0).permutation(100)
    assert equal(labels.targets(rows.select(order), ["Edema"], policy, training=True, seed=3), first[order])
    assert not np.isclose(labels.targets(rows, ["Edema"], policy, training=True, seed=4), first).any()
    code = (
        "from test_labels import *; rows = one(Edema=[UNCERTAIN] * 100)\n"
        "print(labels.targets(rows, ['Edema'], Policy.parse('smooth-ones'), training=True, seed=3)[:, 0].tolist())"
    )
    path = f"{ROOT / 'recipes'}:{ROOT / 'tests'}:{ROOT / 'tests' / 'recipes' / 'chestxray' / 'data'}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path})
    assert equal(np.array(ast.literal_eval(run.stdout)), first[:, 0])
    assert first[0, 0] == np.float32(0.7494268)  # no release of a library may change a run that is to be repeated


# Self-trained


@pytest.fixture
def teacher(tmp_path):
    """`teacher(paths, logits)` writes what a model said of Effusion and Edema as `score.py` would."""

    def write(paths, logits):
        logits = np.array(logits, float)
        rows = pd.DataFrame({"image_file_path": paths, "split": "train", "patient": [path[13:18] for path in paths]})
        said = predictions.Predictions(rows, logits, np.full(logits.shape, np.nan), ["Effusion", "Edema"])
        predictions.write(said, tmp_path / "teacher.parquet")
        return str(tmp_path / "teacher.parquet")

    return write


def test_self_trained_labels_are_the_teachers_probabilities_image_by_image(teacher):
    rows = one(Pleural_Effusion=[UNCERTAIN, POSITIVE, UNCERTAIN], Edema=[UNCERTAIN, NEGATIVE, NEGATIVE])
    file = teacher(rows["image_file_path"][::-1], [[0, 0], [0, 0], [np.log(3), -np.log(3)]])
    policy = Policy.parse("ignore,Pleural Effusion=self-trained", teacher=file)
    values = labels.targets(rows, ["Pleural Effusion", "Edema"], policy, training=True)
    assert equal(values, [[0.75, np.nan], [1, 0], [0.5, 0]])
    assert np.isnan(labels.targets(rows, ["Effusion"], policy)[0, 0])


def test_a_teacher_that_lacks_an_image_or_a_finding_is_refused_by_name(teacher):
    rows = one(Edema=[UNCERTAIN, UNCERTAIN, POSITIVE], Fracture=[UNCERTAIN] * 3)
    policy = Policy.parse("self-trained", teacher=teacher(rows["image_file_path"][:1], [[0, 0]]))
    with pytest.raises(ValueError, match="teacher.parquet lacks 1 of the 2 images whose Edema .*patient00001"):
        labels.targets(rows, ["Edema"], policy, training=True)
    with pytest.raises(ValueError, match="teacher.parquet does not predict Fracture, only Effusion, Edema"):
        labels.targets(rows, ["Fracture"], policy, training=True)


@pytest.mark.parametrize(
    "text, blank, message",
    [
        ("one", "negative", "no policy 'one'; choose from ignore, zeros, ones, .*self-trained.* chexpert-mix"),
        ("ones,Edema=maybe", "negative", "no policy 'maybe'"),
        ("ones,Oedema=zeros", "negative", "names Oedema; the findings are .*Pleural Effusion, .*Edema"),
        ("Edema=ones,zeros", "negative", "has 'zeros' where FINDING=WORD is expected"),
        ("ones", "unknown", "negative or missing, not 'unknown'"),
        ("self-trained", "negative", "a teacher, a predictions file, go together"),
    ],
)
def test_a_policy_that_makes_no_sense_says_what_there_is(text, blank, message):
    with pytest.raises(ValueError, match=message):
        Policy.parse(text, blank)


def test_a_column_of_other_classes_is_no_observation():
    rows = one(Edema=[POSITIVE]).add_column("view_position", [0]).cast_column("view_position", ClassLabel(names=["PA"]))
    assert labels.findings(None, [rows]) == ["Edema"]


def test_an_empty_cell_is_unknown(nih):
    assert equal(labels.targets(one(Edema=[None, NEGATIVE]), ["Edema"], Policy.parse("ones"), True), [[np.nan], [0]])
    emptied = nih.select([0, 1]).map(
        lambda row, number: {"labels": row["labels"] if number else None}, with_indices=True
    )
    assert np.isnan(labels.targets(emptied, ["Edema"])[:, 0]).tolist() == [True, False]
