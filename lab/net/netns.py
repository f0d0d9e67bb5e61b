# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces and what is put into them: links, addresses, rules, filters.

Set-up goes through ``ip -batch`` and ``nft -f`` (one process for many changes); what has to be fast does not pass here.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab import setns

_ROUTER = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/default/accept_redirects": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
}
_IPV6 = {
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}


class KernelError(RuntimeError):
    """The kernel refused a change of the data plane; the message holds the tool's own words."""


def exists(name: str) -> bool:
    """Whether the namespace is there."""
    return Path("/run/netns", name).exists()


def all_with(prefix: str) -> list[str]:
    """Names of all namespaces that begin so."""
    return sorted(path.name for path in Path("/run/netns").glob(f"{prefix}*"))


def add(name: str, *, router: bool = False) -> None:
    """Make a namespace with its loopback up; ``router``: it forwards packets, and speaks no IPv6."""
    _run(["ip", "netns", "add", name])
    if router:
        sysctl(name, _ROUTER)
    ip(name, "link set lo up")


def speak_ipv6(name: str) -> None:
    """Let a router's namespace forward IPv6 from now on. Its interfaces get what they need from whoever makes them."""
    sysctl(name, _IPV6)


def delete(name: str) -> None:
    """Remove a namespace; no error when it is not there."""
    if exists(name):
        _run(["ip", "netns", "delete", name])


def sysctl(name: str, values: Mapping[str, str]) -> None:
    """Set kernel parameters, by their path below /proc/sys, inside the namespace."""

    def write() -> None:
        for key, value in values.items():
            path = Path("/proc/sys", key)
            if path.exists():  # a kernel without IPv6 has nothing to switch off
                path.write_text(value, encoding="ascii")

    setns.inside(name, write)


def ip(name: str, *lines: str, ipv6: bool = False) -> None:
    """Run ``ip`` commands in the namespace as one batch, of IPv6 if so. Raises KernelError at the first that fails."""
    _run(["ip", *(["-6"] if ipv6 else []), "-n", name, "-batch", "-"], "\n".join(lines) + "\n")


def nft(name: str, script: str) -> None:
    """Run an nft script in the namespace: all of it, or nothing and KernelError."""
    _run(["ip", "netns", "exec", name, "nft", "-f", "-"], script)


def has_link(name: str, link: str) -> bool:
    """Whether the namespace has an interface of that name."""
    return _call(["ip", "-n", name, "link", "show", "dev", link]).returncode == 0


def drop_link(name: str, link: str) -> None:
    """Delete an interface, and with it the other end of its cable; no error when there is none."""
    _call(["ip", "-n", name, "link", "delete", "dev", link])


def short(prefix: str, *parts: str) -> str:
    """A name of at most 15 characters for an interface, always the same for the same parts."""
    return prefix + hashlib.sha256("/".join(parts).encode()).hexdigest()[: 14 - len(prefix)]


def _call(argv: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)


def _run(argv: list[str], stdin: str = "") -> None:
    done = _call(argv, stdin)
    if done.returncode != 0:
        raise KernelError(f"{' '.join(argv)}: {done.stderr.strip()}\n{stdin}".rstrip())
