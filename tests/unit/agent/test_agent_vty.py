# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking one of FRR's daemons by its socket, of which these tests have the other end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vpnha_agent import vty
from vpnha_agent.agent import Agent
from vpnha_agent.config import AgentConfig
from vpnha_agent.vty import Vty, VtyError

Answer = Callable[[str], bytes | None]


class Daemon:
    """Answers each command by ``answer``; None: hangs up."""

    def __init__(self, directory: Path, answer: Answer) -> None:
        self._path, self._answer = directory / "bgpd.vty", answer
        self.connections, self.asked = 0, 0
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, self._path)
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                command = (await reader.readuntil(b"\0"))[:-1].decode()
                self.asked += 1
                answer = self._answer(command)
                if answer is None:
                    break
                for at in range(0, len(answer), 3):  # nothing says that it comes in one piece
                    writer.write(answer[at : at + 3])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


def run(directory: Path, answer: Answer, act: Callable[[Vty, Daemon], Awaitable[None]]) -> None:
    async def both() -> None:
        asked = Vty("bgpd", directory)
        await act(asked, Daemon(directory, answer))
        asked.close()

    asyncio.run(both())


def echo(command: str) -> bytes:
    return f"<{command}>\n".encode() + bytes(4)


def test_questions_go_by_one_connection(tmp_path: Path) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            assert await asked.show("show version") == "<show version>\n"
            assert await asked.show("show bgp summary json") == "<show bgp summary json>\n"
        assert daemon.connections == 1

    run(tmp_path, echo, act)


def test_who_was_restarted_is_asked_anew_and_who_does_not_run_is_gone(tmp_path: Path) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        with pytest.raises(VtyError) as never:
            await asked.show("a")
        async with daemon.running():
            await asked.show("a")
        with pytest.raises(VtyError) as ended:
            await asked.show("b")
        async with daemon.running():
            assert await asked.show("c") == "<c>\n"
        async with daemon.running():
            assert await asked.show("d") == "<d>\n"
        assert never.value.gone and ended.value.gone
        assert str(tmp_path / "bgpd.vty") in str(ended.value)

    run(tmp_path, echo, act)


def test_a_refusal_is_told_in_its_first_line(tmp_path: Path) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            with pytest.raises(VtyError, match=r"^bgpd: % Unknown command$") as refused:
                await asked.show("nonsense")
            assert not refused.value.gone

    run(tmp_path, lambda _: b"% Unknown command\nmore\n\0\0\0\2", act)


def test_an_answer_without_words_is_one(tmp_path: Path) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            assert await asked.show("a") == ""

    run(tmp_path, lambda _: bytes(4), act)


def test_who_always_hangs_up_is_asked_twice_and_no_more(tmp_path: Path) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            await asked.show("well")
            for number in (3, 4):  # a kept connection is made up for once, a new one is not
                with pytest.raises(VtyError, match="hung up") as refused:
                    await asked.show("a")
                assert not refused.value.gone and daemon.asked == number

    run(tmp_path, lambda command: echo(command) if command == "well" else None, act)


def test_who_does_not_answer_is_not_waited_for_and_its_late_answer_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vty, "SECONDS", 0.05)

    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            with pytest.raises(VtyError, match="did not answer within") as late:
                await asked.show("hang")
            assert not late.value.gone
            monkeypatch.setattr(vty, "SECONDS", 30.0)
            assert await asked.show("a") == "<a>\n"
            assert daemon.connections == 2

    run(tmp_path, lambda command: b"<hang" if command == "hang" else echo(command), act)


def test_whose_queue_is_full_is_told_apart(tmp_path: Path) -> None:
    """bgpd hangs, and those who gave up are still in its queue."""

    async def act(asked: Vty, _daemon: Daemon) -> None:
        path = str(tmp_path / "bgpd.vty")
        with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as waits:
            hung.bind(path)
            hung.listen(0)
            waits.connect(path)
            with pytest.raises(VtyError, match="takes no connections") as refused:
                await asked.show("a")
            assert not refused.value.gone

    run(tmp_path, echo, act)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b'{"ipv4Unicast": {"peers": {"169.254.10.2": {"state": "Established"}}}}\n' + bytes(4), "established"),
        (b"{}\n\0\0\0\1", "down"),  # no instance: its configuration was not taken
        (b"% BGP instance not found\n\0\0\0\1", "unknown"),
        (b"% Unknown command\n\0\0\0\2", "unknown"),
        (b"[]\n" + bytes(4), "unknown"),
        (None, "unknown"),
    ],
)
def test_what_the_agent_makes_of_it(tmp_path: Path, config: AgentConfig, answer: bytes | None, state: str) -> None:
    async def act(asked: Vty, daemon: Daemon) -> None:
        agent = Agent(config)
        agent._bgpd = asked
        await agent._read_frr()
        known = agent._bgp.known(asyncio.get_running_loop().time())
        assert set(known.values()) == {"down"} and "169.254.10.2" in known  # it does not run
        async with daemon.running():
            await agent._read_frr()
            assert agent._bgp.known(asyncio.get_running_loop().time())["169.254.10.2"] == state

    run(tmp_path, lambda _: answer, act)


def test_an_answer_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vty, "LIMIT", 16)

    async def act(asked: Vty, daemon: Daemon) -> None:
        async with daemon.running():
            with pytest.raises(VtyError, match="MiB"):
                await asked.show("a")

    run(tmp_path, lambda _: b"x" * 300, act)
