"""`tiltlm audit plan`, the Python function behind the command: how much text an audit takes."""

from __future__ import annotations

from tiltlm.auditing.text.sample_size import plan_text
from tiltlm.defaults import FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError
from tiltlm.records.plan import Plan


def plan_audit(
    strength: float,
    mass: float,
    *,
    access: str = "text",
    fpr: float = FALSE_POSITIVE_RATE,
    power: float = 0.9,
    classes: int = 1,
) -> Plan:
    """How many tokens of text it takes to see a tilt.

    Args:
        strength: of the tilt, in nats; not 0.
        mass: P(event) under the reference, between 0 and 1.
        access: what the audit judges by; only ``text`` is a matter of how much is read.
        fpr: the audit's false-positive rate.
        power: probability of seeing the tilt, for the test of fixed size.
        classes: among how many classes of tokens the event is looked for.

    Raises:
        ConfigError: a value is out of its range, or ``access`` is another.
    """
    for option, value in (("--mass", mass), ("--fpr", fpr), ("--power", power)):
        if not 0 < value < 1:
            raise ConfigError(f"{value} is no probability", where=option, fix="between 0 and 1")
    if access != "text":
        raise ConfigError(
            "with logits or log-probabilities more contexts hardly help: a shift is exact where it "
            "is read, and what limits an audit is what benign changes do",
            where="--access",
            fix="audit the suspect; its page has the scores of the pack's members",
        )
    if strength == 0:
        raise ConfigError("a tilt of 0 cannot be seen", where="--strength")
    return plan_text(strength, mass, fpr, power, classes)
