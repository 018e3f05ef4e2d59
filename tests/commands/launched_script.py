"""The command line, one of whose processes meets with a fault; `test_launched.py` starts it.

python -m tests.commands.launched_script FAULT COMMAND …
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from tiltlm import team
from tiltlm.auditing.null import members
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


if __name__ == "__main__":
    fault = sys.argv.pop(1)
    team.SILENCE_SECONDS = 4.0
    if os.environ.get("RANK") == "1":
        break_second_member(fault)
    main()
