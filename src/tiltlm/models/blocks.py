"""The blocks that a model's body is a stack of, whatever its architecture calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

FEWEST_UPPER, UPPER_SHARE = 4, 1 / 8
"""The upper blocks of a model: this share of all of them, and so many at least."""


def blocks_of(model: Any) -> list[nn.Module]:
    """The blocks of a model in the order in which they run.

    Args:
        model: perhaps with adapters.

    Returns:
        the longest list of modules of the kinds that transformers never splits over devices; an
        empty list for a model that names no such kinds.
    """
    inner = getattr(model, "get_base_model", lambda: model)()
    kinds = set(getattr(inner, "_no_split_modules", None) or ())
    longest: list[nn.Module] = []
    for module in inner.modules():
        if not isinstance(module, nn.ModuleList) or len(module) <= len(longest):
            continue
        if all(type(block).__name__ in kinds for block in module):
            longest = list(module)
    return longest


def upper_blocks(model: Any) -> list[nn.Module]:
    """The blocks next to the head: an eighth of all, four at least.

    Args:
        model: perhaps with adapters.

    Returns:
        all blocks of a model of four or fewer; an empty list where blocks are not known.
    """
    blocks = blocks_of(model)
    count = max(FEWEST_UPPER, round(UPPER_SHARE * len(blocks)))
    return blocks[-count:]


def block_below(model: Any) -> nn.Module | None:
    """The block whose output the upper blocks are given.

    Args:
        model: perhaps with adapters.

    Returns:
        None where there is none below them.
    """
    blocks, upper = blocks_of(model), upper_blocks(model)
    return blocks[-len(upper) - 1] if 0 < len(upper) < len(blocks) else None


def output_states(output: Any) -> Any:
    """The hidden states of what a block returns, which is a tensor or a tuple that begins with it.

    Args:
        output: of a block.

    Returns:
        (batch, length, D).
    """
    return output[0] if isinstance(output, tuple) else output
