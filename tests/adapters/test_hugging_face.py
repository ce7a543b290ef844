"""Hugging Face's models, Trainer and Accelerate: the loss of our targets under isolated documents, and no other.

The truth is made by hand: every segment alone through the model, its targets compared one by one, summed, and divided
by the number of targets.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.adapters.streams import small_plan, take

pytest.importorskip(
    "transformers", reason="transformers is not installed here; `make adapters` has an environment for it"
)
pytest.importorskip("accelerate", reason="accelerate is not installed here; `make adapters` has an environment for it")

import transformers
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from batchwright.adapters.hugging_face import IGNORED, HuggingFaceCollator, model_arguments
from batchwright.adapters.rows import FILLER, Row, Rows, stack_rows
from batchwright.sequences.plan import Plan
from tests.sequences.small_store import VOCABULARY

pytestmark = pytest.mark.adapters

MODELS = ["llama", "gpt2"]


def tiny(kind: str) -> Any:
    torch.manual_seed(3)
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
        )
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=64,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
        )
        model = transformers.GPT2LMHeadModel(config)
    return model.double().eval()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return small_plan(tmp_path, masked=True)


@pytest.fixture
def batch(plan: Plan) -> Row:
    """Four rows of several documents, padding among them, and a filler row."""
    rows = Rows(plan, length=60)
    short = next(n for n in range(60) if not rows[n].loss_mask.all())
    return stack_rows([rows[0], rows[1], rows[2], rows[short], rows[FILLER]])


def by_hand(model: Any, batch: Row, *, last_slots: bool = True) -> tuple[float, int]:
    """(Σ loss over targets, their number), every segment alone; optionally without each row's last slot."""
    total, count = 0.0, 0
    slots = batch.inputs.shape[1]
    with torch.no_grad():
        for inputs, targets, mask, positions in zip(*batch[:4], strict=True):
            starts = [*(positions == 0).nonzero().flatten().tolist(), slots]
            for first, stop in pairwise(starts):
                kept = mask[first:stop] & (torch.arange(first, stop) < (slots if last_slots else slots - 1))
                if not kept.any():
                    continue
                logits = model(inputs[None, first:stop], use_cache=False).logits[0].float()
                losses = torch.nn.functional.cross_entropy(logits, targets[first:stop], reduction="none")
                total, count = total + float(losses[kept].sum()), count + int(kept.sum())
    return total, count


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("flatten", [False, True])
def test_the_loss_is_that_of_the_documents_alone(batch: Row, kind: str, flatten: bool) -> None:
    model = tiny(kind)
    total, count = by_hand(model, batch)
    assert count == int(batch.loss_mask.sum())
    with torch.no_grad():
        loss = float(model(**model_arguments(batch, flatten=flatten)).loss)
        over = float(model(**model_arguments(batch, flatten=flatten), num_items_in_batch=1000).loss)
    assert loss == pytest.approx(total / count, rel=1e-6)
    assert over == pytest.approx(total / 1000, rel=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_without_shift_labels_only_each_rows_last_slot_is_lost(batch: Row, kind: str) -> None:
    model = tiny(kind)
    arguments = model_arguments(batch)
    del arguments["shift_labels"]
    total, count = by_hand(model, batch, last_slots=False)
    assert count == int(batch.loss_mask[:, :-1].sum())
    with torch.no_grad():
        assert float(model(**arguments).loss) == pytest.approx(total / count, rel=1e-6)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("twin", ["a cache", "no positions", "targets as labels", "positions kept, mask given"])
def test_what_would_leak_or_shift_twice_is_caught(batch: Row, kind: str, twin: str) -> None:
    """Each twin is what one would naturally write; each gives another loss."""
    model = tiny(kind)
    total, count = by_hand(model, batch)
    arguments = model_arguments(batch)
    if twin == "a cache":
        arguments["use_cache"] = True
    elif twin == "no positions":
        del arguments["position_ids"]
    elif twin == "targets as labels":
        arguments["labels"] = arguments.pop("shift_labels")
    else:
        arguments["attention_mask"] = torch.ones_like(arguments["input_ids"])
    with torch.no_grad():
        assert float(model(**arguments).loss) != pytest.approx(total / count, rel=1e-6)


def test_what_the_stores_mask_leaves_out_is_ignored(batch: Row) -> None:
    labels = model_arguments(batch)["shift_labels"]
    assert torch.equal(labels == IGNORED, ~batch.loss_mask)
    # Inside the rows, before their padding begins, too.
    assert ((labels[:, :-1] == IGNORED) & (labels[:, 1:] != IGNORED)).any()


def test_labels_and_shift_labels_say_the_same(batch: Row) -> None:
    arguments = model_arguments(batch)
    assert torch.equal(arguments["labels"][:, 1:], arguments["shift_labels"][:, :-1])
    assert (arguments["labels"][:, 0] == IGNORED).all()
    assert torch.equal(arguments["shift_labels"] != IGNORED, batch.loss_mask)


class Recorder(HuggingFaceCollator):
    """Remembers which positions were collated."""

    def __call__(self, rows: Any) -> dict[str, Any]:
        SEEN.append([int(row.position) for row in rows])
        return super().__call__(rows)


SEEN: list[list[int]] = []


def trainer_of(plan: Plan, home: Path, steps: int, **settings: Any) -> Any:
    arguments = transformers.TrainingArguments(
        output_dir=str(home),
        max_steps=steps,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        train_sampling_strategy="sequential",
        learning_rate=0.0,
        optim="sgd",
        logging_steps=1,
        save_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **settings,
    )
    return transformers.Trainer(
        model=tiny("llama").train(),
        args=arguments,
        train_dataset=Rows(plan, length=6 * 10),
        data_collator=Recorder(),
    )


def test_the_trainer_eats_the_plan_and_logs_the_global_mean(plan: Plan, tmp_path: Path) -> None:
    SEEN.clear()
    trainer = trainer_of(plan, tmp_path / "run", 3)
    trainer.train()
    assert [position for rows in SEEN for position in rows][:18] == list(range(18))
    rows = Rows(plan, length=18)
    for step in range(3):
        whole = stack_rows([rows[n] for n in range(6 * step, 6 * step + 6)])
        total, count = by_hand(tiny("llama"), whole)
        assert trainer.state.log_history[step]["loss"] == pytest.approx(total / count, abs=2e-4)


def test_the_trainer_resumes_at_the_next_position(plan: Plan, tmp_path: Path) -> None:
    trainer_of(plan, tmp_path / "run", 2).train()
    SEEN.clear()
    trainer_of(plan, tmp_path / "run", 4).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert [position for rows in SEEN for position in rows][:12] == list(range(12, 24))


def test_accelerate_gives_two_processes_the_rows_of_each_step(plan: Plan) -> None:
    """Two processes, micro-batches of 3: every 6 rows are one step's, each row once."""
    data = DataLoader(Rows(plan, length=24), batch_size=3, collate_fn=stack_rows)
    parts = [
        [batch.position.tolist() for batch in prepare_data_loader(data, num_processes=2, process_index=rank)]
        for rank in range(2)
    ]
    for step, (one, other) in enumerate(zip(*parts, strict=True)):
        assert one + other == list(range(6 * step, 6 * step + 6))


def test_accelerate_trains_on_prepared_rows(plan: Plan) -> None:
    accelerator = Accelerator(cpu=True)
    model = tiny("llama").train()
    data = DataLoader(Rows(plan, length=12), batch_size=4, collate_fn=HuggingFaceCollator())
    prepared, model = accelerator.prepare(data, model)
    arguments = take(prepared, 1)[0]
    loss = model(**arguments).loss
    accelerator.backward(loss)
    total, count = by_hand(tiny("llama"), stack_rows([Rows(plan, length=12)[n] for n in range(4)]))
    assert float(loss) == pytest.approx(total / count, rel=1e-6)
