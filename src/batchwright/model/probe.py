"""A look at a foreign model before it trains: does it keep the protocol, and does a document see its neighbours?

Two rows of three documents each are run five times: as they are, again, with the first document's ids changed, with
the last ids changed, and rolled so that every document stands elsewhere:

    a a a a a b b b b c c c      x x x x x b b b b c c c      a a a a a b b b b y y y      b b b b c c c a a a a a
                                           └ must not move ┘  └ must not move ┘            as before, in other places

Guarantee: what is refused was seen to be wrong: another shape, other numbers for the same input (dropout), buffers that
change while it runs (a checkpoint keeps weights, not those), a document that sees its neighbour, a token that sees a
later one, a document whose scores depend on its place in the row. What is let through was right on these rows at these
weights; a path that a fresh model still multiplies by zero is not seen. Price: five forwards of 24 slots.
"""

import torch
from torch import Tensor, nn

from batchwright.foundation.errors import InputError
from batchwright.model.config import ModelConfig
from batchwright.model.description import ModelDescription
from batchwright.model.protocol import HiddenModel, build_model, device_of

TOLERANCE = 1e-4  # of the largest score: what rounding leaves behind is 1e-6 in fp32, what a neighbour does is 1e-2
DOCUMENT_TOKENS = (5, 4, 3)


def probed(description: ModelDescription, *, seed: int, isolate: bool, read: bool = True) -> nn.Module:
    """The module of a description, fit for training: a foreign one is looked at first. Raises InputError."""
    model = build_model(description, seed=seed, read=read)
    if not isinstance(description, ModelConfig):
        probe_model(
            model,
            vocabulary_size=description.vocabulary_size,
            sequence_length=description.sequence_length,
            isolate=isolate,
            name=str(description.to_dict().get("function", "the model")),
        )
    return model


@torch.no_grad()
def probe_model(model: nn.Module, *, vocabulary_size: int, sequence_length: int, isolate: bool, name: str) -> None:
    """Raises InputError with what is wrong and what to do."""
    ids, position_ids = _rows(model, vocabulary_size, sequence_length)
    first, last = DOCUMENT_TOKENS[0], DOCUMENT_TOKENS[-1]
    if ids.shape[1] <= first + last:  # too short for neighbours: one document, one token
        first, last = 1, 1
    buffers = {key: value.clone() for key, value in model.named_buffers()}

    def run(ids: Tensor) -> Tensor:
        found = _scores(model, ids, position_ids, vocabulary_size, isolate=isolate, name=name)
        return found.detach().float()

    with torch.random.fork_rng(devices=()):  # so that a model that draws numbers does not move anybody else's
        before, again = run(ids), run(ids)
        earlier, later = ids.clone(), ids.clone()
        earlier[:, :first] = (ids[:, :first] + 1) % vocabulary_size
        later[:, -last:] = (ids[:, -last:] + 1) % vocabulary_size
        after_earlier, after_later = run(earlier), run(later)
    limit = TOLERANCE * float(before.abs().max())
    if not bool(torch.isfinite(before).all()):
        raise InputError("the fresh model's scores are not finite numbers", where=name)
    if _moved(before, again) > 0:
        raise InputError(
            f"the same rows gave other scores the second time (by {_moved(before, again):.1e})",
            where=name,
            remedy="dropout and all else that is drawn anew must be off: resuming and cutting a batch rely on it",
        )
    for key, value in model.named_buffers():
        if key in buffers and not torch.equal(buffers[key], value):
            raise InputError(
                f"the buffer {key} changes while the model runs, and a checkpoint keeps weights only",
                where=name,
                remedy="a layer without running averages (LayerNorm or RMSNorm instead of BatchNorm)",
            )
    if (moved := _moved(before[:, :-last], after_later[:, :-last])) > limit:
        raise InputError(
            f"a token sees later ones: changing them moved its scores by {moved:.1e}",
            where=name,
            remedy="causal attention: `batchwright.attend`, or isolation_mask(position_ids, dtype) in your own",
        )
    if not isolate or first == 1:
        return
    if (moved := _moved(before[:, first:], after_earlier[:, first:])) > limit:
        raise InputError(
            f"a document sees its neighbour in the row: changing that moved its scores by {moved:.1e}",
            where=name,
            remedy="attention by position_ids (`batchwright.attend`, isolation_mask), or [training] isolate = false",
        )
    rolled = _scores(model, ids.roll(-first, 1), position_ids.roll(-first, 1), vocabulary_size, isolate=True, name=name)
    if (moved := _moved(before, rolled.detach().float().roll(first, 1))) > limit:
        raise InputError(
            f"a document's scores depend on its place in the row: another place moved them by {moved:.1e}",
            where=name,
            remedy="positions from position_ids, which restart with every document; or [training] isolate = false",
        )


def _rows(model: nn.Module, vocabulary_size: int, sequence_length: int) -> tuple[Tensor, Tensor]:
    """(2, 12) ids and position ids, or shorter ones of a single document for a model of shorter rows."""
    length = min(sum(DOCUMENT_TOKENS), sequence_length)
    device = device_of(model)
    ids = torch.arange(2 * length, device=device).view(2, length) * 7 % vocabulary_size
    if length < sum(DOCUMENT_TOKENS):
        return ids, torch.arange(length, device=device).expand(2, length)
    positions = torch.cat([torch.arange(tokens, device=device) for tokens in DOCUMENT_TOKENS])
    return ids, positions.expand(2, length)


def _scores(
    model: nn.Module, ids: Tensor, position_ids: Tensor, vocabulary_size: int, *, isolate: bool, name: str
) -> Tensor:
    """(2, T, V), their shape checked."""
    rows, length = ids.shape
    form = model.hidden if isinstance(model, HiddenModel) else model
    try:
        found = form(ids, position_ids, isolate=isolate, lengths=None)
    except Exception as error:  # the model's own code
        raise InputError(
            f"the model fails on ids of {(rows, length)}: {type(error).__name__}: {error}", where=name
        ) from error
    if isinstance(model, HiddenModel):
        hidden = found
        if hidden.ndim != 3 or hidden.shape[:2] != ids.shape:
            raise InputError(f"hidden gave {tuple(hidden.shape)} for ids of {(rows, length)}", where=name)
        wanted = (vocabulary_size, hidden.shape[2])
        if tuple(model.output_weight.shape) != wanted:
            raise InputError(f"output_weight is {tuple(model.output_weight.shape)}, not {wanted}", where=name)
        return hidden @ model.output_weight.T
    if not isinstance(found, Tensor):
        raise InputError(
            f"forward gave a {type(found).__name__}", where=name, remedy="the (B, T, V) tensor of scores alone"
        )
    if tuple(found.shape) != (rows, length, vocabulary_size):
        raise InputError(
            f"forward gave {tuple(found.shape)} for ids of {(rows, length)}, not {(rows, length, vocabulary_size)}",
            where=name,
        )
    return found


def _moved(before: Tensor, after: Tensor) -> float:
    return float((before - after).abs().max()) if before.numel() else 0.0
