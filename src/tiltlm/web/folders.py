"""Files from the folders given at the start, and from nowhere else. Knows no page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tiltlm.errors import ConfigError

_MOST_ENTRIES = 2000
"""Folders that are looked through for models."""


class Folders:
    """The folders that the page may read and write.

    Args:
        roots: folders that exist; the first gets what the page makes.

    Raises:
        ConfigError: there is none, or one is no folder.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        if not roots:
            raise ConfigError("no folder was given", where="--folder", fix="name one")
        for root in roots:
            if not root.is_dir():
                raise ConfigError(
                    "there is no such folder", where=str(root), fix="make it, or name another"
                )
        self.roots = tuple(root.resolve() for root in roots)

    def checked(self, name: str) -> str:
        """A path if it lies in the folders, links followed; what is no path stays as it is.

        Args:
            name: ``smollm2``, a name on the Hub, or a path.

        Raises:
            ConfigError: the path leads out of the folders.
        """
        name = name.strip()
        path = Path(name).expanduser()
        if not (path.is_absolute() or name.startswith((".", "~")) or path.exists()):
            inside = [root / name for root in self.roots if (root / name).exists()]
            if not inside:
                return name
            path = inside[0]
        path = path.resolve()
        if not any(path == root or root in path.parents for root in self.roots):
            shown = ", ".join(map(str, self.roots))
            raise ConfigError(
                f"{name} lies outside the folders that this page was given ({shown})",
                fix="choose one inside, or start tiltlm ui with --folder of that one",
            )
        return str(path)

    def bases(self) -> list[str]:
        """Folders that hold whole models without a label, the newest first; no sealed ones."""
        return [
            path
            for path in self._holding("config.json")
            if not _labelled(path) and not _sealed(path)
        ]

    def challenges(self) -> list[str]:
        """Folders that hold a sealed challenge."""
        return self._holding("challenge.json")

    def tilted(self) -> list[str]:
        """Folders that ``tiltlm tilt`` or ``tiltlm run`` wrote, or that hold a labelled model."""
        found = [Path(path) for path in self._holding("tilt.json")]
        # Weights lie in `model` of the folder by which they are known.
        outer = [p.parent if p.name == "model" and _holds_record(p.parent) else p for p in found]
        return list(dict.fromkeys(map(str, outer)))

    def packs(self) -> list[str]:
        """Folders that hold a pack of benign changes."""
        return self._holding("null.json")

    def free(self, name: str) -> Path:
        """A new folder for what the page makes.

        Args:
            name: its beginning, such as ``tilt``.
        """
        parent = self.roots[0] / "ui"
        number = 1
        while (parent / f"{name}-{number}").exists():
            number += 1
        return parent / f"{name}-{number}"

    def _holding(self, *files: str) -> list[str]:
        """Folders of the roots that hold one of some files."""
        found: list[tuple[float, str]] = []
        todo, looked = list(self.roots), 0
        while todo and looked < _MOST_ENTRIES:
            folder = todo.pop(0)
            looked += 1
            try:
                entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
            except OSError:
                continue
            if any((folder / name).is_file() for name in files):
                found.append((folder.stat().st_mtime, str(folder)))
            todo += [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
        return [path for _, path in sorted(found, reverse=True)]


def _labelled(path: str) -> bool:
    return (Path(path) / "tilt.json").is_file()


def _sealed(path: str) -> bool:
    return (Path(path).parent.parent / "challenge.json").is_file()


def _holds_record(folder: Path) -> bool:
    return (folder / "result.json").is_file()
