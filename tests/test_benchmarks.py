import dataclasses
import json
import sys

from benchmarks import optimizer_step, seeds


def test_optimizer_step_reports_every_side_of_a_case(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(optimizer_step.CASES, "tiny", lambda: [(3, 2), (5,)])
    out = tmp_path / "result.json"
    arguments = ["--rounds", "3", "--steps", "1", "--cases", "tiny", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["optimizer_step", *arguments])
    optimizer_step.main()
    printed = capsys.readouterr().out
    assert "tiny: 11 parameters in 2 arrays" in printed
    for side in ("sgd ", "sgd again", "sgd + 6", "lcam"):
        assert f"\n{side}" in printed
    assert '"parameters": 11' in out.read_text()


def test_seeds_take_the_same_steps_together_and_alone(monkeypatch, capsys, tmp_path):
    out = tmp_path / "result.json"
    tiny = dataclasses.replace(seeds.CASES["table"], epochs=1, batch_size=200)
    monkeypatch.setitem(seeds.CASES, "tiny", tiny)
    arguments = ["--rounds", "1", "--seeds", "2", "--cases", "tiny", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["seeds", *arguments])
    seeds.main()
    assert "a whole run of 1 epochs" in capsys.readouterr().out
    found = json.loads(out.read_text())["results"]["tiny"]["seeds"]["2"]
    assert set(found) == {"one after another", "unrolled", "vmap", "processes"}
    for side in found.values():
        assert side["loss_difference"] < 1e-5
