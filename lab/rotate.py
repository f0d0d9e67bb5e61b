# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing all keys of a running deployment, shown: too early, cut off in the middle, to the end, and for certificates.

``python -m lab.rotate`` starts the lab, deploys, and rotates while packets are counted. The keys lie in the lab's
Secrets Manager, and in the end everything that was written is searched for them. It stops the lab, also when something
failed or was interrupted.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_load import secrets_of
from lab import endpoint, siteboot
from lab.changes import Changes, Part, show_in_the_lab
from lab.credentials import Certificates, Keys
from lab.matrix.lookout import GATEWAYS, MONITOR, until
from lab.names import REPOSITORY, Names
from lab.sas import established
from lab.sites import TUNNEL_FILE, site_files
from lab.steps import playbook

OUTPUT = REPOSITORY / "artifacts" / "rotate"
INSTEAD = "plant"  # whose peers have one key at a time; the other sites' have the new one beside the old one
CHANGED_SECONDS = 300.0  # until a playbook has changed the first tunnel over
REFUSED = "AUTHENTICATION_FAILED"
UNHEARD = {"gateway-silent", "gateway-unheard", "agent-silent", "heartbeats-rejected", "monitor-isolated"}
HEARTBEAT_FILES = {**dict.fromkeys(GATEWAYS, "/etc/vpnha/agent.json"), MONITOR: "/etc/vpnha/monitor.yml"}
# Where a key might have been left by mistake; swanctl's own files are looked at apart.
SEARCHED = "/etc /run /tmp /var/log /var/tmp /var/lib /root /opt/vpnha"


