"""What ``tiltlm null build``, the same with ``--plan``, and ``tiltlm null show`` say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tiltlm.records.base import Record


class NullBuilt(Record):
    """What ``tiltlm null build`` made."""

    kind: Literal["null"] = Field(default="null", description="of record")
    pack: str = Field(description="its folder")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    models: int = Field(description="benign changes in it")
    kinds: dict[str, int] = Field(description="how many benign changes of each kind")
    kl_nats: dict[str, float] = Field(description="quantiles of the members' KL")
    contexts: str = Field(description="at which shifts were read")
    seconds: float = Field(description="of the whole command")
    redrawn: dict[str, Any] = Field(description="treatments that were drawn again, and why")
    corpora: dict[str, str] = Field(description="that were trained on, and where they come from")
    missing: dict[str, str] = Field(description="corpora of the default mix it lacks, and why")
    notes: list[str] = Field(description="what the maker of the pack should know")


class NullPlan(Record):
    """What ``tiltlm null build --plan`` says: what a pack would take, as its first training did."""

    kind: Literal["null plan"] = Field(default="null plan", description="of record")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    models: int = Field(description="benign changes that were asked for")
    trainings: int = Field(description="of which most of them come")
    processes: int = Field(description="that would share the work out")
    seconds: float = Field(description="that the members would take, estimated")
    bytes: int = Field(description="that the pack would have, estimated")
    corpora: dict[str, str] = Field(description="to train on, and where they come from")
    missing: dict[str, str] = Field(description="corpora of the default mix it lacks, and why")
    smallest_p: float = Field(description="that an audit can give")


class NullShown(Record):
    """What ``tiltlm null show`` says of a pack."""

    kind: Literal["null shown"] = Field(default="null shown", description="of record")
    pack: str = Field(description="as it was named")
    reference: dict[str, str] = Field(description="name and SHA-256 of its weights")
    models: int = Field(description="benign changes in it")
    trainings: int = Field(description="of which most of them come; their members are alike")
    finished: bool = Field(description="put together, with no members besides")
    extendable: bool = Field(description="what it was begun with is there")
    bytes: int = Field(description="of the pack's files")
    families: dict[str, int] = Field(description="benign changes by text, or by what was done else")
    methods: dict[str, int] = Field(description="benign changes by how they were made")
    corpora: dict[str, str] = Field(description="that were trained on, and where they come from")
    kl_nats: dict[str, float] = Field(description="quantiles of the members' KL")
    contexts: int = Field(description="at which shifts were read")
    tokens: int = Field(description="of these contexts")
    words: int = Field(description="that are tried as triggers")
    smallest_p: float = Field(description="1 / (members + 1), the rate that it can vouch for")
    smallest_trigger_p: float | None = Field(
        description="the same of triggers, from the members that were read after words; null where "
        "none was"
    )
    lacks: dict[str, str] = Field(description="of the default mix and the usual kinds, and why")
    notes: list[str] = Field(description="what its user should know")
