import pytest

from benchmarks.flops import training_flops
from train.engine.networks import NetworkSpec
from train.settings.options import Model


# By hand, two operations for each product, and backward twice as many but for those of
# the first layer of numbers. A Wide ResNet for 8x8 images:
#   stem 3x3x3x16 on 64 pixels: 55,296; group of 16: two 3x3x16x16 on 64: 589,824;
#   group of 32, 16 pixels: 3x3x16x32 and 3x3x32x32: 442,368, shortcut 16x32: 16,384;
#   group of 64, 4 pixels: 3x3x32x64 and 3x3x64x64: 442,368, shortcut 32x64: 16,384;
#   classifier 64x10: 1,280. Together 1,563,904.
# A perceptron of 4 inputs, 5 and 3 units: 40 and 30. A text of 5 tokens out of 7, width
# 4, a layer of two heads: queries, keys and values 3 x 2x5x4x4, scores and their sums
# 2 x 2x(2x5x5x2), their output 2x5x4x4, the layers 2x5x4x16 twice, the logits 2x5x4x7.
# Looking tokens up is no product.
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkSpec(Model("wide_resnet"), (8, 8, 3), 10), 3 * 1_563_904 - 55_296),
        (NetworkSpec(Model("mlp", hidden=(5,)), (4,), 3), 3 * (40 + 30) - 40),
        (
            NetworkSpec(Model("transformer", width=4, layers=1, heads=2), (5,), 7),
            3 * (480 + 400 + 160 + 1280 + 280),
        ),
    ],
)
def test_arithmetic_of_a_network_is_counted_as_by_hand(spec, expected):
    assert training_flops(spec) == expected
