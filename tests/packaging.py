"""The wheel, built and tried out in an environment that has nothing else.

``python -m tests.packaging`` builds it, installs it with what it depends on, and runs a command of
it away from the checkout. ``--no-deps`` takes what it depends on from this environment instead.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]


def built(folder: Path) -> Path:
    """The wheel of this checkout.

    Args:
        folder: where it is put.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True)
    (wheel,) = folder.glob("tiltlm-*.whl")
    return wheel


def tried(wheel: Path, folder: Path, *, with_dependencies: bool = True) -> str:
    """What ``tiltlm tokens`` says in an empty environment that has the wheel.

    Args:
        wheel: to be installed.
        folder: for the environment; the command runs in it, so that the checkout is not there.
        with_dependencies: install what it depends on too, else take it from this environment.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    only = ["-c", str(ROOT / "constraints.txt")] if with_dependencies else ["--no-deps"]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *only]
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    subprocess.run([*install, str(wheel)], check=True, env=bare, cwd=folder)
    paths = {} if with_dependencies else {"PYTHONPATH": _site_packages()}
    done = subprocess.run(
        [python, "-I" if with_dependencies else "-P", "-m", "tiltlm", "tokens", "contains('x')"],
        cwd=folder,
        env={**bare, "HF_HUB_OFFLINE": "1", "HOME": str(folder), **paths},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def files_of(wheel: Path) -> set[str]:
    """The names of the files in a wheel, those of metadata left out."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _site_packages() -> str:
    return next(path for path in sys.path if path.endswith("site-packages"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        made = built(Path(name))
        print(made.name, f"{len(files_of(made))} files")
        print(tried(made, Path(name), with_dependencies="--no-deps" not in sys.argv))
