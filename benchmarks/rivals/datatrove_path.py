"""datatrove's whole path, in an environment of its own: JSONL → four filters → near-duplicates → tokens.

    python datatrove_path.py      orders on stdin, one JSON object a line; answers on stdout

{"text": FILE, "out": DIRECTORY, "tokenizer": FILE}   CPU-seconds of the path, documents and tokens at its end
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def path(text: Path, out: Path, tokenizer: str) -> list[list[Any]]:
    """Its own example of a FineWeb pipeline: what each of six runs does, one after the other."""
    from datatrove.pipeline.dedup.minhash import (  # type: ignore[import-not-found]
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import (  # type: ignore[import-not-found]
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader  # type: ignore[import-not-found]
    from datatrove.pipeline.tokens import DocumentTokenizer  # type: ignore[import-not-found]
    from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found]
    from datatrove.utils.hashing import HashConfig  # type: ignore[import-not-found]

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    kept, signatures, buckets, removed = (str(out / name) for name in ("kept", "signatures", "buckets", "removed"))
    return [
        [
            JsonlReader(str(text.parent), glob_pattern=text.name),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
            JsonlWriter(kept, compression=None),
        ],
        [JsonlReader(kept), MinhashDedupSignature(signatures, config)],
        [MinhashDedupBuckets(signatures, buckets, config=config)],
        [MinhashDedupCluster(buckets, removed, config)],
        [
            JsonlReader(kept),
            MinhashDedupFilter(removed),
            DocumentTokenizer(str(out / "tokens"), tokenizer, eos_token="<|endoftext|>", shuffle_documents=False),
        ],
    ]


def main() -> None:
    from datatrove.executor.local import LocalPipelineExecutor  # type: ignore[import-not-found]
    from loguru import logger  # type: ignore[import-not-found]

    logger.remove()
    for line in sys.stdin:
        order = json.loads(line)
        out = Path(order["out"])
        began = time.process_time()
        for number, steps in enumerate(path(Path(order["text"]), out, order["tokenizer"])):
            tasks = 14 if number == 2 else 1  # one per bucket
            LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=1, logging_dir=str(out / f"log-{number}")).run()
        cpu = time.process_time() - began
        ends = [file.stat().st_size // 8 for file in (out / "tokens").rglob("*.index")]
        print(json.dumps({"cpu": cpu, "documents": sum(ends)}), flush=True)


if __name__ == "__main__":
    main()
