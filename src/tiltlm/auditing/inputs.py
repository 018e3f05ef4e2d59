"""What every audit is given beside the models: word lists and a null pack, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiltlm.auditing.head_rows import HeadRows
from tiltlm.auditing.null.hub import pack_folder
from tiltlm.auditing.null.pack import NullPack, check_size, member_kinds
from tiltlm.auditing.null.pack_files import complete_pack, load_pack
from tiltlm.auditing.null.planning import rough_seconds
from tiltlm.contexts.logit_reader import LogitReader
from tiltlm.errors import ConfigError
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.models.loading import LoadedModel
from tiltlm.reading import read_json
from tiltlm.records.audit import NullRecord
from tiltlm.stopwatch import spoken

_FEW_MODELS = 99
"""Benign changes that vouch for 1 %, the rate of an audit by default."""


def uncalibrated_note(reference: LoadedModel) -> str:
    """The note of an audit that had no pack, with what one would take here.

    Args:
        reference: of the audit; it reads some tokens.
    """
    seconds = rough_seconds(reference, _FEW_MODELS)
    return (
        "Without a null pack nobody can say which of these shifts a benign fine-tune has too: "
        f"tiltlm null build --reference M --out DIR --n {_FEW_MODELS} (roughly {spoken(seconds)} "
        "here; --plan says how long)"
    )


@dataclass(frozen=True)
class AuditInputs:
    """Word lists, and a pack if there is one.

    Attributes:
        lists: words by the name of their list.
        pack: of benign changes of the reference; None where the audit is not calibrated.
        folder: of the pack, as errors and records name it.
    """

    lists: Mapping[str, Sequence[str]]
    pack: NullPack | None
    folder: str

    def check_rate(self, rate: float) -> None:
        """Refuse a false-positive rate that so small a pack cannot vouch for.

        Args:
            rate: that the pack has to vouch for, between 0 and 1.

        Raises:
            ConfigError: the pack has too few members.
        """
        if self.pack is not None:
            check_size(self.pack, rate, self.folder)

    def check_reference(self, sha256: str, vocabulary: Vocabulary) -> None:
        """Refuse a pack of another reference.

        Args:
            sha256: of the reference's weights.
            vocabulary: of the reference.

        Raises:
            ConfigError: the pack was made for other weights or other tokens.
        """
        if self.pack is not None:
            self.pack.check(sha256, vocabulary.fingerprint, self.folder)

    def complete(self, reference: LoadedModel) -> None:
        """Learn what a pack knows once it is finished, where it is not.

        Args:
            reference: that the pack was made for.

        Raises:
            ModelError: its logits are no product of its head.
        """
        if self.pack is not None and not len(self.pack.place_covariance):
            complete_pack(self.pack, HeadRows.of(LogitReader(reference.model).head))

    @property
    def null_record(self) -> NullRecord | None:
        """What a record says of the pack; None without one."""
        if self.pack is None:
            return None
        return NullRecord(
            models=len(self.pack.members),
            pack=self.folder,
            kinds=member_kinds(self.pack),
            kl_nats=(min(self.pack.kl), max(self.pack.kl)),
        )


def read_inputs(fpr: float, lists: Path | None, null: Path | None) -> AuditInputs:
    """Check the rate, and read the files that were named.

    Args:
        fpr: false-positive rate of the audit.
        lists: a file of word lists, as for `read_lists`.
        null: the folder of a pack, or its name on the Hub.

    Raises:
        ConfigError: a rate outside (0, 1), or lists or a pack that cannot be read.
    """
    if not 0 < fpr < 1:
        raise ConfigError(f"a false-positive rate of {fpr}", where="--fpr", fix="say, 0.01")
    words = {} if lists is None else read_lists(lists)
    return AuditInputs(words, None if null is None else load_pack(pack_folder(null)), str(null))


def read_lists(path: Path) -> Mapping[str, Sequence[str]]:
    """Word lists of a JSON file.

    Args:
        path: of ``{"name": ["word", …]}``, where strings beside the lists are passed over; or of
            one list, which is then called by the file's name.

    Returns:
        words by the name of their list.

    Raises:
        ConfigError: the file cannot be read, or holds no such lists.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the word lists: {error}", where=str(path)) from None
    lists = {path.stem: content} if isinstance(content, list) else content
    if isinstance(lists, dict):  # A description may stand beside the lists.
        lists = {name: words for name, words in lists.items() if not isinstance(words, str)}
    well_formed = isinstance(lists, dict) and all(
        isinstance(words, list) and words and all(isinstance(w, str) and w.strip() for w in words)
        for words in lists.values()
    )
    if not well_formed or not lists:
        raise ConfigError(
            "these are no word lists",
            where=str(path),
            fix='a JSON file of {"name": ["word", "word"]}, or of one list',
        )
    return lists
