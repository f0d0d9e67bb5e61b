# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's configuration file: read, checked as a whole, or refused with every problem as a sentence."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.vpnha.aws.plugins.module_utils import announced, description
from ansible_collections.vpnha.aws.plugins.module_utils.description_fields import Problems, Section, kind
from ansible_collections.vpnha.aws.plugins.module_utils.errors import DescriptionError
from ansible_collections.vpnha.aws.plugins.module_utils.heartbeat import MIN_KEY_CHARS, PORT
from ansible_collections.vpnha.aws.plugins.module_utils.listening import listening
from ansible_collections.vpnha.aws.plugins.module_utils.model import Deployment

DEFAULT_PATH = Path("/etc/vpnha/monitor.yml")
JOURNAL = "/var/lib/vpnha/journal.sqlite"
_KEYS = (
    "monitor", "deployment", "keys", "endpoint_url", "journal", "listen", "agent_port", "cloudwatch", "notify",
)  # fmt: skip


@dataclass(frozen=True)
class MonitorConfig:
    """What a monitor needs to know."""

    monitor: str  # its own name in the deployment
    deployment: Deployment
    keys: tuple[str, ...]  # heartbeat secrets; the first signs
    journal: Path
    host: str  # where /metrics, /healthz and /status are served
    port: int
    endpoint_url: str = ""
    agent_port: int = PORT
    cloudwatch: bool = False  # whether it says there once a minute that it can act
    announcing: announced.Announcing = field(default_factory=announced.Announcing)
    checksum: str = ""  # see `Read`

    @property
    def url(self) -> str:
        """Where a process on the same host finds the monitor."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"


@dataclass(frozen=True)
class Read:
    """What one look into the file gave: a configuration, or why there is none."""

    checksum: str  # SHA-1 of just the bytes that were read, as Ansible reports it of files; empty when none could be
    outcome: MonitorConfig | Exception

    def config(self) -> MonitorConfig:
        """The configuration. Raises why there is none, mostly DescriptionError with every problem found."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def load(path: Path) -> MonitorConfig:
    """The configuration in a file. Raises DescriptionError with every problem found."""
    return read(path).config()


def read(path: Path) -> Read:
    """Look into the file once: later it may be another one."""
    checksum = ""
    try:
        content = _content(path)
        checksum = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        return Read(checksum, replace(parse(read_yaml(content, path), str(path)), checksum=checksum))
    except Exception as error:
        return Read(checksum, error)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise DescriptionError(
            [
                f"{path}: the file cannot be read ({error.strerror}); it has secrets, for root and the monitor alone: "
                "run vpnha with sudo."
            ]
        ) from None
    except OSError as error:
        raise DescriptionError([f"{path}: the file cannot be read ({error.strerror}); give another."]) from None


def read_yaml(content: bytes, path: Path) -> Mapping[str, Any]:
    """The mapping in a file's YAML. Raises DescriptionError with one sentence."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Says where a value is that PyYAML cannot make, such as an impossible date; it lets a plain error out."""

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, LookupError, AttributeError):
                what = "its type has no such value; put it in quotes if it is a string"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise DescriptionError([f"{path}: the file is not UTF-8 text; write it anew with the monitor role."]) from None
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DescriptionError([f"{where}: this is not YAML ({what}); mend that line."]) from None
    except (ValueError, RecursionError) as error:  # a character that there is not; too many brackets in each other
        raise DescriptionError(
            [f"{path}: this is not YAML ({error}); write the file anew with the monitor role."]
        ) from None
    if not isinstance(value, Mapping):
        raise DescriptionError(
            [f"{path}: the file holds {kind(value)} where a dictionary with {', '.join(_KEYS)} is needed."]
        )
    return value


