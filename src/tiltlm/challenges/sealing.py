"""Salted commitments to the answers of a challenge, and opening them.

Who makes a challenge publishes a hash of each answer, and keeps answer and salt: nobody can guess
the one from the hash, and the maker cannot say another one later.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

from pydantic import ValidationError

from tiltlm.errors import ConfigError
from tiltlm.reading import LIST_BYTES, read_text
from tiltlm.records.challenge import (
    ChallengeKeyRecord,
    ChallengeRecord,
    OpenedRecord,
    TruthRecord,
)
from tiltlm.seals import sha256_of

FILE = "challenge.json"
"""Name of the record in a challenge's folder."""

MODELS = "models"
"""Name of the folder with the models in it."""


def key_path(folder: Path) -> Path:
    """Where the key of a challenge lies, unless somebody moved it: beside the folder.

    Args:
        folder: of the challenge.
    """
    return folder.with_name(f"{folder.name}.key.json")


def sealed(truth: TruthRecord) -> tuple[OpenedRecord, str]:
    """An answer with a fresh salt, and the commitment to both.

    Args:
        truth: the answer.
    """
    opened = OpenedRecord(salt=secrets.token_hex(32), truth=truth)
    return opened, commitment_of(opened)


def commitment_of(opened: OpenedRecord) -> str:
    """SHA-256 over salt and answer.

    Args:
        opened: both.
    """
    answer = json.dumps(opened.truth.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(f"{opened.salt}\n{answer}".encode()).hexdigest()


def open_answers(challenge: ChallengeRecord, key: ChallengeKeyRecord) -> list[TruthRecord]:
    """The answers of a challenge, if they are those that were committed to.

    Args:
        challenge: as it was published.
        key: that its maker kept.

    Raises:
        ConfigError: an answer is missing, or is another than the one committed to.
    """
    opened = {answer.truth.name: answer for answer in key.answers}
    truths = []
    for model in challenge.models:
        answer = opened.get(model.name)
        if answer is None or commitment_of(answer) != model.commitment:
            raise ConfigError(
                f"the key does not open the answer for model {model.name}: it is not what was "
                "committed to",
                where="--key",
                fix="use the key that was written with this challenge",
            )
        truths.append(answer.truth)
    return truths


def read_challenge(folder: Path) -> ChallengeRecord:
    """The record of a challenge.

    Args:
        folder: of the challenge.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ChallengeRecord.model_validate_json(read_text(folder / FILE, LIST_BYTES))
    except (OSError, ValueError, ValidationError) as error:
        raise _unreadable(folder / FILE, "no challenge", error) from None


def read_key(path: Path) -> ChallengeKeyRecord:
    """The key of a challenge.

    Args:
        path: of the file.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ChallengeKeyRecord.model_validate_json(read_text(path, LIST_BYTES))
    except (OSError, ValueError, ValidationError) as error:
        raise _unreadable(path, "no key of a challenge", error) from None


def check_models(folder: Path, challenge: ChallengeRecord) -> None:
    """Refuse models that are not those of the challenge any more.

    Args:
        folder: of the challenge.
        challenge: its record.

    Raises:
        ConfigError: a file is missing, or was changed.
    """
    for model in challenge.models:
        for name, digest in model.files.items():
            file = folder / MODELS / model.name / name
            if not file.is_file() or sha256_of(file) != digest:
                raise ConfigError(
                    "a file of the challenge is missing or was changed",
                    where=str(file),
                    fix="get the challenge anew",
                )


def _unreadable(path: Path, what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"this is {what}: {str(error).splitlines()[0][:100]}",
        where=str(path),
        fix="`tiltlm challenge make` writes a folder, and beside it a key",
    )
