import sys

from benchmarks import optimizer_step


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