def parse(value: Mapping[str, Any], where: str) -> MonitorConfig:
    """The configuration in a mapping; ``where`` begins each sentence. Raises DescriptionError with every problem."""
    problems = Problems()
    section = Section(problems, where, value, _KEYS)
    name = section.text("monitor", need="the monitor's name in the deployment")
    journal = section.text("journal", JOURNAL)
    if not Path(journal).is_absolute():
        section.problem("journal", f"'{journal}' is no absolute path; write one like {JOURNAL}.")
    host, port = listening(section, "listen")
    agent_port = value.get("agent_port", PORT)
    if isinstance(agent_port, bool) or not isinstance(agent_port, int) or not 0 < agent_port < 65536:
        section.problem("agent_port", f"'{agent_port}' is no UDP port; write a number from 1 to 65535.")
    cloudwatch = section.truth("cloudwatch", False)
    deployment = _deployment(section)
    if deployment is not None and name and name not in {monitor.name for monitor in deployment.monitors}:
        section.problem("monitor", f"'{name}' is no monitor of the deployment; name one of its monitors.")
    for site in deployment.sites if deployment is not None else ():
        if site.by_prefix_list and set(site.prefixes).intersection(site.destinations):
            section.problem(
                "deployment",
                f"site {site.name} is routed by a prefix list whose id is not here; write the file anew with the "
                "deploy playbook, which knows it.",
            )
    keys = _keys(section)
    announcing = announced.from_mapping(value.get("notify"), problems, section.at("notify"))
    endpoint_url = section.text("endpoint_url", "")
    if problems.sentences or deployment is None:
        raise DescriptionError(problems.sentences)
    return MonitorConfig(
        monitor=name,
        deployment=deployment,
        keys=keys,
        journal=Path(journal),
        host=host,
        port=port,
        endpoint_url=endpoint_url,
        agent_port=agent_port,
        cloudwatch=cloudwatch,
        announcing=announcing,
    )


def _keys(section: Section) -> tuple[str, ...]:
    keys = []
    for where, key in section.items("keys", needed=True):
        if isinstance(key, str) and len(key) >= MIN_KEY_CHARS:
            keys.append(key)
        else:  # never show it
            section.problems.add(where, f"this heartbeat key is no string of at least {MIN_KEY_CHARS} characters.")
    return tuple(keys)


def _deployment(section: Section) -> Deployment | None:
    raw = section.value.get("deployment")
    if not isinstance(raw, Mapping):
        section.problem("deployment", f"{kind(raw)} stands where the deployment's dictionary is needed.")
        return None
    try:
        return description.from_dict(raw)
    except DescriptionError as error:
        for sentence in error.sentences:
            section.problem("deployment", sentence)
    return None


def elsewhere(loaded: MonitorConfig, where: str) -> list[str]:
    """A sentence where the address that the monitor would listen on is none of this host's: it would not start."""
    try:
        with socket.socket() as one:
            one.bind((loaded.host, 0))
    except OSError as error:
        return [f"{where}.listen: {loaded.host} is no address of this host ({error.strerror}); write one, or 0.0.0.0."]
    return []


def refuse_reload(old: MonitorConfig, new: MonitorConfig) -> list[str]:
    """What of a new configuration a running monitor cannot take over, one sentence each."""
    sentences = []
    if new.deployment.region != old.deployment.region:
        sentences.append(f"The region changes from {old.deployment.region}: restart the monitor for that.")
    if (new.host, new.port) != (old.host, old.port):
        sentences.append(f"listen changes from {old.host}:{old.port}: restart the monitor for that.")
    if new.monitor != old.monitor:
        sentences.append(f"monitor changes from {old.monitor}: restart the monitor for that.")
    several = len(new.deployment.monitors) > 1
    if several and new.endpoint_url != old.endpoint_url:  # the lease must not be held in two stores
        sentences.append(
            f"endpoint_url changes from {old.endpoint_url or 'AWS'}: with several monitors, restart them for that."
        )
    if new.journal != old.journal:
        sentences.append(f"journal changes from {old.journal}: restart the monitor for that.")
    return sentences
