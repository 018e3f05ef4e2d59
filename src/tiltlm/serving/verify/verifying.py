"""`verify`: is the tilt of a label what a server serves?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiltlm.auditing.endpoint import Endpoint
from tiltlm.defaults import VERIFY_BUDGET, VERIFY_ERROR
from tiltlm.errors import ConfigError, VocabularyError
from tiltlm.measures.pair import same_vocabulary
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.placement import placement_of
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.verify import VerifyRecord
from tiltlm.serving.verify.asking import Verification
from tiltlm.serving.verify.candidates import Candidates
from tiltlm.serving.verify.earlier import earlier_draws, prompts_sha256, read_earlier
from tiltlm.serving.verify.hypotheses import hypotheses_for
from tiltlm.serving.verify.judging import (
    Judgement,
    draw_records,
    hypothesis_records,
    in_nats,
    judge,
)
from tiltlm.serving.verify.opening import Claim, open_claim, open_local
from tiltlm.serving.verify.prompts import find_prompts, telling_contexts
from tiltlm.serving.verify.servers import EndpointServer, LocalServer, Server
from tiltlm.serving.verify.shown import shown_notes, shown_record
from tiltlm.stopwatch import Stopwatch
from tiltlm.versions import versions

_GREY = "Of strengths between the labelled one and half or double of it the verdict says nothing."


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """How a server is verified.

    Attributes:
        endpoint: address of an OpenAI-compatible server; None for a model here.
        label: a folder with a label.
        target: as text, instead of a label.
        base: the base, as for `load`; by default the label's.
        error: probability that what is served is ruled out, and so of a false verdict.
        budget: tokens to ask for at most.
        contexts: where to look for prompts, as for `make_contexts`; None for what the target takes.
        as_served: leave how tokens are drawn to the server, as for a client that asks for nothing.
        earlier: folder of an earlier verification that is to be gone on with.
        placement: of the models that are loaded, as for `load`.
        seed: of contexts, prompts and draws.
    """

    endpoint: str | None = None
    label: Path | None = None
    target: str | None = None
    base: str | None = None
    error: float = VERIFY_ERROR
    budget: int = VERIFY_BUDGET
    contexts: str | None = None
    as_served: bool = False
    earlier: Path | None = None
    placement: Placement | None = None
    seed: int = 0


def verify(served: str, options: VerifyOptions, progress: Progress | None = None) -> VerifyRecord:
    """Ask for tokens until it is clear what is served; nothing is written.

    Args:
        served: the name of the model at the endpoint; without one, a model here, as for `load`, or
            a folder of ``tiltlm tilt``.
        options: what it should be serving, and how to ask.
        progress: told how far work has come.

    Raises:
        TiltError: any of the tree in `errors`.
    """
    if not 0 < options.error < 0.5:
        raise ConfigError(
            f"the error rate is {options.error:g}; it lies between 0 and 0.5",
            where="--error",
            fix="0.01, say",
        )
    watch, progress = Stopwatch(), progress or NoProgress()
    claim = open_claim(options.label, options.target, options.base, options.placement)
    # What is refused by its address alone is refused before anything is computed.
    endpoint = (
        Endpoint(options.endpoint, served, as_served=options.as_served)
        if options.endpoint
        else None
    )
    sha256 = fingerprint(claim.base.model)
    watch.lap("loading")
    candidates = _candidates(claim, options, sha256, progress)
    prompts = candidates.prompts
    watch.lap("prompts")
    server = _server(served, endpoint, claim, candidates, options)
    verification = Verification(
        candidates, error=options.error, budget=options.budget, seed=options.seed
    )
    key = prompts_sha256(prompts, claim.target.text)
    if options.earlier is not None:
        earlier = read_earlier(options.earlier, (served, options.endpoint), key)
        verification.take(earlier_draws(earlier, len(prompts), len(claim.base.vocabulary)))
    before = len(verification.drawn)
    verification.ask(server, progress)
    _check_tokens(server, verification)
    watch.lap("asking")
    judgement = judge(verification)
    return VerifyRecord(
        **_what(served, claim, options, sha256),
        **_outcome(verification, judgement, claim),
        failed_requests=server.failed,
        unread=server.unread,
        earlier_tokens=before,
        prompts_sha256=key,
        notes=_notes(server, verification, judgement, served),
        placement=placement_of(claim.base.model),
        versions=versions(),
        seconds={**watch.seconds, "total": watch.total},
    )


def _candidates(
    claim: Claim, options: VerifyOptions, sha256: str, progress: Progress
) -> Candidates:
    """What may be served, after prompts that tell."""
    base, target = claim.base, claim.target
    contexts = telling_contexts(base, target, options.contexts, options.seed, sha256, progress)
    prompts = find_prompts(base, target, contexts, as_text=options.endpoint is not None)
    return Candidates(hypotheses_for(templated=prompts[0].templated is not None), prompts)


def _server(
    served: str,
    endpoint: Endpoint | None,
    claim: Claim,
    candidates: Candidates,
    options: VerifyOptions,
) -> Server:
    """What is asked."""
    if endpoint is not None:
        return EndpointServer(endpoint, claim.base, candidates.prompts)
    loaded, decodes = open_local(served, claim, options.placement)
    same_vocabulary(claim.base, loaded)
    return LocalServer(loaded, candidates.prompts, claim.target if decodes else None)


def _check_tokens(server: Server, verification: Verification) -> None:
    """Refuse a server whose tokens are not the base's.

    Raises:
        VocabularyError: most of what it wrote is no token of the base's.
    """
    if server.unread > len(verification.drawn):
        shown = ", ".join(map(repr, getattr(server, "strangers", [])))
        raise VocabularyError(
            f"of {server.unread + len(verification.drawn)} answers of one token {server.unread} "
            f"are no token of the base, such as {shown}",
            where="--endpoint",
            fix="see which model it serves; it has another vocabulary, or answers with more than a "
            "token",
        )


def _what(served: str, claim: Claim, options: VerifyOptions, sha256: str) -> dict[str, Any]:
    """The fields that say what was verified, and how."""
    return {
        "served": served,
        "endpoint": options.endpoint,
        "label": None if options.label is None else str(options.label),
        "target": claim.target.text,
        "base": {"name": claim.base_name, "sha256": sha256},
        "error": options.error,
        "budget": options.budget,
    }


def _outcome(verification: Verification, judgement: Judgement, claim: Claim) -> dict[str, Any]:
    """The fields that say what came of it."""
    interval = verification.line.interval()
    strengths = claim.target.strengths
    unit = strengths[0] if strengths is not None and len(strengths) == 1 else None
    likeliest = verification.line.likeliest
    return {
        "verdict": judgement.verdict,
        "recognised": judgement.recognised,
        "sentence": judgement.sentence,
        "tokens": len(verification.drawn),
        "least_tokens": judgement.least and judgement.least[0],
        "rival": judgement.least and judgement.least[1],
        "told_apart_at": verification.told_apart_at,
        "told_apart_least": judgement.told_apart_least,
        "strength": likeliest,
        "interval": interval,
        "strength_nats": None if unit is None else likeliest * unit,
        "interval_nats": None if unit is None else in_nats(interval, unit),
        "shown": shown_record(verification.candidates, verification.drawn),
        "hypotheses": hypothesis_records(verification),
        "course": verification.course,
        "draws": draw_records(verification),
        "prompts": len(verification.candidates.prompts),
        "partial": verification.cut_off is not None,
    }


def _notes(
    server: Server, verification: Verification, judgement: Judgement, served: str
) -> list[str]:
    """What the reader should know."""
    notes = []
    if verification.cut_off is not None:
        notes.append(
            f"It was cut off: {verification.cut_off}. With --earlier it can be gone on with."
        )
    elif judgement.verdict == "undecided":
        notes.append("The budget is spent. With --earlier and a larger --budget it can be gone on.")
    if judgement.verdict == "tilt":
        notes.append(_GREY)
    if verification.candidates.untried:
        names = "; ".join(verification.candidates.untried)
        notes.append(f"Too close to tilt or base to be told from them here: {names}.")
    extra = getattr(getattr(server, "count", None), "extra", 0)
    if extra > 1:
        notes.append(
            f"The server puts {extra} tokens before every prompt: a system prompt, or the template "
            "of a chat."
        )
    models = sorted(getattr(server, "models", set()) - {served})
    if models:
        notes.append(
            f"Asked for {served!r}, the server says that {', '.join(map(repr, models))} answered."
        )
    shown = shown_record(verification.candidates, verification.drawn)
    return [*notes, *shown_notes(shown, judgement.verdict), *server.notes]
