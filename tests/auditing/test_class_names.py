"""The names of classes do not depend on the order in which Python happens to walk through sets."""

import os
import subprocess
import sys

SCRIPT = """
import numpy as np
from tiltlm.auditing.classes.naming import display_name
from tiltlm.auditing.classes.token_classes import build_classes
from tiltlm.events.vocabulary import Vocabulary

parts = ["bar", "doq", "kil", "luv", "men", "now", "pix", "ruz", "sot", "taj"]
vocabulary = Vocabulary(tuple(f" {a}{b}".encode() for a in parts for b in parts))
lists = {"a list": [a + b for a in parts[:3] for b in parts]}
classes = build_classes(vocabulary, lists, [[3, 1, 2, *range(20, 30)]])
for index, name in enumerate(classes.names):
    ids = classes.token_ids(index)
    simplest = classes.simplest(index, np.ones(len(classes), bool), 0.5)
    print(display_name(name, ids, vocabulary), classes.names[simplest], ids)
"""


def names_with(hash_seed):
    """What the script prints, line by line, in a process with this seed of Python's hashes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_classes_have_the_same_names_whatever_the_seed_of_pythons_hashes():
    # Every n-gram of "kil" has the same tokens as another, so which comes first names the class.
    first, second = names_with("1"), names_with("2")
    assert len(first) > 30
    assert first == second
