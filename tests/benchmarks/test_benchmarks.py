"""Benchmarks measure what they say; how long it takes is never asserted."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    augmentation,
    flops,
    gpu,
    loops,
    optimizer_step,
    overhead,
    scaling,
    seeds,
    throughput,
    timing,
)
from benchmarks.command import run
from train.engine.networks import NetworkSpec
from train.errors import InputError
from train.settings.experiment import Experiment
from train.settings.options import Model


@pytest.fixture
def results(monkeypatch, tmp_path):
    """Runs a benchmark's command and returns the results that it writes."""

    def measured(module, *arguments):
        out = tmp_path / "new folder" / "result.json"
        monkeypatch.setattr(sys, "argv", ["benchmark", *arguments, "--out", str(out)])
        module.main()
        content = json.loads(out.read_text())
        assert {"commit", "device", "processor", "vector_instructions"} <= set(content)
        return content["results"]

    return measured


def test_sides_take_turns_in_changing_order():
    order = []
    sides = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.alternate(sides, rounds=30)
    rounds = ["".join(order[first : first + 3]) for first in range(0, 90, 3)]
    # Chance leaves one of the six orders out once in 40 times; it is fixed.
    assert set(rounds) == {"abc", "acb", "bac", "bca", "cab", "cba"}
    assert {name: len(times[name]) for name in times} == {"a": 30, "b": 30, "c": 30}


def test_times_so_far_are_told_after_each_round():
    told = []
    timing.alternate({"a": lambda: None}, 3, lambda times: told.append(len(times["a"])))
    assert told == [1, 2, 3]


def test_ratios_are_paired_by_their_round():
    # By rounds 2, 4, 1, 3, 5; medians of the sides would give 12 / 4.
    found = timing.ratio([4, 12, 4, 12, 25], [2, 3, 4, 4, 5])
    assert found == {"median": 3.0, "quartiles": [2.0, 4.0]}
    assert timing.shown(found, 1) == "3.0 (2.0 to 4.0)"


def test_report_holds_every_row_at_once(tmp_path):
    out = tmp_path / "result.json"
    report = timing.Report(out, packages=["pytest", "no-such-package"], rounds=3)
    report.add("first", {"ms": 1})
    content = json.loads(out.read_text())
    assert (content["results"], content["rounds"]) == ({"first": {"ms": 1}}, 3)
    assert content["versions"]["pytest"] == pytest.__version__
    assert "no-such-package" not in content["versions"]


def test_earlier_report_stays_until_there_is_a_row(tmp_path):
    out = tmp_path / "result.json"
    out.write_text("earlier")
    report = timing.Report(out)
    report.note(noted=2)
    assert out.read_text() == "earlier"
    report.add("first", 1)
    assert json.loads(out.read_text())["noted"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_report_says_what_the_compiler_was_told(monkeypatch, tmp_path):
    for name in timing.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    timing.Report(tmp_path / "out.json").add("first", 1)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["variables"] == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def test_unusable_file_is_refused_before_anything_is_measured(
    monkeypatch, capsys, tmp_path
):
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "result.json")
    monkeypatch.setattr(sys, "argv", ["benchmark", "--out", out])
    with pytest.raises(SystemExit) as error:
        run(scaling.main)
    assert error.value.code == 2
    assert f"error: cannot write --out {out}" in capsys.readouterr().err


def test_device_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # as /dev/null is a device
    with pytest.raises(InputError, match="it is not a file"):
        timing.Report(tmp_path / "pipe")


def test_processor_is_what_the_system_says(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "model name\t: A 9\nflags : fpu avx avx2 avx512_bf16 sse\nmodel name : B\n"
    )
    monkeypatch.setattr(timing, "Path", lambda _: cpuinfo)
    assert timing.processor() == {
        "processor": "A 9",
        "vector_instructions": ["avx2", "avx512_bf16"],
    }
    cpuinfo.unlink()
    assert timing.processor() == {"processor": "", "vector_instructions": []}


