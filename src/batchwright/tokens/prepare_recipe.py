"""How text becomes a store, as a recipe says it: the table [prepare].

    [prepare]
    tokenizer = "train:4096"
    clean = "fineweb"

    [[prepare.sources]]
    name = "web"
    paths = ["crawl/*.jsonl.zst"]
    licence = "CC-BY-4.0"

Guarantee: a value says what the flags of `batchwright prepare` say, by the same names, so that both give the same job.
What a step is called and takes is checked where steps are made (`documents.presets`), not here. Price: no filter and no
tokenizer is imported.
"""

from dataclasses import dataclass
from typing import Any, Literal

from batchwright.documents.inputs import TextSource
from batchwright.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PrepareRecipe:
    """The sources and what is done with them. Where the work is done (workers, Ray) is no part of it."""

    sources: tuple[TextSource, ...] = ()  # [[prepare.sources]]
    tokenizer: str = "bytes"  # or a file's path, or train:4096
    tokenizer_engine: Literal["auto", "tokenizers", "gigatoken"] = "auto"  # changes no id
    validation: float = 0.0  # share of the documents held out
    seed: int = 0  # names the validation split and the sample for a trained vocabulary
    errors: Literal["strict", "replace", "skip"] = "strict"  # text that is not UTF-8, records that cannot be read
    clean: Literal["none", "repairs", "fineweb", "gopher", "c4", "code"] = "none"  # a preset of steps
    steps: tuple[dict[str, Any], ...] = ()  # [[prepare.steps]] instead: each a name and its own settings
    language: str = "en"  # of the text: stop words, and whether words are spaced
    near_duplicates: Literal["off", "drop", "split"] = "off"  # drop all but the first, or keep them on one side
    min_similarity: float = 0.7  # from which on two texts are near-duplicates
    against: tuple[str, ...] = ()  # finished stores whose texts are left out
    fim: float = 0.0  # share of the documents cut for filling in the middle
    fim_spm: float = 0.5  # of these, the share whose suffix comes first
    decontaminate: tuple[str, ...] = ()  # files of evaluation texts: documents that share words with one go
    decontaminate_words: int = 13  # so many in a row
    keep_rejected: bool = False  # write what steps drop beside the store; changes no byte of it

    def __post_init__(self) -> None:
        if self.clean != "none" and self.steps:
            raise InputError(
                f"both a preset (clean = {self.clean!r}) and {len(self.steps)} steps are given", remedy="one of them"
            )
        if not 0.0 <= self.validation < 1.0:
            raise InputError(f"validation is {self.validation}; it lies between 0 and 1, 1 excluded")
        names = [source.name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two sources are named {twice!r}", remedy="one source with both paths, or two names")
