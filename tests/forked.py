"""Command lines in processes of their own, forked from one that has imported everything.

A process that imports torch and transformers anew takes four seconds of a core before it does
anything; a fork of one that has imported them takes none.
"""

import os
import resource
import signal
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

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

_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.forked"])


def started(command, log, *, largest_file=None, prepare=None, **environment):
    """A process that carries out a command of tiltlm, its output appended to a file.

    Args:
        command: its arguments.
        log: the file.
        largest_file: bytes, above which it can write no file.
        prepare: a function of a module, called in the process before.
        environment: variables of it.
    """
    arguments = ([str(part) for part in command], str(log), largest_file, prepare, environment)
    process: ForkServerProcess = _SERVER.Process(target=_call, args=arguments)
    process.start()
    return process


def _call(command, log, largest_file, prepare, environment):
    """What the process does; what the command exits with is the process's."""
    handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "300", **environment}
    if prepare is not None:
        prepare()
    sys.argv = ["tiltlm", *command]
    tiltlm.cli.main.main()
