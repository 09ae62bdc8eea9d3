"""The average of the weights is in the model when it is asked for, and not otherwise."""

import pytest
import torch

from chestxray.training.averaging import Average


@pytest.fixture
def model():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    return model


def move(model, weight):
    with torch.no_grad():
        model.weight.fill_(weight)


def test_the_first_steps_forget_faster_than_the_decay(model):
    average = Average(model, 0.9)
    move(model, 1.0)
    average.update(0)  # a decay of (1 + 0) / (10 + 0)
    with average.in_model():
        assert model.weight.item() == pytest.approx(0.9)
    average.update(10**6)
    with average.in_model():
        assert model.weight.item() == pytest.approx(0.9 * 0.9 + 0.1)


def test_the_models_own_weights_come_back_even_after_an_error(model):
    average = Average(model, 0.9)
    move(model, 1.0)
    with pytest.raises(KeyError), average.in_model():
        assert model.weight.item() == 0.0
        raise KeyError
    assert model.weight.item() == 1.0


def test_it_begins_again_at_the_models_weights_or_takes_their_place(model):
    average = Average(model, 0.9)
    move(model, 1.0)
    average.restart()
    move(model, 2.0)
    average.replace_model()
    assert model.weight.item() == 1.0


def test_without_a_decay_the_average_is_the_model(model):
    average = Average(model, 0.0)
    move(model, 1.0)
    average.update(5)
    with average.in_model():
        assert model.weight.item() == 1.0
    average.replace_model()
    assert model.weight.item() == 1.0
