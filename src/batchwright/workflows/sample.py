"""A few lines that a trained model writes. Price: seconds for a small model; every token computes its window anew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchwright.model.description import ModelDescription
from batchwright.model.generation import generate
from batchwright.tokens.store import TokenStore
from batchwright.training.checkpoint import load_model
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.trainer import CHECKPOINTS_NAME

BEGINNINGS = ("", "def ", "import ")
TEMPERATURE = 0.7
TOKENS = 90


def sample_text(
    run_directory: Path,
    store_directory: Path,
    description: ModelDescription,
    *,
    heard: Callable[[float, float], None],
) -> dict[str, Any]:
    """What the newest checkpoint writes after a fresh `<|endoftext|>` and after a few words."""
    newest = Checkpoints(run_directory / CHECKPOINTS_NAME).newest()
    assert newest is not None, "a finished run has a checkpoint"
    store = TokenStore.open(store_directory)
    model = load_model(newest, description)
    samples: list[dict[str, str]] = []
    for number, beginning in enumerate(BEGINNINGS):
        ids, _ = store.tokenizer.encode_batch([beginning])
        made = generate(
            model,
            description,
            [store.eot_id, *ids.tolist()],
            TOKENS,
            temperature=TEMPERATURE,
            seed=number,
            stop_id=store.eot_id,
        )
        samples.append({"beginning": beginning, "text": store.tokenizer.decode(made)})
        heard(number + 1, len(BEGINNINGS))
    return {"samples": samples, "temperature": TEMPERATURE, "checkpoint": newest.name}
