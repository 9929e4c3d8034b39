import numpy as np
import pytest

from train.data.dataset import Dataset
from train.engine.networks import describe, facts_of, make_network_spec
from train.settings.options import Model


def dataset(inputs, num_classes):
    return Dataset(inputs, np.zeros(2), inputs, np.zeros(2), num_classes)


IMAGES = dataset(np.zeros((2, 8, 8, 1), np.uint8), 10)
TABLE = dataset(np.zeros((2, 30), np.float32), 0)
TEXT = dataset(np.zeros((2, 16), np.int32), 90)


@pytest.mark.parametrize(
    ("data", "model", "expected"),
    [
        (IMAGES, Model(), "WRN-10-1 in float32"),
        (IMAGES, Model("mlp", hidden=(32,)), "MLP 64-32-10"),
        (TABLE, Model(), "MLP 30-64-64-1"),
        (TEXT, Model(), "transformer of 2 layers, width 64, 4 heads, context 16"),
    ],
)
def test_network_is_chosen_by_the_data(data, model, expected):
    assert describe(make_network_spec(model, data)) == expected


def test_facts_of_a_network_of_text_count_its_tokens():
    model = Model("transformer", width=4, layers=1, heads=2)
    facts = facts_of(make_network_spec(model, TEXT), test_size=3)
    assert facts["num_test_predictions"] == 3 * 16
    assert facts["arrays"][-1] == "tokens/embedding"
    # Two embeddings, a block of 4 x 4 four times and 4 x 16 twice, norms, the output.
    block = 4 * (16 + 4) + 2 * 64 + 16 + 4 + 2 * 8
    assert facts["num_parameters"] == 4 * (90 + 16) + block + 8 + 4 * 90 + 90
