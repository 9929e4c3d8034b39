import json
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies

import models.wide_resnet
from benchmarks import command, h200, hlo
from train.engine.networks import NetworkSpec
from train.settings.options import Model

# A batch of two out of ten images of four bytes, a small matrix product, a copy.
STRAIGHT = """HloModule jit_f, entry_computation_layout={(u8[10,4]{1,0}, s32[2]{0})}

%fused_gather (param_0: u8[10,4], param_1: s32[2]) -> f32[2,4] {
  %param_0 = u8[10,4]{1,0} parameter(0)
  %param_1 = s32[2]{0} parameter(1)
  %gather.1 = u8[2,4]{1,0} gather(%param_0, %param_1), offset_dims={1}
  ROOT %convert.1 = f32[2,4]{1,0} convert(%gather.1), metadata={op_name="jit(f)"}
}

ENTRY %main.1 (images.1: u8[10,4], indices.1: s32[2]) -> (f32[2,4], f32[2,4]) {
  %images.1 = u8[10,4]{1,0} parameter(0), metadata={op_name="images"}
  %indices.1 = s32[2]{0} parameter(1)
  %fusion.1 = f32[2,4]{1,0} fusion(%images.1, %indices.1), calls=%fused_gather
  %copy.1 = f32[2,4]{0,1} copy(%fusion.1), metadata={op_name="jit(f)"}
  ROOT %tuple.1 = (f32[2,4]{1,0}, f32[2,4]{0,1}) tuple(%fusion.1, %copy.1)
}
"""

# A loop that turns 390 times around a convolution, its gradients, and a transpose.
LOOP = """HloModule jit_train

%fused_transpose (param_0.1: bf16[3,3,8,8]) -> bf16[8,3,3,8] {
  %param_0.1 = bf16[3,3,8,8]{3,2,1,0} parameter(0)
  ROOT %transpose.1 = bf16[8,3,3,8]{3,2,1,0} transpose(%param_0.1), dimensions={3,0,1,2}
}

%body.1 (arg.1: (s32[], bf16[4,6,6,8], bf16[3,3,8,8])) -> (s32[], bf16[4,6,6,8]) {
  %arg.1 = (s32[], bf16[4,6,6,8]{3,2,1,0}, /*index=2*/bf16[3,3,8,8]{3,2,1,0}) \
parameter(0)
  %gte.1 = bf16[4,6,6,8]{3,2,1,0} get-tuple-element(%arg.1), index=1
  %gte.2 = bf16[3,3,8,8]{3,2,1,0} get-tuple-element(%arg.1), index=2
  %fusion.2 = bf16[8,3,3,8]{3,2,1,0} fusion(%gte.2), kind=kInput, calls=%fused_transpose
  %conv.1 = (bf16[4,6,6,8]{3,2,1,0}, u8[0]{0}) custom-call(%gte.1, %fusion.2), \
window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, \
custom_call_target="__cudnn$convForward", metadata={op_name="jit(train)/jvp()/conv"}
  %gte.3 = bf16[4,6,6,8]{3,2,1,0} get-tuple-element(%conv.1), index=0
  %conv.2 = (bf16[8,3,3,8]{3,2,1,0}, u8[0]{0}) custom-call(%gte.1, /*index=1*/%gte.3), \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter"
  %conv.3 = (bf16[4,6,6,8]{3,2,1,0}, u8[0]{0}) custom-call(%gte.3, %fusion.2), \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput"
  %conv.4 = (bf16[4,6,6,8]{3,2,1,0}, u8[0]{0}) custom-call(%gte.3, %fusion.2), \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBiasActivationForward", \
metadata={op_name="jit(train)/transpose(jvp())/conv"}
  ROOT %tuple.2 = (s32[], bf16[4,6,6,8]{3,2,1,0}) tuple(%gte.3, %gte.3)
}

ENTRY %main.2 (x: (s32[], bf16[4,6,6,8], bf16[3,3,8,8])) -> (s32[], bf16[4,6,6,8]) {
  %x = (s32[], bf16[4,6,6,8]{3,2,1,0}, bf16[3,3,8,8]{3,2,1,0}) parameter(0)
  ROOT %while.1 = (s32[], bf16[4,6,6,8]{3,2,1,0}) while(%x), condition=%condition.1, \
body=%body.1, backend_config={"known_trip_count":{"n":"390"}}
}
"""


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[]", 4),
        ("f32[3,5]{1,0}", 60),
        ("bf16[8]{0}", 16),
        ("pred[2,2]{1,0}", 4),
        ("u8[0]{0}", 0),
        ("s4[3]{0}", 2),  # half a byte each
        ("f8e4m3fn[7]{0}", 7),
        ("token[]", 0),
        ("(f32[2]{0}, /*index=1*/s32[], u8[3]{0})", 8 + 4 + 3),
    ],
)
def test_shapes_have_their_size_in_bytes(shape, size):
    assert hlo.size_in_bytes(shape) == size


def test_a_kernel_that_slices_reads_the_slices_alone():
    program = hlo.read_hlo(STRAIGHT)
    fusion = program["ENTRY"][2]
    assert fusion.operand_shapes == ("u8[10,4]{1,0}", "s32[2]{0}")
    # 2 images of 4 bytes, 2 indices of 4; written, 8 numbers of 4.
    assert hlo.traffic(program, fusion) == 2 * 4 + 2 * 4 + 8 * 4


