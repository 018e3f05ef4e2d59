"""What the project and its development need of other packages; as a program, the lock of it all.

``python -m tests.dependencies`` prints ``constraints.txt`` for what is installed here.
"""

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


_NOT_INSTALLED = {"gpu", "vllm"}
"""Extras that development does without: for machines with CUDA, or for an engine."""


def direct() -> list[Requirement]:
    """All that pyproject.toml names for development, extras included."""
    all_extras = PROJECT["optional-dependencies"].items()
    extras = [lines for extra, lines in all_extras if extra not in _NOT_INSTALLED]
    return [*map(Requirement, PROJECT["dependencies"])] + [
        Requirement(line) for lines in extras for line in lines
    ]


def needed() -> list[str]:
    """The names of all packages that are needed here, directly or not."""
    found: dict[str, set[str]] = {}
    todo = direct()
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


def lock() -> str:
    """The lock: one line a package, without setuptools, which builds, and without local builds."""
    pins = [f"{name}=={Version(version(name)).public}" for name in needed()]
    return _HEAD + "".join(f"{pin}\n" for pin in pins if not pin.startswith("setuptools="))


if __name__ == "__main__":
    print(lock(), end="")
