"""Raw text becomes a token store: `prepare_store`.

    0 name      every input file by its content                                      inputs.jsonl, .work/job.json
    1 tokenize  one task per partition, anywhere, in any order                      .work/KEY.tokens …
    2 select    duplicates out, validation split, over all partitions               .work/NAME.fates
                (near-duplicates, where asked for, by tasks per range of hashes)
    3 assemble  one task per shard, then renamed, then the manifest, the work removed  00000.tokens …, manifest.json

Guarantee: the store depends on text, sources, settings, vocabulary and seed alone: not on workers, partitions, engine
or crashes. Killed at any moment it goes on when called again and writes the same bytes; a finished job changes nothing;
a changed one is refused and says what changed; a second writer is refused. Price: ~60 MB of JSONL per CPU-second with
GPT-2's vocabulary, twice the store's size on disk until it is finished.
"""

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from batchwright.documents.cleaning import DEFAULT_STEPS
from batchwright.documents.decontamination import Decontamination
from batchwright.documents.inputs import TextSource, discover
from batchwright.documents.near_duplicates import NearDuplicates
from batchwright.documents.partitions import partition
from batchwright.documents.pipeline import Step
from batchwright.documents.refusals import ErrorPolicy
from batchwright.documents.tally import Tally
from batchwright.foundation.array_file import ArrayFile
from batchwright.foundation.errors import CorruptDataError, InputError
from batchwright.foundation.execution import Executor, Manifest
from batchwright.foundation.files import (
    WriterLock,
    read_json,
    remove_directory,
    remove_temporaries,
    sync_directory,
    translated,
    write_atomic,
    write_json,
)
from batchwright.foundation.fingerprint import sha256_file
from batchwright.foundation.units import MiB
from batchwright.tokens.assembly import shard_entry, shard_name, shard_tasks
from batchwright.tokens.augmentation_tally import augmentation_tally
from batchwright.tokens.claim import JOB, WORK, refuse_changes, refuse_foreign_directory
from batchwright.tokens.deciding_versions import deciding_versions, require_versions
from batchwright.tokens.infilling import Infilling, with_sentinels
from batchwright.tokens.job import (
    NamedInput,
    PrepareSettings,
    describe_sources,
    describe_tokenizer,
    name_inputs,
)
from batchwright.tokens.manifest import MANIFEST, FileEntry, ShardEntry, StoreManifest
from batchwright.tokens.rejected import REJECTED, sort_by_reason
from batchwright.tokens.rejected_copies import Copies
from batchwright.tokens.repetition import Repetition
from batchwright.tokens.selection import Partial
from batchwright.tokens.shard import dtype_for
from batchwright.tokens.store import INPUTS, PROVENANCE_FILE, TOKENIZER, TokenStore
from batchwright.tokens.tokenize_tasks import TokenizeTasks, bytes_of, readable
from batchwright.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from batchwright.tokens.against import OtherStore

PARTITION_BYTES = 32 * MiB

