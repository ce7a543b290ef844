"""A loop in nanoGPT's manner: random crops of the memory map, micro-batches, clipping, fused AdamW, a loss read every
tenth update. Not compiled, as nanoGPT advises for a CPU."""

from typing import Any

import numpy as np

from benchmarks.training.corpus import Corpus
from benchmarks.training.gate import Gate
from benchmarks.training.shapes import Family, Work

ENVIRONMENT = None  # torch alone, the same build as ours


def train(work: Work, family: Family, corpus: Corpus, gate: Gate, options: dict[str, Any]) -> None:
    import torch

    from benchmarks.training.plain_models import PlainModel

    torch.manual_seed(0)
    model = PlainModel(work.shape, family, work.sequence_length)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)

    def get_batch() -> tuple[torch.Tensor, torch.Tensor]:
        data, T = np.memmap(corpus.bin, np.uint16, "r"), work.sequence_length
        ix = torch.randint(len(data) - T, (work.micro_batch_size,)).tolist()
        x = torch.stack([torch.from_numpy(data[i : i + T].astype(np.int64)) for i in ix])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + T].astype(np.int64)) for i in ix])
        return x, y

    gate.ready(sum(p.numel() for p in model.parameters()))
    x, y = get_batch()
    step = 0
    while True:
        for group in optimizer.param_groups:
            group["lr"] = 3e-4 * min(1.0, (step + 1) / 10)
        loss = torch.zeros(())
        for _ in range(work.accumulation):
            _, loss = model(x, y)
            loss = loss / work.accumulation
            x, y = get_batch()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
        step += 1
        gate.step_ended(lambda loss=loss: loss.item() * work.accumulation)
