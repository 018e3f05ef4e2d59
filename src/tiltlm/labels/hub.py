"""Upload a labelled folder to the Hub, its card checked by the Hub first."""

from __future__ import annotations

from pathlib import Path

from tiltlm.errors import ModelError, reason_of
from tiltlm.labels.labelled_files import CARD, all_files
from tiltlm.records.label import PushedRecord


def upload(
    folder: Path, repository: str, *, private: bool = False, endpoint: str | None = None
) -> PushedRecord:
    """Upload a folder in one commit; the repository is made where it is not there.

    Args:
        folder: that holds a labelled model.
        repository: ``organisation/name``.
        private: whether a repository that is made is for its owners only.
        endpoint: of another Hub than that of Hugging Face.

    Raises:
        ModelError: the Hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi, ModelCard

    api = HfApi(endpoint=endpoint)
    names = all_files(folder)
    try:
        ModelCard.load(folder / CARD)
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="Upload a labelled model",
            allow_patterns=names,
        )
    except Exception as error:  # The Hub's client, and the network below it, have their own.
        raise ModelError(
            f"the Hub does not take it: {reason_of(error)}",
            where=repository,
            fix="name it ORGANISATION/NAME, log in by `hf auth login`, and see the network",
        ) from None
    return PushedRecord(
        repository=repository, url=str(commit.commit_url), commit=str(commit.oid), files=len(names)
    )
