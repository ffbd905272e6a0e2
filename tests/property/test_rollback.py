"""The newest stored block that the chain still has, against a naive search."""

from hypothesis import given
from hypothesis import strategies as st

from indexer.core.model import BlockId, Header
from indexer.sync.rollback import newest_agreeing


def block_hash(number: int, branch: str) -> bytes:
    return f"{branch}{number}".encode().ljust(32, b".")


@given(
    st.sets(st.integers(0, 300), max_size=40), st.integers(0, 301), st.integers(0, 301), st.integers(0, 301)
)
async def test_it_is_found_wherever_the_chain_parts_and_whatever_is_stored(
    stored: set[int], fork: int, below: int, head: int
) -> None:
    ours = {number: BlockId(number, block_hash(number, "a")) for number in stored}
    asked = 0

    async def at_or_below(number: int) -> BlockId | None:
        return ours.get(max((n for n in ours if n <= number), default=-1))

    async def header(number: int) -> Header | None:
        nonlocal asked
        asked += 1
        if number > head:
            return None
        branch = "a" if number <= fork else "b"
        return Header(number, block_hash(number, branch), b"", 0, None, 0, 0, b"", b"")

    expected = max((n for n in ours if n <= fork and n <= head and n < below), default=None)
    found = await newest_agreeing(at_or_below, header, below)
    assert found == (None if expected is None else ours[expected])
    assert asked <= 10
