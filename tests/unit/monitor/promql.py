# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PromQL expression asks of the metrics that there are, and which labels its result has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

TARGET = frozenset({"job", "instance", "deployment"})  # labels that the scrape gives, see docs/observability.md


@dataclass
class Scraped:
    """What the monitors' pages have: the values of each label of each sample's name."""

    values: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {"up": {}})

    def add(self, page: str) -> None:
        """Take a page of /metrics."""
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                known = self.values.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    known.setdefault(label, set()).add(value)


class Wrong(Exception):
    """One sentence on what is wrong with an expression."""


@dataclass
class Reader:
    """Reads expressions. ``closed``: labels whose values are a closed list; of others any value may come up."""

    scraped: Scraped
    closed: Mapping[str, Iterable[str]]

    def labels(self, text: str) -> frozenset[str]:
        """The labels of an expression's result. Raises Wrong."""
        try:
            return self._of(promql_parser.parse(text))
        except ValueError as error:
            raise Wrong(f"{text}: {error}") from error

    def _of(self, node: Any) -> frozenset[str]:
        kind = type(node).__name__
        if kind == "VectorSelector":
            return self._selector(node)
        if kind == "MatrixSelector":
            return self._selector(node.vector_selector)
        if kind in ("NumberLiteral", "StringLiteral"):
            return frozenset()
        if kind == "AggregateExpr":
            return self._aggregate(node)
        if kind == "BinaryExpr":
            return self._binary(node)
        if kind == "Call":
            found = [self._of(each) for each in node.args]
            if node.func.name == "absent":
                return frozenset({"job"})
            kept = frozenset().union(*found)
            return kept - {"le"} if node.func.name == "histogram_quantile" else kept
        if kind in ("ParenExpr", "UnaryExpr"):
            return self._of(node.expr)
        raise Wrong(f"{node.prettify()}: no test knows a {kind}")

    def _selector(self, node: Any) -> frozenset[str]:
        known = self.scraped.values.get(node.name)
        if known is None:
            raise Wrong(f"{node.prettify()}: the monitors have no {node.name}")
        for matcher in node.matchers.matchers:
            if matcher.name in TARGET:
                continue
            if matcher.name not in known:
                raise Wrong(f"{node.prettify()}: {node.name} has no label {matcher.name}")
            possible = set(self.closed.get(matcher.name, ())) or known[matcher.name]
            unknown = set(matcher.value.split("|")) - possible
            if unknown:
                raise Wrong(f"{node.prettify()}: {matcher.name} is never {', '.join(sorted(unknown))}")
        return TARGET | frozenset(known)

    def _aggregate(self, node: Any) -> frozenset[str]:
        inner = self._of(node.expr)
        by = frozenset(node.modifier.labels if node.modifier else ())
        if node.modifier is not None and "By" not in str(node.modifier.type):
            raise Wrong(f"{node.prettify()}: say by which labels")
        return self._known(node, by, inner)

    def _binary(self, node: Any) -> frozenset[str]:
        left, right = self._of(node.lhs), self._of(node.rhs)
        matching = node.modifier.matching if node.modifier else None
        if matching is not None:
            self._known(node, frozenset(matching.labels), left & right)
        elif left and right and str(node.op) != "or" and left != right:
            raise Wrong(f"{node.prettify()}: {sorted(left)} never match {sorted(right)}")
        return left | right if str(node.op) == "or" else left or right

    @staticmethod
    def _known(node: Any, asked: frozenset[str], there: frozenset[str]) -> frozenset[str]:
        if asked - there:
            raise Wrong(f"{node.prettify()}: there is no label {', '.join(sorted(asked - there))}")
        return asked
