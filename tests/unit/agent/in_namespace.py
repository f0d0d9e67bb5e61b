# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by test_agent_process inside a network namespace that has a tunnel's device with a peer behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from test_agent_process import Running


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main() -> None:
    running = Running(Path(sys.argv[1]), path=os.environ["PATH"])
    try:
        report = running.report_when(lambda r: r.paths.get("hq") == "tunnel" and r.tunnels["hq-gw-a"].probe.window_full)
        tunnel = report.tunnels["hq-gw-a"]
        assert tunnel.probe.lost == tunnel.target.lost == 0, tunnel
        assert tunnel.rtt_ms is not None and tunnel.rtt_ms > 0
        assert report.paths["plant"] == "none"
        ip("route", "replace", "blackhole", "192.168.11.0/24")
        running.report_when(lambda r: r.paths.get("hq") == "none")
        ip("route", "replace", "192.168.11.0/24", "via", "169.254.10.2")
        running.report_when(lambda r: r.paths.get("hq") == "tunnel")
        # the device goes away as charon's does, and comes back under another index
        ip("link", "set", "vpnha10", "down")
        ip("addr", "del", "169.254.10.1/30", "dev", "vpnha10")
        ip("link", "set", "vpnha10", "name", "gone")
        running.report_when(lambda r: r.tunnels["hq-gw-a"].probe.silent and r.paths.get("hq") == "none")
        ip("link", "set", "gone", "name", "vpnha10")
        ip("addr", "add", "169.254.10.1/30", "dev", "vpnha10")
        ip("link", "set", "vpnha10", "up")
        running.report_when(lambda r: r.tunnels["hq-gw-a"].probe.lost == 0 and r.tunnels["hq-gw-a"].probe.sent > 3)
        assert running.process.poll() is None
    finally:
        running.close()


if __name__ == "__main__":
    main()
