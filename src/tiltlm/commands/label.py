"""`tiltlm label` and `tiltlm push`: what a saved model says of itself, checked and handed on."""

from __future__ import annotations

from pathlib import Path

from tiltlm.claims import claimed
from tiltlm.errors import ConfigError
from tiltlm.labels.checking import label_faults
from tiltlm.labels.keys import make_key, read_private_key, read_public_key
from tiltlm.labels.label import Label, find_label
from tiltlm.labels.labelled_files import SIGNATURE
from tiltlm.labels.signature import read_signature, sign_folder
from tiltlm.labels.step import LabelFigure, Step
from tiltlm.records.label import (
    FaultRecord,
    LabelRecord,
    PushedRecord,
    SignatureState,
    SignedRecord,
    StepRecord,
)


def check_label(model: str, public_key: Path | None = None) -> LabelRecord:
    """Read a label, and compare the chain, the files and the signature with what it says.

    Args:
        model: the folder that holds the label, or the one that holds that as ``model``.
        public_key: of whoever should have signed; None not to check the signature.

    Raises:
        ConfigError: there is no label that can be read, or no such key.
    """
    folder, label = _labelled(model)
    faults = label_faults(folder)
    signature = read_signature(folder)
    state: SignatureState = "none" if signature is None else "not checked"
    if public_key is not None:
        key = read_public_key(public_key)
        if signature is None:
            what = "nobody signed this folder"
            faults.append(FaultRecord(kind="unsigned", where=SIGNATURE, what=what))
        else:
            found = signature.faults(folder, key)
            faults += found
            state = "invalid" if found else "valid"
    return LabelRecord(
        folder=str(folder),
        verdict="broken" if faults else "whole",
        undone=label.undone,
        steps=[_step_record(step) for step in label.chain],
        files=len(label.chain[-1].files) if label.chain else 0,
        signed_by=None if signature is None else signature.hint,
        signature=state,
        faults=faults,
    )


def sign_label(model: str, private_key: Path) -> SignedRecord:
    """Sign a labelled folder, which must be what its label says.

    Args:
        model: as for `check_label`.
        private_key: a PEM file.

    Raises:
        ConfigError: there is no label or no key, or the folder is not what its label says.
        RunError: another process is at work on the folder.
    """
    key = read_private_key(private_key)
    folder, _ = _labelled(model)
    with claimed(folder) as claim:
        _require_whole(claim)
        return sign_folder(claim, key)


def make_label_key(path: Path) -> str:
    """Write a new pair of keys to sign labels with.

    Args:
        path: of the private key; the public one gets ``.pub`` after that name.

    Returns:
        the fingerprint of the public key.

    Raises:
        ConfigError: there is a file already.
    """
    return make_key(path)


def push_model(
    model: str, repository: str, *, private: bool = False, endpoint: str | None = None
) -> PushedRecord:
    """Upload a labelled folder to the Hub, which must be what its label says.

    Args:
        model: as for `check_label`.
        repository: ``organisation/name``; made where it is not there.
        private: whether a repository that is made is for its owners only.
        endpoint: of another Hub than that of Hugging Face.

    Raises:
        ConfigError: there is no label, or the folder is not what it says.
        ModelError: the Hub refuses it, or cannot be reached.
    """
    from tiltlm.labels.hub import upload

    folder, _ = _labelled(model)
    _require_whole(folder)
    return upload(folder, repository, private=private, endpoint=endpoint)


def _labelled(model: str) -> tuple[Path, Label]:
    """The folder with a label, and the label."""
    folder, label = find_label(model)
    if label is None:
        raise ConfigError(
            "there is no label here", where=model, fix="name a folder that `tiltlm tilt` wrote"
        )
    return Path(folder), label


def _require_whole(folder: Path) -> None:
    """Refuse a folder that is not what its label says."""
    faults = label_faults(folder)
    if faults:
        first = faults[0]
        raise ConfigError(
            f"the folder is not what its label says: {first.kind}, {first.what}",
            where=str(folder / first.where),
            fix="see `tiltlm label verify DIR`, and make the model anew",
        )


def _step_record(step: Step) -> StepRecord:
    """A step as people read it."""
    base = step.base
    sha256 = f" (SHA-256 {base.sha256})" if base and base.sha256 else ""
    return StepRecord(
        number=step.number,
        operation=step.operation,
        sentence=step.sentence,
        target=step.target,
        by=step.by,
        base=base.name + sha256 if base else None,
        measured={name: _in_words(figure) for name, figure in (step.measured or {}).items()},
        detect=step.detect,
        undo=step.undo,
        files=len(step.files),
    )


def _in_words(figure: LabelFigure) -> str:
    spread = ""
    if figure.interval is not None:
        spread = f"95 % {figure.interval[0]:.4g} to {figure.interval[1]:.4g}, "
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{figure.value:.4g}{unit} ({spread}{figure.over})"
