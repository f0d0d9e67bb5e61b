# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's end of one managed tunnel: a strongSwan in a namespace of its own, on the hosts' image, without an init.

Like AWS's it waits for the customer gateway to begin, notices a silent one after about half a minute, and lets go of
the tunnel then. libipsec cannot tell two tunnels with the same selectors apart, hence one process for each.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import (
    ESP_PROPOSALS,
    IKE_PROPOSALS,
    LIBIPSEC_DEVICE,
)
from lab import faults, procs, registry
from lab.errors import LabError
from lab.image import Images
from lab.managed_site import Customer
from lab.names import Names
from lab.net import netns, underlay, vgws
from lab.net.desired import Leg
from lab.sites import render

_CHILD = "tunnel"
_START = """set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"
exec chroot "$2/root" /usr/sbin/charon-systemd
"""
# Nothing is forwarded in clear, whatever becomes of the tunnel.
_FILTER = """table inet end {
chain forward { type filter hook forward priority 0; policy accept; oifname "wan0" drop; iifname "wan0" drop; }
}
"""


@dataclass(frozen=True)
class End:
    """What one end is made from."""

    vgw: str
    connection: str
    number: int  # 1 or 2
    leg: Leg
    replaced: int
    customer: Customer

    @property
    def id(self) -> str:
        """Of its namespace and files."""
        return f"{self.connection}-{self.number}"

    @property
    def called(self) -> str:
        """As people know it."""
        return f"vgw-{self.customer.site}-{self.number}"


@dataclass(frozen=True)
class Seen:
    """What the end's strongSwan says of the tunnel."""

    up: bool
    sas: Mapping[str, tuple[int, int]]  # security association -> bytes in, bytes out


def name(names: Names, end: End) -> str:
    """The end's namespace."""
    return names.netns(end.id)


def start(names: Names, end: End) -> None:
    """Make the end, anew if it exists; the customer gateway may begin when this returns. LabError when it does not."""
    stop(names, end)
    here, directory = name(names, end), _directory(names, end)
    netns.add(here, router=True)
    netns.nft(here, _FILTER)
    vgws.plug(names, end.vgw, here)
    netns.ip(here, *(f"route add {cidr} via {vgws.HERE} dev vgw0 onlink" for cidr in end.customer.vpc))
    for part in ("upper/etc/strongswan.d", "work", "root"):
        (directory / part).mkdir(parents=True)
    conf = directory / "upper/etc/strongswan.d/lab.conf"
    conf.write_text(render("strongswan.conf", {"tries": 3, "log": True}), encoding="utf-8")
    lowers = ":".join(str(path) for path in Images(names).layers("golden"))
    procs.detach(
        names,
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _START, "end", lowers, str(directory)],
        log=names.logs / f"{end.called}.log",
        pid_file=_pid(names, end),
        netns=here,
    )
    _load(names, end)
    netns.ip(
        here,
        f"address replace {end.leg.amazon}/30 dev {LIBIPSEC_DEVICE}",
        *(f"route replace {prefix} dev {LIBIPSEC_DEVICE}" for prefix in end.customer.prefixes),
    )
    underlay.plug(names, here, "wan0", end.leg.outside, gateway=underlay.BACKBONE)  # from now on it can be reached
    registry.write(names, end.id, name=end.called, netns=here, kind="vpn", address=end.leg.outside)
    faults.reapply(names, here)


def stop(names: Names, end: End) -> None:
    """Remove the end without a word to the customer gateway; no error when there is none."""
    here = name(names, end)
    if netns.exists(here):
        netns.drop_link(here, "wan0")
    procs.end(_pid(names, end))
    if netns.exists(here):
        netns.drop_link(here, "vgw0")
    netns.delete(here)
    shutil.rmtree(_directory(names, end), ignore_errors=True)
    registry.remove(names, end.id)


def look(names: Names, end: End) -> Seen:
    """What its strongSwan says now; one that does not answer has no tunnel."""
    up, sas = False, {}
    try:
        with _session(names, end) as session:
            for entry in session.list_sas({"noblock": "yes"}):
                for ike in entry.values():
                    for child in ike.get("child-sas", {}).values():
                        up = up or child["state"] == b"INSTALLED"
                        spi = f"{child['spi-in'].decode()}/{child['spi-out'].decode()}"
                        sas[spi] = (int(child.get("bytes-in", 0)), int(child.get("bytes-out", 0)))
    except (OSError, LabError):
        return Seen(False, {})
    return Seen(up, sas)


def connection(end: End) -> dict[str, Any]:
    """The tunnel as strongSwan is told; narrower selectors than AWS's, which libipsec could not route around."""
    child = {
        "local_ts": [*end.customer.vpc, end.leg.network],
        "remote_ts": [*end.customer.prefixes, end.leg.network],
        "esp_proposals": list(ESP_PROPOSALS),
        "start_action": "none",
        "dpd_action": "clear",
        "close_action": "none",
    }
    return {
        "version": "2",
        "local_addrs": [end.leg.outside],
        "remote_addrs": [end.customer.address],
        "proposals": list(IKE_PROPOSALS),
        "mobike": "no",
        "unique": "replace",
        "reauth_time": "0",
        "dpd_delay": "10s",
        "local": {"auth": "psk", "id": end.leg.outside},
        "remote": {"auth": "psk", "id": end.customer.address},
        "children": {_CHILD: child},
    }


def _load(names: Names, end: End) -> None:
    limit = time.monotonic() + 20.0
    while True:
        try:
            with _session(names, end) as session:
                owners = [end.leg.outside, end.customer.address]
                session.load_shared({"id": "key", "type": "IKE", "data": end.leg.key, "owners": owners})
                session.load_conn({_CHILD: connection(end)})
                return
        except (OSError, LabError) as error:
            if procs.running(_pid(names, end)) is None or time.monotonic() > limit:
                log = names.logs / f"{end.called}.log"
                raise LabError(f"The end of the managed tunnel {end.id} does not start ({log}): {error}") from None
            time.sleep(0.05)


@contextlib.contextmanager
def _session(names: Names, end: End) -> Iterator[Any]:
    from vici import Session

    pid = procs.running(_pid(names, end))
    if pid is None:
        raise LabError(f"The end of the managed tunnel {end.id} does not run.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as handle:
        handle.settimeout(3.0)
        handle.connect(f"/proc/{pid}/root/run/charon.vici")
        yield Session(handle)


def _directory(names: Names, end: End) -> Path:
    return names.run / "vpn" / end.id


def _pid(names: Names, end: End) -> Path:
    return names.run / f"{end.id}.pid"
