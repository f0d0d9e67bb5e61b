#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Write several small files in one call, each checked before any is replaced
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Writes files with given content, owner and mode, and makes the directories above them.
  - All files are checked first, by the commands given in O(files[].validate). When one is bad, none is replaced.
  - One call in the place of one M(ansible.builtin.template) for each file, which saves about half a second for each.
attributes:
  check_mode:
    description: >-
      Says what would change, and runs O(files[].validate). That its command is not installed yet is no fault then.
    support: full
  diff_mode:
    description: Shows each file that differs, and of one with O(files[].secret) only that it does.
    support: full
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      content:
        description: The content, as a whole. A diff shows it, so what must not be seen is given as O(files[].secret).
        type: str
      secret:
        description: The content, as O(files[].content), of a file with keys in it. Neither a log nor a diff shows it.
        type: str
      mode:
        description: Mode, in octal, as a string.
        type: str
        default: "0644"
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      validate:
        description: Command that fails when the file is bad; C(%s) stands for the path of a copy to check.
        type: str
      validate_in_check_mode:
        description: >-
          Whether that is done in check mode too. V(false) for a command that a run itself brings: an earlier version
          may not know what is new in the file.
        type: bool
        default: true
  unapplied:
    description:
      - A file below C(/run) that notes, one path a line, which files were replaced, before they are. Who has applied
        them removes their lines. The paths in it count as changed, so that a run that died in between is made up for.
    type: path
"""

EXAMPLES = r"""
- name: Write the filter and the routing of a gateway
  vpnha.aws.config_files:
    files:
      - path: /etc/vpnha/firewall.nft
        content: "{{ lookup('ansible.builtin.template', 'firewall.nft.j2') }}"
        validate: nft -c -f %s
      - path: /etc/frr/frr.conf
        content: "{{ lookup('ansible.builtin.template', 'frr.conf.j2') }}"
        owner: frr
        group: frr
        mode: "0640"
        validate: vtysh --dryrun --inputfile %s
"""

RETURN = r"""
changed_files:
  description: Paths of the files whose content, owner or mode changed, and of those that O(unapplied) has.
  returned: always
  type: list
  elements: str
  sample: [/etc/frr/frr.conf]
checksums:
  description: SHA-1 of the content that each file is to have, by its path.
  returned: success
  type: dict
  sample: {/etc/frr/frr.conf: da39a3ee5e6b4b0d3255bfef95601890afd80709}
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vpnha.aws.plugins.module_utils.quiet_log import QuietLog

NOT_THERE = 127  # of a command: what env, sh and unshare say of it


class QuietModule(QuietLog, AnsibleModule):
    """It is given keys."""


def main() -> None:
    """Entry point."""
    options = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str"},
        "secret": {"type": "str", "no_log": True},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "validate": {"type": "str"},
        "validate_in_check_mode": {"type": "bool", "default": True},
    }
    one = {"mutually_exclusive": [("content", "secret")], "required_one_of": [("content", "secret")]}
    module = QuietModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": options, **one},
            "unapplied": {"type": "path"},
        },
        supports_check_mode=True,
    )
    files = module.params["files"]
    differing = [file for file in files if differs(file)]
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as directory:
        copies = {}
        for number, file in enumerate(differing):
            copies[file["path"]] = Path(directory) / f"{number}-{Path(file['path']).name}"
            copies[file["path"]].write_text(wanted(file), encoding="utf-8")
            if file["validate"] and (file["validate_in_check_mode"] or not module.check_mode):
                check(module, file, copies[file["path"]])
        noted = note(module, [file["path"] for file in differing])
        diffs, changed = [], []
        for file in files:
            differed = file in differing
            if differed:
                diffs.append(diff(file))
                if not module.check_mode:
                    Path(file["path"]).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                    before = os.umask(0o077)  # a new file is nobody's to read until it has its mode
                    module.atomic_move(str(copies[file["path"]]), file["path"])
                    os.umask(before)
            if attributes(module, file) or differed or file["path"] in noted:
                changed.append(file["path"])
    checksums = {file["path"]: checksum(file) for file in files}
    module.exit_json(changed=bool(changed), changed_files=changed, checksums=checksums, diff=diffs)


def wanted(file: dict[str, Any]) -> str:
    """What is to be in the file."""
    text: str = file["content"] if file["secret"] is None else file["secret"]
    return text


def checksum(file: dict[str, Any]) -> str:
    """As Ansible's own modules give it of a file."""
    return hashlib.sha1(wanted(file).encode(), usedforsecurity=False).hexdigest()


def differs(file: dict[str, Any]) -> bool:
    """Whether the file is missing or has other content."""
    try:
        return Path(file["path"]).read_bytes() != wanted(file).encode()
    except FileNotFoundError:
        return True


def check(module: AnsibleModule, file: dict[str, Any], copy: Path) -> None:
    """Run the file's check on a copy; fails the module with what the command says."""
    code, out, err = module.run_command("env " + file["validate"] % copy)
    if code != 0 and not (module.check_mode and code == NOT_THERE):
        said = (err or out).strip().replace(str(copy), file["path"])
        module.fail_json(msg=f"{file['path']} would be bad, so no file was replaced: {said}", rc=code)


def note(module: AnsibleModule, paths: list[str]) -> set[str]:
    """Note what will be replaced; what an earlier run has noted and nobody has applied."""
    if not module.params["unapplied"]:
        return set()
    notes = Path(module.params["unapplied"])
    before = set(notes.read_text(encoding="utf-8").splitlines()) if notes.exists() else set()
    new = [path for path in paths if path not in before]
    if new and not module.check_mode:
        notes.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with notes.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{path}\n" for path in new)
    return before


def diff(file: dict[str, Any]) -> dict[str, str]:
    """The file's change for diff mode."""
    path = Path(file["path"])
    if file["secret"] is not None:
        return {"prepared": f"{path} differs; what is in it is not shown.\n"}
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return {"before": before, "after": wanted(file), "before_header": str(path), "after_header": str(path)}


def attributes(module: AnsibleModule, file: dict[str, Any]) -> bool:
    """Set owner, group and mode; whether that changed anything."""
    if module.check_mode and not Path(file["path"]).exists():
        return True
    owned = {"path": file["path"], **{key: file[key] for key in ("owner", "group", "mode")}}
    arguments = module.load_file_common_arguments({**owned, "attributes": None, "seuser": None}, path=file["path"])
    return bool(module.set_fs_attributes_if_different(arguments, False))


if __name__ == "__main__":
    main()
