"""How to train: batch, budget and hyper-parameters as plain numbers with their units. No torch here.

Guarantee: a value that could not train is refused here, with what would work. `same_run` says which fields name the
run: they must be the same when it is taken up again; the others (micro-batch, how often to evaluate …) may change at
any time, because the loss curve does not depend on them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.foundation.named_function import NAME
from batchwright.sequences.batch_rule import BatchRule, ConstantBatch, DoublingBatch, RampedBatch

OPTIMIZERS = ("adamw", "sgd")
LossForm = Literal["chunked", "whole"]
ParallelForm = Literal["ddp", "fsdp"]

MOST_THREADS = 1024  # what no machine of today has; torch asked for a million brings the process down

FREE_FIELDS = frozenset(
    {
        "micro_batch_size",
        "evaluate_every_tokens",
        "checkpoint_every_tokens",
        "keep_checkpoints",
        "threads",
        "parallel",
        "device",
    }
)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run. Schedules are in tokens (slots of rows, padding included), so a batch can change under them."""

    global_batch_size: int  # sequences per update; with a ramp, of those after it
    micro_batch_size: int  # sequences per forward and backward
    sequence_length: int  # T, tokens per sequence
    tokens: int  # the run's whole budget, in slots; rounded up to whole steps
    learning_rate: float  # the peak
    ramp: Literal["linear", "doubling"] | None = None  # how the global batch grows; none: it is the same from the start
    ramp_from: int | None = None  # sequences of the first updates
    ramp_tokens: int | None = None  # linear: the slots until the full batch; doubling: between one and the next
    seed: int = 0  # names the fresh weights
    isolate: bool = True  # documents in a row do not see each other
    loss: LossForm = "chunked"  # hold a few slots' logits at a time, or all of a micro-batch's
    warmup_tokens: int = 0  # linear from 0 to the peak
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    final_fraction: float = 0.1  # the learning rate at the end ÷ the peak
    optimizer: str = "adamw"  # or "sgd", or "package.module:function" (see `optimizer`)
    momentum: float = 0.9  # of SGD
    betas: tuple[float, float] = (0.9, 0.95)  # GPT-3's (arXiv 2005.14165, appendix B), a prior for its batch sizes
    epsilon: float = 1e-8
    weight_decay: float = 0.1  # of matrices; times the learning rate (torch's AdamW), or in the gradient (SGD)
    clip_norm: float | None = 1.0  # largest norm of the whole batch's gradient; none: never clipped
    evaluate_every_tokens: int | None = None  # none: at the start and the end only
    evaluate_sequences: int | None = None  # how many held-out rows, always the same ones; none: all of them
    checkpoint_every_tokens: int | None = None  # none: at the end only
    keep_checkpoints: int = 2  # the newest so many
    parallel: ParallelForm = "ddp"  # under torchrun: a copy of the model on every rank, or a slice of it
    device: Literal["cpu", "cuda"] = "cpu"  # cuda: each rank its own GPU, gradients by NCCL
    threads: int | None = None  # none: torch's own choice (1 is best below about a million weights)

    def __post_init__(self) -> None:
        for name in ("global_batch_size", "micro_batch_size", "sequence_length", "tokens", "keep_checkpoints"):
            _need(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("learning_rate", "epsilon", "weight_decay", "clip_norm"):
            _need(getattr(self, name) != float("inf"), name, getattr(self, name), "finite")
        slots = self.global_batch_size * self.sequence_length
        _need(slots < 2**62, "global_batch_size × sequence_length", f"{slots:,}", "below 2⁶²: positions are 64-bit")
        _need(self.tokens < 2**62, "tokens", f"{self.tokens:,}", "below 2⁶²: positions are 64-bit")
        for name in (
            "evaluate_every_tokens",
            "evaluate_sequences",
            "checkpoint_every_tokens",
            "threads",
            "ramp_from",
            "ramp_tokens",
        ):
            value = getattr(self, name)
            _need(value is None or value >= 1, name, value, "at least 1, or left out")
        _need(self.threads is None or self.threads <= MOST_THREADS, "threads", self.threads, f"at most {MOST_THREADS}")
        _need(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _need(self.warmup_tokens >= 0, "warmup_tokens", self.warmup_tokens, "0 or more")
        _need(0 <= self.final_fraction <= 1, "final_fraction", self.final_fraction, "between 0 and 1")
        _need(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "each at least 0 and below 1")
        _need(
            self.optimizer in OPTIMIZERS or NAME.match(self.optimizer) is not None,
            "optimizer",
            self.optimizer,
            f"{', '.join(OPTIMIZERS)} or package.module:function",
        )
        _need(0 <= self.momentum < 1, "momentum", self.momentum, "at least 0 and below 1")
        _need(self.epsilon > 0, "epsilon", self.epsilon, "above 0")
        _need(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        _need(self.clip_norm is None or self.clip_norm > 0, "clip_norm", self.clip_norm, "above 0, or left out")
        _need(self.decay in ("cosine", "linear", "constant"), "decay", self.decay, "cosine, linear or constant")
        _need(self.loss in ("chunked", "whole"), "loss", self.loss, "chunked or whole")
        _need(self.parallel in ("ddp", "fsdp"), "parallel", self.parallel, "ddp or fsdp")
        _need(self.device in ("cpu", "cuda"), "device", self.device, "cpu or cuda")
        if len({self.ramp is None, self.ramp_from is None, self.ramp_tokens is None}) > 1:
            raise InputError(
                f"ramp = {self.ramp}, ramp_from = {self.ramp_from}, ramp_tokens = {self.ramp_tokens}",
                remedy="all three of them, or none",
            )
        assert self.batch_rule  # checks its sizes
        if self.warmup_tokens >= self.tokens > 0:
            raise InputError(
                f"the warm-up of {self.warmup_tokens:,} tokens fills the whole run of {self.tokens:,}",
                remedy=f"warmup_tokens = {self.tokens // 50} (2 %)",
            )

    @property
    def batch_rule(self) -> BatchRule:
        """The global batch by slots seen."""
        if self.ramp is None or self.ramp_from is None or self.ramp_tokens is None:
            return ConstantBatch(size=self.global_batch_size)
        if self.ramp == "doubling":
            return DoublingBatch(first=self.ramp_from, last=self.global_batch_size, every=self.ramp_tokens)
        return RampedBatch(first=self.ramp_from, last=self.global_batch_size, over=self.ramp_tokens)

    @property
    def hash(self) -> str:
        """The name of what the loss curve depends on."""
        return fingerprint(self.same_run())

    def same_run(self) -> dict[str, Any]:
        """The fields that must not change while a run lasts."""
        return {name: value for name, value in self.to_dict().items() if name not in FREE_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON can hold it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _need(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value}, and must be {wanted}")
