"""`batchwright import FORMAT PATHS --out STORE`: ids that somebody else made become a token store.

The module has another name than its verb, which is a word of Python.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from batchwright.adapters.exporting import Exchange
from batchwright.adapters.importing import import_store
from batchwright.adapters.parquet import IDS
from batchwright.cli.face import PEOPLE, Face
from batchwright.foundation.units import format_bytes, format_count
from batchwright.workflows.prepare import summary


def bring(
    form: Exchange,
    paths: Annotated[list[str], Parameter(negative=())],
    /,
    *,
    out: Path,
    validation: Annotated[list[str] | None, Parameter(negative=())] = None,
    tokenizer: str | None = None,
    eot_token: str | None = None,
    vocabulary_size: int | None = None,
    eot_id: int | None = None,
    ids_column: str = IDS,
    mask_column: str | None = None,
    dtype: Literal["", "uint16", "uint32"] = "",
    licence: str = "unknown",
    name: str = "imported",
    face: Face = PEOPLE,
) -> None:
    """Pre-tokenized data → a token store. Ids are taken as they are: not cleaned, deduplicated or shuffled. A store is
    there whole or not at all; finished, the same command changes nothing.

    Parameters
    ----------
    form
        megatron (.bin and .idx), nanogpt (.bin) or parquet (a column of lists of ids).
    paths
        Files, directories, globs or Megatron prefixes; a directory that `export` wrote knows its vocabulary and splits.
    out
        Directory of the store.
    validation
        The same, for the documents that are held out.
    tokenizer
        bytes, or the tokenizer.json that the ids were made with.
    eot_token
        The token that ends documents, if it is not <|endoftext|>.
    vocabulary_size
        Instead of a tokenizer: one more than the highest id. The store then shows ids as numbers.
    eot_id
        Instead of a tokenizer: the id that ends documents.
    ids_column
        Column of a parquet file that holds the ids.
    mask_column
        Column that holds the loss mask; by default loss_mask where there is one, "" for none.
    dtype
        Of a nanoGPT file; by default uint16 if the vocabulary fits, else uint32.
    licence
        The data's licence, written into the store.
    name
        The source's name, written into the store.
    """
    with face.progress(face.say("import.title", format=form), unit=format_bytes) as advance:
        store = import_store(
            paths,
            out,
            form=form,
            validation=validation or (),
            tokenizer=tokenizer,
            eot_token=eot_token,
            vocabulary_size=vocabulary_size,
            eot_id=eot_id,
            ids_column=ids_column,
            mask_column=mask_column,
            dtype=dtype,
            licence=licence,
            name=name,
            progress=advance,
        )
    result = summary(store)
    tally, masked = result["tally"], bool(store.manifest.recipe["masked"])
    sentences = [
        face.say(
            "import.done",
            documents=f"{result['counts']['documents']:,}",
            tokens=format_count(result["counts"]["tokens"]),
            place=str(out),
            fingerprint=result["fingerprint"],
        )
    ]
    if tally["dropped"]:
        sentences.append(face.say("import.empty", documents=f"{tally['dropped']['empty']['documents']:,}"))
    if tally["edited"]:
        sentences.append(face.say("import.closed", documents=f"{tally['edited']['closed']['documents']:,}"))
    if masked:
        sentences.append(face.say("import.masked"))
    face.answer({**result, "masked": masked}, *sentences)
