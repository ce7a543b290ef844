"""How passes are carried out: recomputing changes no bit, bf16 keeps fp32 where it must, compiling needs a compiler."""

import re

import pytest
import torch
from torch import Tensor, nn

from batchwright.foundation.errors import InputError
from batchwright.measuring.memory_trace import MemoryTrace
from batchwright.measuring.step_trace import trace_step
from batchwright.model import isolation
from batchwright.model.config import ModelConfig
from batchwright.model.execution import PLAIN, Execution
from batchwright.model.loss import chunk_slots, chunked_cross_entropy, masked_cross_entropy
from batchwright.model.prepared import prepare
from batchwright.model.transformer import Transformer
from tests.model.variants import PARTS, variant

SHAPE = ModelConfig(vocabulary_size=61, sequence_length=16, width=16, layers=2, heads=2, feed_forward_width=24)
SELECTIVE, FULL = (Execution(activation_checkpointing=how) for how in ("selective", "full"))  # type: ignore[arg-type]
BF16 = Execution(precision="bf16")


def batch(vocabulary: int = 61, rows: int = 3, length: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    ids, targets = torch.randint(vocabulary, (2, rows, length), generator=draw)
    position_ids = torch.arange(length).repeat(rows, 1)
    position_ids[:, 7:] -= 7
    return ids, targets, torch.rand(rows, length, generator=draw) < 0.9, position_ids


def gradient(
    model: Transformer, execution: Execution, *, whole: bool = False, isolate: bool = True
) -> tuple[Tensor, list[Tensor]]:
    prepare(model, execution)
    ids, targets, mask, position_ids = batch(model.config.vocabulary_size)
    if whole:
        total, _ = masked_cross_entropy(model(ids, position_ids, isolate=isolate), targets, mask)
    else:
        hidden = model.hidden(ids, position_ids, isolate=isolate)
        total, _ = chunked_cross_entropy(hidden, model.output_weight, targets, mask)
    total.backward()
    return total.detach(), [p.grad for p in model.parameters() if p.grad is not None]


def same_bits(a: tuple[Tensor, list[Tensor]], b: tuple[Tensor, list[Tensor]]) -> bool:
    return torch.equal(a[0], b[0]) and all(torch.equal(x, y) for x, y in zip(a[1], b[1], strict=True))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("execution", [SELECTIVE, FULL])
@pytest.mark.parametrize("parts", PARTS)
def test_recomputing_changes_no_bit_of_loss_or_gradient(execution: Execution, parts: str) -> None:
    shape = variant(parts, SHAPE)
    assert same_bits(gradient(Transformer(shape, seed=0), PLAIN), gradient(Transformer(shape, seed=0), execution))


@pytest.mark.parametrize("how", ["selective", "full"])
@pytest.mark.parametrize("form", ["segments", "not isolated", "bf16"])
def test_recomputing_changes_no_bit_in_any_form(how: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "segments":
        monkeypatch.setattr(isolation, "MASKED_LENGTH_LIMIT", 1)
    precision = "bf16" if form == "bf16" else "fp32"
    found = [
        gradient(
            Transformer(SHAPE, seed=0),
            Execution(activation_checkpointing=each, precision=precision),  # type: ignore[arg-type]
            isolate=form != "not isolated",
        )
        for each in ("none", how)
    ]
    assert same_bits(*found)


class _Forgetful(nn.Module):
    """A layer that is not a function of its input: what it adds differs from call to call."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.calls = block, 0

    def forward(self, x: Tensor, *rest: object) -> Tensor:
        self.calls += 1
        return self.block(x * (1 + 0.1 * self.calls), *rest)


def test_a_layer_that_is_not_the_same_when_run_again_is_caught() -> None:
    def forgetful(execution: Execution) -> tuple[Tensor, list[Tensor]]:
        model = Transformer(SHAPE, seed=0)
        model.blocks[0] = _Forgetful(model.blocks[0])
        return gradient(model, execution)

    assert same_bits(forgetful(PLAIN), forgetful(PLAIN))
    assert not same_bits(forgetful(PLAIN), forgetful(FULL))


def test_less_is_kept_the_more_is_recomputed() -> None:
    shape = ModelConfig(vocabulary_size=64, sequence_length=64, width=64, layers=4, heads=2, feed_forward_width=160)
    kept = [trace_step(shape, micro_batch_size=8, execution=each, fake=True) for each in (PLAIN, SELECTIVE, FULL)]
    none, selective, full = (report.parts["activations"] for report in kept)
    assert selective < 0.9 * none
    assert full < 0.5 * none


def test_nothing_is_recomputed_where_there_is_no_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transformer(SHAPE, seed=0)
    prepare(model, FULL)
    monkeypatch.setattr("batchwright.model.recompute.checkpoint", None)
    ids, _, _, position_ids = batch()
    with torch.no_grad():
        assert model(ids, position_ids).shape == (3, 16, 61)


def test_weights_keep_their_names_however_they_are_run() -> None:
    plain = list(Transformer(SHAPE, seed=0).state_dict())
    for execution in (SELECTIVE, FULL, BF16):
        model = Transformer(SHAPE, seed=0)
        prepare(model, execution)
        assert list(model.state_dict()) == plain


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("parts", ["today's", "everything"])
def test_bf16_keeps_loss_weights_and_gradients_in_fp32_and_close(whole: bool, parts: str) -> None:
    shape = variant(parts, SHAPE)
    model = Transformer(shape, seed=0)
    exact = gradient(Transformer(shape, seed=0), PLAIN)
    total, gradients = gradient(model, BF16, whole=whole)
    assert {x.dtype for x in (total, *gradients, *model.parameters())} == {torch.float32}
    assert not torch.equal(total, exact[0])  # it was bf16 indeed
    torch.testing.assert_close(total, exact[0], rtol=5e-3, atol=0)
    ours, theirs = (torch.cat([g.flatten() for g in gs]) for gs in (gradients, exact[1]))
    assert float((ours - theirs).norm() / theirs.norm()) < 0.03


def test_a_loss_summed_in_bf16_is_caught() -> None:
    """The twin sums −log p of the slots in bf16, whose steps are 2 at 256."""
    model = Transformer(SHAPE, seed=0)
    exact, _ = gradient(Transformer(SHAPE, seed=0), PLAIN)
    prepare(model, BF16)
    ids, targets, mask, position_ids = batch()
    log_p = torch.log_softmax(model(ids, position_ids), -1).gather(2, targets[..., None])[..., 0]
    rounded = torch.zeros((), dtype=torch.bfloat16)
    for each in log_p.detach()[mask]:
        rounded -= each
    assert abs(float(rounded) / float(exact) - 1) > 5e-3


def test_the_chunked_loss_holds_no_more_than_a_chunk_of_logits_in_fp32() -> None:
    slots, vocabulary = 3 * 1024, 3000
    hidden = torch.randn(1, slots, 8, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(vocabulary, 8, requires_grad=True)
    targets, mask = torch.zeros(1, slots, dtype=torch.int64), torch.ones(1, slots, dtype=torch.bool)
    with MemoryTrace() as trace:
        chunked_cross_entropy(hidden, weight, targets, mask)[0].backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    peak = trace.report()
    # In fp32 the logits' log-probabilities, beside them the logits themselves in bf16.
    assert max(a.nbytes for a in peak.at_peak) == 4 * chunk_slots(vocabulary) * vocabulary
    assert peak.peak_bytes < 4 * slots * vocabulary / 2


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("form", ["mask", "segments"])
def test_documents_stay_isolated_bit_for_bit_in_bf16(parts: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "segments":
        monkeypatch.setattr(isolation, "MASKED_LENGTH_LIMIT", 1)
    model = Transformer(variant(parts, SHAPE), seed=0)
    prepare(model, BF16)
    ids, other, _, position_ids = batch()
    other[:, 7:] = ids[:, 7:]
    with torch.no_grad():
        a, b = (model(x, position_ids) for x in (ids, other))
    assert torch.equal(a[:, 7:], b[:, 7:])
    assert not torch.equal(a[:, :7], b[:, :7])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"activation_checkpointing": "some"},
            "activation_checkpointing is 'some', and must be one of none, selective",
        ),
        ({"precision": "fp16"}, "precision is 'fp16', and must be one of fp32, bf16"),
        ({"compile": True, "activation_checkpointing": "full"}, "exclude each other"),
    ],
)
def test_a_way_that_cannot_be_is_refused(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Execution(**wrong)  # type: ignore[arg-type]


def test_a_model_that_names_no_layers_cannot_recompute_them() -> None:
    with pytest.raises(InputError, match="Linear does not say what its layers are"):
        prepare(nn.Linear(2, 2), FULL)


def test_compiling_without_a_compiler_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=re.escape("needs a C++ compiler on a CPU")) as caught:
        prepare(Transformer(SHAPE, seed=0), Execution(compile=True))
    assert caught.value.remedy == "install one (apt install g++), or compile = false"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own code
def test_a_compiled_model_computes_the_same_to_rounding() -> None:
    plain = gradient(Transformer(SHAPE, seed=0), PLAIN)
    compiled, again = (gradient(Transformer(SHAPE, seed=0), Execution(compile=True)) for _ in range(2))
    for a, b in zip(plain[1], compiled[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert same_bits(compiled, again)
