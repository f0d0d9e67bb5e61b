# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pings of peers without BGP, which go unanswered for a while: what nft is told, and what the kernel does."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.vpnha.aws.plugins.module_utils import handover
from vpnha_agent.config import AgentConfig
from vpnha_agent.pings import PeersPings
from vpnha_agent.service import BoundedLog

UNTIL_GONE = """\
"$0" "$1" && "$0" list table inet vpnha_handover || exit
for look in $(seq 300); do
    peers=$("$0" list set inet vpnha_handover peers) || exit
    case "$peers" in *expires*) sleep 0.1 ;; *) exit 0 ;; esac
done
exit 9
"""


def test_static_peers_pings_go_unanswered_while_handed_over(config: AgentConfig, nft: Callable[[int], Path]) -> None:
    calls = nft(0)
    pings = PeersPings(config, BoundedLog())
    began = handover.now()
    for request in ("", f"{began + 900}", f"{began + 900}", f"{began + 1800}", ""):
        asyncio.run(pings.refuse(request))
    first, second, third, last = calls.read_text().splitlines()
    assert "delete table inet vpnha_handover" in first and "drop" not in first  # what an earlier agent left behind
    assert "ip saddr . ip daddr @peers icmp type echo-request drop" in second
    assert "169.254.10.2" not in second  # it speaks BGP
    for call, most in ((second, 900), (third, 1800)):  # the kernel ends it where no agent is left to do so
        (seconds,) = re.findall(r"{ 169\.254\.20\.2 \. 169\.254\.20\.1 timeout (\d+)s }", call)
        assert most - 60 < int(seconds) <= most
    assert last == first


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs nft, and root for a network namespace")
def test_the_kernel_ends_what_no_agent_does(config: AgentConfig, nft: Callable[[int], Path]) -> None:
    real, calls = shutil.which("nft"), nft(0)
    asyncio.run(PeersPings(config, BoundedLog()).refuse(f"{handover.now() + 600}"))
    command, times = re.subn(r"timeout \d+s", "timeout 3s", calls.read_text().strip())
    assert times == 1
    argv = ["unshare", "-n", "sh", "-c", UNTIL_GONE, str(real), command]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "icmp type echo-request drop" in told.stdout and told.stdout.count("169.254.20.2 . 169.254.20.1") == 1


def test_a_request_that_is_about_to_end_has_nothing_refused(config: AgentConfig, nft: Callable[[int], Path]) -> None:
    """A timeout of nothing would be none at all."""
    calls = nft(0)
    asyncio.run(PeersPings(config, BoundedLog()).refuse(f"{handover.now() + 0.5}"))
    assert "drop" not in calls.read_text()


def test_an_nft_that_refuses_hinders_nothing_and_is_told_again(config: AgentConfig, nft: Callable[[int], Path]) -> None:
    calls = nft(1)
    pings, request = PeersPings(config, BoundedLog()), f"{handover.now() + 900}"
    asyncio.run(pings.refuse(request))
    nft(0)
    asyncio.run(pings.refuse(request))
    asyncio.run(pings.refuse(request))
    assert len(calls.read_text().splitlines()) == 2
