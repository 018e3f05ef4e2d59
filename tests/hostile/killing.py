"""One command in a process of its own, forked from one that has imported this module."""

import os
import sys

import peft  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

import tiltlm.cli.main
import tiltlm.commands.audit
import tiltlm.commands.measure
import tiltlm.commands.run
import tiltlm.commands.sweep
import tiltlm.commands.tilt
from tests.hostile.writers import SMALL
from tiltlm.measures import suite_sizes


def call(command, cache, log):
    """Carry out a command, its output appended to a file; what it exits with is the process's."""
    handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.environ |= {"TILTLM_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "300"}
    suite_sizes.SUITES["quick"] = SMALL
    sys.argv = ["tiltlm", *command]
    tiltlm.cli.main.main()
