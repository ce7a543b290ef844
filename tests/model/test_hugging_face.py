"""Models of the transformers library from a config.json: documents apart, its own numbers, training on our batches.

The library takes seconds to import, so all of it is in this one file.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.model.description import HuggingFaceModel, description_of
from batchwright.model.execution import PLAIN, Execution
from batchwright.model.hugging_face import HuggingFaceScores
from batchwright.model.prepared import prepare
from batchwright.model.probe import probed
from batchwright.model.protocol import HiddenModel, blocks_of, build_model
from batchwright.sequences.plan import Plan
from batchwright.training.checkpoint import load_model
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import read_log
from batchwright.training.trainer import RunResult, Trainer
from tests.training.counting_store import VOCABULARY, counting_indexes

LLAMA_LIKE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **LLAMA_LIKE},
    "qwen2": {"model_type": "qwen2", **LLAMA_LIKE, "tie_word_embeddings": True, "eos_token_id": 151643},
    "qwen3": {"model_type": "qwen3", **LLAMA_LIKE, "head_dim": 8, "dtype": "bfloat16"},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 32,
    },
    "mistral": {"model_type": "mistral", **LLAMA_LIKE, "sliding_window": 3},
    "gemma3": {
        "model_type": "gemma3_text",
        **LLAMA_LIKE,
        "head_dim": 8,
        "sliding_window": 3,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gemma2": {"model_type": "gemma2", **LLAMA_LIKE, "head_dim": 8},
    "granite": {"model_type": "granite", **LLAMA_LIKE, "logits_scaling": 8.0},
    "phi": {"model_type": "phi", **LLAMA_LIKE, "hidden_size": 32},
}
TRAINING = TrainingConfig(
    global_batch_size=6,
    micro_batch_size=3,
    sequence_length=16,
    tokens=16 * 6 * 16,
    learning_rate=2e-2,
    checkpoint_every_tokens=900,
    threads=1,
)


def described(name: str, **changes: Any) -> HuggingFaceModel:
    return HuggingFaceModel(hugging_face={**CONFIGS[name], **changes}, sequence_length=16)


def built(name: str, **changes: Any) -> nn.Module:
    return probed(described(name, **changes), seed=3, isolate=True)


def row(*documents: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, T) ids and position ids of documents one after the other."""
    ids = torch.tensor([[token for document in documents for token in document]])
    return ids, torch.cat([torch.arange(len(document)) for document in documents])[None]


