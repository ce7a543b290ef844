"""batchwright's own `Trainer`, as `batchwright train` runs it: packed rows from the store, deterministic kernels, the
chunked loss, a record of every update written to the log."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.training.corpus import Corpus
from benchmarks.training.gate import Gate
from benchmarks.training.shapes import Family, Work

ENVIRONMENT = None  # the one that runs the benchmark

_CLASSIC: dict[str, Any] = {"positions": "learned", "norm": "layer", "activation": "gelu", "bias": True}


def model_config(work: Work, family: Family) -> Any:
    """The `ModelConfig` of a shape in one of the two families."""
    from batchwright.model.config import ModelConfig

    shape = work.shape
    return ModelConfig(
        vocabulary_size=shape.vocabulary_size,
        sequence_length=work.sequence_length,
        width=shape.width,
        layers=shape.layers,
        heads=shape.heads,
        feed_forward_width=4 * shape.width if family == "classic" else shape.feed_forward_width,
        **_CLASSIC if family == "classic" else {},
    )


def train(work: Work, family: Family, corpus: Corpus, gate: Gate, options: dict[str, Any]) -> None:
    import torch

    from batchwright.sequences.index_build import build_index
    from batchwright.sequences.plan import Plan
    from batchwright.tokens.store import TokenStore
    from batchwright.training.config import TrainingConfig
    from batchwright.training.trainer import Trainer

    config = model_config(work, family)
    tokens = 1_000_000 * work.tokens_per_step
    training = TrainingConfig(
        global_batch_size=work.global_batch_size,
        micro_batch_size=work.micro_batch_size,
        sequence_length=work.sequence_length,
        tokens=tokens,
        checkpoint_every_tokens=tokens,  # none before the end, which never comes: the rivals write none, too
        learning_rate=3e-4,
        warmup_tokens=10 * work.tokens_per_step,
        threads=torch.get_num_threads(),
        **options,
    )
    index = build_index(TokenStore.open(corpus.store), sequence_length=work.sequence_length)
    with tempfile.TemporaryDirectory() as directory:
        trainer = Trainer(
            model_config=config,
            training_config=training,
            plan=Plan.of(index),
            run_directory=Path(directory),
            on_record=lambda record: gate.step_ended(lambda: record.loss),
        )
        gate.ready(config.parameter_count())
        trainer.run()
