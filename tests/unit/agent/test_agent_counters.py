# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter's counters: the kernel's words for them, and what a real kernel says."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnha_agent import counters
from vpnha_agent.netlink import attribute

NEW, DONE, ERROR = 10 << 8 | 18, 3, 2
WITHIN = """\
import json, subprocess, sys
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
found.append([read() for _ in range(2000)])
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


def test_a_filter_that_is_replaced_meanwhile_is_read_again() -> None:
    with pytest.raises(counters.Interrupted):
        counters.decode(message(NEW, counter("zone-a", 1), flags=0x12), 7, {})


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (message(ERROR, struct.pack("=i", -1)), "Operation not permitted"),
        (message(NEW, bytes(4)), "without a name"),
        (message(NEW, counter("zone-a", 1)[:-8]), "broken"),
        (b"short", "truncated"),
        (struct.pack("=IHHII", 99, NEW, 0, 7, 0), "broken"),
    ],
)
def test_what_is_no_list_of_counters_is_refused(packet: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        counters.decode(packet, 7, {})


@given(st.binary(max_size=80), st.booleans())
def test_random_packets_raise_nothing_but_value_errors(noise: bytes, headed: bool) -> None:
    with contextlib.suppress(ValueError):
        counters.decode(message(NEW, noise) if headed else noise, 7, {})


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