def test_numpys_augmentation_takes_crops_that_are_in_the_image():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 11, 12, 3), np.uint8)  # 3 x 4 and padding
    rows = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2] * 5)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    batch = loops.numpy_augmented(images, rows, rng)
    mirrored = 0
    for row, image in zip(rows, batch, strict=True):
        pixels = np.round((image * std + mean) * 255)
        crops = [images[row, y : y + 3, x : x + 4] for y in range(9) for x in range(9)]
        found = any((pixels == crop).all() for crop in crops)
        found_mirrored = any((pixels[:, ::-1] == crop).all() for crop in crops)
        assert found != found_mirrored
        mirrored += found_mirrored
    assert 0 < mirrored < len(rows)


def test_optimizer_step_reports_every_side_of_a_case(monkeypatch, capsys, results):
    monkeypatch.setitem(optimizer_step.CASES, "tiny", lambda: [(3, 2), (5,)])
    arguments = ["--rounds", "3", "--steps", "1", "--cases", "tiny"]
    found = results(optimizer_step, *arguments)["tiny"]
    printed = capsys.readouterr().out
    assert "tiny: 11 parameters in 2 arrays" in printed
    assert (found["parameters"], found["arrays"]) == (11, 2)
    for side in ("sgd", "sgd again", "sgd + 6", "lcam"):
        assert f"\n{side} " in printed
        assert found["sides"][side]["median_ms"] > 0


@pytest.mark.torture
def test_seeds_take_the_same_steps_together_and_alone(monkeypatch, capsys, results):
    tiny = dataclasses.replace(seeds.CASES["table"], epochs=1, batch_size=200)
    monkeypatch.setitem(seeds.CASES, "tiny", tiny)
    found = results(seeds, "--rounds", "1", "--seeds", "2", "--cases", "tiny")
    assert "a whole run of 1 epochs" in capsys.readouterr().out
    sides = found["tiny"]["seeds"]["2"]
    assert set(sides) == {"one after another", "unrolled", "vmap", "processes"}
    for side in sides.values():
        assert side["loss_difference"] < 1e-5


@pytest.mark.torture
def test_process_of_a_seed_that_has_ended_is_told():
    tiny = dataclasses.replace(seeds.CASES["table"], epochs=1, batch_size=200)
    with seeds.Processes(tiny, [0, 1]) as epoch:
        epoch()
        [first, _] = multiprocessing.active_children()
        first.kill()
        with pytest.raises(InputError, match="one of the processes of 2 seeds has"):
            epoch()


