"""Where models lie and how their weights are held, and what a machine lacks for it."""

import pytest
import torch

from tests.tiny import tiny_loaded
from tiltlm.errors import ConfigError, ModelError
from tiltlm.models import batching, fitting, placement
from tiltlm.models.batching import in_halves, tokens_at_once
from tiltlm.models.loading import load
from tiltlm.models.placement import computes_in, placement_of, resolve, with_dtype
from tiltlm.recipes.placement import Placement

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_held_in_the_precision_that_is_asked_for(base, dtype):
    loaded = load(base, placement=Placement(dtype=dtype))
    assert {p.dtype for p in loaded.model.parameters()} == {getattr(torch, dtype)}
    assert placement_of(loaded.model).dtype == dtype


def test_auto_holds_weights_as_they_are_stored(tmp_path):
    loaded = tiny_loaded()
    loaded.model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path).model.dtype == torch.bfloat16


@pytest.mark.processor("what a processor does with float16")
def test_a_processor_gets_float32_in_place_of_float16(tmp_path):
    loaded = tiny_loaded()
    loaded.model.to(torch.float16).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path).model.dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"device": "cuda"}, "no CUDA device"),
        ({"device": "cuda:7"}, "no CUDA device"),
        ({"device": "mps"}, "no Apple GPU"),
        ({"device": "gpu"}, "no such device"),
        ({"device": "cuda:x"}, "no such device"),
        ({"dtype": "int8"}, "no such precision"),
        ({"device": "cpu", "dtype": "float16"}, "does not compute in float16"),
        ({"device_map": "auto"}, "no GPUs here"),
        ({"device_map": "balanced"}, "no such device map"),
        ({"device": "cpu", "device_map": "auto"}, "either on one device or spread"),
        ({"quantization": "2bit"}, "no such quantization"),
    ],
)
def test_what_the_machine_lacks_is_one_error_before_anything_is_loaded(
    tmp_path, asked, message, monkeypatch
):
    monkeypatch.setattr(placement, "automatic_device", lambda: CPU)
    # There is no model of this name either; the placement is looked at first.
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "nothing", placement=Placement(**asked))


def test_weights_are_not_rounded_where_bitsandbytes_does_not_compute(monkeypatch):
    monkeypatch.setattr(placement, "automatic_device", lambda: torch.device("mps"))
    with pytest.raises(ConfigError, match="does not compute on mps"):
        resolve(Placement(quantization="8bit"))


def test_bitsandbytes_that_is_missing_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(placement, "automatic_device", lambda: CUDA)
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tiltlm\[gpu\]"):
        resolve(Placement(quantization="4bit"))


def test_a_label_says_the_precision_unless_the_user_does():
    assert with_dtype(None, "bfloat16") == Placement(dtype="bfloat16")
    assert with_dtype(Placement(dtype="float32"), "bfloat16").dtype == "float32"
    assert with_dtype(Placement(device="cpu"), "bfloat16") == Placement("cpu", "bfloat16")
    assert with_dtype(None, None) is None


def test_processors_are_not_asked_to_compute_in_float16():
    assert computes_in(CPU, torch.bfloat16)
    assert not computes_in(CPU, torch.float16)


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(base, monkeypatch):
    read = []
    monkeypatch.setattr(fitting, "free_memory", lambda device: 50_000)
    monkeypatch.setattr(
        "transformers.AutoModelForCausalLM.from_pretrained", lambda *a, **k: read.append(a)
    )
    with pytest.raises(ConfigError, match=r"the weights take .* GiB in float32") as caught:
        load(base)
    assert "--dtype bfloat16" in caught.value.fix
    assert read == []


@pytest.mark.parametrize(
    ("asked", "bytes_each"),
    [({}, 4), ({"dtype": "bfloat16"}, 2), ({"quantization": "8bit"}, 1)],
)
def test_what_is_needed_is_the_numbers_times_their_bytes(asked, bytes_each, monkeypatch):
    where = placement.ResolvedPlacement(
        CUDA, getattr(torch, asked.get("dtype", "float32")), None, asked.get("quantization")
    )
    monkeypatch.setattr(fitting, "free_memory", lambda device: bytes_each * 1000)
    fitting.check_fits(where, 1000, None, "model")
    with pytest.raises(ConfigError, match="cuda:0 has"):
        fitting.check_fits(where, 1001, None, "model")


def test_a_batch_for_which_there_is_no_room_is_taken_in_halves():
    sizes = []

    def run(rows, factor):
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows * factor

    rows, factor = torch.arange(10.0), torch.full((10,), 2.0)
    assert torch.equal(in_halves(run, rows, factor), 2 * rows)
    assert sizes == [10, 5, 2, 3, 5, 2, 3]


def test_a_single_row_for_which_there_is_no_room_is_one_error():
    def run(rows):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match="no room for a single context"):
        in_halves(run, torch.arange(4.0))


def test_batches_follow_from_what_is_free_on_a_gpu_and_from_nothing_on_a_processor(monkeypatch):
    model = tiny_loaded().model
    monkeypatch.setattr(batching, "input_device", lambda model: CPU)
    assert tokens_at_once(model) == batching.TOKENS
    monkeypatch.setattr(batching, "input_device", lambda model: CUDA)
    # A token of this model takes 4·(12·32 + 4·48) bytes by the formula; a quarter is used.
    a_token = 4 * (12 * 32 + 4 * 48)
    for tokens, free in ((1024, 0), (4096, 4 * 4096 * a_token), (1 << 14, 1 << 40)):
        monkeypatch.setattr(batching, "free_memory", lambda device, free=free: free)
        assert tokens_at_once(model) == tokens
