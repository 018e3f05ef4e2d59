"""Build a null pack: make benign changes of a reference, and keep how they shift it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiltlm.auditing.models import ModelSource, model_name, open_model
from tiltlm.auditing.null.begun import begun_path, check_same_build, read_begun, write_begun
from tiltlm.auditing.null.drawing import draw
from tiltlm.auditing.null.drawn import DRAWN, Drawn
from tiltlm.auditing.null.family_covariance_files import write_family_covariances
from tiltlm.auditing.null.knowledge_files import write_knowledge
from tiltlm.auditing.null.members import MemberMaker, MemberReader
from tiltlm.auditing.null.pack import NullPack, is_learnt, learn_family_covariances, member_kinds
from tiltlm.auditing.null.pack_files import assemble_pack, is_assembled, load_pack, numbers_there
from tiltlm.auditing.null.plan import BuildPlan, PackOptions
from tiltlm.auditing.null.planning import pack_bytes
from tiltlm.auditing.null.showing import kl_quantiles, pack_notes
from tiltlm.codec import of_record
from tiltlm.defaults import AUDIT_CONTEXTS, AUDIT_TOKENS, NULL_MODELS, TRIGGER_WORDS, WORDS_EVERY
from tiltlm.errors import InterruptedRun, ModelError, RunError
from tiltlm.files import check_out, remove, remove_leftovers
from tiltlm.launching import claimed_by, joined
from tiltlm.models.loading import LoadedModel
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.null import NullBuilt
from tiltlm.stopwatch import Stopwatch, spoken
from tiltlm.team import Team
from tiltlm.treatments.benign import STEPS, Unit, benign_units


def build_null(
    reference: ModelSource,
    out: Path,
    *,
    models: int = NULL_MODELS,
    corpora: Sequence[str] = (),
    default_corpora: bool = True,
    contexts: int = AUDIT_CONTEXTS,
    length: int = AUDIT_TOKENS,
    steps: Sequence[int] = STEPS,
    words: int = TRIGGER_WORDS,
    words_every: int = WORDS_EVERY,
    triggers: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> NullBuilt:
    """Make a pack of benign changes of a reference, which calibrates audits of its suspects.

    Started by `torchrun` or ``accelerate launch``, the processes share the members out; all of them
    return the record.

    Args:
        reference: a name for `load`, or a loaded model.
        out: a new folder; with ``resume`` one that was begun.
        models: how many changes, B. The smallest p-value is 1 / (B + 1).
        corpora: sources of `make_contexts` to train on, besides the default mix.
        default_corpora: False to leave out the default mix: the model's own samples and answers, a
            text in eight languages, and the help, licences, code, tables and documentation of
            installed packages.
        contexts: own samples of the reference at which shifts are read.
        length: tokens of each.
        steps: of fine-tuning, to choose from.
        words: how many words to try as triggers.
        words_every: try them at one change in so many; triggers are judged by these alone.
        triggers: a file of words to try before the vocabulary's own.
        seed: of everything drawn.
        resume: keep the members that are there.
        placement: of the reference, where it is named, as for `load`.
        progress: told of progress.

    Raises:
        TiltError: any of the tree in `errors`; members that were made are kept.
        InterruptedRun: Ctrl-C or SIGTERM; likewise.
    """
    options = PackOptions(
        corpora=corpora, default_corpora=default_corpora, contexts=contexts, length=length,
        steps=steps, words=words, words_every=words_every, triggers=triggers, seed=seed,
    )  # fmt: skip
    return _build(reference, out, models, options, resume, placement, progress)


def _build(
    reference: ModelSource,
    out: Path,
    models: int,
    options: PackOptions,
    resume: bool,
    placement: Placement | None,
    progress: Progress | None,
) -> NullBuilt:
    """What `build_null` does."""
    stopwatch = Stopwatch()
    with joined() as team, claimed_by(team, out) as folder:
        options.check(models)
        team.from_first(lambda: _check_folder(folder, models, resume))
        loaded = team.by_turns(lambda: open_model(reference, placement))
        plan = options.plan(loaded)
        _check_same_plan(plan, team.from_first(lambda: _begin(folder, plan)), team)
        team.check_same_folder(folder)
        shown = NoProgress() if progress is None or not team.is_first else progress
        name = model_name(reference)
        try:
            built = _make_pack(loaded, name, folder, plan, models, team, shown)
        except KeyboardInterrupt as interrupt:
            raise _interrupted(folder, models) from interrupt
    return built.model_copy(update={"pack": str(out), "seconds": stopwatch.total})


def _check_folder(out: Path, models: int, resume: bool) -> None:
    """Refuse a folder with something else in it than a pack that is to be gone on with.

    Raises:
        RunError: it holds a pack of as many members, or without ``resume`` anything.
    """
    if out.is_dir():
        remove_leftovers(out / "plan.json")
    if not resume or not (out / "plan.json").is_file():
        check_out(out)
        return
    remove_leftovers(out, within=True)
    if is_assembled(out):
        pack = load_pack(out, alone=True)
        count = len(pack.members)
        if count >= models and is_learnt(pack):
            remove(out / "members")  # A build may have been killed before it did so itself.
            raise RunError(
                f"this pack is finished, with {count} benign changes",
                where=str(out),
                fix="ask for more with --n, or name another --out",
            )


def _interrupted(out: Path, models: int) -> InterruptedRun:
    """The error that says what an interrupted build has kept."""
    kept = len(numbers_there(out) & {*range(models)})
    return InterruptedRun(
        f"interrupted; {kept} of {models} benign changes are made and kept",
        where=str(out),
        fix="go on with the same and --resume; an audit can use those that there are",
    )


def _begin(out: Path, plan: BuildPlan) -> dict[str, Any]:
    """Make the folder, or see that the one to go on with has the same plan."""
    out.mkdir(parents=True, exist_ok=True)
    check_same_build(out, plan.as_dict())
    return plan.as_dict()


def _check_same_plan(plan: BuildPlan, of_first: dict[str, Any], team: Team) -> None:
    """Refuse processes that would make members of different packs."""
    if plan.as_dict() != of_first:
        raise ModelError(
            f"process {team.rank} finds another reference, or other words, than process 0",
            fix="let all machines have the same models and files",
        )


def _make_pack(
    reference: LoadedModel,
    name: str,
    out: Path,
    plan: BuildPlan,
    models: int,
    team: Team,
    progress: Progress,
) -> NullBuilt:
    """Make what is missing of a pack, in all processes; the first puts it together."""
    drawn = team.from_first(lambda: _drawn(reference, name, out, plan, progress), DRAWN)
    reader = MemberReader(reference, drawn)
    corpora = drawn.corpora.pieces
    maker = MemberMaker(
        reference, reader, corpora, out, plan.seed, plan.steps, models, plan.words_every
    )
    there = set(team.from_first(lambda: sorted(numbers_there(out) & {*range(models)})))
    units = [u for u in benign_units(plan.seed, models) if {*u.members} & {*range(models)} - there]
    progress.begin("benign changes", models)
    progress.advance(len(there))
    missing = models - len(there)

    def make(unit: Unit) -> None:
        begun = maker.costs.pieces
        maker.make(unit)
        if not begun and maker.costs.pieces:
            progress.note(_estimate(maker, units, missing, team))

    team.share_out(
        units, make, lambda done: progress.advance(len(there) + missing * done // len(units))
    )
    redrawn = {name: why for part in team.meet(maker.redrawn) for name, why in part.items()}

    def assemble() -> NullBuilt:
        progress.begin("how benign changes move hidden states", 0)
        pack = assemble_pack(out, reader.rows)
        write_knowledge(out, reader.learn(pack, progress))
        covariances = learn_family_covariances(pack, reader.rows, progress)
        write_family_covariances(out, covariances, len(pack.members))
        return _record_of(pack, out, redrawn)

    return team.from_first(assemble, of_record(NullBuilt))


def _estimate(maker: MemberMaker, units: Sequence[Unit], missing: int, team: Team) -> str:
    """What the members that are missing take in all, once a first training was made."""
    return (
        f"benign changes that are missing: {missing}, in about "
        f"{spoken(maker.seconds_of(units) / team.size)} and {pack_bytes(maker, missing) / 1e6:.3g} "
        "MB, as the first training went"
    )


def _drawn(
    reference: LoadedModel, name: str, out: Path, plan: BuildPlan, progress: Progress
) -> Drawn:
    """What all members are made of and read at: kept from before, or drawn now and kept."""
    if begun_path(out).is_file():
        return read_begun(out)
    if is_assembled(out):
        read_begun(out)  # says that it is missing
    drawn = draw(reference, name, plan, progress)
    write_begun(out, drawn)
    return drawn


def _record_of(pack: NullPack, out: Path, redrawn: dict[str, Any]) -> NullBuilt:
    """What was built; the seconds are the caller's to fill in."""
    return NullBuilt(
        pack=str(out),
        reference=pack.reference,
        models=len(pack.members),
        kinds=member_kinds(pack),
        kl_nats=kl_quantiles(pack),
        contexts=pack.contexts.kind,
        seconds=0.0,
        redrawn=redrawn,
        corpora=pack.corpora,
        missing=pack.missing,
        notes=pack_notes(pack),
    )
