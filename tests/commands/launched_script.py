"""The command line, one of whose processes meets with a fault; `test_launched.py` starts it.

python -m tests.commands.launched_script FAULT COMMAND …
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tiltlm import launching, team
from tiltlm.auditing.null import building, members
from tiltlm.cli.main import main
from tiltlm.errors import StorageError


def break_second_member(fault: str) -> None:
    """Let the second member that this process makes be its last."""
    write, made = members.write_member, []

    def writing(*arguments: Any) -> None:
        made.append(arguments)
        if len(made) == 2:
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if fault == "refused":
                raise StorageError("no room here")
        write(*arguments)

    members.write_member = writing


def wait_while_signalled(fault: str) -> None:
    """Let this process go no further than a place, and say so once it is there."""
    rank = os.environ["RANK"]  # The team hides it later.

    def wait(*_: Any) -> None:
        Path(os.environ["WAITING"], rank).touch()
        time.sleep(120)

    if fault == "waits at its options":
        launching.joined = wait
    if fault == "waits for the model":
        building.open_model = wait
    if fault == "waits at a member":
        members.write_member = wait


if __name__ == "__main__":
    fault = sys.argv.pop(1)
    team.SILENCE_SECONDS = 4.0
    if fault.startswith("waits"):
        wait_while_signalled(fault)
    elif os.environ.get("RANK") == "1":
        break_second_member(fault)
    main()
