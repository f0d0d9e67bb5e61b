# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing all keys of a running deployment, shown: too early, cut off in the middle, to the end, and for certificates.

``python -m lab.rotate`` starts the lab, deploys, and rotates while packets are counted. The keys lie in the lab's
Secrets Manager, and in the end everything that was written is searched for them. It stops the lab, also when something
failed or was interrupted.
"""

from __future__ import annotations

import copy
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_config import psks
from ansible_collections.vpnha.aws.plugins.module_utils.tunnel_load import secrets_of
from lab import endpoint, siteboot
from lab.changes import Changes, Part
from lab.errors import LabError
from lab.matrix.lookout import GATEWAYS, MONITOR, Lookout, NotSeen, shown, until
from lab.names import REPOSITORY, Names
from lab.rolling import established
from lab.siteboot import SHIPPED
from lab.sites import TUNNEL_FILE, described, site_files
from lab.steps import StepFailed, console, lab_environment, playbook, run, stop_on_signal, take_down

OUTPUT = REPOSITORY / "artifacts" / "rotate"
HOSTS = ("app-a", "app-b")
INSTEAD = "plant"  # whose peers have one key at a time; the other sites' have the new one beside the old one
WELL_SECONDS = 180.0
CHANGED_SECONDS = 300.0  # until a playbook has changed the first tunnel over
EXAMPLE = REPOSITORY / "docs" / "examples" / "certificates.yml"
CERTIFICATE_TUNNEL_FILE = TUNNEL_FILE.replace("site.conf", "site-certificate.conf")
REFUSED = "AUTHENTICATION_FAILED"
# Where a key might have been left by mistake; swanctl's own files are looked at apart.
SEARCHED = "/etc /run /tmp /var/log /var/tmp /var/lib /root /opt/vpnha"


class Keys:
    """The tunnels' keys before and after, and where the inventory finds them."""

    def __init__(self, sites: Iterable[Mapping[str, Any]]) -> None:
        self._sites = [dict(site) for site in sites]
        self.old = psks(self._sites)
        self.new = {tunnel: secrets.token_urlsafe(30) for tunnel in self.old}

    def store(self, client: Any) -> None:
        """Put them into Secrets Manager, a secret for each."""
        for tunnel in self.old:
            for version, key in (("old", self.old[tunnel]), ("new", self.new[tunnel])):
                client.create_secret(Name=f"vpn/lab/{tunnel}/{version}", SecretString=key)

    def inventory(self, psk: str, psk_next: str = "") -> list[dict[str, Any]]:
        """``vpnha_sites`` with lookups of "old" or "new" keys."""
        look = "{{{{ lookup('amazon.aws.secretsmanager_secret', 'vpn/lab/{}/{}', region=vpnha_region) }}}}"
        return self._with(
            lambda tunnel: {
                "psk": look.format(tunnel, psk),
                **({"psk_next": look.format(tunnel, psk_next)} if psk_next else {}),
            }
        )

    def peers(self, psk: str, other: str = "") -> list[dict[str, Any]]:
        """``vpnha_sites`` with the keys themselves, for the sites' hosts: the one that signs, and one known besides."""
        of = {"old": self.old, "new": self.new}
        return self._with(lambda tunnel: {"psk": of[psk][tunnel], **({"psk_next": of[other][tunnel]} if other else {})})

    def _with(self, keys: Any) -> list[dict[str, Any]]:
        sites = copy.deepcopy(self._sites)
        for site in sites:
            for tunnel in site["tunnels"]:
                tunnel.update(keys(f"{site['name']}-{tunnel['gateway']}"))
        return sites


