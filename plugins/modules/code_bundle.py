#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: code_bundle
short_description: Pack source files into one archive whose name says what is in it
version_added: 0.1.0
author: the vpnha.aws contributors (@vpnha)
description:
  - Packs files and directories into a C(tar.gz). The same content always gives the same archive, byte for byte, whoever
    packs it, when and where.
  - Everything lies below one directory, which is named after the content; the last member is an empty file
    C(VERSION-<version>). So a host needs nothing when it has that file, and a broken transfer never looks complete.
  - Compiled Python (C(__pycache__)) and hidden files are left out.
attributes:
  check_mode:
    description: Says what would change, with the same result, and writes nothing.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
options:
  sources:
    description: What goes in.
    type: list
    elements: dict
    required: true
    suboptions:
      src:
        description: File or directory. Of a directory its content is taken, with everything below it.
        type: path
        required: true
      prefix:
        description: Where it goes in the archive, as a relative path; for a file this is its directory.
        type: str
        default: ""
  dest:
    description: Directory for the archive, made if it is missing.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Pack the monitor with the engine that it imports
  vpnha.aws.code_bundle:
    sources:
      - src: roles/monitor/files/vpnha_monitor
        prefix: vpnha_monitor
      - src: plugins/module_utils
        prefix: ansible_collections/vpnha/aws/plugins/module_utils
    dest: ~/.cache/vpnha
  delegate_to: localhost
  run_once: true
  register: bundle

- name: Unpack it where that version is not there yet
  ansible.builtin.unarchive:
    src: "{{ bundle.path }}"
    dest: /opt/vpnha/releases
    creates: "/opt/vpnha/releases/{{ bundle.version }}/VERSION-{{ bundle.version }}"
"""

RETURN = r"""
path:
  description: The archive.
  returned: always
  type: str
  sample: /home/me/.cache/vpnha/vpnha-3f9a0c51d2e4.tar.gz
version:
  description: The first 12 digits of the hash over the content; the archive's only top directory is named so.
  returned: always
  type: str
  sample: 3f9a0c51d2e4
sha256:
  description: Hash of the archive.
  returned: always
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
files:
  description: Number of files in the archive.
  returned: always
  type: int
  sample: 42
"""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path, PurePosixPath

from ansible.module_utils.basic import AnsibleModule

MTIME = 315532800  # 1980: the earliest that every tool takes


class BundleError(Exception):
    """The sources cannot be packed; the text is one sentence."""


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "sources": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "src": {"type": "path", "required": True},
                    "prefix": {"type": "str", "default": ""},
                },
            },
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        files = collect([(Path(source["src"]), source["prefix"]) for source in module.params["sources"]])
        version, archive = pack(files)
        target = Path(module.params["dest"]) / f"vpnha-{version}.tar.gz"
        changed = not target.is_file() or target.read_bytes() != archive
        if changed and not module.check_mode:
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(module.tmpdir) / target.name
            fresh.write_bytes(archive)
            module.atomic_move(str(fresh), str(target))
    except BundleError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The archive cannot be made: {error.filename}: {error.strerror}.")
    module.exit_json(
        changed=changed,
        path=str(target),
        version=version,
        sha256=hashlib.sha256(archive).hexdigest(),
        files=len(files),
    )


def collect(sources: list[tuple[Path, str]]) -> dict[str, bytes]:
    """Path in the archive -> content, for all sources. Raises BundleError where they do not fit together."""
    found: dict[str, bytes] = {}
    for src, prefix in sources:
        base = PurePosixPath(prefix)
        if base.is_absolute() or ".." in base.parts:
            raise BundleError(f"The prefix '{prefix}' leaves the archive; give a relative path without '..'.")
        if not src.exists():
            raise BundleError(f"The source {src} does not exist; give a file or a directory.")
        root = src if src.is_dir() else src.parent
        for path in sorted(src.rglob("*")) if src.is_dir() else [src]:
            relative = path.relative_to(root)
            if path.is_dir() or any(part.startswith(".") or part == "__pycache__" for part in relative.parts):
                continue
            name = str(base / relative.as_posix())
            content = path.read_bytes()
            if found.setdefault(name, content) != content:
                raise BundleError(f"Two sources give {name} with different content; change a prefix.")
    if not found:
        raise BundleError("The sources hold no files.")
    return found


def pack(files: dict[str, bytes]) -> tuple[str, bytes]:
    """The version of the content, and the archive."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    version = digest.hexdigest()[:12]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, version, None)
        for parent in sorted({str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}):
            _add(tar, f"{version}/{parent}", None)
        for name in sorted(files):
            _add(tar, f"{version}/{name}", files[name])
        _add(tar, f"{version}/VERSION-{version}", b"")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(plain.getvalue())
    return version, packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    """Add a file, or a directory if there is no content, without a trace of who packs it."""
    member = tarfile.TarInfo(name)
    member.mtime = MTIME
    member.uname = member.gname = "root"
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    else:
        member.mode, member.size = 0o644, len(content)
        tar.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
