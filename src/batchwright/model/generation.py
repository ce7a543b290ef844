"""Text from a model, one token at a time.

Guarantee: the same weights, beginning, temperature and seed give the same tokens. Price: every token computes the whole
window again (nothing is cached), up to T tokens each: made for looking at a small model, not for serving a large one.
"""

from collections.abc import Sequence

import torch
from torch import nn

from batchwright.foundation.errors import InputError
from batchwright.foundation.randomness import key
from batchwright.model.description import ModelDescription
from batchwright.model.protocol import device_of, scores


@torch.no_grad()
def generate(
    model: nn.Module,
    description: ModelDescription,
    ids: Sequence[int],
    count: int,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    stop_id: int | None = None,
) -> list[int]:
    """Up to `count` tokens that follow `ids` (begin with `<endoftext>` for a fresh document).

    Temperature 0 takes the likeliest token each time. `stop_id` (usually `<endoftext>`) ends the text and is not
    returned.
    """
    vocabulary = description.vocabulary_size
    if not ids:
        raise InputError("there is nothing to go on from", remedy="begin with the id of <endoftext>")
    if temperature < 0 or count < 0:
        raise InputError(f"temperature {temperature} and count {count} must not be negative")
    outside = [i for i in ids if not 0 <= i < vocabulary]
    if outside:
        raise InputError(f"id {outside[0]} is outside the model's vocabulary of {vocabulary:,}")
    stream = torch.Generator().manual_seed(key(seed, "generate"))
    device = device_of(model)
    window, made = list(ids), list[int]()
    for _ in range(count):
        window = window[-description.sequence_length :]
        seen = torch.tensor([window], device=device)
        found = scores(model, seen, torch.arange(len(window), device=device)[None], isolate=False)[0]
        if temperature == 0:
            chosen = int(found.argmax())
        else:
            # In fp64, so that a tiny temperature overflows no exponential.
            chances = torch.softmax(found.double().cpu() / temperature, dim=-1)
            chosen = int(torch.multinomial(chances, 1, generator=stream))
        if chosen == stop_id:
            break
        made.append(chosen)
        window.append(chosen)
    return made
