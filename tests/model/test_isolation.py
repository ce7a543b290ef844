"""Four forms of one attention: the same outputs, the same gradients; and what each refuses."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from batchwright.foundation.errors import InputError
from batchwright.model import isolation
from batchwright.model.config import MASKED_LENGTH_LIMIT, ModelConfig
from batchwright.model.isolation import Masked, Segments, attend, isolation_of, segment_lengths
from batchwright.model.transformer import Transformer
from batchwright.model.varlen import VarlenArguments
from tests.model.segmented import parts_of, position_ids_of, segmentations, varlen_reference

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def by_mask(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor) -> Tensor:
    return attend(query, key, value, position_ids, form="mask")


def by_segments(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor) -> Tensor:
    return attend(query, key, value, position_ids, form="segments")


def by_varlen_arguments(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor) -> Tensor:
    arguments = VarlenArguments.of_lengths(segment_lengths(position_ids.numpy()))
    flat = (x.flatten(0, 1) for x in (query, key, value))
    return varlen_reference(*flat, arguments.cu_seqlens, arguments.max_seqlen).view(query.shape)


def one_slot_late(query: Tensor, key: Tensor, value: Tensor, position_ids: Tensor) -> Tensor:
    """The broken twin: where the first segment ends, one slot too many belongs to it."""
    lengths = segment_lengths(position_ids.numpy())
    lengths[0], lengths[1] = lengths[0] + 1, lengths[1] - 1
    return attend(query, key, value, position_ids, form="segments", lengths=[n for n in lengths if n])


def apart(first: Attend, second: Attend, rows: list[list[int]], seed: int) -> float:
    """Largest difference of outputs and of the three gradients."""
    position_ids = position_ids_of(rows)
    results: list[tuple[Tensor, ...]] = []
    for form in (first, second):
        parts = parts_of(position_ids, seed)
        out = form(*parts, position_ids)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        results.append((out.detach(), *torch.autograd.grad((out * weights).sum(), parts)))
    return max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("form", [by_segments, by_varlen_arguments])
@given(rows=segmentations(), seed=st.integers(0, 10**6))
@settings(max_examples=40)
def test_outputs_and_gradients_are_those_of_the_mask(form: Attend, rows: list[list[int]], seed: int) -> None:
    assert apart(by_mask, form, rows, seed) < 1e-12


def test_a_segment_that_ends_one_slot_late_is_caught() -> None:
    assert apart(by_mask, one_slot_late, [[5, 3], [8]], 1) > 1e-3


@pytest.mark.parametrize("rows", [[[1]], [[90, 60, 1, 49], [200]], [[130, 254], [1, 383]], [[300]]])
def test_blocks_give_the_outputs_of_the_mask(rows: list[list[int]]) -> None:
    position_ids = position_ids_of(rows)
    query, key, value = (x.detach() for x in parts_of(position_ids, 2))
    found = attend(query, key, value, position_ids, form="blocks")
    torch.testing.assert_close(found, by_mask(query, key, value, position_ids), rtol=1e-12, atol=1e-12)


def test_the_form_is_chosen_by_the_length_and_can_be_asked_for() -> None:
    short, long = (torch.arange(n)[None] for n in (MASKED_LENGTH_LIMIT, MASKED_LENGTH_LIMIT + 1))
    assert isinstance(isolation_of(short, torch.float32), Masked)
    assert isinstance(isolation_of(long, torch.float32), Segments)
    assert isinstance(isolation_of(long, torch.float32, form="mask"), Masked)
    with pytest.raises(InputError, match="no form of attention 'dense'"):
        isolation_of(short, torch.float32, form="dense")  # type: ignore[arg-type]


def test_a_row_begins_a_segment_even_where_its_position_ids_do_not() -> None:
    position_ids = torch.tensor([[3, 4, 0, 1], [0, 1, 2, 3]])
    assert segment_lengths(position_ids.numpy()) == [2, 2, 4]
    parts = parts_of(position_ids, 3)
    torch.testing.assert_close(by_segments(*parts, position_ids), by_mask(*parts, position_ids), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lengths", [[4, 3], [5, 4], [8, 0]])
def test_segments_that_do_not_fill_the_batch_are_refused(lengths: Sequence[int]) -> None:
    position_ids = position_ids_of([[4, 4]])
    with pytest.raises(InputError, match="do not fill a batch of 8"):
        attend(*parts_of(position_ids, 0), position_ids, form="segments", lengths=lengths)


def test_what_only_a_gpu_can_do_is_refused_with_what_works_instead() -> None:
    position_ids = position_ids_of([[4, 4]])
    for form, words in (("blocks", "no backward on a CPU"), ("varlen", "on a GPU in fp16 or bf16")):
        with pytest.raises(InputError, match=words) as caught:
            attend(*parts_of(position_ids, 0), position_ids, form=form)  # type: ignore[arg-type]
        assert "form='segments'" in str(caught.value.remedy)


def test_the_model_computes_the_same_above_the_limit_as_below(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = ModelConfig(vocabulary_size=37, sequence_length=24, width=16, layers=2, heads=2, feed_forward_width=24)
    model = Transformer(shape, seed=0, dtype=torch.float64)
    position_ids = position_ids_of([[7, 1, 16], [24]])
    ids = torch.randint(37, (2, 24), generator=torch.Generator().manual_seed(0))
    gradients: list[list[Tensor]] = []
    for limit in (MASKED_LENGTH_LIMIT, 23):
        monkeypatch.setattr(isolation, "MASKED_LENGTH_LIMIT", limit)
        model.zero_grad()
        model(ids, position_ids).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


LONG_ROW = """
import torch
from batchwright.foundation.resident_memory import peak_resident_bytes
from batchwright.model.config import ModelConfig
from batchwright.model.transformer import Transformer

