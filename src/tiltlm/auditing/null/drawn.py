"""What all members of a pack are made of and read at: drawn once, then handed on to processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tiltlm.auditing.classes.class_files import classes_as_tensors, classes_of_tensors
from tiltlm.auditing.classes.token_classes import TokenClasses
from tiltlm.auditing.null.pack import NullPack
from tiltlm.auditing.shifts.trigger_probes import TriggerProbes
from tiltlm.codec import Codec, read_tensor_bytes, tensor_bytes
from tiltlm.contexts.tensors import contexts_as_tensors, contexts_of_tensors
from tiltlm.contexts.token_contexts import TokenContexts
from tiltlm.treatments.corpora import Corpora


@dataclass(frozen=True)
class Drawn:
    """What the first process of a build draws for all.

    Attributes:
        reference: ``name`` and ``sha256`` of the reference's weights.
        vocabulary: fingerprint of its tokens.
        samples: own samples of the reference, at which shifts are read.
        strata: (N,) the stratum of each position of ``samples``.
        stratum_mass: (S, V) probability of each token under the reference, summed over each
            stratum.
        hypotheses: classes of tokens that members are read by.
        probes: words that may be triggers, in contexts.
        corpora: what is fine-tuned on.
    """

    reference: dict[str, str]
    vocabulary: str
    samples: TokenContexts
    strata: torch.Tensor
    stratum_mass: torch.Tensor
    hypotheses: TokenClasses
    probes: TriggerProbes
    corpora: Corpora

    @property
    def pack(self) -> NullPack:
        """A pack of no members yet."""
        return NullPack(
            reference=self.reference,
            vocabulary=self.vocabulary,
            contexts=self.samples,
            probes=self.probes,
            strata=self.strata,
            hypotheses=self.hypotheses,
            corpora={name: pieces.kind for name, pieces in self.corpora.pieces.items()},
            missing=dict(self.corpora.missing),
        )


def probes_as_tensors(probes: TriggerProbes) -> dict[str, torch.Tensor]:
    """Probes but for their words: ``groups``, and their contexts' tensors behind ``probes.``."""
    groups = torch.from_numpy(probes.groups)
    return {"groups": groups, **contexts_as_tensors(probes.contexts, "probes.")}


def probes_of_tensors(
    tensors: Mapping[str, torch.Tensor], words: list[str], kind: str
) -> TriggerProbes:
    """The probes that `probes_as_tensors` was given.

    Args:
        tensors: by name; others among them are left alone.
        words: W words.
        kind: of the probes' contexts.

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: the lengths do not add up.
    """
    contexts = contexts_of_tensors(tensors, kind, "probes.")
    return TriggerProbes(words, contexts, tensors["groups"].numpy())


def _encode(drawn: Drawn) -> bytes:
    tensors = {
        **contexts_as_tensors(drawn.samples, "samples."),
        **probes_as_tensors(drawn.probes),
        **classes_as_tensors(drawn.hypotheses),
        "strata": drawn.strata,
        "stratum_mass": drawn.stratum_mass,
    }
    for number, corpus in enumerate(drawn.corpora.pieces.values()):
        tensors |= contexts_as_tensors(corpus, f"corpus {number}.")
    about = {
        "reference": drawn.reference,
        "vocabulary": drawn.vocabulary,
        "samples": drawn.samples.kind,
        "probes": drawn.probes.contexts.kind,
        "words": drawn.probes.words,
        "classes": [list(drawn.hypotheses.names), list(drawn.hypotheses.kinds)],
        "corpora": [[name, c.kind, c.in_order] for name, c in drawn.corpora.pieces.items()],
        "missing": dict(drawn.corpora.missing),
    }
    return tensor_bytes(tensors, about)


def _decode(data: bytes) -> Drawn:
    tensors, about = read_tensor_bytes(data)
    pieces = {
        name: contexts_of_tensors(tensors, kind, f"corpus {number}.", in_order)
        for number, (name, kind, in_order) in enumerate(about["corpora"])
    }
    return Drawn(
        reference=about["reference"],
        vocabulary=about["vocabulary"],
        samples=contexts_of_tensors(tensors, about["samples"], "samples."),
        strata=tensors["strata"],
        stratum_mass=tensors["stratum_mass"],
        hypotheses=classes_of_tensors(tensors, *about["classes"]),
        probes=probes_of_tensors(tensors, about["words"], about["probes"]),
        corpora=Corpora(pieces, about["missing"]),
    )


DRAWN: Codec[Drawn] = Codec(_encode, _decode)
"""All of it, to the bit."""
