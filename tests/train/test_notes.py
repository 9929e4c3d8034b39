"""Where remarks are shown."""

from train import notes


def test_remark_is_on_stderr_where_no_display_is(capsys):
    notes.say("odd data")
    assert capsys.readouterr() == ("", "odd data\n")


def test_remark_goes_to_the_newest_display_as_long_as_it_lasts(capsys):
    old, new = [], []
    with notes.shown_by(old.append):
        with notes.shown_by(new.append):
            notes.say("first")
        notes.say("second")
    assert (old, new) == (["second"], ["first"])
    assert capsys.readouterr() == ("", "")
