# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter's counters: the kernel's words for them, and what a real kernel says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnha_agent import counters
from vpnha_agent.config import AgentConfig
from vpnha_agent.counters import ZoneCounters
from vpnha_agent.dataplane import DataPlane
from vpnha_agent.netlink import attribute
from vpnha_agent.service import BoundedLog

NEW, DONE, ERROR = 10 << 8 | 18, 3, 2
WITHIN = """\
import json, subprocess, time
from vpnha_agent.counters import ZoneCounters

def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

def read():
    try:
        return counters.read()
    except ValueError as exc:
        return str(exc)

counters = ZoneCounters()
found = [read()]
nft("add table inet other; add counter inet other zone-c { packets 9 bytes 9 }; "
    "add table inet vpnha; add counter inet vpnha plaintext { packets 3 bytes 300 }; "
    "add counter inet vpnha zone-a { packets 18446744073709551615 bytes 1 }; add counter inet vpnha zone-b")
found.append(read())
again = subprocess.Popen(["sh", "-c", 'while :; do printf "%s\\n" "$0" | nft -f -; done',
    "add table inet vpnha; delete table inet vpnha; add table inet vpnha; "
    "add counter inet vpnha zone-a { packets 5 bytes 5 }; add counter inet vpnha zone-b { packets 6 bytes 6 }"])
until, meanwhile = time.monotonic() + 60, []
while time.monotonic() < until and (len(meanwhile) < 2000 or {"a": 5, "b": 6} not in meanwhile):
    meanwhile.append(read())
found.append(meanwhile)
again.kill()
again.wait()
counters.close()
found.append(read())
print(json.dumps(found))
"""


def message(kind: int, body: bytes = b"", sequence: int = 7, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def counter(name: str, packets: int) -> bytes:
    data = attribute(1, struct.pack(">Q", 84 * packets)) + attribute(2, struct.pack(">Q", packets))
    of = attribute(1, b"vpnha\0") + attribute(2, name.encode() + b"\0") + attribute(3, struct.pack(">I", 1))
    return bytes((1, 0, 0, 1)) + of + attribute(4 | 0x8000, data)


def test_counters_come_in_several_packets() -> None:
    found: dict[str, int] = {}
    two = message(NEW, counter("zone-a", 42)) + message(NEW, counter("plaintext", 1))
    assert not counters.decode(two, 7, found)
    assert not counters.decode(message(NEW, counter("zone-b", 7)), 7, found)
    assert counters.decode(message(DONE, bytes(4)), 7, found)
    assert found == {"zone-a": 42, "plaintext": 1, "zone-b": 7}


def test_what_answers_an_earlier_question_is_passed_over() -> None:
    found: dict[str, int] = {}
    assert not counters.decode(message(NEW, counter("zone-a", 1), sequence=6) + message(DONE, sequence=6), 7, found)
    assert found == {}


@pytest.mark.parametrize("interruptions", [counters.TRIES - 1, counters.TRIES])
def test_a_filter_that_is_replaced_meanwhile_is_read_again(interruptions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = message(NEW, counter("zone-a", 1), flags=0x12) + message(DONE, bytes(4))
    again = message(NEW, counter("zone-a", 2)) + message(DONE, bytes(4))
    packets = [first] * interruptions + [again]
    decode = counters.decode
    monkeypatch.setattr(counters, "encode", lambda sequence: b"")
    monkeypatch.setattr(counters, "decode", lambda _packet, _number, found: decode(packets.pop(0), 7, found))
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(ZoneCounters, "_open", lambda _self: here)
    with here, there:
        for _ in range(counters.TRIES):
            there.send(b"an answer")
        if interruptions < counters.TRIES:
            assert ZoneCounters().read() == {"a": 2}
        else:
            with pytest.raises(ValueError, match="being replaced"):
                ZoneCounters().read()


def test_an_agent_goes_on_without_counters(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_self: ZoneCounters) -> dict[str, int]:
        raise ValueError("Operation not permitted")

    monkeypatch.setattr(ZoneCounters, "read", refused)

    async def act() -> None:
        dataplane = DataPlane(config, BoundedLog())
        await dataplane.look()
        assert dataplane.counters(asyncio.get_running_loop().time()) == {}

    asyncio.run(act())
    assert "packet counters cannot be read: Operation not permitted" in caplog.text


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (message(ERROR, struct.pack("=i", -1)), "Operation not permitted"),
        (message(ERROR, struct.pack("=i", -(2**31))), "Success"),
        (message(DONE, struct.pack("=i", -12)), "Cannot allocate memory"),
        (message(NEW, bytes(4)), "without a name"),
        (message(NEW, counter("zone-a", 1)[:-8]), "broken"),
        (b"short", "truncated"),
        (struct.pack("=IHHII", 99, NEW, 0, 7, 0), "broken"),
    ],
)
def test_what_is_no_list_of_counters_is_refused(packet: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        counters.decode(packet, 7, {})


@given(st.binary(max_size=80), st.sampled_from((None, NEW, DONE, ERROR)))
def test_random_packets_raise_nothing_but_value_errors(noise: bytes, kind: int | None) -> None:
    with contextlib.suppress(ValueError):
        counters.decode(noise if kind is None else message(kind, noise), 7, {})


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs nft, and root for a network namespace")
def test_the_kernel_answers_also_while_the_filter_is_replaced() -> None:
    argv = ["unshare", "-n", sys.executable, "-c", WITHIN]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 0, told.stderr
    nothing, first, meanwhile, last = json.loads(told.stdout)
    assert nothing == "there is no counter in nftables' table inet vpnha"
    assert first == {"a": 2**64 - 1, "b": 0}
    whole = {"a": 5, "b": 6}
    assert last in (whole, first) and whole in meanwhile
    others = [one for one in meanwhile if one not in (first, whole)]
    assert all(one == "the filter was being replaced" for one in others), others
