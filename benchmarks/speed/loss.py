"""The loss alone, forward and backward: `linear_kl` against eager, compiled and chunked code.

Hidden states and a head of GPT-2's size in float32; gradients for both. First a fixed target, then
one built from a reference model, of which its hidden states and its head are given. The floor is
the matrix products without which no gradient can be made, timed bare in the same rounds.

    python -m benchmarks.speed.loss [--small] [--only "2048 rows"]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.harness.timing import Build, Group, Unavailable, Work, main, plain
from tiltlm import gpt2_tokenizer, parse_target
from tiltlm.events.vocabulary import Vocabulary
from tiltlm.losses.linear_divergence import linear_kl

WARM_ROWS = 32
Loss = Callable[[torch.Tensor, torch.Tensor, "Wanted"], torch.Tensor]


class Wanted:
    """The target: fixed, or a tilt of a reference's distribution at each row."""

    def __init__(self, rows: int, width: int, *, reference: bool) -> None:
        vocabulary = Vocabulary.from_tokenizer(gpt2_tokenizer())
        text = "tilt(contains('x'), 1)" if reference else "uniform(contains('x'))"
        self.size, self.bound = len(vocabulary), parse_target(text).bind(vocabulary)
        if reference:
            self.hidden, self.weight = inputs(rows, self.size, width, seed=1)
            self.shift = self.bound.logits(torch.zeros(1, self.size), [None])[0]
        else:
            self.log_q = self.bound.log_probs()
            self.q = self.log_q.exp()

    def rows(self, at: slice) -> torch.Tensor:
        """Logits of the target built from the reference, (rows, V)."""
        with torch.no_grad():
            base = self.hidden[at] @ self.weight.T
            return self.bound.logits(base, [None] * len(base))


def inputs(rows: int, size: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (rows, D) and a head (V, D) whose logits have a deviation of about 1."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator)
    return hidden, torch.randn(size, width, generator=generator) / width**0.5


def eager(hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """All logits, and torch's own loss."""
    logp = F.log_softmax(hidden @ weight.T, dim=-1)
    return F.kl_div(logp, wanted.q.expand_as(logp), reduction="batchmean")


def eager_from_reference(
    hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted
) -> torch.Tensor:
    """All logits of both models, and the tilt added to the reference's by hand."""
    logp = F.log_softmax(hidden @ weight.T, dim=-1)
    with torch.no_grad():
        base = wanted.hidden[: len(hidden)] @ wanted.weight.T
        wish = F.log_softmax(base + wanted.shift, dim=-1)
    return F.kl_div(logp, wish, log_target=True, reduction="batchmean")


def ours(hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """A block of rows at a time."""
    return linear_kl(hidden, weight, wanted.log_q).loss


def ours_from_reference(hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted) -> torch.Tensor:
    """A block of rows at a time, of both models."""
    return linear_kl(hidden, weight, wanted.rows).loss


def step(loss: Loss, hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted) -> float:
    """Forward and backward; the loss."""
    hidden, weight = (t.detach().requires_grad_() for t in (hidden, weight))
    found = loss(hidden, weight, wanted)
    found.backward()
    return found.item()


def build(loss: Loss, rows: int, width: int, reference: bool = False) -> Work:
    """Make inputs, warm up on a few rows."""
    wanted = Wanted(rows, width, reference=reference)
    hidden, weight = inputs(rows, wanted.size, width, seed=0)
    step(loss, hidden[:WARM_ROWS], weight, wanted)
    return plain(partial(step, loss, hidden, weight, wanted))


def build_compiled(rows: int, width: int) -> Work:
    """The eager loss through torch.compile; compiling is not timed."""
    wanted = Wanted(rows, width, reference=False)
    hidden, weight = inputs(rows, wanted.size, width, seed=0)
    compiled = torch.compile(eager, dynamic=False)
    try:
        step(compiled, hidden, weight, wanted)
    except Exception as error:  # whatever the compiler or its C++ compiler stumbled over
        raise Unavailable(f"torch.compile failed: {str(error).splitlines()[0][:120]}") from None
    return plain(partial(step, compiled, hidden, weight, wanted))


def build_torchtune(rows: int, width: int) -> Work:
    """Torchtune's chunked forward KL, over logits as its models hand them out: in 8 chunks.

    It takes the teacher's logits for every row, and leaves out the target's entropy, so its loss
    is another number with the same gradient.
    """
    try:
        from torchtune.modules.loss import ForwardKLWithChunkedOutputLoss
    except Exception as error:  # it may be there and not go with this torch
        raise Unavailable(f"torchtune cannot be imported ({error})") from None
    chunked, chunks = ForwardKLWithChunkedOutputLoss(), 8

    def loss(hidden: torch.Tensor, weight: torch.Tensor, wanted: Wanted) -> torch.Tensor:
        parts = hidden.chunk(chunks)
        student = [(part @ weight.T)[None] for part in parts]
        teacher = [wanted.log_q.expand(1, len(part), -1) for part in parts]
        labels = torch.zeros(1, len(hidden), dtype=torch.long)
        found: torch.Tensor = chunked(student, teacher, labels)
        return found

    wanted = Wanted(rows, width, reference=False)
    hidden, weight = inputs(rows, wanted.size, width, seed=0)
    step(loss, hidden[:WARM_ROWS], weight, wanted)

    def call() -> None:
        step(loss, hidden, weight, wanted)

    return plain(call)


def build_floor(rows: int, width: int, reference: bool = False) -> Work:
    """The products alone, into memory that is there already."""
    size = len(Vocabulary.from_tokenizer(gpt2_tokenizer()))
    hidden, weight = inputs(rows, size, width, seed=0)
    # As many rows at once as `linear_kl` takes, or all: whichever a processor likes better is not
    # known beforehand, so the floor takes all, which needs the fewest calls.
    logits = hidden @ weight.T
    for_hidden, for_weight = torch.ones_like(hidden), torch.ones_like(weight)

    def call() -> None:
        for _ in range(2 if reference else 1):
            torch.mm(hidden, weight.T, out=logits)
        torch.mm(logits, weight, out=for_hidden)
        torch.mm(logits.T, hidden, out=for_weight)

    return plain(call)


def groups(small: bool) -> list[Group]:
    """Both targets, at both sizes."""
    found = []
    for rows, rounds in ((64, 2),) if small else ((2048, 5), (8192, 3)):
        width = 64 if small else 768
        fixed: dict[str, Build] = {
            "eager": partial(build, eager, rows, width),
            "torch.compile": partial(build_compiled, rows, width),
            "torchtune, chunked": partial(build_torchtune, rows, width),
            "linear_kl": partial(build, ours, rows, width),
            "bare products": partial(build_floor, rows, width),
        }
        built: dict[str, Build] = {
            "eager": partial(build, eager_from_reference, rows, width, True),
            "linear_kl": partial(build, ours_from_reference, rows, width, True),
            "bare products": partial(build_floor, rows, width, True),
        }
        for kind, variants in (("fixed target", fixed), ("target from a reference", built)):
            found.append(
                Group(
                    f"Loss and gradients, {kind}, {rows} rows",
                    variants,
                    baseline="eager",
                    rounds=rounds,
                    floor="bare products",
                )
            )
    return found


if __name__ == "__main__":
    main(__file__, __doc__ or "", groups)
