"""torchdata's StatefulDataLoader over our micro-batches: exact, also when the number of workers changes."""

from pathlib import Path
from typing import Any

import pytest

from tests.adapters.streams import expected, loader_of, same, small_plan, take

pytest.importorskip("torchdata", reason="torchdata is not installed here; `make adapters` has an environment for it")

from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright.adapters.micro_batches import MicroBatches
from batchwright.adapters.rows import RankBatches, Rows, stack_rows
from batchwright.adapters.torchdata import ExactStatefulDataLoader

pytestmark = pytest.mark.adapters

KINDS: list[Any] = [pytest.param(kind, id=kind.__name__) for kind in (MicroBatches, RankBatches)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 2), (2, 0), (0, 3), (3, 1)])
def test_it_resumes_exactly_with_any_number_of_workers(tmp_path: Path, kind: Any, before: int, after: int) -> None:
    plan = small_plan(tmp_path)
    wanted = expected(loader_of(plan, 7, 2), 20)
    first = ExactStatefulDataLoader(kind(loader_of(plan, 7, 2)), num_workers=before)
    assert isinstance(first, StatefulDataLoader)
    found = take(first, 9)
    second = ExactStatefulDataLoader(kind(loader_of(plan, 7, 2)), num_workers=after)
    second.load_state_dict(first.state_dict())
    found += take(second, 60)
    assert all(same(item, want) for item, want in zip(found, wanted[:69], strict=True))


def test_torchdatas_own_state_refuses_another_number_of_workers(tmp_path: Path) -> None:
    """Why ours is not its: if this ever stops failing, the adapter has lost its reason."""
    plan = small_plan(tmp_path)

    def plain(workers: int) -> Any:
        return StatefulDataLoader(
            Rows(plan, length=1000),
            batch_sampler=RankBatches(loader_of(plan, 6, 2)),
            collate_fn=stack_rows,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )

    first = plain(2)
    take(first, 5)
    second = plain(1)
    second.load_state_dict(first.state_dict())
    with pytest.raises(AssertionError):
        take(second, 1)
