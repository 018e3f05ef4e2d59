"""The command line: a door, no logic. Imports no torch until a command needs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiltlm.cli.audit import audit_app, null_app
from tiltlm.cli.measure import measure, sweep
from tiltlm.cli.options import JsonFlag, Model, Overrides, Seed
from tiltlm.errors import InterruptedRun, TiltError

if TYPE_CHECKING:
    from rich.console import Console

    from tiltlm.recipes.run import Recipe


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shape the output distribution of a language model on purpose, and measure what it did.",
)


recipes_app = typer.Typer(invoke_without_command=True, help="List the recipes, or show one.")


app.add_typer(recipes_app, name="recipes")


app.command()(measure)


app.command()(sweep)


app.add_typer(audit_app, name="audit")


app.add_typer(null_app, name="null")


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Default: a new folder under runs/.")] = None,
    seed: Seed = 0,
) -> None:
    """The article's experiment in about a minute and a half: a model learns to like x."""
    from tiltlm.recipes.run import load_recipe

    typer.echo(_OPENING, err=True)
    _run(load_recipe("quick"), out or _free_folder(Path("runs")), seed, False, False)


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    overrides: Overrides = None,
    as_json: JsonFlag = False,
) -> None:
    """Carry out a recipe: measure, train, measure again, write the record and the page."""
    from tiltlm.recipes.run import load_recipe

    _run(load_recipe(recipe, overrides or []), out, seed, resume, as_json)


