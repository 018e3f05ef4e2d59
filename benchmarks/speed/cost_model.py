"""What a training step costs, in a few formulas: products, bytes moved, memory. Measures nothing.

Symbols: T tokens a step, L length, D width, M width of the MLP, K width of keys and values,
n layers, V vocabulary, N all weights, P trained weights. docs/scaling.md explains each term.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tiltlm.losses.head_blocks import rows_of_a_block

FLOAT, HALF = 4, 2
LOGIT_PASSES = 12  # times a block of logits is read or written: both heads, softmax, gradient
OPTIMIZER_PASSES = 7  # weight, gradient and two moments read; weight and both moments written


@dataclass(frozen=True)
class Shape:
    """A Llama-like model and one step of training it, all weights or adapters of a rank."""

    width: int
    mlp: int
    keys: int
    layers: int
    vocabulary: int
    batch: int
    length: int
    tied: bool = False
    rank: int = 0  # 0: all weights are trained

    @property
    def tokens(self) -> int:
        """T."""
        return self.batch * self.length

    @property
    def layer(self) -> int:
        """Weights of a layer: queries and output, keys and values, a gated MLP."""
        return 2 * self.width**2 + 2 * self.width * self.keys + 3 * self.width * self.mlp

    @property
    def head(self) -> int:
        """V·D."""
        return self.vocabulary * self.width

    @property
    def weights(self) -> int:
        """N."""
        return self.layers * self.layer + self.head * (1 if self.tied else 2)

    @property
    def trained(self) -> int:
        """P: all, or r·(in + out) of each linear layer and of the head."""
        if not self.rank:
            return self.weights
        sides = 7 * self.width + 2 * self.keys + 3 * self.mlp + 2 * self.width
        return self.rank * (self.layers * sides + self.width + self.vocabulary)


def flops(shape: Shape) -> float:
    """Of one step: body forward and backward, causal attention, head of model and reference.

    A frozen weight needs no gradient, so its backward is one product rather than two.
    """
    passes = 2 if shape.rank else 3  # forward, gradient of inputs, gradient of weights
    body = 2 * passes * shape.tokens * shape.layers * shape.layer
    attention = 2 * 3 * shape.tokens * shape.length * shape.width * shape.layers
    head = 2 * (passes + 1) * shape.tokens * shape.head
    return float(body + attention + head)


def bytes_moved(shape: Shape) -> float:
    """Of one step in float32: the optimizer, passes over logits, activations written and read."""
    optimizer = OPTIMIZER_PASSES * FLOAT * shape.trained
    logits = LOGIT_PASSES * FLOAT * shape.tokens * shape.vocabulary
    return float(optimizer + logits + 3 * FLOAT * activations(shape))


def activations(shape: Shape) -> float:
    """Numbers kept for the backward pass: about 8 D, 2 K and 4 M a token and layer."""
    each = 8 * shape.width + 2 * shape.keys + 4 * shape.mlp
    return float(shape.tokens * shape.layers * each)


def block(shape: Shape) -> float:
    """Logits held at once."""
    rows = rows_of_a_block(shape.tokens, shape.vocabulary, torch.device("cpu"), alone=False)
    return float(rows * shape.vocabulary)


def memory_terms(shape: Shape) -> list[float]:
    """Bytes of a float32 step beyond weights and optimizer: gradients, activations, a block."""
    return [FLOAT * shape.trained, FLOAT * activations(shape), FLOAT * block(shape)]


@dataclass(frozen=True)
class Expected:
    """Bytes a GPU, term by term, and seconds a step."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    reference: float
    logits: float
    seconds: float

    @property
    def total(self) -> float:
        """Bytes a GPU."""
        parts = (self.weights, self.gradients, self.optimizer)
        return sum(parts) + self.activations + self.reference + self.logits


def expected(
    shape: Shape, gpus: int, flops_per_second: float, contexts: int, blocks_held: float
) -> Expected:
    """An estimate for GPUs in bfloat16, everything of the weights' size sharded over them (FSDP).

    Weights and gradients are bfloat16, the optimizer holds a float32 copy and two moments of what
    is trained. Activations are those of gradient checkpointing: each layer's input, and one
    layer whole; the batch is split over the GPUs. While a layer runs its weights are whole, and
    so is the head, whose gradient is summed in float32. Seconds count one more forward pass of the
    body for the checkpointing.

    Args:
        shape: with the whole step's batch.
        gpus: how many.
        flops_per_second: of one of them, as it is really reached.
        contexts: whose hidden states are kept, over all GPUs.
        blocks_held: blocks of logits at once, as fitted.
    """
    inputs = shape.tokens * shape.layers * shape.width
    gathered = HALF * max(shape.layer, shape.head) if gpus > 1 else 0
    again = 2 * shape.tokens * shape.layers * shape.layer
    own_head = 0 if shape.rank else HALF * shape.head  # a copy, for the reference
    return Expected(
        weights=HALF * shape.weights / gpus + gathered,
        gradients=HALF * shape.trained / gpus + (0 if shape.rank else FLOAT * shape.head),
        optimizer=3 * FLOAT * shape.trained / gpus,
        activations=HALF * (inputs + activations(shape) / shape.layers) / gpus,
        reference=HALF * contexts * shape.length * shape.width / gpus + own_head,
        logits=FLOAT * block(shape) * blocks_held,
        seconds=(flops(shape) + again) / (flops_per_second * gpus),
    )
