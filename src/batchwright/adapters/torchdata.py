"""torchdata's `StatefulDataLoader`, exact: the state is our position, not its workers'.

Its own state holds one entry per worker and can only be loaded with as many; here `num_workers`, world size and
micro-batch may change at a step's edge. Everything else is torchdata's. Price: that of `micro_batches`.
"""

from typing import Any

from torchdata.stateful_dataloader import StatefulDataLoader  # pyright: ignore[reportMissingImports]

from batchwright.adapters.micro_batches import Counted, MicroBatches, options_for
from batchwright.adapters.rows import RankBatches


class ExactStatefulDataLoader(Counted, StatefulDataLoader):
    """A StatefulDataLoader over `MicroBatches` or `RankBatches`; other arguments as torchdata takes them."""

    def __init__(self, source: MicroBatches | RankBatches, **options: Any) -> None:
        self._places = source
        super().__init__(**options_for(source, options))