KILLED_PARENT = """
import dataclasses, os, signal
from benchmarks import seeds

if __name__ == "__main__":
    tiny = dataclasses.replace(seeds.CASES["table"], epochs=1, batch_size=200)
    with seeds.Processes(tiny, [0]) as epoch:
        epoch()  # it works, and so it watches its parent
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.torture
def test_process_of_a_seed_ends_with_a_killed_benchmark(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED_PARENT)
    command = [sys.executable, script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True
    ) as killed:
        try:
            # The pipe ends when the last process that holds it has ended.
            killed.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL


@pytest.fixture
def small_images(monkeypatch):
    made_up = loops.made_up_images
    monkeypatch.setattr(
        loops, "made_up_images", lambda size, side=8, **rest: made_up(16, 8, **rest)
    )


def test_matrix_rate_is_that_of_the_best_size_until_one_takes_long(monkeypatch):
    # 2 n^3 operations: 256 are 33,554,432, and each next one eight times as many.
    seconds = {256: 1e-3, 512: 4e-3, 1024: 0.1}
    monkeypatch.setattr(flops, "median_of", lambda size, repeats: seconds[size])
    rate = flops.matrix_rate(lambda dtype, size: size, "float32")
    assert rate == 8 * 33_554_432 / 4e-3  # 1024 would have 64 * 33,554,432 / 0.1


def test_matrix_rate_multiplies_matrices():
    product = flops.make_product("bfloat16", 256)()
    assert (product.shape, product.dtype) == ((256, 256), jnp.bfloat16)
    # Sums of 256 products of normal numbers: a variance of 256.
    assert np.var(np.asarray(product, np.float32)) == pytest.approx(256, rel=0.1)


def test_throughput_keeps_the_rounds_before_an_interruption(monkeypatch, tmp_path):
    rounds = iter([None, None])

    def stops_in_the_third(steps):
        try:
            next(rounds)
        except StopIteration:
            raise KeyboardInterrupt from None

    ours = types.SimpleNamespace(test=lambda: None)
    side = throughput.Side(stops_in_the_third, "float32")
    monkeypatch.setattr(throughput, "matrix_rate", lambda maker, dtype: 1e9)
    monkeypatch.setattr(throughput, "make_ours", lambda *_: {"ours": ours})
    monkeypatch.setattr(throughput, "make_sides", lambda *_: {"ours": side})
    out = tmp_path / "result.json"
    arguments = ["--networks", "WRN-10-1", "--no-torch", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    with pytest.raises(KeyboardInterrupt):
        throughput.main()
    row = json.loads(out.read_text())["results"]["WRN-10-1"]
    assert (row["rounds"], list(row["sides"])) == (2, ["ours"])


def test_throughput_leaves_out_a_side_that_fails(monkeypatch, capsys):
    def fails(steps):
        raise RuntimeError("out of memory")

    network = NetworkSpec(Model("wide_resnet", 10, 1), (8, 8, 3), 10)
    spec = types.SimpleNamespace(network=network)
    ours = types.SimpleNamespace(spec=spec, run=lambda steps: None)
    flax = types.SimpleNamespace(run=fails)
    monkeypatch.setattr(loops, "FlaxLoop", lambda *_: flax)
    config = throughput.Config(torch=False)
    assert list(throughput.make_sides({"ours": ours}, config, None)) == ["ours"]
    assert "plain flax, float32: left out, as it failed" in capsys.readouterr().out
    ours.run = fails
    with pytest.raises(RuntimeError):  # without ours there is nothing to compare with
        throughput.make_sides({"ours": ours}, config, None)


def test_torch_is_left_out_if_it_would_run_elsewhere(monkeypatch):
    place = types.SimpleNamespace(type="cuda")
    fake = types.SimpleNamespace(device=lambda: place)
    monkeypatch.setitem(sys.modules, "benchmarks.torch_loops", fake)
    monkeypatch.setattr(throughput.importlib.util, "find_spec", lambda name: name)
    config = throughput.Config()
    why = throughput.why_no_torch.__wrapped__
    assert why(config) == "it would run on cuda, JAX on cpu"
    place.type = "cpu"
    assert why(config) is None


@pytest.mark.torture
def test_throughput_compares_our_calls_with_plain_flax(
    monkeypatch, capsys, results, small_images
):
    monkeypatch.setattr(throughput, "matrix_rate", lambda maker, dtype: 1e9)
    arguments = ["--networks", "WRN-10-1", "--rounds", "1", "--steps", "2"]
    found = results(throughput, *arguments, "--batch-size", "4", "--no-torch")
    ours = ["ours, float32, 2 a call", "ours, float32, 1 a call"]
    sides = found["WRN-10-1"]["sides"]
    assert list(sides) == [*ours, "plain flax, float32"]
    for side in sides.values():
        rate = side["images_per_second"]
        assert side["mfu"] == pytest.approx(
            rate * found["WRN-10-1"]["flops_per_image"] / 1e9
        )
        assert side["seconds_per_epoch"] == pytest.approx(50_000 / rate)
    assert found["WRN-10-1"]["evaluation_images_per_second"] > 0
    assert "ours, float32, 2 a call: compiled in" in capsys.readouterr().out


@pytest.mark.torture
def test_overhead_separates_the_host_from_the_wall(results, small_images):
    found = results(overhead, "--rounds", "1", "--steps", "3", "--depth", "10")
    assert list(found) == ["an epoch a call", "a step a call", "plain flax"]
    for side in found.values():
        assert 0 < side["host_ms_per_step"] <= side["wall_ms_per_step"]


def test_augmentation_measures_ours_and_numpys(results, small_images):
    found = results(augmentation, "--rounds", "1", "--batch-size", "4")
    assert {"ours", "numpy"} <= set(found)


def test_scaling_fits_the_exponent_of_the_time(monkeypatch, results):
    def make_loop(config, widen, batch, images, devices):
        network = NetworkSpec(Model("wide_resnet", 10, widen), (8, 8, 3), 10)
        spec = types.SimpleNamespace(network=network)
        return types.SimpleNamespace(spec=spec, run=lambda steps: None)

    # As if four times the images took eight times as long: 8 = 4^1.5.
    times = {"2": [0.1], "8": [0.8], "1": [0.1], "16": [0.2], "32": [0.2]}
    monkeypatch.setattr(scaling, "make_loop", make_loop)
    monkeypatch.setattr(
        scaling, "alternate", lambda calls, _: {name: times[name] for name in calls}
    )
    sizes = ["--widen", "1", "2", "--batch", "2", "8", "--images", "16", "32"]
    sizes += ["--devices", "2", "8", "16"]  # of which the tests have 8
    found = results(scaling, "--rounds", "1", "--steps", "1", *sizes)
    assert found["batch"]["exponent"] == pytest.approx(1.5)
    assert found["images"]["exponent"] == pytest.approx(0, abs=1e-9)
    assert [point["batch"] for point in found["batch"]["points"]] == [2, 8]
    assert [point["images"] for point in found["images"]["points"]] == [16, 32]
    assert [point["devices"] for point in found["devices"]["points"]] == [2, 8]


@pytest.fixture
def gpu_runs(monkeypatch):
    """Benchmarks that take so many seconds, on a clock that only they move."""
    now = [100.0]
    timeouts = {}

    def prepare(jobs, seconds):
        def take(command, timeout, _):
            name = command[2].removeprefix("benchmarks.")
            timeouts[name] = timeout
            now[0] += min(seconds[name], timeout)
            if seconds[name] > timeout:
                raise gpu.subprocess.TimeoutExpired(command, timeout)
            return 2 * ("fails" in command)

        clock = types.SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr(gpu, "time", clock)
        monkeypatch.setattr(gpu, "JOBS", jobs)
        monkeypatch.setattr(gpu, "run_benchmark", take)
        return timeouts

    return prepare


def test_benchmarks_that_fail_or_take_too_long_leave_the_others_their_time(
    gpu_runs, tmp_path
):
    jobs = {
        "fails": gpu.Job(2, ["fails"]),
        "long": gpu.Job(1, []),
        "last": gpu.Job(1, []),
    }
    # Of 4 minutes: 2, 1 and 1.
    timeouts = gpu_runs(jobs, {"fails": 30, "long": 1000, "last": 10})
    endings = gpu.run_all(gpu.Config(out=tmp_path, minutes=4))
    assert timeouts == {"fails": 120, "long": 150, "last": 60}  # 90 were left over
    assert endings == {
        "fails": "failed with exit code 2 after 30 s",
        "long": "out of time after 150 s",
        "last": "done after 10 s",
    }


def test_file_of_an_earlier_run_is_told(gpu_runs, tmp_path):
    (tmp_path / "long.json").write_text("earlier")
    gpu_runs(
        {"long": gpu.Job(1, []), "short": gpu.Job(1, [])}, {"long": 90, "short": 1}
    )
    endings = gpu.run_all(gpu.Config(out=tmp_path, minutes=2))
    file = tmp_path / "long.json"
    assert endings == {
        "long": f"out of time after 60 s; {file} is of an earlier run",
        "short": "done after 1 s",
    }


@pytest.mark.parametrize(
    ("seconds", "arguments", "codes"), [(90, [], []), (1, ["fails"], [1])]
)
def test_exit_code_tells_of_failures_only(
    gpu_runs, monkeypatch, tmp_path, seconds, arguments, codes
):
    gpu_runs({"job": gpu.Job(1, arguments)}, {"job": seconds})
    command = ["gpu", "--out", str(tmp_path), "--minutes", "1", "--only", "job"]
    monkeypatch.setattr(sys, "argv", command)
    exits = []
    monkeypatch.setattr(gpu.sys, "exit", exits.append)
    gpu.main()
    assert exits == codes


# A benchmark that goes on when the pipe to it is closed, and then says so.
TERMINATED = """
import os, signal
from benchmarks import gpu

