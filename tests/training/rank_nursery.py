"""A process that has imported everything; on every line of JSON it forks so many ranks, joins them into a group, has
each call a function and prints what all of them returned.

Starting Python and torch takes seconds, a group of forked ranks 0.1: so many groups cost little. (Forking is safe
here: nothing before it leaves a thread behind.)

    {"ranks": 2, "function": "tests.training.rank_jobs:gradient", "arguments": {…}}  →  [{"value": …}, {"error": …}]
"""

import importlib
import json
import os
import socket
import sys
import traceback
from typing import Any

import torch
import torch._dynamo  # before the fork: DDP and FSDP need it, and it takes a second
import torch.distributed.fsdp

import tests.training.rank_jobs
from batchwright.foundation.errors import BatchwrightError
from batchwright.training.ranks import started_ranks

assert tests.training.rank_jobs
assert torch._dynamo
assert torch.distributed.fsdp


def child(rank: int, job: dict[str, Any], port: int, out: int) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(job["ranks"]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    module, _, name = job["function"].partition(":")
    answer: dict[str, Any]
    try:
        with started_ranks() as ranks:
            answer = {"value": getattr(importlib.import_module(module), name)(ranks, **job["arguments"])}
    except BatchwrightError as error:
        answer = {"error": str(error)}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    content = json.dumps(answer).encode()
    while content:
        content = content[os.write(out, content) :]
    os._exit(0)


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started: list[tuple[int, int]] = []
    for rank in range(job["ranks"]):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child(rank, job, port, writing)
        os.close(writing)
        started.append((pid, reading))
    answers: list[dict[str, Any]] = []
    for pid, reading in started:
        with os.fdopen(reading, "rb") as pipe:
            content = pipe.read()
        os.waitpid(pid, 0)
        answers.append(json.loads(content) if content else {"error": "died"})
    return answers


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
