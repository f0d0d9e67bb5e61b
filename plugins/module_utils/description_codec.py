# -*- coding: utf-8 -*-
# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ``Deployment`` as plain data for configuration files, and back. No secret is part of it."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from .description_fields import Problems, kind, nearest, shown
from .errors import DescriptionError
from .model import Deployment


def to_dict(deployment: Deployment) -> dict[str, Any]:
    """Dictionaries, lists, strings and numbers only, with ``Deployment``'s field names."""
    plain: dict[str, Any] = _plain(asdict(deployment))
    return plain


def from_dict(data: Any, where: str = "deployment") -> Deployment:
    """What ``to_dict`` made.

    :raises DescriptionError: with one sentence for each key that is missing, unknown or of another type.
    """
    problems = Problems()
    result: Deployment = _decode(problems, where, Deployment, data)
    if problems.sentences:
        raise DescriptionError(problems.sentences)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, (tuple, list)) else value


def _decode(problems: Problems, where: str, wanted: Any, value: Any) -> Any:
    origin = typing.get_origin(wanted)
    if origin is tuple:
        if isinstance(value, (list, tuple)):
            member = typing.get_args(wanted)[0]
            return tuple(_decode(problems, f"{where}[{n}]", member, part) for n, part in enumerate(value))
        problems.add(where, f"{kind(value)} stands where a list is needed.")
    elif origin is types.UnionType:
        wanted = next(choice for choice in typing.get_args(wanted) if choice is not type(None))
        return None if value is None else _decode(problems, where, wanted, value)
    elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif wanted in (str, int, float, bool):
        if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
            return value
        word = {str: "a string", int: "a whole number", float: "a number", bool: "a truth value"}[wanted]
        problems.add(where, f"{shown(value)} is {kind(value)}, but {word} is needed.")
    elif isinstance(value, Mapping):
        return _decode_fields(problems, where, wanted, value)
    else:
        problems.add(where, f"{kind(value)} stands where a dictionary is needed.")
    return None


def _decode_fields(problems: Problems, where: str, wanted: Any, value: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(wanted)
    known = [field.name for field in fields(wanted)]
    arguments = {}
    for key in value:
        if key not in known:
            hint = nearest(str(key), known)
            problems.add(f"{where}.{key}", f"this key is unknown; {f'did you mean {hint}?' if hint else 'remove it.'}")
    for field in fields(wanted):
        if field.name in value:
            arguments[field.name] = _decode(problems, f"{where}.{field.name}", hints[field.name], value[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.add(f"{where}.{field.name}", "this key is missing; write the file anew with the deploy playbook.")
    return wanted(**arguments) if not problems.sentences else None
