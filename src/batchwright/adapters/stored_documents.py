"""The documents of a store, block by block, for whoever writes them in another form.

Guarantee: every document once, in the store's order, closed by its <endoftext>; what is read has been checked. Price:
views of the store's memory maps.
"""

from collections.abc import Iterator

import numpy as np

from batchwright.adapters.id_files import BLOCK_IDS, blocks_of
from batchwright.tokens.id_blocks import IdBlock
from batchwright.tokens.shard import FIRST_ITEM
from batchwright.tokens.store import StoreSplit

_DOCUMENTS_AT_ONCE = 1 << 16


def stored_blocks(split: StoreSplit, block_ids: int = BLOCK_IDS) -> Iterator[IdBlock]:
    """Blocks of documents; `places` are items of their shard, `first` is the first document's number in the split."""
    number = 0
    for shard in split.shards:
        begin = FIRST_ITEM
        for first in range(0, shard.document_count, _DOCUMENTS_AT_ONCE):
            stop = min(first + _DOCUMENTS_AT_ONCE, shard.document_count)
            shard.documents.check(first, stop)
            ends = np.asarray(shard.documents.array[first:stop])
            for block in blocks_of(shard.tokens.array, begin, ends, number, block_ids):
                low, high = int(block.places[0]), int(block.places[0]) + block.ids.shape[0]
                shard.tokens.check(low, high)
                mask = None
                if shard.mask is not None:
                    shard.mask.check(low, high)
                    mask = shard.mask.array[low:high]
                yield IdBlock(ids=block.ids, offsets=block.offsets, places=block.places, first=block.first, mask=mask)
                number += block.places.shape[0]
            begin = int(ends[-1])
