"""A process that has imported everything; on every line `SECONDS RUN_DIRECTORY` it forks a training run, kills it with
signal 9 after so many seconds (never, when negative), and prints its exit code.

Starting Python and torch takes seconds, a run of the test less than one: so twenty-five kills cost seconds instead of
minutes. The forked child is a process of its own, which signal 9 ends like any other. (Forking is safe here: nothing
before it starts a thread.) `log-not-cut` as second argument breaks the trainer on purpose: its log keeps what was
written after the last checkpoint.
"""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import xxhash

from batchwright.model.config import ModelConfig
from batchwright.sequences.index import SequenceIndex
from batchwright.sequences.plan import Plan
from batchwright.training import trainer as training
from batchwright.training.config import TrainingConfig
from batchwright.training.run_log import RunLog
from tests.training.counting_store import VOCABULARY, counting_indexes

MODEL = ModelConfig(vocabulary_size=VOCABULARY, sequence_length=16, width=16, layers=1, heads=2, feed_forward_width=16)
# 22 rows an epoch and 6 a step: the run passes through several epochs, and steps lie across their borders.
TRAINING = TrainingConfig(
    global_batch_size=6,
    micro_batch_size=4,
    sequence_length=16,
    tokens=40 * 6 * 16,
    learning_rate=1e-2,
    evaluate_every_tokens=1_000,
    checkpoint_every_tokens=2 * 6 * 16,
    threads=1,
)


class UncutLog(RunLog):
    """The broken twin."""

    def __init__(self, path: Path, *, committed_bytes: int, committed_xxh3: str = "") -> None:
        content = path.read_bytes() if path.exists() else b""
        super().__init__(path, committed_bytes=len(content), committed_xxh3=xxhash.xxh3_128_hexdigest(content))


def main(store: Path, twin: str) -> None:
    train, validation = counting_indexes(store, documents=20)
    config = TRAINING
    if twin == "log-not-cut":
        training.RunLog = UncutLog  # type: ignore[misc]
        config = replace(TRAINING, checkpoint_every_tokens=20 * 6 * 16)  # so that most kills have something to replay
    torch.set_num_threads(1)
    # Once for all children: hot loops compiled, and what torch imports only when it first steps.
    train_in(store / "warm-up", replace(TRAINING, tokens=2 * 6 * 16), train, validation)
    for line in sys.stdin:
        seconds, run = line.rstrip("\n").split(" ", 1)
        pid = os.fork()
        if pid == 0:
            train_in(Path(run), config, train, validation)
            os._exit(0)
        if float(seconds) >= 0:
            time.sleep(float(seconds))
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def train_in(run: Path, config: TrainingConfig, train: SequenceIndex, validation: SequenceIndex) -> None:
    training.Trainer(
        model_config=MODEL,
        training_config=config,
        plan=Plan.of(train),
        run_directory=run,
        validation=validation,
    ).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
