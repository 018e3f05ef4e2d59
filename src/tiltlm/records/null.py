"""What ``tiltlm null build`` says of a pack."""

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
