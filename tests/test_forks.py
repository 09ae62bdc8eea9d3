"""A script that begins in a fork is one like any other."""

import os
import signal

import pytest

import forks

SAY = """
import os, sys
from huggingface_hub import constants
print(__name__, sys.argv[1:], os.getcwd(), os.environ["WORD"], constants.ENDPOINT)
raise SystemExit("that is all")
"""


def test_a_script_has_words_folder_environment_output_and_status_of_its_own(tmp_path, capfd):
    (tmp_path / "say.py").write_text(SAY)
    (tmp_path / "place").mkdir()
    environment = {"WORD": "mine", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = forks.run(tmp_path / "say.py", "--flag", 1, folder=tmp_path / "place", **environment)
    assert done.stdout == f"__main__ ['--flag', '1'] {tmp_path / 'place'} mine http://127.0.0.1:9\n"
    assert (done.returncode, done.stderr) == (1, "that is all\n")
    assert "WORD" not in os.environ and capfd.readouterr().out == ""


def test_a_script_is_killed_and_says_how_far_it_came(tmp_path):
    (tmp_path / "wait.py").write_text("import time\nprint('begun', flush=True)\nwhile True: time.sleep(1)\n")
    script = forks.Script(tmp_path / "wait.py")
    while "begun" not in open(script.out.name).read():
        assert script.is_running()
    done = script.kill()
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "begun\n")


@pytest.mark.parametrize("fails", [0, 1])
def test_where_one_of_two_processes_fails_the_other_is_killed(tmp_path, fails):
    (tmp_path / "one.py").write_text(
        f"import os, time\nif os.environ['RANK'] == '{fails}': raise SystemExit('wrong')\nwhile True: time.sleep(1)\n"
    )
    done = forks.run_two(tmp_path / "one.py")
    assert (done.returncode, done.stderr) == (1, "wrong\n")
