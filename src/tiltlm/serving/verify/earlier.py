"""Draws of an earlier verification, which are counted and not asked for again.

The test holds whenever one stops, so it may also be gone on with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tiltlm.errors import ConfigError
from tiltlm.reading import read_json
from tiltlm.records.verify import VerifyRecord
from tiltlm.serving.verify.hypotheses import Prompted
from tiltlm.serving.verify.servers import Drawn


def prompts_sha256(prompts: Sequence[Prompted], target: str) -> str:
    """SHA-256 over the tokens of all prompts and the target's text, as hexadecimal digits.

    Args:
        prompts: that a server may be asked after.
        target: as it was written.
    """
    content = json.dumps([target, [list(prompt.ids) for prompt in prompts]])
    return hashlib.sha256(content.encode()).hexdigest()


def read_earlier(folder: Path, served: tuple[str, str | None], sha256: str) -> VerifyRecord:
    """The record of an earlier verification of the same server.

    Args:
        folder: that an earlier ``--out`` named.
        served: model and address.
        sha256: of `prompts_sha256`, of this verification.

    Raises:
        ConfigError: there is none, or it asked another server, or after other prompts.
    """
    path = folder / "result.json"
    try:
        record = VerifyRecord.model_validate(read_json(path))
    except (OSError, ValueError, RecursionError, ValidationError):
        raise ConfigError(
            "this is no verification that could be gone on with",
            where=str(path),
            fix="name a folder that `tiltlm verify` wrote",
        ) from None
    if (record.served, record.endpoint) != served or record.prompts_sha256 != sha256:
        raise ConfigError(
            "the earlier verification is of another server, or asked after other prompts",
            where=str(path),
            fix="name the same server, label, contexts and seed, or begin anew",
        )
    return record


def earlier_draws(record: VerifyRecord, prompts: int, size: int) -> list[Drawn]:
    """The tokens of an earlier verification.

    Args:
        record: as `read_earlier` gave it.
        prompts: how many there are.
        size: of the vocabulary.

    Raises:
        ConfigError: there are no such prompts or tokens.
    """
    drawn = [Drawn(draw.prompt, np.array(draw.token_ids, int)) for draw in record.draws]
    for token in drawn:
        inside = len(token.ids) and token.ids.min() >= 0 and token.ids.max() < size
        if not inside or not 0 <= token.prompt < prompts:
            raise ConfigError(
                "the earlier verification names prompts or tokens that there are not",
                fix="begin anew",
            )
    return drawn