@app.command()
def tilt(
    model: Annotated[
        str, typer.Argument(help="smollm2, a folder, a GGUF file, a Hub name; or a YAML file.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    target: Annotated[
        str | None, typer.Option(help="\"tilt(contains('x'), 1.0)\", for example.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="edit (the default), train or decode.")] = None,
    contexts: Annotated[
        str | None,
        typer.Option(
            help="own, own:COUNT, random, text:FILE, dataset:NAME, chat:FILE.jsonl, prompts:FILE."
        ),
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="A whole model, not an adapter.")] = False,
    start: Annotated[str | None, typer.Option(help="train: base or edit.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="train: at most so many.")] = None,
    parameters: Annotated[
        str | None, typer.Option(help="train: head, body+head (LoRA) or full.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of contexts, draws, training.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring a model to a target: by edit (closed form), train or decode; measure and save it."""
    from rich.console import Console

    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.cli.printing import tilt_summary
    from tiltlm.recipes.tilt import recipe_of

    recipe = recipe_of(
        model,
        {"target": target, "by": by, "contexts": contexts, "merge": merge or None, "seed": seed},
        {"start": start, "steps": steps, "parameters": parameters},
    )
    from tiltlm.commands.tilt import run_tilt

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        record = run_tilt(recipe, out, progress=bars)
    typer.echo(record.model_dump_json() if as_json else tilt_summary(record, out))


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="model5, a folder, or a name on the Hub.")],
    prompt: Annotated[str | None, typer.Option(help="Text; default: random tokens.")] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Random tokens to begin with.")] = 16,
    new_tokens: Annotated[int, typer.Option(min=1)] = 60,
    sequences: Annotated[int, typer.Option(min=1)] = 1,
    temperature: Annotated[float, typer.Option(help="Above 0.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="0: all tokens.")] = 0,
    top_p: Annotated[float, typer.Option(help="1: all tokens.")] = 1.0,
    seed: Seed = 0,
    as_json: JsonFlag = False,
) -> None:
    """Draw tokens from a model."""
    import torch

    from tiltlm.cli.bars import quiet_libraries
    from tiltlm.contexts.token_contexts import RandomTokenContexts
    from tiltlm.errors import ConfigError
    from tiltlm.models.loading import load
    from tiltlm.models.sampling import SamplingOptions
    from tiltlm.models.sampling import sample as draw
    from tiltlm.models.structure import vocabulary_size

    quiet_libraries()
    options = SamplingOptions(temperature, top_k, top_p, seed)
    loaded = load(model, seed=seed)
    if prompt is None:
        prompts = RandomTokenContexts(
            vocabulary_size(loaded.model), prompt_tokens, sequences, seed=seed, part="prompt"
        ).batch()
    else:
        ids = loaded.tokenizer(prompt)["input_ids"]
        if not ids:
            raise ConfigError("the prompt has no tokens", where="--prompt", fix="write some text")
        prompts = torch.tensor([ids] * sequences)
    generated = draw(loaded.model, prompts, new_tokens, options).tolist()
    for number, ids in enumerate(generated):
        text = loaded.tokenizer.decode(ids)
        line = {"sequence": number, "token_ids": ids, "text": text}
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else text)


@app.command()
def tokens(
    event: Annotated[str, typer.Argument(help="\"contains('x') | contains('X')\", for example.")],
    model: Model = "model5",
    examples: Annotated[int, typer.Option(min=0, help="How many tokens to show.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """How many tokens an event catches, which share that is, and which they are."""
    from tiltlm.cli.bars import quiet_libraries
    from tiltlm.events.parse import parse_event
    from tiltlm.events.variants import accidents, variants
    from tiltlm.events.vocabulary import Vocabulary
    from tiltlm.models.loading import load_tokenizer

    quiet_libraries()
    parsed = parse_event(event, where="command line")
    vocabulary = Vocabulary.from_tokenizer(load_tokenizer(model))
    bound = parsed.bind(vocabulary)
    ids = bound.mask_at(bound.start()).nonzero().flatten().tolist()

    def spread(found: list[int]) -> list[int]:
        return found[:: max(1, len(found) // examples)][:examples] if examples else []

    forms = [v for v in variants(parsed, vocabulary) if v.token is not None][:40]
    caught = accidents(parsed, vocabulary)
    record = {
        "event": str(parsed),
        "depends_on_context": bound.depends_on_context,
        "tokens": len(ids),
        "vocabulary": len(vocabulary),
        "share": len(ids) / len(vocabulary),
        "special_ids": sorted(set(ids) & vocabulary.special_ids),
        "variants": [{"text": v.text, "id": v.token, "inside": v.inside} for v in forms],
        "inside_longer_words": len(caught),
        "examples": [{"id": i, "text": vocabulary.text(i)} for i in spread(ids)],
    }
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(str(parsed)[:400])
    where = " at the beginning of a text" if bound.depends_on_context else ""
    share = len(ids) / len(vocabulary)
    typer.echo(f"{len(ids):,} of {len(vocabulary):,} tokens, {share:.2%}{where}")
    for index in sorted(set(ids) & vocabulary.special_ids):
        text = vocabulary.text(index)
        typer.echo(f"one of them is the control token {text!r}; leave it out with & ~special()")
    typer.echo("  ".join(repr(vocabulary.text(i)) for i in spread(ids)))
    for title, inside in (("variants in it", True), ("variants not in it", False)):
        texts = [repr(v.text) for v in forms if v.inside is inside]
        if texts:
            typer.echo(f"{title}: " + "  ".join(texts))
    if caught:
        texts = [repr(vocabulary.text(i)) for i in spread(caught)[:8]]
        typer.echo(f"inside longer words, {len(caught):,} of them: " + "  ".join(texts))


@recipes_app.callback()
def recipes(context: typer.Context) -> None:
    """List the recipes, or show one."""
    from tiltlm.recipes.run import list_recipes

    if context.invoked_subcommand is None:
        for name, description in list_recipes().items():
            typer.echo(f"{name:<10} {description}")


@recipes_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a recipe.")], overrides: Overrides = None
) -> None:
    """Print a recipe as YAML."""
    from tiltlm.recipes.run import load_recipe, read_recipe

    typer.echo(
        load_recipe(name, overrides).to_yaml() if overrides else read_recipe(name)[0], nl=False
    )


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
) -> None:
    """Write a run's page again, from its record alone."""
    from tiltlm.report.run_page import write_report

    typer.echo(write_report(directory))


def _run(recipe: Recipe, out: Path, seed: int, resume: bool, as_json: bool) -> None:
    from rich.console import Console

    from tiltlm.cli.bars import Bars, quiet_libraries
    from tiltlm.commands.run import run_recipe

    quiet_libraries()
    with Bars(Console(stderr=True)) as bars:
        record = run_recipe(recipe, out, seed=seed, resume=resume, progress=bars)
    from tiltlm.cli.printing import run_summary
    from tiltlm.report.run_page import write_report

    page = write_report(out)
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        typer.echo(run_summary(record, page))


def _free_folder(parent: Path) -> Path:
    number = 1
    while True:
        folder = parent / ("demo" if number == 1 else f"demo-{number}")
        if not folder.exists():
            return folder
        number += 1


_OPENING = """\
A language model gives every one of its 50,257 tokens a probability. This model is fresh: GPT-2's
shape, random weights, no language. In a moment it will learn one thing only, from 320 random
tokens: to like the 897 tokens that contain an x. First we let it speak, then train it, then let it
speak again.
"""


def main() -> None:
    """Entry point: errors become one message and exit code 2."""
    # Gradients of 124M weights are allocated anew each step; huge pages save a third of the step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        app()
    except TiltError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(InterruptedRun("interrupted; nothing was left half-written"))


def _fail(error: TiltError) -> None:
    from rich.console import Console
    from rich.text import Text

    console: Console = Console(stderr=True)
    message = Text(f"{type(error).__name__}: ", style="bold red")
    console.print(message.append(Text(str(error), style="default")), soft_wrap=True)
    sys.exit(2)


def describe() -> dict[str, Any]:
    """Every command with its help; the documentation is checked against it."""
    command: Any = typer.main.get_command(app)
    return {name: inner.help for name, inner in command.commands.items()}
