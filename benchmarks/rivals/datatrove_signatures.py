"""datatrove's MinHash signatures (stage 1 of its near-duplicate removal), in an environment of their own.

    python datatrove_signatures.py      orders on stdin, one JSON object a line; answers on stdout

{"time": [text, …]}           CPU-seconds of shingles and signatures of these texts
"""

import json
import sys
import time


def main() -> None:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature  # type: ignore[import-not-found]
    from datatrove.utils.hashing import HashConfig  # type: ignore[import-not-found]

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    step = MinhashDedupSignature("unused", config)
    for line in sys.stdin:
        texts = json.loads(line)["time"]
        began = time.process_time()
        for text in texts:
            shingles = step.get_shingles(text)
            if shingles.size:
                step.get_signature(shingles)
        print(json.dumps({"cpu": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    main()
