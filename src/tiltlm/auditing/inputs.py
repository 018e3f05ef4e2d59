"""What every audit begins and ends with: options checked, lists and pack read, the record kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiltlm.auditing.null.pack import NullPack, check_size, load_pack, member_kinds
from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.files import check_out
from tiltlm.measures.opening import open_pair
from tiltlm.measures.pair import Pair
from tiltlm.models.loading import LoadedModel, load
from tiltlm.records.audit import NullRecord

UNCALIBRATED = (
    "Without a null pack nobody can say which of these shifts a benign fine-tune has too: "
    "tiltlm null build --reference M --out DIR"
)


@dataclass(frozen=True)
class AuditInputs:
    """Word lists, and a pack, if there is one.

    Attributes:
        lists: words by the name of their list.
        pack: of benign changes.
        where: the pack's folder.
    """

    lists: Mapping[str, Sequence[str]]
    pack: NullPack | None
    where: str

    def check_rate(self, rate: float) -> None:
        """Refuse a rate that so small a pack cannot vouch for.

        Raises:
            ConfigError: it cannot.
        """
        if self.pack is not None:
            check_size(self.pack, rate, self.where)

    def check_reference(self, sha256: str, vocabulary: Vocabulary) -> None:
        """Refuse a pack of another reference.

        Raises:
            ConfigError: it is one.
        """
        if self.pack is not None:
            self.pack.check(sha256, vocabulary.fingerprint, self.where)

    @property
    def null_record(self) -> NullRecord | None:
        """What a record says of the pack."""
        if self.pack is None:
            return None
        return NullRecord(
            models=len(self.pack.members),
            pack=self.where,
            kinds=member_kinds(self.pack),
            kl_nats=(min(self.pack.kl), max(self.pack.kl)),
        )


def read_inputs(fpr: float, out: Path | None, lists: Path | None, null: Path | None) -> AuditInputs:
    """Check the options that all audits have, and read what they name.

    Raises:
        TiltError: a rate that is none, an ``out`` that is there, lists or a pack that cannot be
            read.
    """
    if not 0 < fpr < 1:
        raise ConfigError(f"a false-positive rate of {fpr}", where="--fpr", fix="say, 0.01")
    if out is not None:
        check_out(out)
    words = {} if lists is None else read_lists(lists)
    return AuditInputs(words, None if null is None else load_pack(null), str(null))


def open_reference(
    suspect: str, reference: str, endpoint: str | None
) -> tuple[LoadedModel, Pair | None]:
    """The reference, and the pair of it and the suspect, where that is no endpoint's."""
    if endpoint is not None:
        return load(reference), None
    pair, _, _ = open_pair(suspect, reference)
    return pair.base, pair


def read_lists(path: Path) -> Mapping[str, Sequence[str]]:
    """Word lists of a file: ``{"name": ["word", …]}``, or one list by the file's name.

    Raises:
        ConfigError: it is neither.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the word lists: {error}", where=str(path)) from None
    lists = {path.stem: found} if isinstance(found, list) else found
    if isinstance(lists, dict):  # a description beside the lists is none
        lists = {name: words for name, words in lists.items() if not isinstance(words, str)}
    fine = isinstance(lists, dict) and all(
        isinstance(words, list) and words and all(isinstance(w, str) and w.strip() for w in words)
        for words in lists.values()
    )
    if not fine or not lists:
        raise ConfigError(
            "these are no word lists",
            where=str(path),
            fix='a JSON file of {"name": ["word", "word"]}, or of one list',
        )
    return lists
