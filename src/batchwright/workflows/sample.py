"""A few lines that a trained model writes. Price: seconds for a small model; every token computes its window anew."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from batchwright.foundation.files import read_json, write_json
from batchwright.model.description import ModelDescription
from batchwright.model.generation import generate
from batchwright.recipe import Recipe
from batchwright.tokens.store import TokenStore
from batchwright.training.checkpoint import load_model
from batchwright.training.checkpoint_write import Checkpoints
from batchwright.training.trainer import CHECKPOINTS_NAME

SAMPLES_NAME = "samples.json"
BEGINNINGS = ("", "def ", "import ")
TEMPERATURE = 0.7
TOKENS = 90


def write_samples(run_directory: Path, recipe: Recipe, *, heard: Callable[[float, float], None]) -> None:
    """Keep in the run directory what its newest checkpoint writes after a fresh `<|endoftext|>`; nothing is done when
    it is there already."""
    path, count = run_directory / SAMPLES_NAME, recipe.run.samples
    newest = Checkpoints(run_directory / CHECKPOINTS_NAME).newest()
    if count == 0 or newest is None:
        return
    if path.exists():
        found = read_json(path)
        if (found["checkpoint"], len(found["samples"])) == (newest.name, count):
            return
    store = recipe.data.sources[0].store if recipe.data.sources else recipe.data.store
    write_json(path, sample_text(run_directory, Path(store), recipe.model, heard=heard, beginnings=[""] * count))


def sample_text(
    run_directory: Path,
    store_directory: Path,
    description: ModelDescription,
    *,
    heard: Callable[[float, float], None],
    beginnings: Sequence[str] = BEGINNINGS,
) -> dict[str, Any]:
    """What the newest checkpoint writes after a fresh `<|endoftext|>` and these beginnings of a document."""
    newest = Checkpoints(run_directory / CHECKPOINTS_NAME).newest()
    assert newest is not None, "a finished run has a checkpoint"
    store = TokenStore.open(store_directory)
    model = load_model(newest, description)
    samples: list[dict[str, str]] = []
    for number, beginning in enumerate(beginnings):
        # A store of imported ids may know no text: then there is nothing to encode, and ids are shown as numbers.
        ids = store.tokenizer.encode_batch([beginning])[0].tolist() if beginning else []
        made = generate(
            model,
            description,
            [store.eot_id, *ids],
            TOKENS,
            temperature=TEMPERATURE,
            seed=number,
            stop_id=store.eot_id,
        )
        samples.append({"beginning": beginning, "text": store.tokenizer.decode(made)})
        heard(number + 1, len(beginnings))
    return {"samples": samples, "temperature": TEMPERATURE, "checkpoint": newest.name}
