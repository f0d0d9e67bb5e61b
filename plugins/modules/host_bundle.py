#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_bundle
short_description: Pack files of a host with their owners and modes
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Packs files, directories and symbolic links of a host into a C(tar.xz) with their owners, groups and modes. The same
    files always give the same archive.
  - Compiled Python (C(__pycache__)) is left out.
  - The result may hold secrets; give the task C(no_log).
options:
  paths:
    description:
      - What goes in, in this order; of a directory all that is below it.
      - The last part of a path may be a pattern, such as C(/etc/ssh/ssh_host_*), which may find nothing. Other paths
        must be there.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Nothing changes.
    support: none
"""

EXAMPLES = r"""
- name: Pack the gateway's configuration
  vpnha.aws.host_bundle:
    paths: [/etc/swanctl/conf.d, /etc/vpnha/agent.json]
  register: packed
  no_log: true
"""

RETURN = r"""
archive:
  description: The archive, in Base64.
  returned: always
  type: str
size:
  description: Its size in bytes.
  returned: always
  type: int
  sample: 145312
"""

import base64
import io
import lzma
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"paths": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    try:
        archive = pack(found(module.params["paths"]))
    except OSError as error:
        module.fail_json(msg=f"The files cannot be packed: {error.filename}: {error.strerror}.")
    module.exit_json(changed=False, archive=base64.b64encode(archive).decode(), size=len(archive))


def found(paths: list[str]) -> list[Path]:
    """The files, directories and links that go in, each once, in the order of the paths."""
    members: dict[Path, None] = {}
    for path in paths:
        named = Path(path)
        for start in sorted(named.parent.glob(named.name)) if set(named.name) & set("*?[") else [named]:
            for one in (start, *below(start)):
                members[one] = None
    return list(members)


def below(directory: Path) -> list[Path]:
    """Everything below a directory that is no link; parents first."""
    if directory.is_symlink() or not directory.is_dir():
        return []
    return sorted(path for path in directory.rglob("*") if "__pycache__" not in path.parts)


def pack(members: list[Path]) -> bytes:
    """The archive, with nothing in it that depends on time or place."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in members:
            member = tar.gettarinfo(path, arcname=str(path).lstrip("/"))
            member.mtime = member.uid = member.gid = 0  # the owner's name counts: its number differs from host to host
            if member.isfile():
                with path.open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)
    return lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
