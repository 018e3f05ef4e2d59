"""Make a challenge: a folder of models, some tilted, with commitments to what was done."""

from __future__ import annotations

import secrets
from pathlib import Path

from tiltlm.challenges.decoys import make_decoy
from tiltlm.challenges.drawing import RANGES, Drawn, draw_all
from tiltlm.challenges.sealing import FILE, MODELS, key_path, sealed
from tiltlm.challenges.tilting import make_tilted
from tiltlm.claims import claimed_new
from tiltlm.contexts.sources import make_contexts
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.errors import ConfigError
from tiltlm.files import require_free, staged, write_json
from tiltlm.models.fingerprints import fingerprint
from tiltlm.models.loading import LoadedModel, load
from tiltlm.models.model5 import as_gpt2
from tiltlm.models.structure import untie_head
from tiltlm.progress import NoProgress, Progress
from tiltlm.recipes.placement import Placement
from tiltlm.records.challenge import (
    ChallengeKeyRecord,
    ChallengeRecord,
    OpenedRecord,
    RangesRecord,
    SealedModelRecord,
    TruthRecord,
)
from tiltlm.seals import sha256_of
from tiltlm.treatments.treatment import own_copy
from tiltlm.versions import versions

CONTEXTS, LENGTH = 112, 64
"""Own samples of the reference that tilts are fitted to and decoys trained on, and their tokens."""


def make_challenge(
    reference: str,
    out: Path,
    *,
    count: int = 12,
    ranges: RangesRecord = RANGES,
    text: str | None = None,
    key: Path | None = None,
    seed: int | None = None,
    placement: Placement | None = None,
    progress: Progress | None = None,
) -> ChallengeRecord:
    """Write a challenge, and beside it the key that opens its answers.

    No model has a label; all are whole, with the head untied from the embedding, so that no file
    says what was done.

    Args:
        reference: that all models are made of, as for `load`.
        out: a new folder.
        count: of models.
        ranges: from what they are drawn.
        text: what decoys are trained on, a source of `make_contexts`; by default own samples.
        key: where the key is written; by default beside ``out``.
        seed: of all draws; by default nobody knows it before the key is opened.
        placement: of the reference, as for `load`.
        progress: told how far work has come.

    Returns:
        what ``challenge.json`` holds.

    Raises:
        ConfigError: a file is where the key should be, or there is nothing to draw from.
        TiltError: any other of the tree in `errors`; ``out`` is then not there.
    """
    progress = progress or NoProgress()
    key = key or key_path(out)
    if key.exists():
        raise ConfigError(
            "there is a file already where the key should be",
            where=str(key),
            fix="name another file: --key",
        )
    seed = secrets.randbelow(2**31) if seed is None else seed
    with claimed_new(out) as folder:
        loaded = load(reference, placement=placement)
        identity = {"name": reference, "sha256": fingerprint(loaded.model)}
        work = _Work(loaded, text, seed)
        size = sum(p.numel() * p.element_size() for p in work.reference.model.parameters())
        require_free(folder, size * count + size, f"{count} models")
        drawn = draw_all(work.reference, work.contexts, count, ranges, seed)
        progress.begin("making models", count)
        with staged(folder) as partial:
            models, opened = [], []
            for number, each in enumerate(drawn, 1):
                name = f"m{number:02d}"
                truth = work.write(each, partial / MODELS / name, name)
                answer, commitment = sealed(truth)
                opened.append(answer)
                models.append(_sealed_model(partial / MODELS / name, name, commitment))
                progress.advance(number)
            record = ChallengeRecord(
                reference=identity,
                ranges=ranges,
                models=models,
                tokens=len(loaded.vocabulary),
                versions=versions(),
            )
            write_json(partial / FILE, record.model_dump(mode="json"))
            _write_key(key, seed, opened)
    return record


class _Work:
    """What all models are made of."""

    def __init__(self, loaded: LoadedModel, text: str | None, seed: int) -> None:
        model = own_copy(loaded)
        untie_head(model)
        self.reference = LoadedModel(model.eval(), loaded.tokenizer)
        self.contexts = self._made("own", seed)
        self.text = self.contexts if text is None else self._made(text, seed)

    def _made(self, source: str, seed: int) -> TokenContexts:
        return make_contexts(source, self.reference, count=CONTEXTS, length=LENGTH, seed=seed)

    def write(self, drawn: Drawn, folder: Path, name: str) -> TruthRecord:
        """Make one model, write it, and tell what was done to it."""
        if drawn.decoy is not None:
            made = make_decoy(drawn.decoy, self.reference, self.text, drawn.seed % 2**20)
            truth = TruthRecord(name=name, tilted=False, decoy=drawn.decoy)
        else:
            made, done, gap = make_tilted(drawn, self.reference, self.contexts)
            assert done.event is not None
            mask = done.event.mask(self.reference.vocabulary)
            truth = TruthRecord(
                name=name,
                tilted=True,
                event=str(done.event),
                token_ids=mask.nonzero()[:, 0].tolist(),
                strength_nats=done.strength,
                way=done.way,
                trigger=done.trigger,
                gap_closed=gap,
            )
        untie_head(made.model)
        as_gpt2(made.model).save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        return truth


def _sealed_model(folder: Path, name: str, commitment: str) -> SealedModelRecord:
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    return SealedModelRecord(name=name, commitment=commitment, files=files)


def _write_key(path: Path, seed: int, opened: list[OpenedRecord]) -> None:
    """Write the key, which its owner alone may read."""
    record = ChallengeKeyRecord(seed=seed, answers=opened)
    write_json(path, record.model_dump(mode="json"))
    path.chmod(0o600)
