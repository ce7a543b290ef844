"""fastText itself, in an environment of its own: trains a classifier, and says what it thinks of texts.

    python fasttext_library.py train LINES.txt MODEL.bin '{"loss": "hs", …}'
    python fasttext_library.py predict MODEL.bin TEXTS.json ANSWERS.json

Answers: {"seconds": CPU seconds of the predictions, "answers": one {label: probability} per text}.
"""

import json
import sys
import time
from pathlib import Path


def train(lines: str, model: str, settings: str) -> None:
    import fasttext  # pyright: ignore[reportMissingImports]

    fasttext.train_supervised(lines, thread=1, verbose=0, **json.loads(settings)).save_model(model)


def predict(model: str, texts: str, answers: str) -> None:
    import fasttext  # pyright: ignore[reportMissingImports]

    opened = fasttext.load_model(model)
    asked = [text.replace("\n", " ") for text in json.loads(Path(texts).read_bytes())]
    began = time.process_time()
    found = [opened.predict(text, k=-1) for text in asked]
    seconds = time.process_time() - began
    named = [
        {label.removeprefix("__label__"): float(number) for label, number in zip(*each, strict=True)} for each in found
    ]
    Path(answers).write_text(json.dumps({"seconds": seconds, "answers": named}))


if __name__ == "__main__":
    {"train": train, "predict": predict}[sys.argv[1]](*sys.argv[2:])
