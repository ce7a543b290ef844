"""Filters that ask a classifier: which language a text is in, how likely it is of a kind. The models are yours, in
fastText's format, given by path; none comes with this package and no preset asks one.

    [[step]]
    name = "language_score"
    model = "lid.176.bin"
    keep = ["en", "de"]

Guarantee: a function of text and model. The model's content is a part of the step (`model_hash`), where it lies is not:
a job that goes on with another model is refused, a moved one goes on. Price: `documents.fasttext`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from batchwright.documents.document import Document
from batchwright.documents.fasttext import FastTextModel, open_fasttext
from batchwright.documents.pipeline import LOCATION, Dropped
from batchwright.foundation.errors import InputError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageScore:
    """Keep a text whose likeliest label is one of `keep`, with at least this probability (0.65: Penedo et al. 2024,
    arXiv:2406.17557, section 3.2, with lid.176.bin).
    """

    name: ClassVar[str] = "language_score"
    model: str = field(metadata=LOCATION, compare=False)
    keep: tuple[str, ...]
    least: float = 0.65
    model_hash: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.keep, (list, tuple)) or not self.keep:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"keep is {self.keep!r}; it is a list of labels", remedy='keep = ["en"]')
        object.__setattr__(self, "keep", tuple(self.keep))
        _settle(self, self.keep)

    def __call__(self, document: Document) -> Document | Dropped:
        model = _model_of(self)
        probabilities = model.probabilities(document.utf8)
        best = int(probabilities.argmax())
        label, probability = model.labels[best], float(probabilities[best])
        if label not in self.keep:
            return Dropped("language_score", f"{label} {probability:.6g}")
        if not probability >= self.least:  # a damaged model may say NaN
            return Dropped("language_score", f"{label} {probability:.6g} < {self.least:.6g}")
        return document


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityScore:
    """Keep a text that has this label with at least this probability; which one is to be had from your own model."""

    name: ClassVar[str] = "quality_score"
    model: str = field(metadata=LOCATION, compare=False)
    label: str
    least: float = 0.5
    model_hash: str | None = None

    def __post_init__(self) -> None:
        _settle(self, (self.label,))

    def __call__(self, document: Document) -> Document | Dropped:
        model = _model_of(self)
        probability = float(model.probabilities(document.utf8)[model.labels.index(self.label)])
        if not probability >= self.least:  # a damaged model may say NaN
            return Dropped("quality_score", f"{probability:.6g} < {self.least:.6g}")
        return document


def _model_of(step: Any) -> FastTextModel:
    return open_fasttext(Path(step.model), content_hash=step.model_hash)[0]


def _settle(step: Any, labels: tuple[Any, ...]) -> None:
    """Open the model, keep its hash and its absolute place (workers run elsewhere), and look the labels up in it."""
    if not isinstance(step.model, str) or not step.model:
        raise InputError(f"model is {step.model!r}; it is the path of a file in fastText's format")
    if isinstance(step.least, bool) or not isinstance(step.least, (int, float)) or not 0 <= step.least <= 1:
        raise InputError(f"least is {step.least!r}; it is a probability, from 0 to 1")
    place = Path(step.model).absolute()
    model, content_hash = open_fasttext(place, content_hash=step.model_hash)
    object.__setattr__(step, "model", str(place))
    object.__setattr__(step, "model_hash", content_hash)
    for label in labels:
        if label not in model.labels:
            guess = nearest(str(label), model.labels)
            raise InputError(
                f"the model has no label {label!r}",
                where=str(place),
                remedy=f"{guess!r}" if guess else "one of " + ", ".join(sorted(model.labels)[:20]),
            )