torch.set_num_threads(1)
T = 131_072
model = Transformer(ModelConfig(vocabulary_size=32, sequence_length=T, width=16, layers=1, heads=2,
                                feed_forward_width=16), seed=0)
lengths = [8_192, 1, *[2_047] * 60, 59]
position_ids = torch.cat([torch.arange(n) for n in lengths])[None]
assert position_ids.shape == (1, T)
hidden = model.hidden(torch.zeros(1, T, dtype=torch.int64), position_ids)
hidden.sum().backward()
assert torch.isfinite(model.blocks[0].attention.query_key_value.weight.grad).all()
print(peak_resident_bytes())
"""


def test_a_row_of_131072_tokens_is_trained_within_two_gigabytes() -> None:
    """The mask of this one row would weigh 69 GB."""
    done = subprocess.run([sys.executable, "-c", LONG_ROW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 * 10**9


# Arguments of other kernels


def test_lengths_become_cu_seqlens_by_the_convention() -> None:
    arguments = VarlenArguments.of_lengths([3, 1, 4])
    assert arguments.cu_seqlens.tolist() == [0, 3, 4, 8]
    assert (arguments.cu_seqlens.dtype, arguments.max_seqlen) == (torch.int32, 4)
    with pytest.raises(InputError, match="int64"):
        VarlenArguments(cu_seqlens=torch.tensor(np.array([0, 3], np.int64)), max_seqlen=3)


def test_torchs_kernel_takes_the_arguments_and_returns_the_shape() -> None:
    """On meta tensors: shapes and names, nothing computed."""
    from torch.nn.attention.varlen import varlen_attn

    flat = torch.empty(8, 2, 16, device="meta", dtype=torch.bfloat16, requires_grad=True)
    arguments = VarlenArguments.of_lengths([3, 5], device="meta")
    out = varlen_attn(flat, flat, flat, **arguments.for_torch())
    out.sum().backward()
    assert out.shape == flat.shape
    assert flat.grad is not None


def test_flash_attention_is_called_by_its_own_names() -> None:
    given = VarlenArguments.of_lengths([3, 5]).for_flash_attention()
    assert set(given) == {"cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k", "causal"}
    assert given["causal"] is True
