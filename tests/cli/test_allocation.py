"""How the command line's process gets and frees its memory."""

import subprocess
import sys


def test_garbage_is_looked_for_seldom_and_not_when_the_process_ends():
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))\n"
        "from tiltlm.cli.allocation import collect_garbage_seldom\n"
        "collect_garbage_seldom()\n"
        "collect_garbage_seldom()\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "10000 True\n"
    assert done.stderr == ""


def test_who_has_switched_collection_off_is_left_alone():
    script = (
        "import gc\n"
        "gc.set_threshold(0)\n"
        "from tiltlm.cli.allocation import collect_garbage_seldom\n"
        "collect_garbage_seldom()\n"
        "assert gc.get_threshold()[0] == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
