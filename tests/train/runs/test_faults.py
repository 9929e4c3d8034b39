"""Kills, signals, damage: what was good stays good, and the rest gets one message.

A few of each here; with `--torture` many more.
"""

import gc
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from tests.train.two_classes import two_classes
from train.__main__ import main
from train.engine import calls
from train.runs import checkpoint, loop, records
from train.runs.display import Display
from train.runs.folder import locked

pytestmark = pytest.mark.usefixtures("no_pictures")

SIZES = {"train": 64, "test": 16}
EPOCHS, STEPS = 8, 4  # of 16 examples
OPTIONS = [
    *("--network", "mlp", "--hidden", "16", "--epochs", str(EPOCHS)),
    *("--batch-size", "16", "--steps-per-call", "1", "--learning-rate", "0.05"),
    *("--loss-average", "epoch", "--observe", "mechanism", "--eval-batch-size", "4"),
]
# A checkpoint after every call.
ALWAYS = ["--checkpoint-minutes", "1e-9"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes that overlap, so that losses go up and down."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez(path, **two_classes(SIZES, channels=1, noise=200, contrast=50))
    return f"npz:{path}"


@pytest.fixture
def command(images):
    return ["run", "--data", images, *OPTIONS]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["run", "--data", images, *OPTIONS, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def stopped(images, tmp_path_factory):
    """The folder of one that a signal stopped within its sixth epoch."""
    out = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 5 * STEPS + 2)
        code = main(["run", "--data", images, *OPTIONS, *ALWAYS, "--out", str(out)])
    assert code == 128 + signal.SIGTERM
    return out


def stop_at(patch, step, number=signal.SIGTERM):
    """Sends this process a signal when a run has taken so many steps, one a call."""
    advanced, taken = Display.advanced, []

    def advance_and_stop(self, *progress):
        advanced(self, *progress)
        taken.append(progress)
        if len(taken) == step:
            signal.raise_signal(number)

    patch.setattr(Display, "advanced", advance_and_stop)


def result(folder, last=EPOCHS * STEPS):
    """All that must not depend on what a run of `last` steps went through."""
    rows = records.read_metrics(folder)
    for row in rows:
        del row["seconds"], row["images_per_second"]
    state = restore(folder / "checkpoints" / f"{last}")["state"]
    weights = [np.asarray(x).tobytes() for x in leaves(state)]
    return rows, (folder / "steps.csv").read_text(), weights


def restore(checkpoint):
    """A checkpoint's snapshot, read by Orbax alone, without our code."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(checkpoint.resolve() / "snapshot")


def leaves(tree):
    if isinstance(tree, dict | list):
        nodes = tree.values() if isinstance(tree, dict) else tree
        return [leaf for node in nodes for leaf in leaves(node)]
    return [] if tree is None else [tree]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def number_of(pytestconfig):
    """How many: a few, or with --torture many."""
    tortures = pytestconfig.getoption("--torture")
    return lambda few, many: many if tortures else few


@pytest.fixture
def rng(pytestconfig):
    """The same chances each time, but with --torture others."""
    seed = time.time_ns() if pytestconfig.getoption("--torture") else 0
    print(f"seed of the faults: {seed}")
    return random.Random(seed)


# --- Kills and signals ----------------------------------------------------------------


def start(command, out, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "train", *command, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def wait_for(condition):
    end = time.monotonic() + 300  # of a busy machine
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_run_goes_on_to_the_same_end(whole, command, tmp_path, number_of, rng):
    # From its first checkpoint to its end, most of which it is saving, a run takes a
    # second or so; what comes before takes longer, and is killed in some of the cases.
    expected, saved = result(whole), []
    for number in range(number_of(1, 50)):
        out = tmp_path / f"{number}"
        process = start(command, out, *ALWAYS, "--resume")
        if number % 5 == 4:
            time.sleep(rng.uniform(0, 5))
        else:
            wait_for((out / "checkpoints").exists)
            time.sleep(rng.uniform(0, 1))
        process.kill()
        process.communicate(timeout=60)
        steps = [path.name for path in out.glob("checkpoints/*")]
        saved.append(steps)
        assert main([*command, *ALWAYS, "--out", str(out), "--resume"]) == 0
        assert result(out) == expected, steps
    print(*saved, sep="\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_saves_in_the_middle_of_an_epoch_and_says_how_to_go_on(
    whole, command, tmp_path, monkeypatch, capsys, number
):
    command = [*command, "--out", str(tmp_path / "run")]
    with monkeypatch.context() as patch:
        stop_at(patch, 3 * STEPS + 2, number)
        assert main(command) == 128 + number
    errors = capsys.readouterr().err
    assert f"{number.name}: stopped and saved after step 14 of 32." in errors
    assert f"the same command with --out {tmp_path / 'run'} --resume" in errors
    assert len(records.read_metrics(tmp_path / "run")) == 3
    assert main([*command, "--resume"]) == 0
    assert result(tmp_path / "run") == result(whole)


def test_run_stopped_again_and_again_comes_to_the_same_end(
    whole, command, tmp_path, monkeypatch
):
    command = [*command, "--out", str(tmp_path / "run"), "--resume"]
    codes = []
    while not codes or codes[-1] != 0:
        with monkeypatch.context() as patch:
            stop_at(patch, 5)
            codes.append(main(command))
    assert codes == [143] * 6 + [0]
    assert result(tmp_path / "run") == result(whole)


@pytest.mark.parametrize("epoch", [1, 3, EPOCHS])
def test_signal_in_a_test_saves_before_its_end_and_the_test_is_made_again(
    whole, command, tmp_path, monkeypatch, capsys, epoch
):
    command = [*command, "--out", str(tmp_path / "run")]
    compile_program, begun = loop.compile_program, []

    def compile_and_stop(spec):
        compiled = compile_program(spec)

        class Test:
            lower = compiled.test.lower

            def __call__(self, *arguments, first, count):
                begun.append(first)
                if begun.count(0) == epoch and first == 2:
                    signal.raise_signal(signal.SIGINT)
                return compiled.test(*arguments, first=first, count=count)

        return compiled._replace(test=Test())

    with monkeypatch.context() as patch:
        patch.setattr(calls, "SECONDS", 0)  # a batch is a call
        patch.setattr(loop, "compile_program", compile_and_stop)
        assert main(command) == 130
    assert begun == [0, 1, 2, 3] * (epoch - 1) + [0, 1, 2]
    said = f"stopped and saved in the test after step {epoch * STEPS} of 32."
    assert said in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert result(tmp_path / "run") == result(whole)


@pytest.mark.parametrize(
    ("step", "number"),
    [(EPOCHS * STEPS, signal.SIGTERM), (5, signal.SIGHUP)],
    ids=["in the last epoch", "that is to be ignored"],
)
def test_signal_that_is_too_late_or_ignored_changes_nothing(
    whole, command, tmp_path, monkeypatch, step, number
):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        stop_at(monkeypatch, step, number)
        assert main([*command, "--out", str(tmp_path / "run")]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert result(tmp_path / "run") == result(whole)


def test_run_whose_output_nobody_reads_goes_on_and_is_saved(command, tmp_path):
    # As Ctrl-C does with `| tee log`, which dies of it too.
    process = start([*command, "--epochs", "100000"], tmp_path / "run")
    wait_for((tmp_path / "run" / "steps.csv").exists)
    process.stdout.close()
    done = len(records.read_metrics(tmp_path / "run"))
    wait_for(lambda: len(records.read_metrics(tmp_path / "run")) > done + 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.torture)]
)
def test_signal_at_the_start_ends_with_a_word(
    command, tmp_path, number_of, rng, number
):
    # Modules load for a second or two; then a compiler runs.
    for index in range(number_of(1, 20)):
        process = start([*command, "--epochs", "100000"], tmp_path / f"{index}")
        time.sleep(rng.uniform(0.5, 5))
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        *_, last = output.splitlines()
        assert last in ("terminated", "interrupted") or "To continue" in last


def python(script):
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize("moment", ["import", "exit"])
def test_signal_before_and_after_the_program_has_its_own_way_leaves_no_traceback(
    moment,
):
    done = python(f"""
import atexit, runpy, signal, sys
class Interrupting:
    def find_spec(name, *_):
        if name == "train.errors":
            signal.raise_signal(signal.SIGINT)
if "{moment}" == "import":
    sys.meta_path.insert(0, Interrupting)
else:
    atexit.register(signal.raise_signal, signal.SIGINT)
sys.argv[1:] = ["--version"]
runpy.run_module("train", run_name="__main__", alter_sys=True)
""")
    assert done.returncode == -signal.SIGINT  # which a shell shows as 130
    assert done.stderr == ""


def test_signal_between_runs_says_how_to_go_on():
    done = python("""
import signal
from train.__main__ import _terminable
from train.errors import advising
with _terminable(), advising("To continue: again."):
    signal.raise_signal(signal.SIGINT)
""")
    assert done.returncode == 130
    assert done.stderr == "\nTo continue: again.\ninterrupted\n"


def test_signal_while_a_picture_is_drawn_says_that_the_run_has_finished(
    command, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(
        "train.runs.drawing.plot_run", lambda _: signal.raise_signal(signal.SIGINT)
    )
    monkeypatch.setattr(os, "_exit", sys.exit)
    out = tmp_path / "run"
    with pytest.raises(SystemExit, match="130"):
        main([*command, "--out", str(out)])
    text = capfd.readouterr().err
    assert "The run has finished, but for its picture.\ntest error " in text
    assert f"\nfolder: {out}\nnext: " in text
    assert text.endswith("\ninterrupted\n")


def test_signal_while_a_program_compiles_ends_before_training(
    command, tmp_path, monkeypatch, capsys
):
    compile_program = loop.compile_program

    def compile_and_stop(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return compile_program(*arguments)

    monkeypatch.setattr(loop, "compile_program", compile_and_stop)
    assert main([*command, "--out", str(tmp_path / "run")]) == 143
    errors = capsys.readouterr().err
    assert "SIGTERM: stopped before training, after step 0 of 32. To continue" in errors
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_second_signal_ends_at_once(command, tmp_path):
    process = start([*command, "--epochs", "100000"], tmp_path / "run")
    wait_for((tmp_path / "run" / "steps.csv").exists)
    os.kill(process.pid, signal.SIGSTOP)  # so that both are there before it looks
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        os.kill(process.pid, number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert "stopped at once" in output
    assert "Traceback" not in output


def test_interrupted_comparison_goes_on_within_a_run(
    images, tmp_path, monkeypatch, capsys
):
    command = ["compare", "--data", images, *OPTIONS[:-2], "--arms", "sgd", "lcam"]
    command += ["--keep-checkpoints", "1"]
    command = [part for part in command if part not in ("--loss-average", "epoch")]
    command = [part for part in command if part not in ("--learning-rate", "0.05")]
    whole, parts = (["--out", str(tmp_path / name)] for name in ("whole", "parts"))
    assert main([*command, *whole]) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 10)
        assert main([*command, *parts]) == 143
    errors = capsys.readouterr().err
    assert "the same command with --out" in errors
    assert main([*command, *parts, "--resume"]) == 0
    for name in ("1-sgd-seed0", "2-lcam-seed0"):
        place = Path("runs") / "npz" / name
        assert result(tmp_path / "parts" / place) == result(tmp_path / "whole" / place)


# --- Damage ---------------------------------------------------------------------------


@pytest.fixture
def folder(stopped, tmp_path):
    """A copy of the stopped run, which a test may spoil."""
    return shutil.copytree(stopped, tmp_path / "run")


def go_on(command, folder, capsys):
    """Goes on with a run; returns the exit code and the error, if it was refused."""
    before = contents(folder)
    capsys.readouterr()
    code = main([*command, *ALWAYS, "--out", str(folder), "--resume"])
    errors = capsys.readouterr().err
    if code:
        assert code == 2
        *remarks, error = errors.splitlines()
        assert all(remark.startswith("data: ") for remark in remarks)
        assert error.startswith("error: ")
        kept = {path: before[path] for path in before if path.name != ".lock"}
        assert kept.items() <= contents(folder).items()  # nothing is lost
    return code, errors


def last_checkpoint(folder):
    return max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_damaged_checkpoint_is_told_and_never_gone_on_with(
    whole, stopped, command, tmp_path, capsys, number_of, rng, kind
):
    expected = result(whole)
    for index in range(number_of(1, 200)):
        folder = shutil.copytree(stopped, tmp_path / f"{index}")
        files = [path for path in last_checkpoint(folder).rglob("*") if path.is_file()]
        path = rng.choice([path for path in sorted(files) if path.stat().st_size])
        content = bytearray(path.read_bytes())
        if kind == "flip":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        else:
            content = content[: rng.randrange(len(content))]
        path.write_bytes(content)
        code, errors = go_on(command, folder, capsys)
        if code:
            assert "cannot read the checkpoint" in errors
            shutil.rmtree(last_checkpoint(folder))  # the one before is whole
            assert main([*command, "--out", str(folder), "--resume"]) == 0
        assert result(folder) == expected


def changed_crc(folder):
    """As a bit that changed in a weight, which Orbax has no checksum of."""
    path = last_checkpoint(folder) / "about" / "metadata"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"crc32": about["crc32"] ^ 1}))


def another_version(folder):
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").mkdir()
    with ocp.CheckpointManager(folder / "checkpoints") as manager:
        manager.save(22, args=ocp.args.StandardSave({"weights": np.zeros(3)}))


def renamed(number):
    def rename(folder):
        last_checkpoint(folder).rename(folder / "checkpoints" / f"{number}")

    return rename


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed_crc, "step 22 has changed since it was saved. Move"),
        (another_version, "22 away to continue from an earlier one, or from the"),
        (renamed(23), "it is of step 22, and not of 23. Move"),
        (renamed(33), "it is of step 22, and not of 33. Move"),
    ],
)
def test_checkpoint_that_is_not_what_was_written_is_told(
    folder, command, capsys, spoil, message
):
    spoil(folder)
    code, errors = go_on(command, folder, capsys)
    assert code == 2
    assert "cannot read the checkpoint" in errors
    assert message in errors


def test_checkpoint_of_another_run_is_told(stopped, command, tmp_path, capsys):
    folder, command = tmp_path / "run", [*command, "--seed", "1"]
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        assert main([*command, "--out", str(folder)]) == 143
    shutil.rmtree(folder / "checkpoints")
    shutil.copytree(stopped / "checkpoints", folder / "checkpoints")
    for name in records.ROWS:
        shutil.copy(stopped / name, folder)
    code, errors = go_on(command, folder, capsys)
    assert code == 2
    assert "step 22 is of another run. Move" in errors


@pytest.mark.parametrize("name", records.ROWS)
def test_rows_that_were_cut_or_changed_are_told(
    folder, command, capsys, number_of, rng, name
):
    whole = (folder / name).read_text()
    digit = max(whole.rindex("1"), whole.rindex("2"))
    changed = [whole[:digit] + "3" + whole[digit + 1 :]]
    changed += [whole[: rng.randrange(len(whole))] for _ in range(number_of(1, 50))]
    for text in changed:
        (folder / name).write_text(text)
        code, errors = go_on(command, folder, capsys)
        assert code == 2
        assert f"{folder / name} was changed or damaged: it does not hold" in errors


@pytest.mark.parametrize("name", records.ROWS)
def test_rows_beyond_the_checkpoint_are_made_anew(whole, folder, command, capsys, name):
    # The last of them half written, as a kill leaves them.
    beyond = (whole / name).read_text().splitlines(keepends=True)
    kept = len((folder / name).read_text().splitlines())
    with (folder / name).open("a") as file:
        file.write("".join(beyond[kept : kept + 2])[:-3])
    assert go_on(command, folder, capsys)[0] == 0
    assert result(folder) == result(whole)


def test_orbax_does_not_ask_whether_to_stop(command, tmp_path, monkeypatch):
    # `train.runs.stop` asks JAX, and two that ask with other numbers never agree.
    asked = []
    monkeypatch.setattr(ocp.utils, "reached_preemption", asked.append)
    saving = ["--checkpoint-every", "4", "--out", str(tmp_path / "run")]
    assert main([*command, *saving]) == 0
    assert not asked


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "holds no config.json"),
        (lambda path: path.write_text("{"), "cannot read"),
    ],
    ids=["missing", "cut"],
)
def test_folder_without_its_options_is_told(folder, command, capsys, damage, message):
    damage(folder / "config.json")
    code, errors = go_on(command, folder, capsys)
    assert code == 2
    assert message in errors


def test_two_processes_do_not_share_a_run(folder, command, capsys):
    with locked(folder):
        code, errors = go_on(command, folder, capsys)
    assert code == 2
    assert "another process is using" in errors


# --- Links ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checkpoints", "checkpoints/22", ".lock"])
def test_link_that_leads_out_of_a_run_is_not_followed(
    folder, command, tmp_path, capsys, name
):
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    if outside.is_file():
        outside.write_text("precious")
    before = contents(outside) or outside.read_text()
    code, errors = go_on(command, folder, capsys)
    assert code == 2
    assert f"{folder / name} is a link" in errors
    assert main(["runs", str(folder)]) == 0
    assert before == (contents(outside) or outside.read_text())


def test_comparison_removes_no_checkpoints_but_its_own(images, tmp_path, monkeypatch):
    out, outside = tmp_path / "out", tmp_path / "outside"
    command = ["compare", "--data", images, "--network", "mlp", "--epochs", "2"]
    command += ["--seeds", "0", "--batch-size", "16", "--out", str(out)]
    write_finished = records.write_finished

    def finish(folder, step):
        write_finished(folder, step)
        if not outside.exists():
            outside.mkdir()
            (outside / "precious").write_text("22")
            (folder / "checkpoints" / "notes.txt").write_text("mine")
            (folder / "checkpoints" / "77").symlink_to(outside)

    monkeypatch.setattr(records, "write_finished", finish)
    assert main(command) == 0
    assert (outside / "precious").exists()
    assert len(list(out.glob("runs/npz/*/checkpoints/notes.txt"))) == 1
    assert len(list(out.glob("runs/npz/*/checkpoints"))) == 1


def test_rows_that_are_links_become_the_runs_own(folder, whole, command, tmp_path):
    outside = {}
    for name in records.ROWS:
        path = tmp_path / name
        (folder / name).rename(path)
        (folder / name).symlink_to(path)
        outside[path] = path.read_bytes()
    assert main([*command, "--out", str(folder), "--resume"]) == 0
    assert result(folder) == result(whole)
    assert {path: path.read_bytes() for path in outside} == outside


@pytest.mark.torture
@pytest.mark.filterwarnings("ignore:coroutine", "ignore:unclosed", "ignore:Exception")
@pytest.mark.parametrize("direction", [-1, 1])
def test_clock_that_jumps_loses_nothing(
    whole, command, tmp_path, monkeypatch, capsys, direction
):
    real = time.time
    with monkeypatch.context() as patch:
        # By hours at every look.
        looks = itertools.count()
        patch.setattr(time, "time", lambda: real() + direction * 7200 * next(looks))
        code = main([*command, *ALWAYS, "--out", str(tmp_path / "run")])
    errors = capsys.readouterr().err
    gc.collect()  # coroutines that Orbax leaves, while their complaint is ignored
    # It gives up on what takes many minutes by that clock.
    assert code == 0 if direction < 0 else "cannot write the checkpoint" in errors
    assert main([*command, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert result(tmp_path / "run") == result(whole)


# --- Disks ----------------------------------------------------------------------------


def on_disk_of(size, script):
    """Runs a shell script that finds a disk of its own, as small as that, in $DISK."""
    mount = f"mount -t tmpfs -o size={size} tmpfs $DISK"
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("a disk of one's own needs the right to mount one (unshare -rm)")
    with tempfile.TemporaryDirectory() as disk:
        return subprocess.run(
            ["unshare", "-rm", "sh", "-c", f"{mount}; {script}"],
            env=os.environ | {"DISK": disk},
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[3],
            timeout=120,
        )


@pytest.mark.torture
def test_full_disk_and_read_only_disk_lose_nothing(whole, command, tmp_path):
    run = shlex.join([sys.executable, "-m", "train", *command, *ALWAYS])
    script = f"""
        {run} --keep-checkpoints 99 --out $DISK/run; echo full: $?
        tail -c 1 $DISK/run/metrics.jsonl | wc -l
        mount -o remount,ro $DISK; {run} --out $DISK/run --resume; echo read-only: $?
        mount -o remount,rw,size=100m $DISK
        {run} --out $DISK/run --resume; echo space: $?
        cp -r $DISK/run {shlex.quote(str(tmp_path / "run"))}
    """
    done = on_disk_of("700k", script)
    assert "full: 2\n" in done.stdout
    assert "read-only: 2\n" in done.stdout
    assert "space: 0\n" in done.stdout
    messages = [line for line in done.stderr.splitlines() if line[:6] != "data: "]
    assert len(messages) == 2, done.stderr
    assert messages[0].startswith("error: cannot write")
    assert messages[1].startswith("error: cannot write into")
    assert "Read-only file system. Free some space, or make the folder" in messages[1]
    assert result(tmp_path / "run") == result(whole)


# --- Losses that are not finite -------------------------------------------------------


def exploding(command):
    return [*command, "--learning-rate", "1e3", *ALWAYS, "--keep-checkpoints", "99"]


def test_exploding_loss_stops_at_its_step_and_keeps_what_was_good(
    command, tmp_path, capsys
):
    out = tmp_path / "run"
    assert main([*exploding(command), "--out", str(out)]) == 1
    errors = capsys.readouterr().err
    losses = np.array(records.read_steps(out)["loss"])
    first = np.flatnonzero(~np.isfinite(losses))[0] + 1
    assert f"at step {first} (epoch" in errors
    # At most the step that was under way came after.
    assert len(losses) <= first + 1
    for path in (out / "checkpoints").iterdir():
        assert all(np.isfinite(x).all() for x in leaves(restore(path)["state"]))
        assert int(path.name) < first
    assert records.has_diverged(records.read_metrics(out))


def spoil_weights(patch):
    """Makes one NaN of what is to be saved, before any loss shows it."""
    snapshot = checkpoint.Snapshot

    def spoiled(state, *rest):
        jax.tree.leaves(state.params)[0].flat[0] = np.nan
        return snapshot(state, *rest)

    patch.setattr(loop, "Snapshot", spoiled)


def test_signal_does_not_save_spoiled_weights(command, tmp_path, monkeypatch, capsys):
    spoil_weights(monkeypatch)
    stop_at(monkeypatch, 6)
    assert main([*command, "--out", str(tmp_path / "run")]) == 143
    errors = capsys.readouterr().err
    assert "stopped with weights that are not finite after step 6 of 32." in errors
    assert not any((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("on_nan", "saves"),
    [("stop", False), pytest.param("continue", True, marks=pytest.mark.torture)],
)
def test_spoiled_weights_do_not_become_the_last_checkpoint(
    command, tmp_path, monkeypatch, on_nan, saves
):
    spoil_weights(monkeypatch)
    options = ["--on-nan", on_nan, "--out", str(tmp_path / "run")]
    assert main([*command, *ALWAYS, *options]) == 0
    assert any((tmp_path / "run" / "checkpoints").iterdir()) == saves


def test_weights_that_the_last_step_ruined_are_noticed_in_the_test(
    command, tmp_path, capsys
):
    ruin = ["--learning-rate", "1e6", "--epochs", "1", "--batch-size", "64"]
    ruin += ["--hidden", *["16"] * 9, "--out", str(tmp_path / "run")]
    assert main([*command, *ruin]) == 1
    errors = capsys.readouterr().err
    assert re.search(r"the test loss is \w+ \(epoch 1\): training diverged", errors)


@pytest.mark.torture
def test_run_goes_on_after_a_loss_that_is_not_finite_if_asked(command, tmp_path):
    out = tmp_path / "run"
    options = ["--on-nan", "continue", "--out", str(out)]
    assert main([*exploding(command), *options]) == 0
    assert len(records.read_metrics(out)) == EPOCHS
    steps = records.read_steps(out)
    is_finite = np.isfinite(steps["loss"])
    assert not is_finite.all()
    assert np.isfinite(steps["average_loss"]).all()  # LCAM leaves such losses out
