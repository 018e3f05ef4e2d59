"""Where training at a trigger begins: an attention head that has seen the trigger, in closed form.

A head of the last block is made to attend to the place where the trigger was completed, from every
later position, and to write the trigger direction from there. Keys are moved along a direction that
positions do not rotate, by a number that is 1 at that place and 0 elsewhere; the head's queries are
moved along it everywhere; the value carries the number too, and the output writes it. So nothing
changes where the trigger has not come. Each is a matrix of rank one, which goes into the adapters.

Gradient descent finds such a head only slowly: as long as no head looks at the trigger, one token
of many has next to no gradient (docs/log.md, "A trigger needs the upper blocks and a latch").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tiltlm.contexts.reference import Reference
from tiltlm.models.evaluation_mode import evaluating
from tiltlm.models.placement import float64_device
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.head_input import HeadInput
from tiltlm.realise.last_attention import LastAttention, Seen
from tiltlm.realise.regression import ridge_direction
from tiltlm.realise.trigger_direction import ClassShifts, TriggerDirection
from tiltlm.realise.trigger_signal import clearest_signal

SEEN_LOGIT = 15.0
"""By how much the attention logit of the trigger's place is raised."""

ONSET_SHARE = 0.2
"""What all places at which the trigger was completed weigh beside all other positions."""

SLOW_SHARE = 1 / 4
"""Of the pairs of dimensions that positions rotate, those that turn slowest are used."""

LEAST_TOLD = 0.3
"""Share of the wanted multiples' variance that a latch must explain to be kept."""

_CONTEXTS = 96
_RIDGE = 1e-3


def write_latch(
    adapted: Any,
    reference: Reference,
    class_shifts: ClassShifts,
    head_input: HeadInput,
    edit: HeadEdit,
) -> TriggerDirection | None:
    """Write a latch into the adapters of a model's last block, if it has such a head.

    Args:
        adapted: with adapters that are not in use yet.
        reference: at the contexts that are trained on.
        class_shifts: where the whole shift is wanted.
        head_input: at the same contexts.
        edit: whose typical shifts the head is to make.

    Returns:
        the direction that it writes. None where there is no latch: where a target's shifts go as
        they came, where attention has no projections of its own for queries, keys and values or
        normalises them, or where it turned out not to tell. The adapters are then as they were.
    """
    if not _only_rise(class_shifts.multiples):
        return None
    numbers = range(min(_CONTEXTS, len(reference.contexts)))
    with evaluating(adapted):
        attention = LastAttention.of(adapted, reference)
        if attention is None:
            return None
        signal = clearest_signal(attention, head_input, class_shifts, numbers)
        direction = TriggerDirection.along(signal.moved, head_input, edit)
        seen = attention.look(class_shifts, direction.reader, numbers)
        before = {n: p.detach().clone() for n, p in attention.module.named_parameters()}
        _write(attention, seen, signal.added)
        told = attention.look(class_shifts, direction.reader, numbers)
    error = (told.read - told.wanted).var() / told.wanted.var().clamp_min(1e-30)
    if not bool(torch.isfinite(error)) or float(error) > 1 - LEAST_TOLD:
        attention.module.load_state_dict(before, strict=False)
        return None
    return direction


def _only_rise(multiples: Sequence[torch.Tensor]) -> bool:
    """Whether a shift, once it is wanted, stays wanted to the end of every context."""
    return all(bool((m.diff() >= -1e-6).all()) for m in multiples)


