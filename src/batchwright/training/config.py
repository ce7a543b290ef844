"""How to train: batch, budget and hyper-parameters as plain numbers with their units. No torch here.

Guarantee: a value that could not train is refused here, with what would work. `same_run` says which fields name the
run: they must be the same when it is taken up again; the others (micro-batch, how often to evaluate …) may change at
any time, because the loss curve does not depend on them.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from batchwright.foundation.errors import InputError
from batchwright.foundation.fingerprint import fingerprint
from batchwright.foundation.named_function import NAME
from batchwright.model.execution import ActivationCheckpointing, Execution, Precision
from batchwright.sequences.batch_rule import BatchRule, ConstantBatch, DoublingBatch, RampedBatch

Decay = Literal["cosine", "linear", "constant", "wsd"]
DecayShape = Literal["1-sqrt", "linear"]
BatchScaling = Literal["none", "half-life", "sqrt", "malladi", "linear", "saturating", "decay-tau"]

OPTIMIZERS = ("adamw", "sgd")
LossForm = Literal["chunked", "whole"]
ParallelForm = Literal["ddp", "fsdp"]

MOST_THREADS = 1024  # what no machine of today has; torch asked for a million brings the process down

SPIKE_WINDOW_STEPS = 64

FREE_FIELDS = frozenset(
    {
        "micro_batch_size",
        "activation_checkpointing",
        "evaluate_every_tokens",
        "checkpoint_every_tokens",
        "keep_checkpoints",
        "keep_every_tokens",
        "spike_deviations",
        "spike_window_tokens",
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
    precision: Precision = "fp32"  # of the products; bf16 keeps weights, optimizer and loss in fp32
    activation_checkpointing: ActivationCheckpointing = "none"  # what the backward recomputes instead of keeping it
    compile: bool = False  # torch.compile of every layer
    loss: LossForm = "chunked"  # hold a few slots' logits at a time, or all of a micro-batch's
    warmup_tokens: int = 0  # linear from 0 to the peak
    decay: Decay = "cosine"  # wsd: warm-up, stable, decay
    final_fraction: float = 0.1  # the learning rate at the end ÷ the peak
    decay_share: float = 0.2  # wsd: this last part of the tokens decays
    decay_shape: DecayShape = "1-sqrt"  # wsd: how
    scale_with_batch: BatchScaling = "none"  # the numbers below, as functions of the step's batch
    reference_batch_size: int | None = None  # where they hold as written, sequences; none: at `global_batch_size`
    half_batch_size: int | None = None  # saturating: where the learning rate is half of its limit, sequences
    optimizer: str = "adamw"  # or "sgd", or "package.module:function" (see `optimizer`)
    momentum: float = 0.9  # of SGD
    betas: tuple[float, float] = (0.9, 0.95)  # GPT-3's (arXiv 2005.14165, appendix B), a prior for its batch sizes
    epsilon: float = 1e-8
    weight_decay: float = 0.1  # of matrices; times the learning rate (torch's AdamW), or in the gradient (SGD)
    clip_norm: float | None = 1.0  # largest norm of the whole batch's gradient; none: never clipped
    evaluate_every_tokens: int | None = None  # none: at the start and the end only
    evaluate_sequences: int | None = None  # how many held-out rows, always the same ones; none: all of them
    checkpoint_every_tokens: int | None = None  # none: by share of the budget and time, see `checkpoint_clock`
    keep_checkpoints: int = 2  # the newest so many
    keep_every_tokens: int | None = None  # and, for good, the first one in every stretch of so many tokens
    spike_deviations: float | None = 6.0  # how unusual a loss or gradient norm is called a spike; none: nobody looks
    spike_window_tokens: int | None = None  # what is usual: so many tokens before; none: 64 steps of the full batch
    parallel: ParallelForm = "ddp"  # under torchrun: a copy of the model on every rank, or a slice of it
    device: Literal["cpu", "cuda"] = "cpu"  # cuda: each rank its own GPU, gradients by NCCL
    threads: int | None = None  # none: torch's own choice (1 is best below about a million weights)

    def __post_init__(self) -> None:
        for name in ("global_batch_size", "micro_batch_size", "sequence_length", "tokens", "keep_checkpoints"):
            _need(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("learning_rate", "epsilon", "weight_decay", "clip_norm"):
            _need(getattr(self, name) != float("inf"), name, getattr(self, name), "finite")
        slots = self.tokens_per_step
        _need(slots < 2**62, "global_batch_size × sequence_length", f"{slots:,}", "below 2⁶²: positions are 64-bit")
        _need(self.tokens < 2**62, "tokens", f"{self.tokens:,}", "below 2⁶²: positions are 64-bit")
        for name in (
            "evaluate_every_tokens",
            "evaluate_sequences",
            "checkpoint_every_tokens",
            "keep_every_tokens",
            "spike_window_tokens",
            "threads",
            "ramp_from",
            "ramp_tokens",
            "reference_batch_size",
            "half_batch_size",
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
        spikes = self.spike_deviations
        _need(spikes is None or 0 < spikes < float("inf"), "spike_deviations", spikes, "above 0 and finite, or none")
        for name, choices in (("decay", Decay), ("decay_shape", DecayShape), ("scale_with_batch", BatchScaling)):
            value, known = getattr(self, name), get_args(choices)
            _need(value in known, name, value, f"{', '.join(known[:-1])} or {known[-1]}")
        _need(0 < self.decay_share <= 1, "decay_share", self.decay_share, "above 0 and at most 1")
        saturating = self.scale_with_batch == "saturating"
        wanted = "given" if saturating else "left out (it belongs to scale_with_batch = 'saturating')"
        _need((self.half_batch_size is not None) == saturating, "half_batch_size", self.half_batch_size, wanted)
        _need(self.loss in ("chunked", "whole"), "loss", self.loss, "chunked or whole")
        _need(self.parallel in ("ddp", "fsdp"), "parallel", self.parallel, "ddp or fsdp")
        _need(self.device in ("cpu", "cuda"), "device", self.device, "cpu or cuda")
        if len({self.ramp is None, self.ramp_from is None, self.ramp_tokens is None}) > 1:
            raise InputError(
                f"ramp = {self.ramp}, ramp_from = {self.ramp_from}, ramp_tokens = {self.ramp_tokens}",
                remedy="all three of them, or none",
            )
        assert self.batch_rule  # checks its sizes
        assert self.execution  # checks its choices
        if self.warmup_tokens >= self.tokens > 0:
            raise InputError(
                f"the warm-up of {self.warmup_tokens:,} tokens fills the whole run of {self.tokens:,}",
                remedy=f"warmup_tokens = {self.tokens // 50} (2 %)",
            )

    @property
    def execution(self) -> Execution:
        """How the passes are carried out."""
        return Execution(
            activation_checkpointing=self.activation_checkpointing, precision=self.precision, compile=self.compile
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

    @property
    def tokens_per_step(self) -> int:
        """Slots of a step of the full batch."""
        return self.global_batch_size * self.sequence_length

    @property
    def spike_window(self) -> int:
        """Slots before a step that say what is usual."""
        full = SPIKE_WINDOW_STEPS * self.tokens_per_step
        return full if self.spike_window_tokens is None else self.spike_window_tokens

    def same_run(self) -> dict[str, Any]:
        """The fields that must not change while a run lasts."""
        return {name: value for name, value in self.to_dict().items() if name not in FREE_FIELDS}

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON can hold it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _need(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value}, and must be {wanted}")