class Rotate:
    """The parts of the report."""

    def __init__(self, names: Names, env: Mapping[str, str], output: Path = OUTPUT) -> None:
        self._names, self._env, self._output = names, dict(env), output
        self._variables = siteboot.deployment_variables(names)
        self.keys = Keys(self._variables["vpnha_sites"])
        self.changes = Changes("All keys of a running deployment changed", output, names, env)
        self._lookout = self.changes.lookout
        self._heartbeat = {"old": str(self._variables["vpnha_heartbeat_key"]), "new": secrets.token_urlsafe(36)}
        self._certificates = Certificates(names.state / "certificates", self._variables)
        self._before = {gateway: self._numbers(gateway) for gateway in GATEWAYS}

    def all(self) -> Changes:
        """Carry all parts out."""
        self.keys.store(endpoint.client(self._names, "secretsmanager"))
        self.changes.well()
        self.changes.carry_out("accept", "a deploy that has the gateways accept both keys", self._accept)
        self.changes.carry_out("early", "a rotation before any peer was changed", self._early)
        self.changes.carry_out("cut", "the peers changed, and a rotation that is killed in the middle", self._cut)
        self.changes.carry_out("rotate", "the rotation run again", self._rotate)
        self.changes.carry_out("settle", "a deploy with the new keys, and peers that forget the old ones", self._settle)
        self.changes.carry_out("refused", "a peer that comes with the old key", self._refused)
        self._certificates.make(self._env)
        self.changes.carry_out("certify", "certificates instead of keys", self._certify)
        self._certificates.make(self._env, [self._certificates.identity(gateway) for gateway in GATEWAYS])
        self.changes.carry_out("renew", "the gateways' certificates renewed", self._renew)
        self.changes.carry_out("heartbeat", "the heartbeat key changed in three deploys", self._change_heartbeat)
        self.changes.carry_out("search", "everything searched for the keys", self._search)
        return self.changes

    def _accept(self, part: Part) -> None:
        played = self.changes.play("deploy", part, vpnha_sites=self.keys.inventory("old", "new"))
        part.fact("the deploy succeeds", played.code == 0)
        part.fact("every tunnel has both keys, and signs with the old one", self._files("new", "old"))
        part.fact("no tunnel was opened anew", self._now() == self._before)

    def _early(self, part: Part) -> None:
        played = self.changes.play("rotate", part, vpnha_sites=self.keys.inventory("old", "new"))
        words = "go on with their old keys, and lost nothing: their peers do not use the next ones yet."
        part.fact("the playbook fails and says why", played.code != 0 and words in played.words)
        part.fact("every tunnel has both keys, and signs with the old one", self._files("new", "old"))
        part.fact("every tunnel is up", self._up())

    def _cut(self, part: Part) -> None:
        self._tell_peers("new", "old", but=INSTEAD)
        self._tell_peers("new", only=INSTEAD)
        log = self._output / f"{part.name}.log"
        argv = playbook("rotate", vpnha_sites=self.keys.inventory("old", "new"))
        with log.open("wb") as file:
            process = subprocess.Popen(argv, env=self._env, stdout=file, stderr=file, start_new_session=True)
            try:
                until(self._changed, CHANGED_SECONDS, "the first tunnel is changed over", poll=0.2)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        part.said = [f"killed when changed over: {', '.join(self._changed())}"]
        part.fact("some tunnels are changed over, others not", 0 < len(self._changed()) < len(self.keys.old))
        time.sleep(2.0)

    def _rotate(self, part: Part) -> None:
        played = self.changes.play("rotate", part, vpnha_sites=self.keys.inventory("old", "new"))
        part.fact("the playbook succeeds", played.code == 0)
        part.fact("every tunnel has the new key only", self._files("new"))
        part.fact("every tunnel is up", self._up())
        now, before = self._now(), self._before
        part.fact("every tunnel was opened anew", all(not now[each] & before[each] for each in GATEWAYS))
        again = self.changes.play("rotate", part, vpnha_sites=self.keys.inventory("old", "new"))
        part.fact("once more changes nothing", again.code == 0 and not any(again.changed.values()))
        part.fact("and opens no tunnel anew", self._now() == now)

    def _settle(self, part: Part) -> None:
        before = self._now()
        played = self.changes.play("deploy", part, vpnha_sites=self.keys.inventory("new"))
        part.fact("the deploy succeeds and changes nothing", played.code == 0 and not any(played.changed.values()))
        self._tell_peers("new")
        part.fact("every tunnel has the new key only", self._files("new"))
        part.fact("no tunnel was opened anew", self._now() == before)

    def _refused(self, part: Part) -> None:
        """The gateway authenticates anew with a peer that has gone back: the tunnel that there is goes on meanwhile."""
        tunnel, gateway, peer = "hq-gw-a", "gw-a", "cgw-hq-a"
        before, began = self._numbers(gateway), time.time()
        self._tell_peers("old", only="hq")
        self._lookout.run(gateway, "swanctl", "--rekey", "--ike", tunnel, "--reauth", check=False)
        until(lambda: REFUSED in self._log(gateway, began), 120.0, "a refusal stands in the gateway's journal")
        part.fact(
            f"{peer} with the old key and {gateway} refuse each other", "MAC mismatched" in self._log(peer, began)
        )
        part.fact("the tunnel that there was goes on", self._numbers(gateway) == before)
        self._tell_peers("new")

    def _certify(self, part: Part) -> None:
        before, began = self._now(), time.time()
        for host, content in self._certificates.peer_files().items():
            for path, text in content.items():
                self._put(host, path, text)
            self._lookout.run(host, "swanctl", "--load-creds", "--clear", "--noprompt")
            self._lookout.run(host, "swanctl", "--load-conns")
        played = self.changes.play("deploy", part, **self._certificates.inventory())
        part.fact("the deploy succeeds", played.code == 0)
        part.fact("no tunnel has a key any more", self._files())
        part.fact("every tunnel is up", self._up())
        now = self._now()
        part.fact("every tunnel was opened anew", all(not now[each] & before[each] for each in GATEWAYS))
        for host in self._certificates.peer_files():
            part.fact(f"{host} has seen a certificate", "with ECDSA" in self._log(host, began))

    def _renew(self, part: Part) -> None:
        before, began = self._now(), time.time()
        for host in self._certificates.peer_files():
            self._lookout.run(host, "rm", "-f", TUNNEL_FILE)  # from now on by certificate only
            self._lookout.run(host, "swanctl", "--load-creds", "--clear", "--noprompt")
            self._lookout.run(host, "swanctl", "--load-conns")
        played = self.changes.play("deploy", part, **self._certificates.inventory())
        part.fact("the deploy succeeds", played.code == 0)
        part.fact("and opens no tunnel anew", self._now() == before)
        rotated = self.changes.play("rotate", part, **self._certificates.inventory())
        part.fact("the playbook rotate succeeds", rotated.code == 0)
        part.fact("every tunnel is up", self._up())
        now = self._now()
        part.fact("every tunnel was opened anew", all(not now[each] & before[each] for each in GATEWAYS))
        again = self.changes.play("rotate", part, **self._certificates.inventory())
        part.fact("once more changes nothing", again.code == 0 and not any(again.changed.values()))
        for host in self._certificates.peer_files():
            part.fact(f"{host} has seen a certificate", "with ECDSA" in self._log(host, began))

    def _change_heartbeat(self, part: Part) -> None:
        before, began = self._now(), time.time()
        for key, others in (("old", ["new"]), ("new", ["old"]), ("new", [])):
            played = self.changes.play(
                "deploy", part, **self._certificates.inventory(),
                vpnha_heartbeat_key=self._heartbeat[key],
                vpnha_heartbeat_other_keys=[self._heartbeat[other] for other in others],
            )  # fmt: skip
            signs = f"{key}, with {others[0]} accepted" if others else f"{key} alone"
            part.fact(f"the deploy with the key {signs} succeeds", played.code == 0)
        unheard = {str(event["code"]) for event in self._lookout.events(began)} & UNHEARD
        part.fact("monitor and gateways heard each other throughout", not unheard)
        part.said += sorted(unheard)
        for host, file in HEARTBEAT_FILES.items():
            text = self._lookout.run(host, "cat", file)
            there = [version for version, key in self._heartbeat.items() if key in text]
            part.fact(f"{host} has the new key only", there == ["new"])
        heard = self._lookout.status()["gateways"]
        part.fact("the monitor hears every gateway", all(gateway["verdict"] == "up" for gateway in heard))
        part.fact("no tunnel was opened anew", self._now() == before)

    def _search(self, part: Part) -> None:
        keys = [*self.keys.old.values(), *self.keys.new.values(), *self._certificates.needles(), self._heartbeat["old"]]
        needles = "\n".join([*keys, *(key.encode().hex() for key in keys)])
        for host in (*GATEWAYS, MONITOR):
            swanctl = self._lookout.run(host, "find", "/etc/swanctl", "-name", "*.conf", "-perm", "/077", "-type", "f")
            part.fact(f"{host}: nobody but root reads a tunnel's file", "vpnha-" not in swanctl)
            if host in GATEWAYS:  # the search finds what is there
                swanctl_files = self._grep(host, "grep -rlFf - /etc/swanctl", needles)
                part.fact(f"{host}: keys in its tunnels' files", swanctl_files)
            files = self._grep(host, f"grep -rlFf - --exclude-dir=swanctl {SEARCHED} 2>/dev/null", needles)
            part.fact(f"{host}: no key in a file", not files)
            part.fact(f"{host}: no key in the journal", not self._grep(host, "journalctl -q | grep -Ff -", needles))
            lines = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
            part.fact(f"{host}: no key in a command line", not self._grep(host, f"{lines} | grep -Ff -", needles))
            part.said += [f"{host}: {line}" for line in files.splitlines()]
        found = [path.name for path in self._output.iterdir() if any(key in path.read_text() for key in keys)]
        part.fact("no key in what the playbooks said or in the report", not found)
        part.said += found

    def _grep(self, host: str, command: str, needles: str) -> str:
        # the needles come by standard input: in a file or a command line they would be found
        return self._lookout.run(host, "sh", "-c", command, stdin=needles, check=False, timeout=300.0).strip()

    def _tell_peers(self, psk: str, other: str = "", *, only: str = "", but: str = "") -> None:
        """Give the sites' peers these keys, the first one to sign with, as their administrators would."""
        files = site_files({**self._variables, "vpnha_sites": self.keys.peers(psk, other)})
        for host, content in files.items():
            site = host.split("-")[1]
            if TUNNEL_FILE not in content or (only and site != only) or site == but:
                continue
            self._put(host, TUNNEL_FILE, content[TUNNEL_FILE][1])
            self._lookout.run(host, "swanctl", "--load-creds", "--clear", "--noprompt")

    def _put(self, host: str, path: str, text: str) -> None:
        write = f"umask 077; cat >{path}.new && mv {path}.new {path}"
        self._lookout.run(host, "sh", "-c", write, stdin=text)

    def _files(self, *versions: str) -> bool:
        """Whether swanctl's files of all tunnels have just these keys, in this order."""
        of = {"old": self.keys.old, "new": self.keys.new}
        return all(
            self._keys(tunnel) == [of[version][tunnel].encode() for version in versions] for tunnel in self.keys.old
        )

    def _changed(self) -> list[str]:
        """The tunnels that were changed over."""
        return [tunnel for tunnel, key in self.keys.new.items() if self._keys(tunnel) == [key.encode()]]

    def _keys(self, tunnel: str) -> list[bytes]:
        gateway = next(each for each in GATEWAYS if tunnel.endswith(each))
        text = self._lookout.run(gateway, "cat", f"/etc/swanctl/conf.d/vpnha-{tunnel}.conf")
        return list(secrets_of(text).values())

    def _numbers(self, gateway: str) -> set[tuple[str, str]]:
        """The gateway's tunnels that are up, with the numbers of their IKE SAs."""
        said = self._lookout.run(gateway, "swanctl", "--list-sas")
        return {(tunnel, sa.number) for tunnel, sa in established(said).items()}

    def _now(self) -> dict[str, set[tuple[str, str]]]:
        return {gateway: self._numbers(gateway) for gateway in GATEWAYS}

    def _up(self) -> bool:
        up = {tunnel for numbers in self._now().values() for tunnel, _number in numbers}
        return up == set(self.keys.old)

    def _log(self, host: str, since: float) -> str:
        return self._lookout.run(host, "journalctl", "-q", "-u", "strongswan", "--since", f"@{since:.0f}")


def main(
    keep: Annotated[bool, typer.Option(help="Leave the lab up in the end.")] = False,
) -> None:
    """Change all keys in the lab; the exit code says whether no packet was lost and all was as it must be."""
    raise typer.Exit(show_in_the_lab(OUTPUT, lambda names, env: Rotate(names, env).all(), keep=keep))


if __name__ == "__main__":
    typer.run(main)
