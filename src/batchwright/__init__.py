"""batchwright: from raw text to the exact (B, T) batches a language model is pre-trained on.

    import batchwright as bw

    store = bw.prepare_store([bw.TextSource(name="books", paths=("books/",))], "store",
                             tokenizer=bw.open_tokenizer("bytes"), executor=bw.LocalExecutor())
    plan = bw.Plan.of(bw.build_index(store, sequence_length=1024))
    geometry = bw.BatchGeometry(global_batch_size=32, micro_batch_size=8, sequence_length=1024)
    loader = bw.BatchLoader(plan, geometry)
    for step in loader:                  # endless; its whole state is loader.state(), one position
        for batch in step:               # batch.inputs, batch.targets: (B, T)
            ...
        loader.acknowledge(step)

Every public name is here; each lives in the layer that its module's name says. Importing this package costs a few
milliseconds: a name is loaded when it is first asked for, so torch (the `train` extra) and numba come only to those
who use them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "batches.batch": ("Batch",),
    "batches.evaluation": ("evaluation_batches",),
    "batches.geometry": ("BatchGeometry",),
    "batches.loader": ("BatchLoader",),
    "batches.tracing": ("appearances_of", "trace_cell"),
    "batches.schedule": ("BatchSchedule", "ScheduledGeometry"),
    "documents.document": ("Document",),
    "documents.inputs": ("TextSource",),
    "engines.local": ("LocalExecutor",),
    "engines.ray": ("RayExecutor",),
    "engines.serial": ("SerialExecutor",),
    "foundation.errors": (
        "BatchwrightError",
        "CorruptDataError",
        "InputError",
        "LockedError",
        "RecipeError",
        "ResourceError",
        "UsageError",
    ),
    "measuring.coverage": ("CoverageSource", "measure_coverage"),
    "measuring.noise_monitor": ("NoiseMonitor",),
    "model.config": ("ModelConfig",),
    "model.description": ("FunctionModel", "HuggingFaceModel"),
    "model.isolation": ("attend",),
    "model.transformer": ("Transformer",),
    "recipe": ("Recipe", "load_recipe"),
    "sequences.batch_rule": ("ConstantBatch", "DoublingBatch", "RampedBatch", "SteppedBatch"),
    "sequences.index": ("SequenceIndex",),
    "sequences.index_build": ("build_index",),
    "sequences.packing": ("BestFit", "BestFitTruncated", "Concatenate", "StartAligned"),
    "sequences.ledger": ("Ledger",),
    "sequences.mixture": ("Mixture",),
    "sequences.plan": ("Plan",),
    "sequences.sampler": ("Sampler",),
    "sequences.stage": ("Source", "Stage"),
    "tokens.build": ("prepare_store",),
    "tokens.finding": ("find_document",),
    "tokens.store": ("TokenStore",),
    "tokens.tokenizer": ("Tokenizer", "open_tokenizer"),
    "tokens.verification": ("verify",),
    "training.config": ("TrainingConfig",),
    "training.trainer": ("Trainer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from batchwright.batches.batch import Batch as Batch
    from batchwright.batches.evaluation import evaluation_batches as evaluation_batches
    from batchwright.batches.geometry import BatchGeometry as BatchGeometry
    from batchwright.batches.loader import BatchLoader as BatchLoader
    from batchwright.batches.schedule import BatchSchedule as BatchSchedule
    from batchwright.batches.schedule import ScheduledGeometry as ScheduledGeometry
    from batchwright.batches.tracing import appearances_of as appearances_of
    from batchwright.batches.tracing import trace_cell as trace_cell
    from batchwright.documents.document import Document as Document
    from batchwright.documents.inputs import TextSource as TextSource
    from batchwright.engines.local import LocalExecutor as LocalExecutor
    from batchwright.engines.ray import RayExecutor as RayExecutor
    from batchwright.engines.serial import SerialExecutor as SerialExecutor
    from batchwright.foundation.errors import BatchwrightError as BatchwrightError
    from batchwright.foundation.errors import CorruptDataError as CorruptDataError
    from batchwright.foundation.errors import InputError as InputError
    from batchwright.foundation.errors import LockedError as LockedError
    from batchwright.foundation.errors import RecipeError as RecipeError
    from batchwright.foundation.errors import ResourceError as ResourceError
    from batchwright.foundation.errors import UsageError as UsageError
    from batchwright.measuring.coverage import CoverageSource as CoverageSource
    from batchwright.measuring.coverage import measure_coverage as measure_coverage
    from batchwright.measuring.noise_monitor import NoiseMonitor as NoiseMonitor
    from batchwright.model.config import ModelConfig as ModelConfig
    from batchwright.model.description import FunctionModel as FunctionModel
    from batchwright.model.description import HuggingFaceModel as HuggingFaceModel
    from batchwright.model.isolation import attend as attend
    from batchwright.model.transformer import Transformer as Transformer
    from batchwright.recipe import Recipe as Recipe
    from batchwright.recipe import load_recipe as load_recipe
    from batchwright.sequences.batch_rule import ConstantBatch as ConstantBatch
    from batchwright.sequences.batch_rule import DoublingBatch as DoublingBatch
    from batchwright.sequences.batch_rule import RampedBatch as RampedBatch
    from batchwright.sequences.batch_rule import SteppedBatch as SteppedBatch
    from batchwright.sequences.index import SequenceIndex as SequenceIndex
    from batchwright.sequences.index_build import build_index as build_index
    from batchwright.sequences.ledger import Ledger as Ledger
    from batchwright.sequences.mixture import Mixture as Mixture
    from batchwright.sequences.packing import BestFit as BestFit
    from batchwright.sequences.packing import BestFitTruncated as BestFitTruncated
    from batchwright.sequences.packing import Concatenate as Concatenate
    from batchwright.sequences.packing import StartAligned as StartAligned
    from batchwright.sequences.plan import Plan as Plan
    from batchwright.sequences.sampler import Sampler as Sampler
    from batchwright.sequences.stage import Source as Source
    from batchwright.sequences.stage import Stage as Stage
    from batchwright.tokens.build import prepare_store as prepare_store
    from batchwright.tokens.finding import find_document as find_document
    from batchwright.tokens.store import TokenStore as TokenStore
    from batchwright.tokens.tokenizer import Tokenizer as Tokenizer
    from batchwright.tokens.tokenizer import open_tokenizer as open_tokenizer
    from batchwright.tokens.verification import verify as verify
    from batchwright.training.config import TrainingConfig as TrainingConfig
    from batchwright.training.trainer import Trainer as Trainer


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'batchwright' has no attribute {name!r}")
    value = getattr(import_module(f"batchwright.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
