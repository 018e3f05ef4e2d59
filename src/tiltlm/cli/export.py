"""`tiltlm export`: write what an inference engine can use of a tilted model."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tiltlm.cli.options import MODEL, JsonFlag, OutNew, Seed
from tiltlm.cli.placement import Chosen, chosen_placement, with_placement
from tiltlm.report.wording import printable


class Engine(StrEnum):
    """The engines that something is written for."""

    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    LLAMA_CPP = "llama.cpp"
    OLLAMA = "ollama"
    OPENAI = "openai"


class HeadType(StrEnum):
    """How a head in a GGUF file is rounded."""

    F16 = "f16"
    Q8_0 = "q8_0"


@with_placement()
def export(
    tilted: Annotated[
        str, typer.Argument(help="A folder that `tiltlm tilt` or `tiltlm run` wrote.")
    ],
    *,
    engine: Annotated[Engine, typer.Option("--for", help="The engine that is to serve it.")],
    out: OutNew,
    adapter: Annotated[
        bool,
        typer.Option("--adapter", help="With vllm: the adapter, instead of a whole model."),
    ] = False,
    processor: Annotated[
        bool,
        typer.Option(
            "--processor",
            help="With vllm: the target itself, for the plugin, which is exact and takes anything "
            "that can be decoded.",
        ),
    ] = False,
    head: Annotated[
        HeadType, typer.Option(help="With llama.cpp and ollama: how the head is rounded.")
    ] = HeadType.F16,
    limit: Annotated[
        int, typer.Option(min=1, help="With openai: the most biases that the server takes.")
    ] = 300,
    base: Annotated[
        str | None, typer.Option(help=f"Where the base of the label lies now: {MODEL}")
    ] = None,
    seed: Seed = 0,
    placement: Chosen = None,
    as_json: JsonFlag = False,
) -> None:
    """Write what an engine can use of a tilted model, its label, and the command that starts it."""
    from tiltlm.cli.bars import bars_on_stderr
    from tiltlm.cli.printing_export import export_summary
    from tiltlm.commands.export import run_export
    from tiltlm.serving.export.exporting import ExportOptions

    options = ExportOptions(
        adapter=adapter,
        processor=processor,
        head=head.value,
        limit=limit,
        base=base,
        placement=chosen_placement(placement),
        seed=seed,
    )
    with bars_on_stderr() as bars:
        record = run_export(tilted, engine.value, out, options, progress=bars)
    typer.echo(printable(record.model_dump_json() if as_json else export_summary(record, out)))
