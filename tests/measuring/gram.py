"""Exact truth for noise-scale tests: the Gram matrix of every sequence's own gradient on a small real network.

With K = S·Sᵀ (S holds the gradient of every row's *summed* loss) the squared norm of any batch's gradient is cᵀKc, so
the truth and thousands of resampled steps cost no further backward pass.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

Matrix = npt.NDArray[np.float64]
VOCABULARY, WIDTH, LENGTH = 48, 12, 16


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N rows: the Gram matrix of their summed gradients, and how many targets each has."""

    gram: Matrix
    targets: npt.NDArray[np.int64]

    @property
    def squared_gradient(self) -> float:
        """|G|² of the mean over all targets."""
        return float(self.gram.sum()) / float(self.targets.sum()) ** 2

    @property
    def token_variance(self) -> float:
        """tr Σ of one target: E|s − G·n|² / E n, the variance that a mean over many rows really has (times its
        targets)."""
        n = self.targets.astype(np.float64)
        total = n.sum()
        inner = self.gram.sum(axis=1) @ n / total
        residual = np.trace(self.gram) - 2.0 * inner + self.squared_gradient * (n**2).sum()
        return float(residual / total)

    @property
    def noise_scale_tokens(self) -> float:
        return self.token_variance / self.squared_gradient

    def steps(
        self, row_counts: tuple[int, ...], count: int, generator: np.random.Generator
    ) -> tuple[Matrix, npt.NDArray[np.int64], Matrix]:
        """Resampled steps of micro-batches of these rows: |g_j|² and w_j (count, m), |g|² of the whole (count,)."""
        bounds = np.cumsum((0, *row_counts))
        rows = generator.integers(0, len(self.targets), size=(count, bounds[-1]))
        blocks = self.gram[rows[:, :, None], rows[:, None, :]]
        parts = [slice(a, b) for a, b in pairwise(bounds)]
        weights = np.stack([self.targets[rows[:, part]].sum(axis=1) for part in parts], axis=1)
        norms = np.stack([blocks[:, part, part].sum(axis=(1, 2)) for part in parts], axis=1) / weights**2
        return norms, weights, blocks.sum(axis=(1, 2)) / weights.sum(axis=1) ** 2


class SmallLanguageModel(nn.Module):
    """Embedding, one mixing layer over the past, a tied head: enough to give gradients of a real shape."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.inner = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        past = x.cumsum(dim=1) / torch.arange(1, ids.shape[1] + 1)[:, None]
        return torch.tanh(self.inner(torch.cat([x, past], dim=-1))) @ self.embedding.weight.T


def gradients_of_rows(count: int, *, ragged: bool, seed: int = 0, train_steps: int = 60) -> Rows:
    """Trains a little (so that |G|² is small, as in a real run), then takes every row's gradient by vmap."""
    torch.manual_seed(seed)
    model = SmallLanguageModel()
    transitions = torch.distributions.Dirichlet(torch.full((VOCABULARY,), 0.05)).sample((VOCABULARY,))
    ids = torch.empty(count, LENGTH + 1, dtype=torch.long)
    ids[:, 0] = torch.randint(VOCABULARY, (count,))
    for t in range(LENGTH):
        ids[:, t + 1] = torch.multinomial(transitions[ids[:, t]], 1)[:, 0]
    lengths = torch.randint(1, LENGTH + 1, (count,)) if ragged else torch.full((count,), LENGTH)
    mask = (torch.arange(LENGTH)[None, :] < lengths[:, None]).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(train_steps):
        chosen = torch.randint(count, (64,))
        loss = F.cross_entropy(model(ids[chosen, :-1]).flatten(0, 1), ids[chosen, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def summed_loss(p: dict[str, torch.Tensor], row: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model, p, (row[None, :-1],))[0]
        return (F.cross_entropy(logits, row[1:], reduction="none") * weights).sum()

    per_row = vmap(grad(summed_loss), in_dims=(None, 0, 0))(parameters, ids, mask)
    flat = torch.cat([value.flatten(1) for value in per_row.values()], dim=1).double()
    return Rows(gram=(flat @ flat.T).numpy(), targets=lengths.numpy())
