"""Models that a recipe names by their function: one that keeps the protocol in each of its forms, and broken twins."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from batchwright.model.isolation import attend


class OneLayer(nn.Module):
    """One head of attention and the scores, without a `hidden`."""

    def __init__(self, vocabulary_size: int, width: int, *, positions: bool = True, isolated: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.positions = nn.Embedding(64, width) if positions else None
        self.mixed = nn.Linear(width, 3 * width)
        self.scores = nn.Linear(width, vocabulary_size, bias=False)
        self.isolated = isolated

    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(position_ids)
        query, key, value = self.mixed(x)[:, :, None].chunk(3, -1)
        if not (isolate and self.isolated):
            position_ids = torch.arange(ids.shape[1]).expand(ids.shape)
        return x + attend(query, key, value, position_ids)[:, :, 0]

    def forward(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        return self.scores(self.before_scores(ids, position_ids, isolate))


class WithHidden(OneLayer):
    @property
    def output_weight(self) -> Tensor:
        return self.scores.weight

    def hidden(
        self, ids: Tensor, position_ids: Tensor, *, isolate: bool = True, lengths: Sequence[int] | None = None
    ) -> Tensor:
        return self.before_scores(ids, position_ids, isolate)


class Bidirectional(OneLayer):
    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        x = super().before_scores(ids, position_ids, isolate)
        return x + x.flip(1)


class SlotPositions(OneLayer):
    """Its positions are slots of the row, whatever `position_ids` say."""

    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        slots = torch.arange(ids.shape[1]).expand(ids.shape)
        return super().before_scores(ids, position_ids, isolate) + self.positions(slots)  # type: ignore[misc]


class Counting(OneLayer):
    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width)
        self.register_buffer("seen", torch.zeros(()))

    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        self.seen += 1
        return super().before_scores(ids, position_ids, isolate)


class Dropping(OneLayer):
    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        return nn.functional.dropout(super().before_scores(ids, position_ids, isolate), training=self.training)


class NarrowScores(OneLayer):
    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width)
        self.scores = nn.Linear(width, vocabulary_size - 1)


class OtherForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, ids: Tensor) -> Tensor:
        return ids * self.weight


class HalfHidden(OneLayer):
    hidden = OneLayer.forward


class Unused(OneLayer):
    """A part of it takes no part in the scores."""

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width)
        self.spare = nn.Linear(width, width)


class OneNumber(OneLayer):
    """A parameter without rows."""

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width)
        self.gain = nn.Parameter(torch.ones(()))

    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        return self.gain * super().before_scores(ids, position_ids, isolate)


class TiedBlock(OneLayer):
    """Its only block is the output, tied to the embedding outside of it."""

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width)
        self.scores.weight = self.embedding.weight
        self.blocks = nn.ModuleList([self.scores])


class Looking(OneLayer):
    """Its code reads numbers out of its tensors."""

    def before_scores(self, ids: Tensor, position_ids: Tensor, isolate: bool) -> Tensor:
        assert position_ids.numpy().min() == 0
        return super().before_scores(ids, position_ids, isolate)


class Tuples(OneLayer):
    def forward(self, *args: Tensor, **kwargs: bool) -> tuple[Tensor]:  # type: ignore[override]
        return (super().forward(*args, **kwargs),)  # type: ignore[arg-type]


KINDS: dict[str, type[OneLayer]] = {
    kind.__name__: kind
    for kind in (
        OneLayer,
        WithHidden,
        Bidirectional,
        SlotPositions,
        Counting,
        Dropping,
        NarrowScores,
        HalfHidden,
        Unused,
        OneNumber,
        TiedBlock,
        Tuples,
    )
}


def build(*, vocabulary_size: int, sequence_length: int, kind: str = "OneLayer", width: int = 16) -> nn.Module:
    return KINDS[kind](vocabulary_size, width)


def looking(*, vocabulary_size: int, sequence_length: int) -> nn.Module:
    return Looking(vocabulary_size, 16)


def leaking(*, vocabulary_size: int, sequence_length: int) -> nn.Module:
    return OneLayer(vocabulary_size, 16, isolated=False)


def other_forward(**_: int) -> nn.Module:
    return OtherForward()


def no_module(**_: int) -> str:
    return "a model"
