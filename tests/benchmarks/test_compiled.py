import importlib.util
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import command, compiled, hlo
from train.engine import devices
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

# What a TPU's compiler writes, in short: a loop of five steps, which nobody counts but
# its condition. In it a forward convolution, the gradient of its kernel with the
# optimizer, which gives it its name, and a loop of eight crops; a copy to the fast
# memory, S(1), and a sum over devices. Once a call the images are brought into another
# layout.
TPU = Path(__file__).with_name("tpu_step.txt").read_text()


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


def summary(program, computation="ENTRY", but=None):
    return hlo.summarize(program, hlo.runs(program, computation, but=but))


def test_kernels_and_their_bytes_are_counted():
    program = hlo.read_hlo(STRAIGHT)
    assert hlo.find_loop(program, 390) is None
    found = summary(program)
    assert (found["kernels"], found["small_kernels"], found["copies"]) == (2, 2, 1)
    assert found["bytes"] == 48 + (32 + 32)  # the fusion's, and the copy's


def test_the_body_of_a_loop_is_found_with_its_convolutions():
    program = hlo.read_hlo(LOOP)
    loop = hlo.find_loop(program, 390)
    assert (hlo.body_of(loop), hlo.turns(program, loop)) == ("body.1", 390)
    assert hlo.find_loop(program, 1) is None  # nobody asked for one
    images, weights = 2 * 4 * 6 * 6 * 8, 2 * 8 * 3 * 3 * 8
    assert (images, weights) == (2304, 1152)
    found = summary(program, "body.1")
    kinds = {kind: row["kernels"] for kind, row in found.pop("kinds").items()}
    assert kinds == {
        "convolutions forward": 1,
        "gradients of inputs": 2,
        "gradients of kernels": 1,
        "small arrays": 1,
    }
    assert found == {
        "kernels": 5,
        "small_kernels": 0,
        # The transpose; the gradient of the weights; the other three convolutions.
        "bytes": 2 * weights + (2 * images + weights) + 3 * (2 * images + weights),
        "cycles": 0,
        "copies": 0,
        "collectives": {},
    }
    assert summary(program, but=loop)["kernels"] == 0


def test_a_loop_without_known_turns_is_said_to_have_none():
    program = hlo.read_hlo(LOOP.replace("known_trip_count", "something_else"))
    assert hlo.turns(program, hlo.find_loop(program, 390)) is None
    found = summary(program)  # and so one in a step counts once
    assert (found["loops_without_turns"], found["kernels"]) == (1, 5)


def test_loops_in_the_step_of_a_tpu_count_as_often_as_they_turn():
    program = hlo.read_hlo(TPU)
    loop = hlo.find_loop(program, 5)
    assert hlo.turns(program, loop) == 5
    step, rest = summary(program, hlo.body_of(loop)), summary(program, but=loop)
    images, kernel, crop = 2 * 8 * 4 * 4 * 16, 4 * 3 * 3 * 16 * 16, 8 * 12
    assert step["kinds"] == {
        # The kernel is in the fast memory.
        "convolutions forward": {"kernels": 1, "bytes": 2 * images, "cycles": 1000},
        "gradients of kernels": {
            "kernels": 1,
            "bytes": images + 2 * kernel,
            "cycles": 700,
        },
        "augmentation": {"kernels": 8, "bytes": 8 * 2 * crop, "cycles": 8 * 30},
        "copies": {"kernels": 1, "bytes": kernel, "cycles": 0},
        "collectives": {"kernels": 1, "bytes": kernel, "cycles": 0},
    }
    assert (step["cycles"], rest["cycles"]) == (1000 + 700 + 240, 5000)
    assert step["collectives"] == {"all-reduce f32": 1}


CPU = compiled.Chips(compiled.TARGETS["h200"], jax.devices()[:1])


def test_a_row_describes_a_compiled_function():
    x = jax.ShapeDtypeStruct((48_000,), jnp.float32)
    row = compiled.compile_row(CPU, "add", lambda x: x + 1, x)
    assert (row["program"], row["trips"], row["kernels"]) == ("add", 1, 1)
    assert row["bytes"] == 2 * 4 * 48_000
    assert row["microseconds"] == 0.08  # at 4.8 TB/s
    assert jax.default_backend() == "cpu"


@pytest.fixture
def no_cache():
    """What was compiled for an absent device can't be read back."""
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # else it is asked once only
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("no_cache")
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)
def test_a_small_network_is_compiled_for_a_tpu(monkeypatch):
    for name, value in compiled.LIBTPU.items():
        monkeypatch.setenv(name, value)
    for name, value in {"BATCH_SIZE": 12, "SIZE": 16, "NUM_IMAGES": 1200}.items():
        monkeypatch.setattr(compiled, name, value)
    chips = compiled.find_chips("tpu-v5e", 4)
    # Three of four: no mesh that JAX would make by itself.
    chips = chips._replace(devices=chips.devices[:3])
    model = Model("wide_resnet", depth=10, widen=1, dtype="bfloat16")
    row = compiled.training_row(chips, NetworkSpec(model, (16, 16, 3), 10), 2)
    assert row["program"] == "WRN-10-1 in bfloat16, one of 2 steps, 3 chips"
    # 7 convolutions and those of two shortcuts.
    kinds = {name: kind["kernels"] for name, kind in row["kinds"].items()}
    assert kinds["convolutions forward"] == 9
    assert kinds["gradients of kernels"] == 9
    assert row["cycles"] > 0
    # Devices add nothing that was rounded to bfloat16.
    assert {name.split()[-1] for name in row["collectives"]} == {"f32"}
    assert devices.everywhere(1).mesh.devices.item() == jax.devices()[0]


@pytest.fixture
def run(monkeypatch, no_cache):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["compiled", "--target", "h200", *arguments])
        command.run(compiled.main)

    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=0")
    return run


def test_each_result_is_written_at_once(run, monkeypatch, capsys, tmp_path):
    out = tmp_path / "result.json"
    row = compiled.compile_row(CPU, "add", jnp.negative, jnp.ones(3))

    def rows(chips, config):
        yield row | {"bytes_per_parameter": 20.0}
        assert len(json.loads(out.read_text())["results"]) == 1
        yield row | {"program": "train", "collectives": {"all-reduce f32": 7}}

    monkeypatch.setattr(compiled, "find_chips", lambda *_: None)
    monkeypatch.setattr(compiled, "rows", rows)
    run("--out", str(out))
    printed = capsys.readouterr().out
    assert "20.000 bytes a parameter" in printed
    assert "7 all-reduce f32" in printed
    report = json.loads(out.read_text())
    assert list(report["results"]) == ["add", "train"]
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
    assert "--steps must be at least 2, got 1." in capsys.readouterr().err
