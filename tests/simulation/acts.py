"""What can happen to the program and its world, each as a function of the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.chaos.test_two_processes import END_LOCK_SESSIONS
from tests.fixtures.program import Program, until
from tests.simulation.world import LATECOMER, LONG_ABSENCE_BLOCKS, World, WrongError, asked

#: How long something is waited for that need not happen.
SHORT_SECONDS = 1.0
END_SESSIONS = """
    select pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
    where datname = current_database() and application_name like 'indexer%'
"""
STORED = "select exists (select from indexer.block where hash = any($1::bytea[]))"
#: A backfill that was not done: the lock of the one before was not free yet, or the node was not to be had.
TRY_AGAIN = 75

Act = Callable[[World], Awaitable[None]]


async def mine(world: World) -> None:
    world.mine(world.random.randrange(1, 5))
    await world.announce()


async def reorg(world: World) -> None:
    deepest = world.chain.head.number - world.floor
    depth = world.random.choice((1, 1, 2, 3, 5, 8, 20, deepest))
    # Where nobody has seen the old branch there is no reorg to carry out.
    noticed = bool(world.programs) and world.random.random() < 0.7
    if noticed:
        await world.followed(3 * SHORT_SECONDS)
    world.reorg(depth, max(0, depth + world.random.choice((-2, -1, 0, 1, 2))))
    await world.announce()
    if noticed and world.random.random() < 0.5:
        await world.followed(SHORT_SECONDS)


async def finalize(world: World) -> None:
    world.mine()
    world.finalize()
    await world.announce()


async def kill_at_request(world: World) -> None:
    """The program is killed at some request to the node, and started again."""
    await world.requests(world.random.randrange(40))
    await _killed(world, world.programs[0])


async def kill_at_message(world: World) -> None:
    """The program is killed after some message to the database, which may be inside a transaction."""
    program = world.programs[0]
    await _struck(world, program.kill)
    await _killed(world, program)


async def stop(world: World) -> None:
    """The program is told to stop, and started again."""
    await world.requests(world.random.randrange(30))
    await world.stop()
    world.happened["stop"] += 1
    await world.start()


async def freeze(world: World) -> None:
    """The program is frozen; another one takes over; the first wakes up."""
    frozen = world.programs[0]
    await _struck(world, frozen.freeze)
    frozen.freeze()
    world.happened["freeze"] += 1
    await world.start()
    # One that stood by already may be quicker.
    others = {program.pid: program for program in world.programs if program is not frozen}
    async with world.onlooker() as connection:

        async def successor() -> object:
            return others.get(await asked(connection, "select leader_pid from indexer.chain"))

        leader = await until(successor, "another process leads than the frozen one")
    await mine(world)
    await world.requests(world.random.randrange(20))
    frozen.thaw()
    world.programs.sort(key=lambda program: program is not leader)


async def standby(world: World) -> None:
    """One more process stands by."""
    if len(world.programs) < 3:
        world.happened["standby"] += 1
        await world.start()


async def lead_lost(world: World) -> None:
    """The session that holds the leader's lock is ended."""
    async with world.onlooker() as connection:
        await connection.fetch(END_LOCK_SESSIONS)
    world.happened["lead lost"] += 1


async def sessions_ended(world: World) -> None:
    """Every session of the program is ended by the server."""
    await world.requests(world.random.randrange(20))
    async with world.onlooker() as connection:
        ended = await connection.fetch(END_SESSIONS)
    world.happened["database session ended"] += len(ended)


async def database_cut(world: World) -> None:
    """The database cannot be reached for a while, from some message on."""
    await _struck(world, world.way.close)
    world.way.close()
    world.happened["database away"] += 1
    await world.requests(world.random.randrange(30), 0.5)
    world.way.open()


async def commit_cut(world: World) -> None:
    """A commit happens, and its answer does not arrive; or the program is killed at that moment."""
    program = world.programs[0]
    killed = world.random.random() < 0.5
    cut = asyncio.Event()

    def strike() -> None:
        cut.set()
        if killed:
            program.kill()
        world.way.cut()

    world.way.swallow_commit(world.random.randrange(1, 6), strike)
    await mine(world)

    async def done() -> bool:
        return cut.is_set()

    if await world.until(done, SHORT_SECONDS):
        world.happened["answer to a commit lost"] += 1
    world.way.disarm()
    if killed:
        await _killed(world, program)


async def node_away(world: World) -> None:
    """No endpoint answers for a while."""
    for endpoint in world.endpoints:
        endpoint.away = True
    world.happened["node away"] += 1
    await asyncio.sleep(world.random.uniform(0.05, 0.4))
    await mine(world)
    for endpoint in world.endpoints:
        endpoint.away = False


