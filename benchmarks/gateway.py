# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's programs without a gateway: strongSwan and FRR of the lab's image, in the benchmark's own namespaces.

Two network namespaces with one cable: ``gateway`` and ``site``, with a charon in each and a real tunnel for each wire
between them. The image is their root, and what they write is in memory. ESP is strongSwan's own, in user space
(kernel-libipsec), as in the lab, so that it works on any kernel. Everything is inside `benchmarks.enclosed`.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.vpnha.aws.plugins.module_utils import charon
from lab import lifecycle
from lab.image import USUAL, Images
from lab.names import REPOSITORY, Names
from lab.net import netns
from lab.steps import console, stop_on_signal

from .enclosed import ROOM
from .own_lab import own_lab

GATEWAY, SITE = "gateway", "site"
ADDRESSES = {GATEWAY: "203.0.113.1", SITE: "203.0.113.2"}  # of the cable's ends
CABLE = "cable"
PYTHON = "/opt/vpnha/venv/bin/python"  # the runtime role's, in the image
PATIENCE = 60.0  # seconds for all tunnels to come up
_SECRET = "only for this benchmark, which nobody else can reach"


class NotUp(Exception):
    """What a benchmark needs did not come up; says what, and where to look."""


@dataclass(frozen=True)
class Wire:
    """A tunnel between the two."""

    name: str
    inside: str  # the gateway's address inside the tunnel
    peer_inside: str
    site_prefixes: tuple[str, ...] = ()
    vpc_prefixes: tuple[str, ...] = ()


@dataclass
class Ends:
    """Both ends of all wires, up."""

    root: Path
    charon: dict[str, int] = field(default_factory=dict)  # pid by namespace

    def vici(self, end: str = GATEWAY) -> str:
        """Where charon of that end answers, seen from outside of the image."""
        return f"{self.root}{self.vici_inside(end)}"

    def vici_inside(self, end: str = GATEWAY) -> str:
        """The same, seen from inside."""
        return f"/run/{end}.vici"

    def within(self, *command: str, end: str = GATEWAY) -> list[str]:
        """A command on the host of that end, with the image as its root."""
        return ["ip", "netns", "exec", end, "chroot", str(self.root), *command]


def ensure_image() -> None:
    """Have the lab's image of a gateway, and make it if there is none of this code, which takes minutes.

    Raises LabError, and KeyboardInterrupt also for SIGTERM: the host that it is made of is gone then.
    """
    before = signal.signal(signal.SIGTERM, stop_on_signal)
    try:
        lifecycle.build_images(own_lab(), console.print)
    finally:
        signal.signal(signal.SIGTERM, before)


def root() -> Path:
    """A root file system with a gateway's programs; what is changed in it is in memory only."""
    layers = ":".join(str(layer) for layer in Images(Names.from_env()).layers(USUAL.golden))
    place, upper, work = ROOM / "root", ROOM / "upper", ROOM / "work"
    for directory in (place, upper, work):
        directory.mkdir()
    options = f"lowerdir={layers},upperdir={upper},workdir={work}"
    _run("mount", "-t", "overlay", "vpnha-bench", "-o", options, str(place))
    for bound in ("proc", "dev"):
        _run("mount", "--bind", f"/{bound}", str(place / bound))
    _run("mount", "-t", "tmpfs", "vpnha-bench", str(place / "run"))
    repository = place / "repository"
    repository.mkdir()
    _run("mount", "--bind", "-o", "ro", str(REPOSITORY), str(repository))
    return place


def networks() -> None:
    """The two namespaces and their cable."""
    for name in ADDRESSES:
        netns.add(name, router=True)
    cable(GATEWAY, SITE)
    for name, address in ADDRESSES.items():
        netns.ip(name, f"address add {address}/24 dev {CABLE}", f"link set {CABLE} up")


def cable(one: str, other: str) -> None:
    """Between two namespaces, called the same in both."""
    _run("ip", "link", "add", CABLE, "netns", one, "type", "veth", "peer", "name", CABLE, "netns", other)


