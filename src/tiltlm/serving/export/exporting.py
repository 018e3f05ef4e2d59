"""`export`: write what an engine can use of a tilted model, with its label, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tiltlm.claims import claimed_new
from tiltlm.errors import ConfigError
from tiltlm.files import staged, write_json, write_text
from tiltlm.models.adapter import is_adapter
from tiltlm.progress import NoProgress, Progress
from tiltlm.realise.merging import HALVES
from tiltlm.recipes.placement import Placement
from tiltlm.records.export import BiasRecord, Engine, ExportRecord, GapRecord
from tiltlm.serving.export.beside_base import (
    adapter_command,
    check_adapter,
    processor_command,
    write_adapter,
    write_base,
)
from tiltlm.serving.export.biases import choose_biases
from tiltlm.serving.export.engines import OPENAI_BIASES, VLLM_BIASES, check_vllm_head
from tiltlm.serving.export.gaps import GapMeter
from tiltlm.serving.export.gguf_copy import copy_with_head, open_gguf
from tiltlm.serving.export.gguf_head import HeadType, round_head
from tiltlm.serving.export.labelling import gguf_values, write_exported_label
from tiltlm.serving.export.source import Source, open_source
from tiltlm.serving.export.whole import write_whole
from tiltlm.stopwatch import Stopwatch
from tiltlm.versions import versions

_MODELFILE = """\
FROM ./model.gguf
# Ollama draws from fewer tokens unless it is told otherwise.
PARAMETER temperature 1
PARAMETER top_k 0
PARAMETER top_p 1
PARAMETER min_p 0
PARAMETER repeat_penalty 1
"""

_CONVERTER = "python convert_hf_to_gguf.py {model} --outfile {file} --outtype {kind}"
"""The converter of llama.cpp's repository; it takes no q8_0 for the head alone."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a tilted model is exported.

    Attributes:
        adapter: with vllm, an adapter on the head instead of a whole model.
        processor: with vllm, the target itself, for the plugin.
        head: with llama.cpp and ollama, how the head is rounded.
        limit: with openai, entries of the list at most.
        base: where the base of the label lies now.
        placement: of what is loaded, as for `load`.
        seed: of the samples at which costs are measured.
    """

    adapter: bool = False
    processor: bool = False
    head: HeadType = "f16"
    limit: int = OPENAI_BIASES
    base: str | None = None
    placement: Placement | None = None
    seed: int = 0


@dataclass
class _Written:
    """What was written into a folder."""

    how: str
    command: str | None
    gaps: list[GapRecord] = field(default_factory=list)
    biases: BiasRecord | None = None
    identical: int | None = None
    notes: list[str] = field(default_factory=list)


def export(
    tilted: str,
    engine: Engine,
    out: Path | str,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
) -> ExportRecord:
    """Write a new folder that an engine can use, whole or not at all.

    Args:
        tilted: a folder of ``tiltlm tilt`` or ``tiltlm run``.
        engine: for which.
        out: a new or empty folder.
        options: how.
        progress: told how far work has come.

    Returns:
        what ``result.json`` holds.

    Raises:
        ConfigError: the engine cannot be given this, for the reason that the message says.
        ModelError: the model or its base cannot be read.
        StorageError: there is no room for it.
    """
    options, progress = options or ExportOptions(), progress or NoProgress()
    if engine not in _WRITERS:
        raise ConfigError(
            f"nothing is written for {engine!r:.60}", where="--for", fix=", ".join(_WRITERS)
        )
    if (options.adapter or options.processor) and engine != "vllm":
        raise ConfigError(
            "an adapter or a processor is written for vllm alone",
            where=f"--for {engine}",
            fix="leave out --adapter and --processor",
        )
    if options.adapter and options.processor:
        raise ConfigError("there are both --adapter and --processor", fix="give one of them")
    watch = Stopwatch()
    source = open_source(tilted, options.base, options.placement)
    with claimed_new(Path(out)) as claim, staged(claim) as folder:
        folder.mkdir(parents=True)
        # Commands name the folder that it becomes, as the user named it.
        written = _WRITERS[engine](source, folder, Path(out), options, progress)
        record = ExportRecord(
            engine=engine,
            how=written.how,
            target=source.label.target,
            base=source.label.base.name,
            files=sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
            command=written.command,
            gaps=written.gaps,
            biases=written.biases,
            identical_tensors=written.identical,
            notes=written.notes,
            versions=versions(),
            seconds={"total": watch.total},
        )
        write_json(folder / "result.json", record.model_dump(mode="json"))
    return record


def _for_transformers(
    source: Source,
    folder: Path,
    out: Path,
    options: ExportOptions,
    progress: Progress,
    engine: Engine = "transformers",
) -> _Written:
    """A whole model in ``model/``."""
    whole = source.whole
    write_whole(whole, folder / "model")
    write_exported_label(folder / "model", source.label, "model", engine)
    written = _Written("a whole model", f"tiltlm sample {out / 'model'}")
    if whole.model.dtype in HALVES and is_adapter(source.folder):
        meter = GapMeter(source, options.seed, progress)
        written.gaps = [meter.of_head("as it is written", source.head())]
        written.notes.append(
            f"The weights are {str(whole.model.dtype).removeprefix('torch.')}, and cannot hold all "
            "of the adapter; `tiltlm tilt` with --merge makes up for the rounding."
        )
    return written


def _for_vllm(
    source: Source, folder: Path, out: Path, options: ExportOptions, progress: Progress
) -> _Written:
    """A whole model, an adapter in ``adapter/``, or the target in ``target/``."""
    if not (options.adapter or options.processor):
        model = source.whole.model
        check_vllm_head((model.config.architectures or [type(model).__name__])[0])
        written = _for_transformers(source, folder, out, options, progress, "vllm")
        written.command = (
            f"vllm serve {out / 'model'} --served-model-name tilted --generation-config vllm"
        )
        return written
    rank = check_adapter(source) if options.adapter else 0
    named = write_base(source, folder / "base")
    base = str(out / "base") if named is None else named
    notes = (
        ["The base is written too, as vLLM could not load just these weights."]
        if named is None
        else []
    )
    if options.adapter:
        write_adapter(source, folder / "adapter")
        write_exported_label(folder / "adapter", source.label, "adapter", "vllm")
        command = adapter_command(base, out / "adapter", rank)
        notes.append("Requests name the model 'tilted'; those that name the base get the base.")
        return _Written("an adapter on the head", command, notes=notes)
    # It is bound once here, so that what makes no sense is refused before a server starts.
    target = source.target
    (folder / "target").mkdir()
    write_exported_label(folder / "target", source.label, "processor", "vllm")
    if target.depends_on_context:
        notes.append("The target follows the text, token by token, on the host.")
    command = processor_command(base, out / "target")
    return _Written("the target itself, for the plugin", command, notes=notes)


def _for_llama_cpp(
    source: Source,
    folder: Path,
    out: Path,
    options: ExportOptions,
    progress: Progress,
    engine: Engine = "llama.cpp",
) -> _Written:
    """A GGUF file ``model.gguf`` from a GGUF base; from any other the model, to be converted."""
    if source.gguf is None:
        written = _for_transformers(source, folder, out, options, progress, engine)
        kind = "q8_0" if options.head == "q8_0" else "f16"
        written.command = _CONVERTER.format(model=out / "model", file=out / "model.gguf", kind=kind)
        written.notes.append(
            "The base is no GGUF file, so llama.cpp's converter makes one of the whole model; "
            f"then: llama-server -m {out / 'model.gguf'}"
        )
        return written
    base = open_gguf(source.gguf)
    exact = source.head()
    head, rounded = round_head(exact, options.head)
    meter = GapMeter(source, options.seed, progress)
    gaps = [
        meter.of_head("the head as it was tilted", exact),
        meter.of_head(f"the head as {options.head}", rounded),
    ]
    values = gguf_values(source.label, engine)
    identical = copy_with_head(base, folder / "model.gguf", head, options.head, values)
    write_exported_label(folder, source.label, "model", engine)
    command = (
        f"llama-server -m {out / 'model.gguf'} --temp 1 --top-k 0 --top-p 1 --min-p 0 "
        "--repeat-penalty 1"
    )
    return _Written("a GGUF file", command, gaps, identical=identical)


def _for_ollama(
    source: Source, folder: Path, out: Path, options: ExportOptions, progress: Progress
) -> _Written:
    """What llama.cpp is given, and a ``Modelfile``."""
    written = _for_llama_cpp(source, folder, out, options, progress, "ollama")
    write_text(folder / "Modelfile", _MODELFILE)
    create = f"ollama create tilted -f {out / 'Modelfile'} && ollama run tilted"
    if source.gguf is None:
        written.notes.append(f"then: {create}")
    else:
        written.command = create
    return written


def _for_openai(
    source: Source, folder: Path, out: Path, options: ExportOptions, progress: Progress
) -> _Written:
    """``logit_bias.json``, of no more entries than the server takes."""
    meter = GapMeter(source, options.seed, progress)
    chosen, biases = choose_biases(source.target, meter, options.limit)
    write_text(folder / "logit_bias.json", json.dumps(chosen, indent=1) + "\n")
    write_exported_label(folder, source.label, "processor", "openai")
    notes = [
        f"Send it as logit_bias with each request. OpenAI takes {OPENAI_BIASES} entries, vLLM "
        f"{VLLM_BIASES:,} (--limit).",
    ]
    return _Written("a list of biases", None, biases=biases, notes=notes)


_WRITERS: dict[Engine, Callable[..., _Written]] = {
    "transformers": _for_transformers,
    "vllm": _for_vllm,
    "llama.cpp": _for_llama_cpp,
    "ollama": _for_ollama,
    "openai": _for_openai,
}