def start(command, popen=gpu.subprocess.Popen, **rest):
    process = popen(["sh", "-c", "echo started; read word; echo survived"], **rest)
    if "EARLY" in os.environ:
        signal.raise_signal(signal.SIGTERM)
    return process

if __name__ == "__main__":
    gpu.subprocess.Popen = start
    gpu.main()
"""


@pytest.mark.parametrize("is_early", [False, True], ids=["as it runs", "as it starts"])
def test_terminated_command_ends_the_benchmark(tmp_path, is_early):
    script = tmp_path / "terminated.py"
    script.write_text(TERMINATED)
    command = [sys.executable, "-u", script, "--only", "overhead", "--out", tmp_path]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | ({"EARLY": "1"} if is_early else {}),
    ) as terminated:
        if not is_early:
            while terminated.stdout.readline() not in (b"started\n", b""):
                pass
            terminated.terminate()
        code = terminated.wait(timeout=600)  # only a hang takes so long
        output, _ = terminated.communicate()  # which lets a benchmark go on
    assert code == 143
    assert b"survived" not in output


def test_benchmarks_that_are_asked_for_share_all_the_time(gpu_runs, tmp_path):
    jobs = {"one": gpu.Job(2, []), "other": gpu.Job(1, []), "third": gpu.Job(1, [])}
    timeouts = gpu_runs(jobs, {"one": 1, "third": 1})
    gpu.run_all(gpu.Config(out=tmp_path, minutes=3, only=("third", "one")))
    assert timeouts == {"third": 60, "one": 179}  # of 60 and 120; 59 were left over


@pytest.mark.parametrize("name", gpu.JOBS)
def test_options_that_the_gpu_runs_with_are_the_benchmarks_own(monkeypatch, name):
    module = sys.modules[f"benchmarks.{name}"]

    def parsed(*_, **__):
        raise StopIteration

    monkeypatch.setattr(timing.Report, "__init__", parsed)
    for expensive in ("made_up_images", "OurLoop"):
        monkeypatch.setattr(loops, expensive, parsed)
    for function in ("matrix_rate", "bandwidth"):
        monkeypatch.setattr(module, function, parsed, raising=False)
    monkeypatch.setattr(sys, "argv", ["benchmark", *gpu.JOBS[name].arguments])
    with pytest.raises(StopIteration):  # and no SystemExit of the command line's
        module.main()


def test_our_loop_takes_the_steps_it_is_asked_for():
    experiment = Experiment(
        model=Model("mlp"), batch_size=4, steps_per_call=2, eval_batch_size=4
    )
    loop = loops.OurLoop(experiment, loops.made_up_images(16, 8))
    assert np.flatnonzero(np.isfinite(loop.run(2).loss)).tolist() == [0, 1]
    # Two calls, of which the last begins the epoch anew.
    assert np.flatnonzero(np.isfinite(loop.run(4).loss)).tolist() == [0, 1]
    assert loop.steps_taken() == 6


def test_our_loop_refuses_rounds_longer_than_an_epoch():
    experiment = Experiment(
        model=Model("mlp"), batch_size=4, steps_per_call=7, eval_batch_size=4
    )
    loop = loops.OurLoop(experiment, loops.made_up_images(16, 8))
    with pytest.raises(InputError, match="4 steps are too few for 7 in a round"):
        loop.run(7)


def test_interrupted_benchmark_says_so(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    run(interrupt)
    assert codes == [130]
    assert capsys.readouterr().err == "interrupted\n"


def test_benchmark_that_wants_too_much_memory_says_so(capsys):
    with pytest.raises(SystemExit) as error:
        run(lambda: np.empty((2**50,), np.uint8))
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: not enough memory: Unable to allocate 1.00 PiB")