@contextmanager
def charons(place: Path, wires: Sequence[Wire]) -> Iterator[Ends]:
    """A charon at each end, with all wires up. Raises NotUp."""
    ends = Ends(place)
    processes = {}
    try:
        for end in (SITE, GATEWAY):  # who waits, before who begins
            netns.ip(end, *(f"address add {_own(wire, end)}/32 dev lo" for wire in wires))
            (place / "etc" / f"{end}.strongswan.conf").write_text(_settings(end), encoding="ascii")
            (place / "etc" / f"{end}.swanctl.conf").write_text(_connections(wires, end), encoding="ascii")
            processes[end] = subprocess.Popen(
                ends.within("charon-systemd", end=end), env=environment(end), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            ends.charon[end] = processes[end].pid  # ip and chroot become what they start
            charon.session(ends.vici(end), 5.0, PATIENCE)
            uri = f"unix://{ends.vici_inside(end)}"
            load = ("swanctl", "--load-all", "--file", f"/etc/{end}.swanctl.conf", "--uri", uri)
            _run(*ends.within(*load, end=end), variables=environment(end))
        _wait_for_all(ends, len(wires))
        yield ends
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
        for end in processes:
            netns.ip(end, *(f"address del {_own(wire, end)}/32 dev lo" for wire in wires))


def environment(end: str = GATEWAY) -> dict[str, str]:
    """For programs of the image that speak with the charon of that end."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "STRONGSWAN_CONF": f"/etc/{end}.strongswan.conf"}


def versions(place: Path) -> dict[str, str]:
    """Of strongSwan in the image."""
    asked = ("chroot", str(place), "dpkg-query", "--show", "--showformat=${Version}", "charon-systemd")
    return {"strongSwan": subprocess.run(asked, capture_output=True, text=True, check=True).stdout}


def _wait_for_all(ends: Ends, wanted: int) -> None:
    asking = charon.Charon(ends.vici())
    limit = time.monotonic() + PATIENCE
    while sum(sa.has_child for sa in asking.list_sas()) < wanted:
        if time.monotonic() > limit:
            log = (ends.root / "run" / f"{GATEWAY}.log").read_text(encoding="utf-8", errors="replace")
            last = "\n".join(log.splitlines()[-5:])
            raise NotUp(f"Not all of {wanted} tunnels are up after {PATIENCE:.0f} s; charon said last:\n{last}")
        time.sleep(0.2)
    asking.close()


def _own(wire: Wire, end: str) -> str:
    return wire.inside if end == GATEWAY else wire.peer_inside


def _settings(end: str) -> str:
    """As the role's, with a socket of its own, and nothing held back for being much at once."""
    return f"""\
charon-systemd {{
  routing_table_prio = 33000
  install_virtual_ip = no
  cookie_threshold = 0
  block_threshold = 0
  init_limit_half_open = 0
  filelog {{
    file {{
      path = /run/{end}.log
    }}
  }}
  plugins {{
    include /etc/strongswan.d/charon/*.conf
    kernel-libipsec {{
      load = yes
    }}
    bypass-lan {{
      load = no
    }}
    vici {{
      socket = unix:///run/{end}.vici
    }}
  }}
}}
"""


def _connections(wires: Sequence[Wire], end: str) -> str:
    other = SITE if end == GATEWAY else GATEWAY
    connections = []
    for wire in wires:
        selectors = {
            GATEWAY: ", ".join([f"{wire.inside}/32", *wire.vpc_prefixes]),
            SITE: ", ".join([f"{wire.peer_inside}/32", *wire.site_prefixes]),
        }
        connections.append(f"""\
  {wire.name} {{
    version = 2
    mobike = no
    local_addrs = {ADDRESSES[end]}
    remote_addrs = {ADDRESSES[other]}
    proposals = aes256-sha256-x25519
    local {{
      auth = psk
      id = {end}.{wire.name}
    }}
    remote {{
      auth = psk
      id = {other}.{wire.name}
    }}
    children {{
      {wire.name} {{
        local_ts = {selectors[end]}
        remote_ts = {selectors[other]}
        start_action = {"start" if end == GATEWAY else "none"}
        esp_proposals = aes256-sha256
      }}
    }}
  }}
""")
    return f'connections {{\n{"".join(connections)}}}\nsecrets {{\n  ike {{\n    secret = "{_SECRET}"\n  }}\n}}\n'


def _run(*command: str, variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise NotUp(f"{' '.join(command)}: {said}")
