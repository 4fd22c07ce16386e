import os

import forked


def test_a_command_that_hangs_is_ended_and_says_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "hanging.py").write_text("import threading\n\nthreading.Event().wait()\n")
    monkeypatch.setattr(forked, "LONGEST", 2.0)
    ended = forked.run(tmp_path, "hanging", environment=dict(os.environ))
    assert ended.returncode < 0
    assert "Fatal Python error: Aborted" in ended.stderr
    assert "hanging.py" in ended.stderr
