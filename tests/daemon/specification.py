"""What doc/openapi.json says of an answer."""

import functools
import json
import pathlib
import re

import jsonschema

PATH = pathlib.Path(__file__).resolve().parents[2] / "doc" / "openapi.json"


@functools.lru_cache
def document():
    return json.loads(PATH.read_text())


@functools.lru_cache
def path_pattern(template):
    return re.compile("/".join(
        ".+" if part.startswith("{") else re.escape(part) for part in template.split("/")
    ))


def resolve(item):
    """Follow a reference inside the document."""
    while "$ref" in item:
        found = document()
        for name in item["$ref"].removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        item = found
    return item


@functools.lru_cache
def validator(schema_text):
    schema = {**json.loads(schema_text), "components": document()["components"]}
    return jsonschema.Draft202012Validator(schema)


def validate(schema, value):
    validator(json.dumps(schema)).validate(value)


def operation(method, path):
    """What is said of a method of a path; None: nothing."""
    for template, methods in document()["paths"].items():
        if path_pattern(template).fullmatch(path):
            return methods.get("get" if method == "HEAD" else method.lower())
    return None


def check(method, path, answer):
    """Fail when an answer is not what the specification says."""
    known = operation(method, path.split("?")[0])
    kind = (answer.headers.get("Content-Type") or "").split(";")[0]
    if known is None or str(answer.status) not in known["responses"]:
        # Only the refusals that any path may give are said in one place for all.
        assert answer.status >= 400 or method == "OPTIONS", f"{method} {path} gave {answer}"
        schema = {"$ref": "#/components/schemas/Problem"}
        if answer.status < 400:
            return
    else:
        content = resolve(known["responses"][str(answer.status)]).get("content", {})
        assert not content or kind in content, f"{method} {path} gave {kind}: {answer}"
        schema = content.get(kind, {}).get("schema", {})
    if method != "HEAD" and kind in ("application/json", "application/problem+json"):
        validate(schema, answer.json())
    if answer.status >= 400 and method != "HEAD":
        assert kind in ("application/problem+json", "application/json"), f"{path}: {answer}"