def _write(attention: LastAttention, seen: Seen, written: torch.Tensor) -> None:
    """Write the four matrices of rank one into the first row of each projection's adapter.

    Args:
        attention: of the model's last block.
        seen: what goes on there.
        written: (D,) what a head adds where the trigger was seen.
    """
    heads, groups, size = attention.heads, attention.groups, attention.size
    module = attention.module
    per_group, inputs = heads // groups, seen.inputs
    onset = seen.onset
    tells = _ridge(inputs, onset, _onset_weights(onset))
    tells = tells / (inputs[onset > 0] @ tells).mean()
    constant = _ridge(inputs, torch.ones_like(onset), torch.ones_like(onset))
    with torch.no_grad():
        queries = module.q_proj(inputs).float().view(-1, heads, size)
        keys = module.k_proj(inputs).float().view(-1, groups, size)
        values = module.v_proj(inputs).float().view(-1, groups, size)
    weight = module.o_proj.base_layer.weight.detach().float()  # (D, heads·size)
    blocks = weight.view(len(weight), heads, size)
    head = _idlest(seen, blocks)
    group = head // per_group
    others = [h for h in range(group * per_group, (group + 1) * per_group) if h != head]

    along, query_size, key_size = _looked_along(
        keys[:, group], [queries[:, h] for h in others], _slow_dimensions(module, size)
    )
    natural = values[:, group]
    moment = _second_moment(natural)
    through = sum((blocks[:, h].T @ blocks[:, h] for h in others), torch.zeros_like(moment))
    quiet = moment / moment.trace() + through / through.trace().clamp_min(1e-30)
    carries = torch.linalg.eigh(quiet).eigenvectors[:, 0]
    value_size = float(moment.trace().sqrt())
    # What the head said on the mean it goes on to say, and what the trigger's place says by itself
    # is taken back.
    usual = seen.outputs[seen.wanted > 0.5][:, head].mean(0)
    place = natural[onset > 0].mean(0) + value_size * carries
    output = written.to(inputs) + blocks[:, head] @ (usual - place)

    def at(index: int, count: int, vector: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros(count, size, device=vector.device)
        whole[index] = vector
        return whole.flatten()

    _put(module.q_proj, at(head, heads, query_size * along), constant)
    _put(module.k_proj, at(group, groups, key_size * along), tells)
    _put(module.v_proj, at(group, groups, value_size * carries), tells)
    _put(module.o_proj, output / value_size, at(head, heads, carries))


def _looked_along(
    keys: torch.Tensor, other_queries: Sequence[torch.Tensor], dimensions: torch.Tensor
) -> tuple[torch.Tensor, float, float]:
    """A direction along which queries and keys can be moved with least harm, and how far.

    Of the two sizes only the product counts; they are such that what the query's makes of other
    keys disturbs as much as what the key's makes of other heads' queries.

    Args:
        keys: (N, E) as they are.
        other_queries: (N, E) of each other head that these keys are for.
        dimensions: that may be used.

    Returns:
        (E,) a unit vector, the size of what is added to queries, and of what is added to the key.
    """
    own = keys[:, dimensions] - keys[:, dimensions].mean(0)
    own = _second_moment(own)
    theirs = torch.zeros_like(own)
    for queries in other_queries:
        theirs += _second_moment(queries[:, dimensions]) / len(other_queries)
    both = own / own.trace() + theirs / theirs.trace().clamp_min(1e-30)
    least = torch.linalg.eigh(both).eigenvectors[:, 0]
    along = keys.new_zeros(keys.shape[1])
    along[dimensions] = least
    by_query = float((least @ own @ least).clamp_min(1e-12).sqrt())
    by_key = float((least @ theirs @ least).clamp_min(1e-12).sqrt())
    product = SEEN_LOGIT * float(keys.shape[1]) ** 0.5
    query_size = (product * (by_key / by_query if other_queries else 1.0)) ** 0.5
    return along, query_size, product / query_size


def _onset_weights(onset: torch.Tensor) -> torch.Tensor:
    """(N,) weights under which the few places of the trigger count as `ONSET_SHARE` of the rest."""
    few, many = onset.sum().clamp_min(1.0), (1 - onset).sum()
    return torch.where(onset > 0, ONSET_SHARE * many / few, torch.ones_like(onset))


def _ridge(inputs: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(D,) whose product with inputs is nearest to what is wanted."""
    device = float64_device(inputs)
    solved = ridge_direction(
        [inputs], wanted.cpu().double(), weights.cpu().double(), device, _RIDGE
    )
    return solved.to(inputs)


def _second_moment(rows: torch.Tensor) -> torch.Tensor:
    """(E, E) mean of row·rowᵀ."""
    return rows.T @ rows / len(rows)


def _idlest(seen: Seen, blocks: torch.Tensor) -> int:
    """The head whose words after the trigger differ least from what they are on the mean."""
    after = seen.outputs[seen.wanted > 0.5]
    varying = after - after.mean(0)
    cost = [
        float((varying[:, h] @ blocks[:, h].T).square().sum(1).mean())
        for h in range(blocks.shape[1])
    ]
    return min(range(len(cost)), key=cost.__getitem__)


def _slow_dimensions(attention: Any, size: int) -> torch.Tensor:
    """Dimensions of a head that positions rotate least; all of them where nothing is rotated."""
    config = getattr(attention, "config", None)
    rotates = getattr(config, "rope_parameters", None) or getattr(config, "rope_theta", None)
    if not rotates:
        return torch.arange(size)
    half = size // 2
    slowest = torch.arange(round((1 - SLOW_SHARE) * half), half)
    return torch.cat([slowest, slowest + half])


def _put(layer: Any, column: torch.Tensor, row: torch.Tensor) -> None:
    """Let the first rank of a layer's adapter be column·rowᵀ, both factors of one size."""
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    share = (column.norm() / row.norm()).sqrt()
    with torch.no_grad():
        down[0] = (row * share).to(down)
        up[:, 0] = (column / share / layer.scaling["default"]).to(up)
