"""Classes of tokens as tensors and names, for files and for other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from tiltlm.auditing.classes.token_classes import TokenClasses


def classes_as_tensors(classes: TokenClasses) -> dict[str, torch.Tensor]:
    """The tokens of all classes one after another, and where each class ends.

    Args:
        classes: K of them.
    """
    members = classes.members
    return {
        "classes.tokens": torch.from_numpy(members.indices.astype(np.int32)),
        "classes.ends": torch.from_numpy(members.indptr[1:].astype(np.int64)),
        "classes.size": torch.tensor([members.shape[1]]),
    }


def classes_of_tensors(
    tensors: Mapping[str, torch.Tensor], names: Sequence[Any], kinds: Sequence[Any]
) -> TokenClasses:
    """The classes that `classes_as_tensors` was given.

    Args:
        tensors: by name; others among them are left alone.
        names: of the classes.
        kinds: likewise.

    Raises:
        KeyError: a tensor is missing.
        ValueError: lengths or tokens do not fit.
    """
    tokens, ends = tensors["classes.tokens"].numpy(), tensors["classes.ends"].numpy()
    size = int(tensors["classes.size"][0])
    if len(ends) != len(names) or len(kinds) != len(names):
        raise ValueError("classes and their names do not go together")
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        raise ValueError("classes of tokens that there are not")
    ends = np.concatenate([[0], ends])
    members = sparse.csr_matrix((np.ones(len(tokens)), tokens, ends), shape=(len(names), size))
    members.check_format()
    return TokenClasses(tuple(map(str, names)), tuple(map(str, kinds)), members)
