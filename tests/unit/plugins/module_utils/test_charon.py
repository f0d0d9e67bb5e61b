# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VICI against a daemon that answers, hangs, drips, babbles or dies: no call outlasts its deadline."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils.charon import Charon, CharonError, CharonRefusal
from tests.unit.plugins.module_utils.fake_vici import (
    Handler,
    answer,
    babble,
    drip,
    hang_up,
    refuse,
    request,
    serve_nothing,
    serve_version,
    served,
)

LONG, SHORT = 60.0, 0.05  # a deadline that is never met, and one that always passes


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda *handlers: stack.enter_context(served(tmp_path / "charon.vici", *handlers))


def state_of(charon: Charon, seconds: float) -> str:
    with pytest.raises(CharonError) as caught:
        charon.version(seconds)
    return caught.value.state


def test_an_answer_is_life(serve: Callable[..., str]) -> None:
    charon = Charon(serve(serve_version))
    assert [charon.version(LONG) for _ in range(3)] == ["6.0.1"] * 3
    charon.close()


def test_no_socket_and_nobody_behind_it_are_dead(tmp_path: Path) -> None:
    path = tmp_path / "charon.vici"
    assert state_of(Charon(str(path)), LONG) == "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    assert path.exists()
    assert state_of(Charon(str(path)), LONG) == "dead"
    assert Charon(str(path)).state() == "dead"


@pytest.mark.parametrize("handler", [serve_nothing, drip])
def test_silence_and_half_an_answer_are_hung(serve: Callable[..., str], handler: Handler) -> None:
    assert state_of(Charon(serve(handler)), SHORT) == "hung"


def test_a_full_backlog_is_hung(tmp_path: Path) -> None:
    path = str(tmp_path / "charon.vici")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        assert state_of(Charon(path), SHORT) == "hung"


def test_nonsense_is_no_life(serve: Callable[..., str]) -> None:
    assert state_of(Charon(serve(babble)), LONG) in ("hung", "dead")


def test_after_a_timeout_the_session_is_thrown_away(serve: Callable[..., str]) -> None:
    """A late answer would otherwise be taken for that of the next request."""
    charon = Charon(serve(serve_nothing, serve_version))
    assert state_of(charon, SHORT) == "hung"
    assert charon.version(LONG) == "6.0.1"


def test_a_restarted_charon_is_found_again_at_once(serve: Callable[..., str]) -> None:
    def once(conn: socket.socket) -> None:
        request(conn)
        answer(conn, version="6.0.1")
        request(conn)

    charon = Charon(serve(once, serve_version))
    assert charon.version(LONG) == "6.0.1"
    assert charon.version(LONG) == "6.0.1"  # the first session has ended under it


def test_one_that_hangs_up_at_once_is_dead(serve: Callable[..., str]) -> None:
    assert state_of(Charon(serve(hang_up)), LONG) == "dead"


def test_a_refused_command_is_told_in_charons_words(serve: Callable[..., str]) -> None:
    charon = Charon(serve(refuse))
    with pytest.raises(CharonRefusal, match="config 'x' not found"):
        charon.initiate("x", LONG)
    with pytest.raises(CharonRefusal):
        charon.terminate("1", LONG)
