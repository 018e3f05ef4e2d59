"""One suspect and its reference, opened for an audit, with the options that the audit was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiltlm.auditing.claims import Claim, read_claim
from tiltlm.auditing.endpoint import Endpoint
from tiltlm.auditing.inputs import AuditInputs, read_inputs
from tiltlm.auditing.models import ModelSource, model_name, open_model, open_suspect
from tiltlm.auditing.null.pack import NullPack
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.defaults import CERTIFIED_WITHIN_NATS, FALSE_POSITIVE_RATE
from tiltlm.errors import ConfigError, ModelError
from tiltlm.measures.pair import Pair
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel
from tiltlm.models.placement import placement_of
from tiltlm.models.structure import context_length
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.stopwatch import Stopwatch
from tiltlm.versions import versions


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How a suspect is to be audited; each access takes some of these.

    Attributes:
        null: a pack of benign changes of the reference: its folder, or its name on the Hub.
        fpr: false-positive rate of the whole audit.
        lists: a file of word lists to try as classes.
        seed: of contexts, of positions and of what a suspect writes.
        endpoint: URL of an OpenAI-compatible server that has the suspect.
        contexts: where to look, as for `make_contexts`.
        events: events as text.
        within: nats, within which events are to be certified.
        budget: what may be asked of the suspect at most; None for the access's own default.
        decodes: whether the suspect is a folder without weights, to be read by its label.
        placement: of suspect and reference, where they are named, as for `load`.
    """

    null: Path | None = None
    fpr: float = FALSE_POSITIVE_RATE
    lists: Path | None = None
    seed: int = 0
    endpoint: str | None = None
    contexts: str | None = None
    events: Sequence[str] = ()
    within: float = CERTIFIED_WITHIN_NATS
    budget: int | None = None
    decodes: bool = False
    placement: Placement | None = None


@dataclass(frozen=True, kw_only=True)
class AuditCase:
    """A suspect, its reference, and what is known of both before the suspect is asked anything.

    Attributes:
        suspect_name: as records and errors name it; of an endpoint, the model's name there.
        reference_name: as records name it.
        suspect: beside its reference where it is loaded here, else the endpoint that has it.
        reference: what the suspect should be like.
        sha256: of the reference's weights.
        inputs: word lists and pack.
        options: as given.
        claim: the suspect's label, which nothing goes by; None without one.
        progress: told of progress.
        stopwatch: started when the audit began.
    """

    suspect_name: str
    reference_name: str
    suspect: Pair | Endpoint
    reference: LoadedModel
    sha256: str
    inputs: AuditInputs
    options: AuditOptions
    claim: Claim | None = None
    progress: Progress = field(default_factory=NoProgress)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def pack(self) -> NullPack | None:
        """Benign changes of the reference; None where the audit is not calibrated."""
        return self.inputs.pack

    @property
    def pair(self) -> Pair:
        """The suspect beside its reference; only for accesses that take no endpoint."""
        assert isinstance(self.suspect, Pair)
        return self.suspect

    def check_reads(self, contexts: TokenContexts) -> None:
        """Refuse contexts that are longer than the suspect reads.

        Args:
            contexts: where it is to be read.

        Raises:
            ModelError: one of them is.
        """
        limit = context_length(self.pair.model.model)
        longest = max(map(len, contexts.sequences))
        if limit is not None and longest > limit:
            raise ModelError(
                f"the suspect reads {limit} tokens at once, and it was to be read at {longest}",
                where=self.suspect_name,
                fix="audit it against a reference, and a pack of it, that read as few",
            )

    @property
    def notes(self) -> list[str]:
        """What the reader of any audit of this case should know."""
        if not self.options.decodes:
            return []
        return [
            "The suspect has no weights. What was audited is the reference under the target that "
            "the suspect's label names, as was asked for."
        ]

    def record_fields(self) -> dict[str, Any]:
        """The fields that the records of all accesses share, but for verdict, notes and seconds."""
        return {
            "suspect": self.suspect_name,
            "reference": {"name": self.reference_name, "sha256": self.sha256},
            "fpr": self.options.fpr,
            "null": self.inputs.null_record,
            "placement": placement_of(self.reference.model),
            "versions": versions(),
        }


def open_case(
    suspect: ModelSource,
    reference: ModelSource,
    options: AuditOptions,
    *,
    null_rate: float | None = None,
    progress: Progress | None = None,
) -> AuditCase:
    """Read what the options name, load the models, and check that they belong together.

    Args:
        suspect: a name for `load`, a folder with weights in ``model/`` or a loaded model; with an
            endpoint, the name of a model there.
        reference: a name for `load`, or a loaded model.
        options: of the audit.
        null_rate: the false-positive rate that a pack has to vouch for; by default that of the
            audit.
        progress: told of progress.

    Raises:
        ConfigError: options that cannot be used, or a pack that is damaged, too small or of
            another reference.
        ModelError: a model that cannot be loaded.
        VocabularyError: suspect and reference have different tokens.
    """
    stopwatch = Stopwatch()
    inputs = read_inputs(options.fpr, options.lists, options.null)
    inputs.check_rate(options.fpr if null_rate is None else null_rate)
    source, base = _open_source(suspect, reference, options)
    sha256 = fingerprint(base.model)
    inputs.check_reference(sha256, base.vocabulary)
    inputs.complete(base)
    stopwatch.lap("loading")
    by_name = options.endpoint is None and not isinstance(suspect, LoadedModel)
    return AuditCase(
        suspect_name=model_name(suspect),
        reference_name=model_name(reference),
        suspect=source,
        reference=base,
        sha256=sha256,
        inputs=inputs,
        options=options,
        claim=read_claim(str(suspect)) if by_name else None,
        progress=progress or NoProgress(),
        stopwatch=stopwatch,
    )


def _open_source(
    suspect: ModelSource, reference: ModelSource, options: AuditOptions
) -> tuple[Pair | Endpoint, LoadedModel]:
    """What is to be asked, and the reference."""
    if options.endpoint is None:
        pair = open_suspect(suspect, reference, options.placement, decodes=options.decodes)
        return pair, pair.base
    if isinstance(suspect, LoadedModel):
        raise ConfigError(
            "a suspect at an endpoint is asked for by its name there, not by a loaded model",
            where="--endpoint",
            fix="give its name, or leave the endpoint out",
        )
    if options.decodes:
        raise ConfigError(
            "what a server does is found by asking it, not by a label",
            where="--decodes",
            fix="leave it out, or --endpoint",
        )
    return Endpoint(options.endpoint, str(suspect)), open_model(reference, options.placement)
