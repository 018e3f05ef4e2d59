"""What `tiltlm label` and `tiltlm push` print of their records. Computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltlm.report.wording import counted

if TYPE_CHECKING:
    from tiltlm.records.label import LabelRecord, PushedRecord, SignedRecord


def label_summary(record: LabelRecord) -> str:
    """The chain step by step, then the verdict.

    Args:
        record: of a label.
    """
    lines = []
    for step in record.steps:
        by = f" by {step.by}" if step.by else ""
        lines.append(f"{step.number}. {step.operation}{by}: {step.sentence}")
        said = {"target": step.target, "base": step.base, **step.measured}
        said |= {"detect": step.detect, "undo": step.undo}
        lines += [f"     {name}: {text}" for name, text in said.items() if text]
    lines.append("")
    return "\n".join(lines) + verdict_summary(record)


def verdict_summary(record: LabelRecord) -> str:
    """Whether all is as the label says, and what is not.

    Args:
        record: of a label.
    """
    lines = [f"{fault.kind}: {fault.where}: {fault.what}" for fault in record.faults]
    if not lines:
        files = counted(record.files, "file")
        steps = counted(len(record.steps), "step")
        lines.append(f"whole: {files} and {steps} are as the label says")
    signature = {
        "none": "not signed",
        "not checked": f"signed by {record.signed_by}, not checked: give --key",
        "valid": f"signed by {record.signed_by}, as it should be",
        "invalid": "the signature does not vouch for what is here",
    }
    return "\n".join([*lines, signature[record.signature]])


def signed_summary(record: SignedRecord) -> str:
    """What was signed, and with which key.

    Args:
        record: of a signature.
    """
    files = counted(record.files, "file")
    return f"{files} signed by {record.algorithm} {record.key}\n\n{record.signature}"


def pushed_summary(record: PushedRecord) -> str:
    """What was uploaded, and where it is.

    Args:
        record: of an upload.
    """
    return f"{counted(record.files, 'file')} in {record.repository}\n\n{record.url}"
