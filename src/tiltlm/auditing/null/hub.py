"""Null packs on the Hub: sent there from a folder, and fetched by their name."""

from __future__ import annotations

from pathlib import Path

from tiltlm.auditing.null.family_covariance_files import FILE as FAMILY_COVARIANCES
from tiltlm.auditing.null.pack_files import is_assembled, load_pack
from tiltlm.errors import ConfigError, RunError, reason_of
from tiltlm.reading import can_be_path

FILES = ("null.json", "null.safetensors", "knowledge.safetensors", FAMILY_COVARIANCES)
"""What is sent and fetched, as far as it is there. What a pack was begun with is not: the texts
that its members were trained on may be its maker's own."""

_REPOSITORY = "dataset"
"""Kind of repository: a pack is no model."""


def pack_folder(name: str | Path) -> Path:
    """The folder of a pack, fetched from the Hub if the name is one there.

    Args:
        name: a folder, or ``org/name`` on the Hub.

    Raises:
        ConfigError: the Hub has no such pack, or cannot be reached.
    """
    folder = Path(name)
    if not _is_hub_name(str(name)):
        return folder
    from huggingface_hub import snapshot_download

    try:
        place = snapshot_download(str(name), repo_type=_REPOSITORY, allow_patterns=[*FILES])
    except Exception as error:  # The library has error types of its own.
        raise ConfigError(
            f"there is no null pack in a folder of this name, nor on the Hub: {reason_of(error)}",
            where=str(name),
            fix="tiltlm null build --reference M --out DIR",
        ) from None
    return Path(place)


def push_pack(folder: Path, name: str, *, public: bool = False) -> str:
    """Send a pack to the Hub, as the user who is logged in there.

    Args:
        folder: of a pack that is finished.
        name: ``org/name``; a repository of this name is made if there is none.
        public: whether everybody may see it, where it is made now.

    Returns:
        the address.

    Raises:
        ConfigError: there is no pack, it is damaged, or it has not been put together.
        RunError: the Hub did not take it.
    """
    if not is_assembled(folder):
        load_pack(folder)  # says what is wrong, if there is no pack at all
        raise ConfigError(
            "the null pack is not finished",
            where=str(folder),
            fix="finish it with `tiltlm null build … --resume`",
        )
    load_pack(folder, alone=True)
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        made = hub.create_repo(name, repo_type=_REPOSITORY, private=not public, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            repo_type=_REPOSITORY,
            folder_path=folder,
            allow_patterns=[*FILES],
            commit_message="A null pack of tiltlm",
        )
    except Exception as error:  # The library has error types of its own.
        raise RunError(
            f"the Hub did not take the pack: {reason_of(error)}",
            where=name,
            fix="log in with `hf auth login`, and name a repository that is yours",
        ) from None
    return str(made)


def _is_hub_name(name: str) -> bool:
    """Whether a name can only be one on the Hub.

    >>> _is_hub_name("org/pack"), _is_hub_name("./pack"), _is_hub_name("pack"), _is_hub_name("/a/b")
    (True, False, False, False)
    """
    if not can_be_path(name) or name.count("/") != 1 or Path(name).exists():
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
