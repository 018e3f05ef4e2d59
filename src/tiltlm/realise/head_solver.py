"""Minimise a divergence over the directions of a head's edit, from the closed-form solution.

With hidden states fixed, KL is convex in the directions, and masses of classes are all that it
depends on, so neither logits nor the body are needed. In coordinates in which its second derivative
is about the identity, L-BFGS takes some dozens of passes over the hidden states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import minimize

from tiltlm.losses.divergences import divergence_named, forward_kl
from tiltlm.realise.class_targets import ClassTargets
from tiltlm.realise.head_edit import HeadEdit
from tiltlm.realise.regression import NormalEquations, Penalty, float64_blocks

_GRADIENT_TOLERANCE = 1e-7
"""Largest derivative at which it ends, in units of the mean second derivative."""

Told = Callable[[int, float, float], None]
"""Is told, after each step, its number, the objective and the gap closed on the other contexts."""


@dataclass(frozen=True)
class Solved:
    """What came of it.

    Attributes:
        edit: with the directions that close most of the gap on the other contexts.
        step: after which they were reached; 0 is the edit that it began with.
        history: step and gap closed on the other contexts, the start included.
        objective: after each step, nats.
    """

    edit: HeadEdit
    step: int
    history: list[tuple[int, float]]
    objective: list[float]


def class_gap(targets: ClassTargets, directions: torch.Tensor, scale: float) -> float:
    """The gap closed by an edit of a head without a cap, from masses of classes alone.

    Args:
        targets: at some contexts.
        directions: (A, D) of the edit.
        scale: of the head.
    """
    moved = torch.cat([(h.double() @ directions.double().T) * scale for h in targets.hidden])
    wanted = class_log_probs(targets.log_masses, targets.shifts)
    model = forward_kl(wanted, class_log_probs(targets.log_masses, moved)).mean()
    base = forward_kl(wanted, class_log_probs(targets.log_masses, torch.zeros_like(moved))).mean()
    return float(1 - model / base) if base > 0 else 0.0


def solve_divergence(
    edit: HeadEdit,
    fit: ClassTargets,
    tune: ClassTargets,
    *,
    scale: float,
    divergence: str,
    steps: int,
    patience: int,
    on_step: Told,
) -> Solved:
    """Go on from an edit; the directions that do best on other contexts are kept.

    Args:
        edit: with the penalties of its directions, which stay.
        fit: the target at the contexts to fit on.
        tune: at the contexts to choose by.
        scale: of the head, which has no cap.
        divergence: as of `TiltConfig`.
        steps: at most.
        patience: steps without a new best after which to stop.
        on_step: told of each; may raise ``StopIteration`` to end there.
    """
    problem = _Problem(fit, edit.penalties, scale, divergence)
    best, kept = edit.directions.double(), 0
    history, objective = [(0, class_gap(tune, best, scale))], list[float]()

    def after_step(intermediate_result: object) -> None:
        nonlocal best, kept
        step, directions = len(history), problem.directions(intermediate_result.x)  # type: ignore[attr-defined]
        gap = class_gap(tune, directions, scale)
        if gap > max(g for _, g in history):
            best, kept = directions, step
        history.append((step, gap))
        objective.append(float(intermediate_result.fun) * problem.unit)  # type: ignore[attr-defined]
        on_step(step, objective[-1], gap)
        if step - kept >= patience:
            raise StopIteration

    minimize(
        problem.value_and_gradient,
        problem.coordinates(best),
        jac=True,
        method="L-BFGS-B",
        callback=after_step,
        options={"maxiter": steps, "gtol": _GRADIENT_TOLERANCE},
    )
    return Solved(replace(edit, directions=best.float()), kept, history, objective)


def class_log_probs(log_masses: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of classes of tokens, and of all else, once the classes' logits have moved.

    Args:
        log_masses: (N, A + 1) under the reference, the last of all else.
        shifts: (N, A) in nats.

    Returns:
        (N, A + 1).
    """
    return (log_masses + torch.nn.functional.pad(shifts, (0, 1))).log_softmax(1)


class _Problem:
    """A divergence and penalties, as a function of whitened directions.

    Attributes:
        unit: nats, in which values are given.
    """

    def __init__(
        self,
        targets: ClassTargets,
        penalties: Sequence[Penalty],
        scale: float,
        divergence: str,
    ) -> None:
        self._targets, self._scale = targets, scale
        self._device = device = penalties[0].free.device
        self._divergence = divergence_named(divergence)
        self._wanted = class_log_probs(targets.log_masses, targets.shifts)
        nothing = torch.zeros(len(targets.shifts), dtype=torch.float64)
        # The penalties are of a regression whose weights are 1 on average.
        usual = targets.kl_weights.mean(0).clamp_min(1e-300) * scale**2
        self.unit = float(usual.mean())
        self._penalties, self._factors = [], []
        for a, penalty in enumerate(penalties):
            of_class = replace(penalty, ridge=penalty.ridge * float(usual[a]) / self.unit)
            weights = targets.kl_weights[:, a] * scale**2 / self.unit
            equations = NormalEquations.of(targets.hidden, nothing, weights, device)
            matrix = of_class.added_to(equations.gram / equations.rows)
            self._penalties.append(of_class)
            self._factors.append(torch.linalg.cholesky(matrix))

    def coordinates(self, directions: torch.Tensor) -> np.ndarray:
        """(A · D,) of (A, D) directions."""
        pairs = zip(directions, self._factors, strict=True)
        return np.concatenate([(f.T @ d.to(f)).cpu().numpy() for d, f in pairs])

    def directions(self, coordinates: np.ndarray) -> torch.Tensor:
        """(A, D) directions on the processor, of (A · D,) coordinates."""
        return self._solved(coordinates).cpu()

    def value_and_gradient(self, coordinates: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective and its derivatives by the coordinates."""
        directions = self._solved(coordinates)
        blocks = float64_blocks(self._targets.hidden, self._device)
        moved = torch.cat([(rows @ directions.T).cpu() for rows in blocks]).requires_grad_(True)
        model = class_log_probs(self._targets.log_masses, moved * self._scale)
        value = self._divergence(self._wanted, model).mean() / self.unit
        (by_shift,) = torch.autograd.grad(value, moved)
        gradient, first, total = torch.zeros_like(directions), 0, float(value.detach())
        for rows in float64_blocks(self._targets.hidden, self._device):
            gradient.addmm_(by_shift[first : first + len(rows)].T.to(rows), rows)
            first += len(rows)
        for a, (penalty, direction) in enumerate(zip(self._penalties, directions, strict=True)):
            pull = penalty.gradient(direction)
            gradient[a] += pull
            total += float(direction @ pull) / 2
        pairs = zip(gradient, self._factors, strict=True)
        whitened = [torch.linalg.solve_triangular(f, g[:, None], upper=False) for g, f in pairs]
        return total, torch.cat(whitened)[:, 0].cpu().numpy()

    def _solved(self, coordinates: np.ndarray) -> torch.Tensor:
        """(A, D) directions where they are used."""
        parts = torch.from_numpy(coordinates).reshape(len(self._factors), -1)
        columns = [
            torch.linalg.solve_triangular(f.T, part.to(f)[:, None], upper=True)[:, 0]
            for part, f in zip(parts, self._factors, strict=True)
        ]
        return torch.stack(columns)
