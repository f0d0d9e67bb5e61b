# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking one of FRR's daemons by its own socket, as vtysh does, without a vtysh for each question.

A command and its answer end with a zero byte; the answer's is followed by two more and a byte that says how it went
(FRR's lib/vty.c). The connection is kept: a gateway's agent asks every second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

DIRECTORY = Path("/run/frr")
SECONDS = 5.0
LIMIT = 8 << 20  # bytes of an answer
_END = b"\0\0\0"
_SUCCESS, _WARNING = 0, 1  # bgpd without an instance warns, and answers with an empty summary
_CONNECTION_GONE = (FileNotFoundError, ConnectionRefusedError)


class VtyError(Exception):
    """The daemon did not do what it was asked; ``gone``: because it does not run."""

    def __init__(self, message: str, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(message)


class Vty:
    """The socket of one daemon. One question at a time."""

    def __init__(self, daemon: str, directory: Path = DIRECTORY) -> None:
        self._daemon, self._path = daemon, directory / f"{daemon}.vty"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def show(self, command: str) -> str:
        """The daemon's answer to a command that changes nothing. Raises VtyError."""
        try:
            async with asyncio.timeout(SECONDS):
                answer, code = await self._ask_of_whoever_runs(command)
        except TimeoutError:
            raise VtyError(f"{self._daemon} did not answer within {SECONDS:g} s") from None
        except OSError as exc:
            gone = isinstance(exc, _CONNECTION_GONE)
            raise VtyError(f"{self._path}: {exc.strerror or exc}", gone) from exc
        if code not in (_SUCCESS, _WARNING) or answer.startswith("% "):
            raise VtyError(f"{self._daemon}: {answer.strip().partition(chr(10))[0] or f'code {code}'}")
        return answer

    def close(self) -> None:
        """Hang up; the next question connects anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(str(self._path))  # at once or not at all; asyncio would take a full queue for a connection
        except OSError as exc:
            sock.close()
            if isinstance(exc, BlockingIOError):
                raise OSError("it takes no connections") from None
            raise
        return sock

    async def _ask_of_whoever_runs(self, command: str) -> tuple[str, int]:
        if self._streams is not None:
            with contextlib.suppress(OSError):  # FRR was restarted since
                return await self._ask(command)
        return await self._ask(command)

    async def _ask(self, command: str) -> tuple[str, int]:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(sock=self._connected(), limit=LIMIT)
            reader, writer = self._streams
            writer.write(command.encode() + b"\0")
            await writer.drain()
            answer = await reader.readuntil(_END)
            (code,) = await reader.readexactly(1)
        except asyncio.IncompleteReadError:
            self.close()
            raise ConnectionResetError(f"{self._daemon} hung up") from None
        except asyncio.LimitOverrunError:
            self.close()
            raise OSError(f"an answer of more than {LIMIT >> 20} MiB") from None
        except BaseException:
            self.close()  # what is left of the answer would be taken for the next one's
            raise
        return answer.removesuffix(_END).decode("utf-8", "replace"), code
