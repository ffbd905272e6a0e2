"""Anvil under our supervision: starts, stops, dies with us, and fails with a clear message."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from indexer.core.errors import Fatal, Unavailable, UserMistake
from indexer.dev import anvil as supervisor
from indexer.dev.anvil import Anvil, find_anvil
from indexer.dev.chain import Chain
from indexer.dev.checkout import PROJECT
from tests.fixtures.anvil import AnvilFactory

pytestmark = pytest.mark.integration


async def genesis_hash(url: str) -> str:
    async with Chain(url) as chain:
        return str((await chain.block(0))["hash"])


async def until_nothing_answers(url: str) -> None:
    """Return once the port is closed; the test's time limit is the only one."""
    async with Chain(url) as chain:
        while True:
            try:
                await chain.block_number()
            except Unavailable:
                return


async def test_equal_genesis_times_give_the_same_chain(anvil_factory: AnvilFactory) -> None:
    one, same, other = [await anvil_factory(timestamp=time) for time in (17, 17, 18)]
    assert await genesis_hash(one.url) == await genesis_hash(same.url) != await genesis_hash(other.url)


async def test_it_comes_back_on_the_same_port_after_a_stop(anvil: Anvil) -> None:
    url, first_pid = anvil.url, anvil.pid
    await anvil.stop()
    await until_nothing_answers(url)
    with pytest.raises(Fatal, match="does not run"):
        _ = anvil.pid
    await anvil.start()
    assert anvil.url == url
    assert anvil.pid != first_pid
    assert await genesis_hash(url)


async def test_a_paused_process_answers_after_it_was_resumed(anvil: Anvil) -> None:
    anvil.pause()
    question = asyncio.create_task(genesis_hash(anvil.url))
    anvil.resume()
    assert await question


async def test_a_paused_process_can_be_stopped(anvil: Anvil) -> None:
    anvil.pause()
    await anvil.stop()
    await until_nothing_answers(anvil.url)


async def test_a_process_that_was_killed_can_be_stopped(anvil: Anvil) -> None:
    os.kill(anvil.pid, signal.SIGKILL)
    await until_nothing_answers(anvil.url)
    await anvil.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process when its parent is killed")
async def test_it_ends_when_its_parent_is_killed() -> None:
    program = (
        "import asyncio\n"
        "from indexer.dev.anvil import Anvil\n"
        "async def main():\n"
        "    async with Anvil() as anvil:\n"
        "        print(anvil.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=PROJECT
    )
    assert parent.stdout is not None
    url = (await parent.stdout.readline()).decode().strip()
    assert await genesis_hash(url)
    parent.kill()
    await parent.wait()
    await until_nothing_answers(url)


async def test_a_wrong_option_is_told_in_anvils_own_words() -> None:
    with pytest.raises(Fatal, match="unexpected argument '--no-such-option'"):
        await Anvil(arguments=["--no-such-option"]).start()


async def test_a_taken_port_is_a_mistake_that_names_it(anvil: Anvil) -> None:
    with pytest.raises(UserMistake, match=f"port {anvil.port} is taken"):
        await Anvil(port=anvil.port).start()


async def test_nothing_is_left_behind_in_the_home(
    anvil_factory: AnvilFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    anvil = await anvil_factory()
    async with Chain(anvil.url) as chain:
        await chain.mine(2000)
    await anvil.stop()
    assert not list(home.rglob("*"))
    assert not list(scratch.rglob("*"))


def test_a_missing_program_is_a_mistake_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(supervisor, "PROJECT", tmp_path)
    with pytest.raises(UserMistake, match="npm ci"):
        find_anvil()


async def test_a_file_that_is_no_program_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "anvil"
    broken.write_bytes(b"\0 not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("ANVIL", str(broken))
    monkeypatch.setattr(supervisor, "_ending_with_us", tuple)
    with pytest.raises(UserMistake, match="cannot be run: Exec format error"):
        await Anvil().start()


def test_the_variable_names_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANVIL", str(tmp_path / "absent"))
    with pytest.raises(UserMistake, match="ANVIL"):
        find_anvil()
    monkeypatch.setenv("ANVIL", sys.executable)
    assert find_anvil() == Path(sys.executable)
