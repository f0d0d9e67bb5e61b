# Copyright: (c) 2026, the vpnha.aws contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of AWX's REST API as the modules of awx.awx need for the role: what is put there is kept in memory.

It refuses what AWX refuses and the role must mind: a playbook that the project does not have (yet), a survey's question
without its fields, an answer that is none, a schedule's rule in another form, a name twice. A job that is launched does
not run: its variables are kept.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TEMPLATES = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")
UNIQUE = {"workflow_job_template_nodes": ("identifier", "workflow_job_template")}  # else name and organization
OWNED = {"inventory_sources": ("name", "inventory"), "schedules": ("name", "unified_job_template")}
ASSOCIATIONS = (
    "credentials", "labels", "instance_groups", "success_nodes", "failure_nodes", "always_nodes",
    "notification_templates_started", "notification_templates_success", "notification_templates_error",
    "notification_templates_approvals",
)  # fmt: skip
RULE = re.compile(r"DTSTART;TZID=[\w/+-]+:\d{8}T\d{6} RRULE:FREQ=(WEEKLY|MINUTELY);INTERVAL=[1-9]\d*(;BYDAY=[A-Z,]+)?")
ANSWERS = {"text": str, "textarea": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": float}
ASKS = ("variables", "limit", "tags", "skip_tags", "scm_branch", "diff_mode", "verbosity", "inventory", "credential")
ENCRYPTED = "$encrypted$"
FETCHES = 2  # how often a project is looked at until it has been fetched

Item = dict[str, Any]


class Refused(Exception):
    """A request that AWX would answer with a status and these words."""

    def __init__(self, status: int, words: Any) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


@dataclass
class Controller:
    """What the controller has, and what was asked of it."""

    playbooks: list[str]  # what projects contain once they are fetched
    fetch_ends: str = "successful"
    kinds: dict[str, dict[int, Item]] = field(default_factory=dict)
    surveys: dict[int, Item] = field(default_factory=dict)
    related: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    secrets: dict[int, Item] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    reads: int = 0
    url: str = ""
    _last: int = 0

    def add(self, kind: str, /, **fields: Any) -> Item:
        """Puts something there, as a person would."""
        self._last += 1
        item = {"id": self._last, "url": f"/api/v2/{kind}/{self._last}/", "type": kind.removesuffix("s"), **fields}
        item |= {"related": self._links(kind, item["url"]), "summary_fields": {}}
        self.kinds.setdefault(kind, {})[self._last] = item
        return item

    def all(self, kind: str) -> dict[str, Item]:
        """What there is of a kind, by its name or identifier."""
        return {each.get("identifier") or each["name"]: each for each in self.kinds.get(kind, {}).values()}

    def associated(self, item: Mapping[str, Any], association: str) -> list[str]:
        """The names of what is associated."""
        names = {number: each for things in self.kinds.values() for number, each in things.items()}
        ids = self.related.get((item["id"], association), [])
        return sorted(names[number].get("identifier") or names[number]["name"] for number in ids)

    @staticmethod
    def _links(kind: str, url: str) -> dict[str, str]:
        if kind not in ("job_templates", "workflow_job_templates"):
            return {}
        return {"survey_spec": f"{url}survey_spec/", "launch": f"{url}launch/"}

    # --- requests -------------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: Item) -> tuple[int, Any]:
        """Status and document."""
        parts = [part for part in urlsplit(target).path.split("/") if part][2:]
        if method == "GET":
            self.reads += 1
        else:
            self.writes.append(f"{method} {'/'.join(parts)}")
        kind = parts[0]
        if len(parts) == 1:
            if method == "GET":
                return 200, self._list(kind, dict(parse_qsl(urlsplit(target).query)))
            return 201, self._create(kind, body)
        item = self.kinds.get(kind, {}).get(int(parts[1]))
        if item is None:
            raise Refused(404, {"detail": "Not found."})
        if len(parts) == 2:
            if method == "DELETE":
                del self.kinds[kind][item["id"]]
                return 204, None
            if method == "PATCH":
                self._check(kind, {**item, **body})
                item |= self._stored(kind, item["id"], body)
            return 200, item
        return self._sub(method, item, parts[2], body)

    def _list(self, kind: str, query: dict[str, str]) -> Item:
        things: list[Item] = []
        for each in TEMPLATES if kind == "unified_job_templates" else (kind,):
            things += self.kinds.get(each, {}).values()
        query.pop("page_size", None)
        found = [self._fetch(thing) for thing in things if all(self._is(thing, *pair) for pair in query.items())]
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _is(self, thing: Item, key: str, value: str) -> bool:
        if key == "name__in":
            return thing["name"] in value.split(",")
        if key == "organization__name":
            return bool(self.kinds["organizations"][thing["organization"]]["name"] == value)
        return str(thing.get(key)) == value

    def _fetch(self, thing: Item) -> Item:
        """Each look at a project brings it nearer to its end."""
        if thing["type"] == "project" and thing["status"] not in ("successful", "failed"):
            thing["looks"] = thing.get("looks", 0) + 1
            thing["status"] = self.fetch_ends if thing["looks"] > FETCHES else "running"
        return thing

    def _create(self, kind: str, body: Item) -> Item:
        keys = UNIQUE.get(kind) or OWNED.get(kind) or ("name", "organization")
        for other in self.kinds.get(kind, {}).values():
            if all(other.get(key) == body.get(key) for key in keys):
                raise Refused(400, {"__all__": [f"{kind} with this {' and '.join(keys)} already exists."]})
        self._check(kind, body)
        item = self.add(kind, **body)
        item |= self._stored(kind, item["id"], body)
        if kind == "projects":
            item |= {"status": "pending", "scm_revision": ""}
        if kind == "job_templates":  # AWX takes it from the project
            item["organization"] = self.kinds["projects"][body["project"]]["organization"]
            item |= {f"ask_{name}_on_launch": body.get(f"ask_{name}_on_launch", False) for name in ASKS}
        return item

    def _check(self, kind: str, item: Item) -> None:
        if kind == "job_templates":
            project = self.kinds["projects"][item["project"]]
            if project["status"] != "successful" or item["playbook"] not in self.playbooks:
                raise Refused(400, {"playbook": ["Playbook not found for project."]})
        if kind == "schedules" and not RULE.fullmatch(item["rrule"]):
            raise Refused(400, {"rrule": [f"Rule in an unknown form: {item['rrule']}"]})

    def _stored(self, kind: str, number: int, body: Item) -> Item:
        """As AWX shows it: secrets are kept apart."""
        if kind == "credentials" and "inputs" in body:
            self.secrets[number] = body["inputs"]
            return {**body, "inputs": dict.fromkeys(body["inputs"], ENCRYPTED)}
        if kind == "inventories":
            return {**body, "kind": body.get("kind") or ""}
        return body

    def _sub(self, method: str, item: Item, name: str, body: Item) -> tuple[int, Any]:
        if name == "survey_spec":
            if method == "POST":
                self.surveys[item["id"]] = _survey(body)
            elif method == "DELETE":
                self.surveys.pop(item["id"], None)
            return 200, self.surveys.get(item["id"], {})
        if name == "launch":
            return 201, self._launch(item, body)
        if name == "create_approval_template":
            made = self.add("workflow_approval_templates", **body)
            item["unified_job_template"] = made["id"]
            item["related"]["unified_job_template"] = made["url"]
            return 201, made
        if name not in ASSOCIATIONS:
            raise Refused(404, {"detail": "Not found."})
        ids = self.related.setdefault((item["id"], name), [])
        if method == "GET":
            things = {number: each for of in self.kinds.values() for number, each in of.items()}
            results = [things[number] for number in ids if number in things]
            return 200, {"count": len(results), "next": None, "previous": None, "results": results}
        if body.get("disassociate"):
            ids.remove(body["id"])
        else:
            ids.append(body["id"])
        return 204, None

    def _launch(self, template: Item, body: Item) -> Item:
        """A job, with the template's variables, what its survey has by itself, and the answers."""
        questions = {each["variable"]: each for each in self.surveys.get(template["id"], {}).get("spec", [])}
        answers = body.get("extra_vars", {})
        wrong = [_wrong(each, answers) for each in questions.values()]
        if any(wrong):
            raise Refused(400, {"variables_needed_to_start": [one for one in wrong if one]})
        given = json.loads(template["extra_vars"])
        given |= {key: one["default"] for key, one in questions.items() if not _wrong(one, {key: one.get("default")})}
        given |= {key: answer for key, answer in answers.items() if key in questions}
        kind = body["job_type"] if template["ask_job_type_on_launch"] and "job_type" in body else "run"
        return self.add("jobs", name=template["name"], job_type=kind, extra_vars=json.dumps(given), status="pending")


def _wrong(question: Item, answers: Mapping[str, Any]) -> str:
    """What is wrong with the answer to a question; one that need not be given may be missing."""
    variable, kind = question["variable"], question["type"]
    if variable not in answers:
        return f"'{variable}' value missing" if question["required"] else ""
    answer = answers[variable]
    if not isinstance(answer, list if kind == "multiselect" else ANSWERS[kind]):
        return f"Value {answer} for '{variable}' has another type."
    chosen = answer if kind == "multiselect" else [answer]
    if kind.startswith("multi") and set(chosen) - set(question["choices"]):
        return f"Value {answer} for '{variable}' expected to be one of {question['choices']}."
    if kind == "integer" and not question["min"] <= answer <= question["max"]:
        return f"'{variable}' value {answer} is too small or too large."
    return ""


def _survey(spec: Item) -> Item:
    if set(spec) != {"name", "description", "spec"}:
        raise Refused(400, {"error": "A field is missing from survey spec."})
    variables = [question.get("variable") for question in spec["spec"]]
    if len(set(variables)) < len(variables):
        raise Refused(400, {"error": "A variable is duplicated."})
    for question in spec["spec"]:
        for name in ("type", "question_name", "variable", "required"):
            if not isinstance(question.get(name), bool if name == "required" else str):
                raise Refused(400, {"error": f"'{name}' missing from survey question {question}."})
        kind = question["type"]
        if kind not in ANSWERS or (kind.startswith("multi") and not question.get("choices")):
            raise Refused(400, {"error": f"Question {question} must have a type, and choices."})
        default = question.get("default", "")
        if default != "" and not isinstance(default, ANSWERS[kind]):
            raise Refused(400, {"error": f"Default of question {question} has another type."})
        if kind.startswith("multi") and set(default.splitlines()) - set(question["choices"]):
            raise Refused(400, {"error": f"Default of question {question} is no choice."})
    return spec


@contextmanager
def served(controller: Controller) -> Iterator[Controller]:
    """The controller on a port of loopback, which stands in its ``url``."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or "{}")
            try:
                with lock:
                    status, words = controller.answer(self.command, self.path, body)
                    sent = b"" if words is None else json.dumps(words).encode()
            except Refused as refused:
                status, sent = refused.status, json.dumps(refused.words).encode()
            self.send_response(status)
            for name, value in (("X-API-Product-Name", "AWX"), ("X-API-Product-Version", "24.6.1")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        controller.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield controller
        finally:
            server.shutdown()
            thread.join()
