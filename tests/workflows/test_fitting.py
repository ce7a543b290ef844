"""After out of memory: fewer rows, the same batch, and bytes that the closed form vouches for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batchwright.model.config import ModelConfig
from batchwright.recipe import DataRecipe, Recipe
from batchwright.training.config import TrainingConfig
from batchwright.training.step import OutOfMemoryError
from batchwright.workflows import fitting
from batchwright.workflows.fitting import closed_form_bytes, next_micro_batch
from batchwright.workflows.train import with_what_fits

RECIPE = Recipe(
    model=ModelConfig(vocabulary_size=2048, sequence_length=128, width=64, layers=3, heads=2, feed_forward_width=128),
    training=TrainingConfig(
        global_batch_size=48, micro_batch_size=48, sequence_length=128, tokens=100_000, learning_rate=1e-3
    ),
    data=DataRecipe(store="unused"),
)


def bytes_of(rows: int) -> int:
    found = closed_form_bytes(RECIPE, rows)
    assert found is not None
    return found


def test_the_next_one_is_the_largest_even_cut_that_fits() -> None:
    plenty = next_micro_batch(RECIPE, memory_bytes=10**12)
    assert plenty is not None
    assert (plenty.micro_batch_size, plenty.accumulation) == (24, 2)
    assert plenty.peak_bytes == bytes_of(24)
    assert plenty.failed_bytes == bytes_of(48)
    tight = next_micro_batch(RECIPE, memory_bytes=bytes_of(10))
    assert tight is not None
    assert tight.micro_batch_size == 10
    assert bytes_of(12) > bytes_of(10)
    assert "--set training.micro_batch_size=10: the same batch in 5 parts, the same curve" in tight.describe()
    assert next_micro_batch(RECIPE, memory_bytes=bytes_of(1) - 1) is None
    one = replace(RECIPE, training=replace(RECIPE.training, micro_batch_size=1))
    assert next_micro_batch(one, memory_bytes=10**12) is None


def test_a_model_without_a_closed_form_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "closed_form_bytes", lambda recipe, rows: None)
    found = next_micro_batch(RECIPE, memory_bytes=1)
    assert found is not None
    assert (found.micro_batch_size, found.peak_bytes) == (24, None)
    assert found.describe() == "--set training.micro_batch_size=24: the same batch in 2 parts, the same curve"


def test_the_error_keeps_its_words_and_takes_the_remedy() -> None:
    error = with_what_fits(OutOfMemoryError("out of memory", where="step 3", remedy="halve it"), RECIPE)
    assert (error.what, error.where) == ("out of memory", "step 3")
    assert str(error.remedy).startswith("--set training.micro_batch_size=24")
    assert "by the closed form its step needs" in str(error.remedy)


STARVED = """
import resource
from batchwright.model.transformer import Transformer
from batchwright.training.hyper_parameters import HyperParameters
from batchwright.training.objective import Objective
from batchwright.training.optimizer import build_optimizer
from batchwright.training.step import OutOfMemoryError, train_step
from tests.training.fake_steps import step_of, whole_batch
from tests.training.test_step import SHAPE, TRAINING

model = Transformer(SHAPE, seed=1)
batches = step_of(whole_batch(1, 16384, 16, 61))
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**27,) * 2)
try:
    train_step(
        Objective(model),
        build_optimizer(model, TRAINING),
        batches,
        step=1,
        tokens_before=0,
        hyper_parameters=HyperParameters(learning_rate=1e-2),
    )
except OutOfMemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_a_real_allocation_that_fails_is_such_an_error() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", STARVED], cwd=root, capture_output=True, text=True, check=True)
    assert "out of memory with a micro-batch of 16384 sequences × 16 tokens" in done.stdout, done.stderr
