"""What somebody says of the models of a challenge: a file that a person wrote, or audits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiltlm.errors import ConfigError
from tiltlm.recipes.plain_yaml import read_file
from tiltlm.recipes.settings import read_settings
from tiltlm.records.audit import AuditRecord, FindingRecord, TriggerRecord
from tiltlm.records.challenge import AnswerRecord, AnswersRecord

CHANGED, NOTHING = 0.3, 0.1
"""How likely a tilt is said to be by an audit whose verdict is ``changed``, and by any other that
accuses nobody: an audit has a false-positive rate, and no power that holds for all tilts."""


def read_answers(path: Path) -> AnswersRecord:
    """Answers from a file of YAML or JSON, or from a folder with the records of audits.

    Args:
        path: of the file; or a folder that holds, for each model by its name, what
            ``tiltlm audit --out`` wrote.

    Raises:
        ConfigError: these are no answers; a mistake in YAML is told with its line.
    """
    if path.is_dir():
        return _of_audits(path)
    return read_settings(AnswersRecord, read_file(path), str(path))


def answers_of_audits(audits: dict[str, AuditRecord], who: str) -> AnswersRecord:
    """What audits say of models.

    A finding that accuses is believed as far as its p-value goes: 1 − p.

    Args:
        audits: by the names of the models.
        who: did them.
    """
    return AnswersRecord(who=who, models={name: _answer(a) for name, a in audits.items()})


def _answer(audit: AuditRecord) -> AnswerRecord:
    """What one audit says."""
    planted = [finding for finding in audit.findings if finding.planted]
    if audit.verdict != "found" or not (planted or audit.triggers):
        return AnswerRecord(tilted=CHANGED if audit.verdict == "changed" else NOTHING)
    first: FindingRecord | TriggerRecord = planted[0] if planted else audit.triggers[0]
    p = first.p_planted if isinstance(first, FindingRecord) else first.p
    return AnswerRecord(
        tilted=1 - (p or 0.0),
        event=None,
        token_ids=first.token_ids,
        strength_nats=first.strength_nats,
        trigger=first.word if isinstance(first, TriggerRecord) else None,
    )


def _of_audits(folder: Path) -> AnswersRecord:
    """The records of audits in a folder."""
    audits = {}
    for file in sorted(folder.glob("*/result.json")):
        try:
            data: Any = json.loads(file.read_text(encoding="utf-8"))
            audits[file.parent.name] = AuditRecord.model_validate(data)
        except (OSError, ValueError, ValidationError) as error:
            raise ConfigError(
                f"it is no record of an audit by logits: {str(error).splitlines()[0][:100]}",
                where=str(file),
                fix="name the folder that holds the --out of each `tiltlm audit`",
            ) from None
    if not audits:
        raise ConfigError(
            "the folder holds no audits",
            where=str(folder),
            fix="audit each model with --out in this folder, named like the model",
        )
    return answers_of_audits(audits, "tiltlm audit")