Phase = Literal["naming", "tokenizing", "selecting", "assembling", "finished", "found finished"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is: `done` of `total` bytes of input (naming, tokenizing) or shards (assembling)."""

    phase: Phase
    done: int
    total: int


@dataclass(kw_only=True)
class _Build:
    """One call of `prepare_store`."""

    sources: Sequence[TextSource]
    out: Path
    tokenizer: Tokenizer
    executor: Executor
    settings: PrepareSettings
    partition_bytes: int
    keep_rejected: bool
    against: "Sequence[OtherStore]"
    vocabulary: str | None
    progress: Callable[[Progress], None]
    began: float = field(default_factory=time.time)

    @property
    def work(self) -> Path:
        return self.out / WORK

    def run(self) -> TokenStore:
        tally = Tally()
        inputs = self._name(tally)
        listing = b"".join(named.line for named in inputs)
        if (self.out / MANIFEST).exists():
            return self._finished(listing)
        refuse_foreign_directory(self.out, {WORK, ".lock", INPUTS, TOKENIZER, REJECTED})
        with WriterLock(self.out):
            if (self.out / MANIFEST).exists():
                return self._finished(listing)
            remove_temporaries(self.out)
            self._begin(listing)
            partials, audited = self._tokenize(inputs, tally)
            for named in inputs:
                named.check_unchanged()
            if self.keep_rejected:
                with translated(self.out):
                    (self.out / REJECTED).mkdir(exist_ok=True)
            shards = self._assemble(partials, inputs, tally)
            if self.keep_rejected:
                sort_by_reason((self.work / f"{part.key}.{REJECTED}" for part in partials), self.out / REJECTED)
            self._publish(shards, tally, audited)
            remove_directory(self.work)
        self.progress(Progress(phase="finished", done=1, total=1))
        return TokenStore.open(self.out)

    def _name(self, tally: Tally) -> list[NamedInput]:
        files = discover(self.sources, tally=tally, skip_unreadable=self.settings.errors == "skip")
        inside = next((file for file in files if Path(file.location).is_relative_to(self.out.resolve())), None)
        if inside is not None:
            raise InputError(
                "the store would lie inside its own source", where=inside.location, remedy="choose another --out"
            )
        total, done = sum(file.size for file in files), 0

        def report(size: int) -> None:
            nonlocal done
            done += size
            self.progress(Progress(phase="naming", done=done, total=total))

        return name_inputs(files, report, self.settings.errors)

    def _description(self) -> dict[str, Any]:
        return {
            "recipe": self.settings.to_json(),
            "tokenizer": describe_tokenizer(self.tokenizer),
            "sources": describe_sources(self.sources),
        }

    def _finished(self, listing: bytes) -> TokenStore:
        store = TokenStore.open(self.out)
        manifest = store.manifest
        before = {"recipe": manifest.recipe, "tokenizer": manifest.tokenizer, "sources": list(manifest.sources)}
        self._refuse_changes(before, (self.out / INPUTS).read_bytes(), listing)
        if self.keep_rejected and not (self.out / REJECTED).exists():
            raise InputError(
                "this store is finished, and what was rejected for it was not kept",
                where=str(self.out),
                remedy="prepare into another directory with --keep-rejected",
            )
        if any(self.out.glob(f"{WORK}*")):  # also what a crash left while it was being removed
            with WriterLock(self.out):
                remove_directory(self.work)
        self.progress(Progress(phase="found finished", done=1, total=1))
        return store

    def _refuse_changes(self, before: dict[str, Any], inputs_before: bytes, listing: bytes) -> None:
        refuse_changes(self.out, before, self._description(), inputs_before, listing)

    @property
    def _versions(self) -> dict[str, str]:
        return deciding_versions(self.settings.steps)

    def _begin(self, listing: bytes) -> None:
        """Write down what is being done before anything is done, or check that it is the same as before."""
        job = self.work / JOB
        if job.exists():
            before = read_json(job)
            whole = isinstance(before, dict) and isinstance(before.get("versions", {}), dict)  # pyright: ignore[reportUnknownMemberType]
            if not whole or not (self.out / INPUTS).exists():
                raise CorruptDataError(
                    "the record of the unfinished job is damaged", where=str(job), remedy="remove the directory"
                )
            began_under = cast("dict[str, Any]", before).pop("versions", {})
            self._refuse_changes(before, (self.out / INPUTS).read_bytes(), listing)  # pyright: ignore[reportUnknownArgumentType]
            require_versions(began_under, self._versions, where=str(self.out))
            if not self._versions.keys() <= began_under.keys():
                write_json(job, {**self._description(), "versions": {**began_under, **self._versions}})
            # The same vocabulary, as has just been compared: the manifest will vouch for the file, so it is written
            # again rather than trusted.
            self.tokenizer.save(self.out / TOKENIZER)
            return
        with translated(self.work):
            self.work.mkdir(parents=True, exist_ok=True)
        write_atomic(self.out / INPUTS, listing)
        self.tokenizer.save(self.out / TOKENIZER)
        write_json(job, {**self._description(), "versions": self._versions})

    def _tokenize(self, inputs: Sequence[NamedInput], tally: Tally) -> tuple[list[Partial], int]:
        for _ in (named for named in inputs if named.xxh3 is None):
            tally.read.add(1, 0)
            tally.drop("unreadable", 0)
        partitions = readable(partition([named.file for named in inputs], self.partition_bytes), inputs)
        wanted = TokenizeTasks(
            settings=self.settings,
            sources=self.sources,
            tokenizer=self.tokenizer,
            out=self.out,
            keep_rejected=self.keep_rejected,
        )
        tasks = [wanted.task(part, inputs) for part in partitions]
        if self.executor.workers > 1:
            self.tokenizer.rest()  # others encode
        sizes = dict(zip((task.key for task in tasks), (bytes_of(part, inputs) for part in partitions), strict=True))
        manifests: dict[str, Manifest] = {}
        done, total = 0, sum(sizes.values())
        for task, manifest in self.executor.run(tasks):
            manifests[task.key] = manifest
            done += sizes[task.key]
            self.progress(Progress(phase="tokenizing", done=done, total=total))
        ordered = [(task.key, manifests[task.key]) for task in tasks]
        for _, manifest in ordered:
            tally.merge(Tally.from_dict(manifest["tally"]))
        counts = ("documents", "tokens", "text_bytes")
        partials = [Partial(key=key, **{name: manifest[name] for name in counts}) for key, manifest in ordered]
        return partials, sum(manifest["audited"] for _, manifest in ordered)

    def _assemble(self, partials: Sequence[Partial], inputs: Sequence[NamedInput], tally: Tally) -> list[ShardEntry]:
        self.progress(Progress(phase="selecting", done=0, total=1))
        roots = self._roots(partials)
        fates = self.settings.selection.write(self.work, partials, tally, roots, self.against)
        if self.keep_rejected and roots is not None:
            self._keep_copies(partials, inputs, fates, roots)
        tally.check()
        if not tally.kept.documents:
            reasons = ", ".join(f"{amount.documents:,} {reason}" for reason, amount in sorted(tally.dropped.items()))
            raise InputError(
                f"no document is left to store: {tally.read.documents:,} read, dropped: {reasons or 'none'}",
                where=", ".join(path for source in self.sources for path in source.paths),
                remedy="where filters dropped it: the text's language (--language), or your own thresholds (--steps)",
            )
        dtype = dtype_for(self.tokenizer.vocabulary_size)
        near = self.settings.near_duplicates
        permutations = near.permutations if near else 0
        cut = self.settings.shard_tokens
        planned = shard_tasks(self.work, partials, fates, cut, self.tokenizer.eot_id, dtype, permutations)
        names = {task.key: number for number, (_, task) in enumerate(planned)}
        manifests: dict[str, Manifest] = {}
        for task, manifest in self.executor.run([task for _, task in planned]):
            manifests[task.key] = manifest
            self.progress(Progress(phase="assembling", done=len(manifests), total=len(planned)))
        for key, number in names.items():
            self._move(key, shard_name(number), manifests[key]["files"])
        return [shard_entry(names[task.key], split, manifests[task.key]) for split, task in planned]

    def _roots(self, partials: Sequence[Partial]) -> ArrayFile | None:
        """The clusters of near-duplicates, where they are looked for."""
        if self.settings.near_duplicates is None:
            return None
        from batchwright.tokens.near import BANDS, SIGNATURES, Part, find_roots  # numba: 0.4 s

        near = self.settings.near_duplicates
        parts = [part for other in self.against for part in other.parts(self.executor, self.work, near)]
        parts += [
            Part(
                name=partial.key,
                documents=partial.documents,
                signatures=self.work / f"{partial.key}.{SIGNATURES}",
                bands=self.work / f"{partial.key}.{BANDS}",
            )
            for partial in partials
        ]
        return find_roots(self.executor, self.work, parts, near)

    def _keep_copies(
        self, partials: Sequence[Partial], inputs: Sequence[NamedInput], fates: ArrayFile, roots: ArrayFile
    ) -> None:
        """Near-duplicates that were dropped, beside what the steps dropped."""
        paths = [named.file.path for named in inputs]
        names = [source.name for source in self.sources]
        copies = Copies(self.work, partials, self.against, paths, names, self.tokenizer.decode)
        copies.write(fates, roots, self.out / REJECTED)

    def _move(self, key: str, name: str, kinds: Iterable[str]) -> None:
        """Give a shard its name. After a crash some already have theirs; the job's record says that they are this
        job's.
        """
        for kind in kinds:
            source, target = self.work / f"{key}.{kind}", self.out / f"{name}.{kind}"
            with translated(target):
                if source.exists() or not target.exists():
                    source.replace(target)

    def _publish(self, shards: Sequence[ShardEntry], tally: Tally, audited: int) -> None:
        with translated(self.out):
            sync_directory(self.out)
        write_json(self.out / PROVENANCE_FILE, self._provenance(audited))
        description = self._description()
        manifest = StoreManifest(
            tokenizer=description["tokenizer"],
            dtype=dtype_for(self.tokenizer.vocabulary_size).str,
            eot_id=self.tokenizer.eot_id,
            vocabulary_size=self.tokenizer.vocabulary_size,
            shards=tuple(shards),
            sources=tuple(description["sources"]),
            recipe=description["recipe"],
            tally={
                **tally.to_dict(),
                **augmentation_tally(
                    self.out,
                    shards,
                    cut=self.settings.infilling is not None,
                    copied=bool(Repetition.of(self.sources, self.settings.seed).repeats),
                ),
            },
            files={name: _file_entry(self.out / name) for name in (TOKENIZER, INPUTS)},
        )
        write_json(self.out / MANIFEST, manifest.to_json())

    def _provenance(self, audited: int) -> dict[str, Any]:
        packages = ("batchwright", "numpy", "tokenizers", "pyarrow", "orjson", "xxhash")
        return {
            "engine": self.tokenizer.engine,
            "probe": self.tokenizer.probe,
            "vocabulary": self.vocabulary,
            "audited_documents": audited,
            "paths": {source.name: list(source.paths) for source in self.sources},
            "versions": {
                "python": platform.python_version(),
                **{package: version(package) for package in packages},
                **self._versions,
            },
            "workers": self.executor.workers,
            "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": round(time.time() - self.began, 3),
        }


def prepare_store(
    sources: Sequence[TextSource],
    out: Path | str,
    *,
    tokenizer: Tokenizer,
    executor: Executor,
    validation_fraction: float = 0.0,
    seed: int = 0,
    errors: ErrorPolicy = "strict",
    shard_tokens: int = 2**27,
    steps: Sequence[Step] = DEFAULT_STEPS,
    near_duplicates: NearDuplicates | None = None,
    partition_bytes: int = PARTITION_BYTES,
    infilling: Infilling | None = None,
    decontamination: Decontamination | None = None,
    keep_rejected: bool = False,
    against: Sequence[Path | str] = (),
    vocabulary: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TokenStore:
    """Read, clean, deduplicate and tokenize sources into a store at `out`; continue where an earlier call was
    interrupted.

    `validation_fraction` is of documents; `seed` names the validation split; a shard holds at most `shard_tokens`
    tokens (a longer document is a shard alone); `steps` are the cleaning; `near_duplicates` says what counts as one
    and what is done about it (None: they are not looked for); `against` are finished stores whose documents count as
    earlier, so that what they hold is left out here; `infilling` stores a share of the documents cut in three;
    `decontamination` drops those that share words with evaluation files; `partition_bytes` is how much input one task
    reads, and changes no byte of the store; neither does `keep_rejected`, which writes the documents that steps drop to
    rejected/REASON.jsonl; `vocabulary`, how the tokenizer was asked for, is only noted in provenance.json.

    Raises InputError (unreadable input, nothing left, a changed job, a directory that is not ours), LockedError (a
    second writer), ResourceError (disk full; free some space and call again), CorruptDataError (unfinished work that is
    not what was written).
    """
    others: list[OtherStore] = []
    if against:
        from batchwright.tokens.against import OtherStore as Other  # numba: 0.4 s, only where there is one

        others = [Other.open(store, near_duplicates) for store in against]
    return _Build(
        sources=sources,
        out=Path(out).absolute(),  # workers elsewhere have another working directory
        tokenizer=with_sentinels(tokenizer) if infilling else tokenizer,
        executor=executor,
        settings=PrepareSettings(
            validation_fraction=validation_fraction,
            seed=seed,
            errors=errors,
            shard_tokens=shard_tokens,
            steps=steps,
            near_duplicates=near_duplicates,
            against=[other.store.fingerprint for other in others],
            infilling=infilling,
            decontamination=decontamination,
        ),
        partition_bytes=partition_bytes,
        keep_rejected=keep_rejected,
        against=others,
        vocabulary=vocabulary,
        progress=progress or (lambda _: None),
    ).run()


def _file_entry(path: Path) -> FileEntry:
    return FileEntry(bytes=path.stat().st_size, sha256=sha256_file(path))
