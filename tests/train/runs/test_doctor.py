"""What `doctor` says of this machine, with a broken plugin of JAX's beside it."""

import json

import pytest

from train.__main__ import main
from train.runs import doctor

REASON = "Unable to load cuDNN. Is it installed?"


@pytest.fixture(autouse=True)
def _broken_plugin(tmp_path, monkeypatch):
    """As JAX's for CUDA where a library is missing."""
    plugin = tmp_path / "jax_plugins" / "broken"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(
        f"def initialize():\n    raise RuntimeError({REASON!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # A network that compiles fast.
    monkeypatch.setattr(doctor, "RUN", [*doctor.RUN, "--network", "mlp"])


def test_run_on_the_cpu_in_place_of_an_accelerator_works_and_is_told(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not [x for x in lines if len(x) > 80 and " " in x[11:]]  # but for paths
    titles = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert " ".join(titles) == (
        "commit python packages variables machine GPUs cache run"
    )
    told = " ".join(" ".join(lines).split())
    assert " run works: 1 x cpu, " in told
    assert " ms a step, compiled in " in told
    assert f"note: this runs on the CPU: {REASON} `pip install --upgrade" in told


@pytest.mark.parametrize(
    ("options", "flags", "told"),
    [
        (["--device", "gpu"], "", f"JAX cannot start on gpu: {REASON} `pip install"),
        # XLA ends the process.
        ([], "--nonsense", "Unknown flag in XLA_FLAGS: --nonsense. Unset XLA_FLAGS"),
    ],
)
def test_run_that_fails_is_told_with_what_to_do(
    options, flags, told, monkeypatch, capsys
):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *options])
    assert ended.value.code == 1
    assert told in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("code", "lines", "told"),
    [
        (-9, [], "run fails: it ended with code -9. Memory is full: "),
        (
            1,
            ["E: it broke", "-" * 20, "For simplicity, JAX"],
            "run fails: E: it broke.",
        ),
    ],
)
def test_last_word_of_a_run_that_ends_is_told(monkeypatch, capsys, code, lines, told):
    ended = code, [], ["data: 180 images", *lines]
    monkeypatch.setattr(doctor, "_call", lambda *_: ended)
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert told in " ".join(capsys.readouterr().out.split())


def test_json_has_the_same_for_a_program(capsys):
    with pytest.raises(SystemExit):
        main(["doctor", "--json", "--device", "tpu"])
    found = json.loads(capsys.readouterr().out)
    [run] = found["runs"]
    assert run["error"].startswith("error: JAX cannot start on tpu: ")
    assert REASON not in run["error"]  # of another device
    assert run["code"] == 2
    assert any(text.startswith("jax ") for text in found["packages"])
