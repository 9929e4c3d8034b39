"""Calls as on an accelerator: of a fixed length, one ahead of the host."""

import signal

import jax
import numpy as np
import pytest

from tests.train.runs.test_faults import OPTIONS, STEPS, images, result, stop_at
from train.__main__ import main
from train.engine import calls, program
from train.runs import loop, records

__all__ = ["images"]  # a fixture

pytestmark = pytest.mark.usefixtures("no_pictures", "accelerator")


@pytest.fixture
def accelerator(monkeypatch):
    """Its way of calling, compiled anew."""
    for module in (calls, program, loop):
        monkeypatch.setattr(module, "is_counted", lambda: False)
    for cached in (program.compile_program, calls.steps_per_call):
        cached.cache_clear()
    yield
    for cached in (program.compile_program, calls.steps_per_call):
        cached.cache_clear()


@pytest.fixture
def command(images):
    """Calls of three steps, and one of the fourth."""
    options = [part for part in OPTIONS if part not in ("--steps-per-call", "1")]
    return ["run", "--data", images, *options, "--steps-per-call", "3"]


def test_run_is_that_of_a_cpu_but_for_rounding_and_goes_on_bit_for_bit(
    command, images, tmp_path
):
    whole, parts, cpu = (tmp_path / name for name in ("whole", "parts", "cpu"))
    assert main([*command, "--out", str(whole)]) == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2 * 2 + 1)  # within the third epoch, with a call ahead
        assert main([*command, "--out", str(parts)]) == 128 + signal.SIGTERM
    [saved] = records.steps_in(parts)
    assert saved == 3 * STEPS  # the call that was under way is a part of it
    assert main([*command, "--out", str(parts), "--resume"]) == 0
    assert result(parts) == result(whole)
    with pytest.MonkeyPatch.context() as patch:
        for module in (calls, program, loop):
            patch.setattr(module, "is_counted", lambda: True)
        program.compile_program.cache_clear()
        assert main(["run", "--data", images, *OPTIONS, "--out", str(cpu)]) == 0
    ours, theirs = (records.read_steps(folder)["loss"] for folder in (whole, cpu))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_nothing_is_compiled_after_the_start(command, tmp_path, monkeypatch):
    compiled, begun = [], []
    train_epoch = loop._Training._train_epoch

    def note(self):
        begun.append(len(compiled))
        train_epoch(self)

    def listen(event, *_, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    monkeypatch.setattr(loop._Training, "_train_epoch", note)
    try:
        assert main([*command, "--out", str(tmp_path / "run")]) == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert begun[0] > 0
    assert len(compiled) == begun[0]