ONE, TWO, OTHER = [5, 9, 2, 7, 1], [8, 3, 3, 6, 4, 11], [40, 41, 42, 43, 44]


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2", "mistral", "gemma3"])
@torch.no_grad()
def test_a_document_s_scores_do_not_depend_on_its_neighbours_and_are_the_library_s_own(name: str) -> None:
    model = built(name)
    with_one, with_other, alone = (model(*row(*documents)) for documents in ([ONE, TWO], [OTHER, TWO], [TWO]))
    assert torch.equal(with_one[:, 5:], with_other[:, 5:])
    assert torch.allclose(with_one[:, 5:], alone, rtol=0, atol=1e-5)
    theirs = model.model(input_ids=row(TWO)[0], use_cache=False).logits
    assert torch.allclose(alone, theirs, rtol=0, atol=1e-5)
    # The broken twin: the same rows as one document.
    unlike = (model(*row(*documents), isolate=False)[:, 5:] for documents in ([ONE, TWO], [OTHER, TWO]))
    assert not torch.allclose(*unlike, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gemma2", "granite", "phi", "llama", "gpt2"])
@torch.no_grad()
def test_hidden_vectors_are_given_only_where_the_scores_are_their_product_and_nothing_else(name: str) -> None:
    model = built(name)
    assert isinstance(model, HuggingFaceScores)
    assert isinstance(model, HiddenModel) == (name in ("llama", "gpt2"))
    if isinstance(model, HiddenModel):
        ids, position_ids = row(ONE, TWO)
        product = model.hidden(ids, position_ids) @ model.output_weight.T
        assert torch.allclose(product, model(ids, position_ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["qwen3", "llama", "gpt2"])
def test_it_learns_from_our_batches_and_resumes_as_if_never_interrupted(name: str, tmp_path: Path) -> None:
    train, validation = counting_indexes(tmp_path / "store")

    def run(directory: str, until_step: int | None = None) -> RunResult:
        trainer = Trainer(
            model_config=described(name),
            training_config=TRAINING,
            plan=Plan.of(train),
            run_directory=tmp_path / directory,
            validation=validation,
        )
        return trainer.run(until_step=until_step)

    whole = run("whole")
    for until_step in (4, 11, None):
        pieces = run("pieces", until_step)
    curves = [[record["loss"] for record in read_log(tmp_path / d / "metrics.jsonl")] for d in ("whole", "pieces")]
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0] - 0.5
    assert pieces.resumed_from == 11
    saved = load_model(tmp_path / "pieces" / "checkpoints" / "step-16")
    for a, b in zip(whole.model.parameters(), saved.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["qwen3", "gpt2"])
def test_its_layers_are_recomputed_without_a_bit_changed_and_bf16_keeps_documents_apart(name: str) -> None:
    def gradients(execution: Execution) -> list[torch.Tensor]:
        model = built(name)
        prepare(model, execution)
        model(*row(ONE, TWO)).logsumexp(-1).sum().backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    plain = gradients(PLAIN)
    for how in ("selective", "full"):
        again = gradients(Execution(activation_checkpointing=how))
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    model = built(name)
    prepare(model, Execution(precision="bf16"))
    with torch.no_grad():
        one, other = (model(*row(*documents))[:, 5:] for documents in ([ONE, TWO], [OTHER, TWO]))
    assert one.dtype == torch.bfloat16
    assert torch.equal(one, other)


def test_dropout_stays_off_and_a_padding_id_trains() -> None:
    model = built("qwen2", pad_token_id=3, attention_dropout=0.5).train()
    ids, position_ids = row(ONE, TWO)
    first, again = model(ids, position_ids), model(ids, position_ids)
    assert torch.equal(first, again)
    first.logsumexp(-1).sum().backward()
    assert model.output_weight.grad is not None
    untied = built("llama", pad_token_id=3)
    untied(ids, position_ids)[..., 5].sum().backward()
    assert untied.model.get_input_embeddings().weight.grad[3].abs().sum() > 0


def test_weights_are_named_by_the_seed_and_facts_are_those_of_the_module() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_model(described("qwen3"), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.output_weight, other.output_weight)
    assert {parameter.dtype for parameter in first.parameters()} == {torch.float32}
    assert described("qwen3").parameter_count() == sum(p.numel() for p in first.parameters())
    assert len(blocks_of(first)) == 2
    # 6 for each weight that is multiplied (the table at the input is looked up), 12·L·H·K·T for attention.
    multiplied = described("qwen3").parameter_count() - VOCABULARY * 24
    assert described("qwen3").flops_per_token(16) == 6 * multiplied + 12 * 2 * 32 * 16


def test_a_checkpoint_names_the_config_and_not_its_place(tmp_path: Path) -> None:
    model = described("llama", transformers_version="4.1", _name_or_path="somewhere")
    assert model.hash == described("llama").hash
    assert model.hash != described("llama", rms_norm_eps=0.1).hash
    assert description_of(model.to_dict()).hash == model.hash


def test_training_goes_on_from_weights_that_lie_there_and_from_no_other_s(tmp_path: Path) -> None:
    saved = built("qwen2")
    saved.model.save_pretrained(tmp_path / "weights")
    description = replace(described("qwen2"), weights=str(tmp_path / "weights"))
    model = probed(description, seed=9, isolate=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), saved.parameters(), strict=True))
    drawn = build_model(description, seed=9, read=False)  # what a checkpoint's weights are put into
    assert not torch.equal(drawn.output_weight, saved.output_weight)
    assert description.hash != described("qwen2").hash
    assert description_of(description.to_dict()).hash == description.hash
    for changes, words in (
        ({"num_hidden_layers": 3}, "the weights lack model.layers.2"),
        ({"num_hidden_layers": 1}, "the weights hold besides model.layers.1"),
        ({"hidden_size": 32}, "these are not the weights"),
    ):
        with pytest.raises(InputError, match=words):
            build_model(replace(described("qwen2", **changes), weights=str(tmp_path / "weights")), seed=0)
    with pytest.raises(InputError, match="no such directory"):
        build_model(replace(description, weights=str(tmp_path / "nowhere")), seed=0)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (described("llama", model_type="lama"), "no model_type 'lama'(?s:.*)did you mean 'llama'"),
        (described("llama", model_type="t5"), "transformers cannot build a t5 language model"),
        (described("llama", model_type="bloom", n_head=4), "takes no position_ids"),
        (described("llama", model_type="mamba"), "layers of the kind linear_attention"),
        (described("llama", num_attention_heads=5), "transformers cannot build a llama"),
        (
            replace(described("llama"), hugging_face={"model_type": "gpt2", "vocab_size": 61}, sequence_length=2048),
            "positions end at 1,024",
        ),
    ],
    ids=["unknown", "no language model", "no positions", "no attention", "no such shape", "T beyond the default"],
)
def test_what_cannot_be_trained_is_refused_by_name(model: HuggingFaceModel, words: str) -> None:
    with pytest.raises(InputError, match=words):
        probed(model, seed=0, isolate=True)


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'batchwright\[hf\]'"):
        build_model(described("llama"), seed=0)