class Certificates:
    """A CA's directory with keys and certificates, made as docs/examples has it, and the inventory that finds them."""

    def __init__(self, directory: Path, variables: Mapping[str, Any]) -> None:
        self._directory, self._variables = directory, variables
        self._deployment = described(variables)

    def make(self, env: Mapping[str, str], renewed: Iterable[str] = ()) -> None:
        """Make what is missing, and those of ``renewed`` anew. Raises StepFailed."""
        identities = list(renewed) or sorted(
            {identity for tunnel in self._deployment.tunnels for identity in (tunnel.local_id, tunnel.peer_id)}
        )
        given = {"directory": str(self._directory), "identities": identities, "renew": bool(renewed)}
        argv = ["ansible-playbook", str(EXAMPLE), "--inventory", str(SHIPPED.parents[1] / "hosts.yml")]
        run("Certificates", [*argv, "--extra-vars", json.dumps(given)], env)

    def identity(self, gateway: str) -> str:
        """As which a gateway comes."""
        return next(tunnel.local_id for tunnel in self._deployment.tunnels if tunnel.gateway == gateway)

    def inventory(self, lookups: bool = True) -> dict[str, Any]:
        """The variables of a deployment by certificate, with lookups or with the files' content."""
        gateways = copy.deepcopy(self._variables["vpnha_gateways"])
        for gateway in gateways:
            identity = self.identity(gateway["name"])
            for key, suffix in (("certificate", "pem"), ("private_key", "key")):
                gateway[key] = self._content(f"{identity}.{suffix}", lookups)
        sites = copy.deepcopy(self._variables["vpnha_sites"])
        for tunnel in (tunnel for site in sites for tunnel in site["tunnels"]):
            tunnel["auth"] = "certificate"
            del tunnel["psk"]
        return {"vpnha_gateways": gateways, "vpnha_sites": sites, "vpnha_peer_ca": self._content("ca.pem", lookups)}

    def peer_files(self) -> dict[str, dict[str, str]]:
        """What the customer gateways need for it beside what they have: host to path to content."""
        variables = {**self._variables, **self.inventory(lookups=False)}
        files = {host: there for host, there in site_files(variables).items() if TUNNEL_FILE in there}
        found = {}
        for host, there in files.items():
            text = there[TUNNEL_FILE][1]
            tunnel = next(one for one in self._deployment.tunnels if f"\n  {one.name} {{\n" in text)
            found[host] = {
                # strongSwan takes the connection whose method the gateway comes with
                CERTIFICATE_TUNNEL_FILE: text.replace(f"\n  {tunnel.name} {{\n", f"\n  {tunnel.name}-certificate {{\n"),
                "/etc/swanctl/x509/site.pem": self._content(f"{tunnel.peer_id}.pem", lookups=False),
                "/etc/swanctl/private/site.pem": self._content(f"{tunnel.peer_id}.key", lookups=False),
                "/etc/swanctl/x509ca/site.pem": self._content("ca.pem", lookups=False),
            }
        return found

    def needles(self) -> list[str]:
        """A line of each private key."""
        return [path.read_text().splitlines()[2] for path in sorted(self._directory.glob("*.key"))]

    def _content(self, name: str, lookups: bool) -> str:
        path = self._directory / name
        return f"{{{{ lookup('ansible.builtin.file', '{path}') }}}}" if lookups else path.read_text(encoding="ascii")


class Rotate:
    """The parts of the report."""

    def __init__(self, names: Names, env: Mapping[str, str], output: Path = OUTPUT) -> None:
        self._names, self._env, self._output = names, dict(env), output
        self._variables = siteboot.deployment_variables(names)
        sites = self._variables["vpnha_sites"]
        self.keys = Keys(sites)
        self._lookout = Lookout(names, {prefix: site["name"] for site in sites for prefix in site["prefixes"]})
        targets = [site["probe_targets"][0] for site in sites]
        title = "All keys of a running deployment changed"
        self.changes = Changes(title, output, self._lookout, env=env, hosts=HOSTS, targets=targets)
        self._certificates = Certificates(names.state / "certificates", self._variables)
        self._before = {gateway: self._numbers(gateway) for gateway in GATEWAYS}

    def all(self) -> None:
        """Carry all parts out."""
        self.keys.store(endpoint.client(self._names, "secretsmanager"))
        until(lambda: not self._lookout.objections(), WELL_SECONDS, f"all is well: {shown(self._lookout.objections())}")
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
        self.changes.carry_out("search", "everything searched for the keys", self._search)

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
        until(lambda: REFUSED in self._log(gateway, began), 30.0, "a refusal stands in the gateway's journal")
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

    def _search(self, part: Part) -> None:
        keys = [*self.keys.old.values(), *self.keys.new.values(), *self._certificates.needles()]
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
    signal.signal(signal.SIGTERM, stop_on_signal)
    names = Names.from_env()
    lab = [sys.executable, "-m", "lab"]
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir(parents=True)
    try:
        run("Lab up", [*lab, "up"], os.environ)
        env = lab_environment(names)
        run("Deploy", playbook("deploy"), env)
        rotate = Rotate(names, env)
        rotate.all()
        raise typer.Exit(0 if rotate.changes.show() else 1)
    except (StepFailed, LabError, NotSeen) as failure:
        console.print(str(failure), style="red", markup=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("interrupted; what was measured so far stays", style="red")
        raise typer.Exit(130) from None
    finally:
        if not keep:
            take_down()


if __name__ == "__main__":
    typer.run(main)
