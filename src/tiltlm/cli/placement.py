"""``--device``, ``--dtype``, ``--device-map``, ``--quantization``: of every command that loads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tiltlm.recipes.placement import Placement

Chosen = dict[str, Any] | None
"""Those of the options that were given, by name; None where none was."""

_OPTIONS: dict[str, Any] = {
    "device": Annotated[
        str | None,
        typer.Option(
            help="Where the model lies: cpu, cuda, cuda:N or mps. By default a CUDA device where "
            "there is one, else cpu."
        ),
    ],
    "dtype": Annotated[
        str | None,
        typer.Option(
            help="How its weights are held: float32, bfloat16 or float16. By default as they are "
            "stored."
        ),
    ],
    "device_map": Annotated[
        str | None,
        typer.Option(help="auto spreads a model over all GPUs, for one that does not fit on one."),
    ],
    "quantization": Annotated[
        str | None,
        typer.Option(help="8bit or 4bit: bitsandbytes rounds the body's weights while loading."),
    ],
}

_OF_TWO_MODELS: dict[str, Any] = {
    "one_at_a_time": Annotated[
        bool | None,
        typer.Option(
            "--one-at-a-time/--both-at-once",
            help="Whether two whole models take turns in memory, which takes room for one and "
            "loads each more than once. By default where they do not fit together.",
        ),
    ]
}


def chosen_placement(chosen: Chosen) -> Placement | None:
    """The placement that options stand for; they are checked when a model is loaded."""
    from tiltlm.recipes.placement import Placement

    return None if chosen is None else Placement(**chosen)


def with_placement(
    *, two_models: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command these options, which reach it as one argument ``placement`` of `Chosen`.

    Args:
        two_models: whether the command compares two, so that they can take turns in memory.

    Returns:
        a decorator of typer's functions.
    """
    options = _OPTIONS | (_OF_TWO_MODELS if two_models else {})

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)

        @wraps(command)
        def with_options(*args: Any, **given: Any) -> Any:
            values = {name: given.pop(name) for name in options}
            chosen = {name: value for name, value in values.items() if value is not None}
            return command(*args, placement=chosen or None, **given)

        kept = [p for name, p in signature.parameters.items() if name != "placement"]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in options.items()
        ]
        changed = signature.replace(parameters=[*kept, *added])
        with_options.__signature__ = changed  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in changed.parameters.values()}
        return with_options

    return decorate