async def endpoint_lags(world: World) -> None:
    """One endpoint does not see the newest blocks, or sees them again."""
    view = world.random.choice(world.endpoints).view
    view.behind = 0 if view.behind else world.random.randrange(1, 8)
    world.happened["endpoint lags"] += 1


async def endpoint_stale(world: World) -> None:
    """One endpoint stays on the branch that it sees, while the chain takes another one."""
    view = world.random.choice(world.endpoints).view
    if world.random.random() < 0.3:
        view.catch_up()
        return
    view.stay()
    world.happened["endpoint on another branch"] += 1
    await reorg(world)
    await world.requests(world.random.randrange(60))


async def range_cap(world: World) -> None:
    """One endpoint takes shorter ranges from now on, or longer ones."""
    world.random.choice(world.endpoints).view.most_blocks = world.random.choice((1, 2, 3, 7, 30, None))
    world.happened["range cap"] += 1


async def backfill_once(world: World) -> None:
    """`indexer backfill` takes the place of `indexer run` for a while; it may be killed."""
    await world.stop()
    kill_after = world.random.randrange(60) if world.random.random() < 0.5 else None
    outcome = await world.command("backfill", "--from-block", "0", "--json", kill_after=kill_after)
    # The node's faults may be more than it stands: 75. A person's mistake, 2, is none here.
    if outcome.code not in (0, TRY_AGAIN, -9):
        raise WrongError(f"`indexer backfill` ended with {outcome.code}: {outcome.said[-2000:]}")
    world.happened["backfill killed" if outcome.code == -9 else "backfill"] += 1
    await world.start()


async def contract_added(world: World) -> None:
    """The program is started again with one contract more."""
    await world.stop()
    world.contracts = (*world.contracts, LATECOMER)
    world.happened["contract added"] += 1
    await world.start()


async def long_absence(world: World) -> None:
    """While nobody follows, the chain grows by more than the tail would read one by one."""
    for program in list(world.programs):
        await world.end(program)
    if world.random.random() < 0.5:
        await reorg(world)
    world.mine(LONG_ABSENCE_BLOCKS, sparse=True)
    world.finalize()
    world.happened["long absence"] += 1
    await world.start()


async def break_finality(world: World) -> None:
    """The chain takes back blocks that it had called final.

    Where nothing that is stored would be left of it, nobody could roll back: then it does not.
    """
    await world.followed(3 * SHORT_SECONDS)
    depth = world.random.randrange(1, world.plan.finality_lag)
    fork = max(1, world.chain.finalized - depth)
    async with world.onlooker() as connection:
        if not await asked(connection, STORED, [block.hash for block in world.chain.blocks[: fork + 1]]):
            return
    world.chain.finalized = fork
    world.reorg(world.chain.head.number - world.chain.finalized, 0)
    world.mine(world.plan.finality_lag + depth)
    world.happened["finality broken"] += 1
    await world.announce()


async def claims(world: World) -> None:
    """What the database claims to have at this moment must be right."""
    if world.plan.breaks_finality:
        return
    async with world.onlooker() as connection:
        if await connection.fetchval("select to_regclass('indexer.event') is null"):
            return
        found = world.excused(await world.judge.claims(connection))
    if found:
        raise WrongError("it claims what is not true:\n" + "\n".join(line[:400] for line in found[:8]))
    world.happened["claims compared"] += 1


async def _struck(world: World, strike: Callable[[], object]) -> bool:
    """Let something happen after some message to the database, in time or not at all."""
    world.way.arm(world.random.randrange(1, 50), strike)
    await mine(world)

    async def struck() -> bool:
        return world.way.struck

    happened = await world.until(struck, SHORT_SECONDS)
    world.way.disarm()
    return happened


async def _killed(world: World, program: Program) -> None:
    """Kill it if it still runs, and start another one unless one stands by."""
    await world.end(program)
    world.happened["kill"] += 1
    if world.random.random() < 0.3:
        # Things happen while it is down.
        await reorg(world)
        await finalize(world)
    if not world.programs or world.random.random() < 0.3:
        await world.start()


ALL: Mapping[str, Act] = {
    act.__name__: act
    for act in (
        mine,
        reorg,
        finalize,
        kill_at_request,
        kill_at_message,
        stop,
        freeze,
        standby,
        lead_lost,
        sessions_ended,
        database_cut,
        commit_cut,
        node_away,
        endpoint_lags,
        endpoint_stale,
        range_cap,
        backfill_once,
        contract_added,
        long_absence,
        break_finality,
        claims,
    )
}
