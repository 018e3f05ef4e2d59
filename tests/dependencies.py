"""What the project and its development need of other packages; as a program, the lock of it all.

``python -m tests.dependencies`` prints ``constraints.txt`` for what is installed here, and
``python -m tests.dependencies people`` prints ``constraints-people.txt``.
"""

import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

_HEAD = """\
# What `make setup` installs; `make lock` writes it anew. pyproject.toml has the ranges for users.
"""


_PEOPLE_HEAD = """\
# What `make setup-people` installs: page, notebooks, documentation, in an environment of their own,
# since gradio does not go with all that constraints.txt pins. `make lock-people` writes it anew.
"""

PEOPLE = ("ui", "ui-dev", "docs", "notebooks")
"""Extras that lie in an environment of their own."""

_NOT_INSTALLED = {"gpu", "vllm", *PEOPLE}
"""Extras that development does without; `gpu` is for machines with CUDA, `vllm` for an engine."""


def direct(*, people: bool = False) -> list[Requirement]:
    """All that pyproject.toml names for development, extras included.

    Args:
        people: those of the page, notebooks and documentation too.
    """
    left_out = _NOT_INSTALLED - set(PEOPLE) if people else _NOT_INSTALLED
    all_extras = PROJECT["optional-dependencies"].items()
    extras = [lines for extra, lines in all_extras if extra not in left_out]
    return [*map(Requirement, PROJECT["dependencies"])] + [
        Requirement(line) for lines in extras for line in lines
    ]


def needed(*, people: bool = False) -> list[str]:
    """The names of all packages that are needed here, directly or not.

    Args:
        people: as for `direct`.
    """
    found: dict[str, set[str]] = {}
    todo = direct(people=people)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if extras <= found.get(name, set()):
            continue
        found[name] = found.get(name, set()) | extras
        for line in requires(name) or []:
            inner = Requirement(line)
            if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras):
                todo.append(inner)
    return sorted(found)


def lock(*, people: bool = False) -> str:
    """The lock: one line a package, without setuptools, which builds, and without local builds."""
    pins = [f"{name}=={Version(version(name)).public}" for name in needed(people=people)]
    return (_PEOPLE_HEAD if people else _HEAD) + "".join(
        f"{pin}\n" for pin in pins if not pin.startswith("setuptools=")
    )


if __name__ == "__main__":
    print(lock(people="people" in sys.argv[1:]), end="")
