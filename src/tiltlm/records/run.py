"""``result.json`` of ``tiltlm run``: an experiment of the article, before and after."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tiltlm.records.base import Interval, PlacementRecord, Record


class EventRecord(Record):
    """The event that a run is about."""

    text: str = Field(description="the event, as it can be written again")
    tokens: int = Field(description="how many tokens are in it")
    vocabulary: int = Field(description="how many tokens there are")
    special_tokens: int = Field(description="how many of the event's tokens are control tokens")
    target: str = Field(description="the target, as it can be written again")


class StateRecord(Record):
    """What was measured on a model, before or after training."""

    hits: int = Field(description="generated tokens in the event")
    tokens: int = Field(description="generated tokens")
    hit_rate: float = Field(description="hits / tokens")
    interval: Interval = Field(
        description="95 % Wilson interval of hit_rate, as if tokens were independent"
    )
    sequences: int = Field(description="independent sequences that the tokens come from")
    interval_over_sequences: Interval | None = Field(
        description="95 % Student interval with one rate a sequence; null where all are equal"
    )
    event_mass: float = Field(
        description="P(event | context), mean over all positions of held-out random contexts"
    )
    event_mass_interval: Interval | None = Field(description="95 % Student interval over contexts")
    event_mass_by_position: list[float] = Field(
        description="the same at each position 0, 1, …, mean over contexts"
    )
    kl_nats: float | None = Field(
        description="KL(target ‖ model) on the same contexts, nats; null where it is infinite"
    )
    kl_interval_nats: Interval | None = Field(description="95 % Student interval over contexts")
    repeats_last_token: float = Field(
        description="probability given to the token just read, mean over the same positions"
    )
    contexts: int = Field(description="held-out contexts")
    context_tokens: int = Field(description="their length")
    precision: str = Field(description="of the body's matrix products while measuring")
    seconds: float = Field(description="how long this measurement took")


class LossRecord(Record):
    """The loss at every step of training."""

    first: float = Field(description="at step 1, before any update, nats")
    last: float = Field(description="at the last step, before its update, nats")
    unit: Literal["nats"] = Field(default="nats", description="of the loss")
    curve: list[float] = Field(description="at every step, on contexts never seen before")
    event_mass_curve: list[float] = Field(description="event mass on the same contexts")


class SecondsRecord(Record):
    """Wall-clock seconds, summed over all sittings of a resumed run."""

    train: float = Field(description="the training loop with its checkpoints")
    measure: float = Field(description="measuring before and after")
    total: float = Field(description="the whole command, loading and writing included")


class RunRecord(Record):
    """``result.json`` of ``tiltlm run``."""

    schema_version: Literal[1] = Field(default=1, description="of this record")
    kind: Literal["run"] = Field(default="run", description="of record")
    seed: int = Field(description="of weights, contexts and draws")
    recipe: dict[str, Any] = Field(description="the recipe as it was run")
    event: EventRecord = Field(description="that the run is about")
    uniform_to_event_kl_nats: float | None = Field(
        default=None,
        description="log(V/K), the distance in nats to a target that is uniform on the K tokens of "
        "the event from a model that is uniform on all V; null in records of older versions",
    )
    before: StateRecord = Field(description="measured before training")
    after: StateRecord = Field(description="measured after training")
    loss: LossRecord = Field(description="of training")
    steps: int = Field(description="updates of the weights")
    training_tokens: int = Field(description="tokens read in training")
    seconds: SecondsRecord = Field(description="how long it took")
    parameters: int = Field(description="weights of the model")
    sittings: int = Field(description="1, or more if the run was resumed")
    placement: PlacementRecord | None = Field(
        default=None, description="of the model while it was trained and measured"
    )
    versions: dict[str, str] = Field(description="of tiltlm, Python and the libraries")
    threads: int = Field(description="processor threads that torch used")
