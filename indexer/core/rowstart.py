"""The columns that every event table begins with, in binary COPY, for many logs at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from indexer.core.arrays import Integers, Records
from indexer.core.logcolumns import LogColumns
from indexer.core.pgbinary import POSTGRES_EPOCH

#: The number of fields, then each field behind its length in bytes.
ROW_START: list[tuple[Any, ...]] = [
    ("field_count", ">i2"),
    ("block_number_length", ">i4"),
    ("block_number", ">i8"),
    ("log_index_length", ">i4"),
    ("log_index", ">i4"),
    ("block_time_length", ">i4"),
    ("block_time", ">i8"),
    ("transaction_hash_length", ">i4"),
    ("transaction_hash", "u1", (32,)),
    ("transaction_index_length", ">i4"),
    ("transaction_index", ">i4"),
    ("address_length", ">i4"),
    ("address", "u1", (20,)),
]

ROW_START_TYPE = np.dtype(ROW_START)
START_FIELDS = 6


def fill_row_start(records: Records, columns: LogColumns, times: Integers, rows: Integers | None) -> None:
    """Write the first columns of these logs (None: of all) into records that begin with `ROW_START`.

    The number of fields is left to the caller, who knows the others. Times are Unix seconds, one per log.
    """
    chosen = slice(None) if rows is None else rows
    addresses = np.frombuffer(b"".join([address for address, _, _ in columns.kinds]), dtype=np.uint8)
    kind = columns.kind[chosen]
    records["block_number_length"] = 8
    records["block_number"] = columns.numbers[chosen]
    records["log_index_length"] = 4
    records["log_index"] = columns.indexes[chosen]
    records["block_time_length"] = 8
    records["block_time"] = (times[chosen] - POSTGRES_EPOCH) * 1_000_000
    records["transaction_hash_length"] = 32
    records["transaction_hash"] = columns.transaction_hashes[chosen]
    records["transaction_index_length"] = 4
    records["transaction_index"] = columns.transaction_indexes[chosen]
    records["address_length"] = 20
    records["address"] = addresses.reshape(-1, 20)[kind]