def test_kernels_and_their_bytes_are_counted():
    assert hlo.find_loop(hlo.read_hlo(STRAIGHT)) is None
    assert hlo.summarize(hlo.read_hlo(STRAIGHT), "ENTRY") == {
        "kernels": 2,
        "small_kernels": 2,
        "bytes": 48 + (32 + 32),  # the fusion's, and the copy's
        "copies": 1,
        "transposes": 0,
        "loops": 0,
        "convolutions": {},
    }


def test_the_body_of_a_loop_is_found_with_its_convolutions():
    program = hlo.read_hlo(LOOP)
    assert hlo.find_loop(program) == ("body.1", 390)
    images, weights = 2 * 4 * 6 * 6 * 8, 2 * 8 * 3 * 3 * 8
    assert (images, weights) == (2304, 1152)
    assert hlo.summarize(program, "body.1") == {
        "kernels": 5,
        "small_kernels": 0,
        # The transpose; the gradient of the weights; the other three convolutions.
        "bytes": 2 * weights + (2 * images + weights) + 3 * (2 * images + weights),
        "copies": 0,
        "transposes": 1,
        "loops": 0,
        "convolutions": {
            "forward b01f_o01i->b01f bf16": 1,
            "weights b01f_o01i->b01f bf16": 1,
            "inputs b01f_o01i->b01f bf16": 1,
            "gradients as forward b01f_o01i->b01f bf16": 1,
        },
    }
    entry = hlo.summarize(program, "ENTRY")
    assert (entry["kernels"], entry["loops"]) == (0, 1)


def test_a_loop_without_known_turns_is_said_to_have_none():
    text = LOOP.replace("known_trip_count", "something_else")
    assert hlo.find_loop(hlo.read_hlo(text)) == ("body.1", None)


@pytest.mark.parametrize(
    ("found", "none_lost"),
    [
        ({"forward a": 2, "forward b": 1, "weights a": 3, "inputs a": 2}, True),
        (
            {"forward a": 3, "weights a": 3, "inputs a": 1, "gradients as forward": 1},
            True,
        ),
        # A gradient of weights that runs as a forward convolution, or not at all.
        ({"forward": 3, "weights": 2, "inputs": 2, "gradients as forward": 1}, False),
        ({"forward": 3, "weights": 2, "inputs": 2}, False),
        ({}, False),
    ],
)
def test_a_lost_convolution_is_noticed(found, none_lost):
    assert hlo.none_lost(found, 3) is none_lost


def test_a_row_describes_a_compiled_function():
    def function(x):
        return x + 1

    x = jax.ShapeDtypeStruct((1000,), jnp.float32)
    row = h200.compile_row(jax.devices()[0], "add", function, x)
    assert (row["program"], row["trips"], row["kernels"]) == ("add", 1, 1)
    assert row["bytes"] == 2 * 4000


def test_training_is_compiled_with_the_convolution_of_a_gpu(monkeypatch):
    def never(*_, **__):
        raise AssertionError

    def trace(device, name, function, *args, donate):
        jax.eval_shape(function, *args)
        return {"program": name, "convolutions": {}}

    monkeypatch.setattr(models.wide_resnet, "convolve_for_flax", never)
    monkeypatch.setattr(h200, "compile_row", trace)
    model = Model("wide_resnet", depth=10, widen=1)
    row = h200.training_row(None, NetworkSpec(model, (32, 32, 3), 10), 2)
    assert row["program"] == "WRN-10-1 in float32, 2 steps"
    assert row["network_convolutions"] == 7 + 2  # and those of two shortcuts
    assert jax.default_backend() == "cpu"


@pytest.fixture
def run(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["h200", *arguments])
        command.run(h200.main)

    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=0")
    return run


def test_each_result_is_written_at_once(run, monkeypatch, capsys, tmp_path):
    out = tmp_path / "result.json"
    row = h200.compile_row(jax.devices()[0], "add", jnp.negative, jnp.ones(3))

    def rows(device, steps):
        yield row | {"bytes_per_parameter": 20.0}
        assert len(json.loads(out.read_text())["results"]) == 1
        convolutions = {"network_convolutions": 7, "no_convolution_lost": True}
        more = {"program": "train", "convolutions": {"forward": 7}, "trips": steps}
        yield row | convolutions | more

    monkeypatch.setattr(h200, "find_device", lambda: None)
    monkeypatch.setattr(h200, "rows", rows)
    run("--out", str(out), "--steps", "12")
    printed = capsys.readouterr().out
    assert "20.000" in printed
    assert "7 convolutions, none lost: 7 forward; the loop turns 12 times" in printed
    report = json.loads(out.read_text())
    assert [row["trips"] for row in report["results"].values()] == [1, 12]
    assert {"commit", "versions", "target"} <= set(report)


def no_plugin(*_, **__):
    raise NotImplementedError("topology not implemented for cuda")


@pytest.mark.parametrize("missing", ["plugin", "module"])
def test_without_the_plugin_the_command_says_what_to_install(
    run, monkeypatch, capsys, missing
):
    if missing == "plugin":
        monkeypatch.setattr(topologies, "get_topology_desc", no_plugin)
    else:
        monkeypatch.delattr(jax.experimental, "topologies")
        monkeypatch.setitem(sys.modules, "jax.experimental.topologies", None)
    with pytest.raises(SystemExit) as error:
        run()
    assert error.value.code == 2
    printed = capsys.readouterr()
    assert f'pip install "jax[cuda13]=={jax.__version__}"' in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_a_scan_of_one_step_is_refused(run, capsys):
    with pytest.raises(SystemExit) as error:
        run("--steps", "1")
    assert error.value.code == 2
    assert capsys.readouterr().err == "error: --steps must be at least 2, got 1.\n"
