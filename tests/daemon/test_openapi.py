"""The specification that the node ships: it is served as it is, its examples hold when replayed,
and every route and method that it names is there. That every answer of every other test follows it
is checked where answers are read (daemon.py)."""

import json
import re

import jsonschema
import msgpack
import pytest

import specification
from daemon import SOURCE

METHODS = ("get", "put", "post", "patch", "delete")


def operations():
    for path, methods in specification.document()["paths"].items():
        for method in METHODS:
            if method in methods:
                yield path, method, methods[method]


def test_the_specification_is_served_byte_for_byte(shared):
    answer = shared.get("/openapi.json")
    assert answer.body == (SOURCE / "doc" / "openapi.json").read_bytes()
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["openapi"].startswith("3.")


def test_references_lead_somewhere_and_schemas_are_schemas():
    def walk(item):
        if isinstance(item, dict):
            if "$ref" in item:
                assert specification.resolve(item)
            for value in item.values():
                walk(value)
        elif isinstance(item, list):
            for value in item:
                walk(value)

    walk(specification.document())
    for schema in specification.document()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_each_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names)) and all(names)


def examples(content):
    for kind, body in content.items():
        for example in body.get("examples", {}).values():
            yield kind, body.get("schema", {}), example["value"]
        if "example" in body:
            yield kind, body.get("schema", {}), body["example"]


def test_examples_of_answers_follow_their_schemas():
    count = 0
    for _, _, operation in operations():
        for response in operation["responses"].values():
            for kind, schema, value in examples(specification.resolve(response).get("content", {})):
                if "json" in kind and not isinstance(value, str):
                    specification.validate(schema, value)
                    count += 1
    assert count > 20


def required_and_defined(item):
    """All pairs of what an object schema requires and what it defines."""
    if isinstance(item, dict):
        if "properties" in item and "required" in item:
            yield set(item["required"]), set(item["properties"])
        item = list(item.values())
    if isinstance(item, list):
        for each in item:
            yield from required_and_defined(each)


def test_the_specification_has_what_linters_ask_for():
    document = specification.document()
    assert all(tag["description"] != tag["name"] for tag in document["tags"])
    for required, defined in required_and_defined(document["components"]["schemas"]):
        assert required <= defined, required - defined
    for path, method, operation in operations():
        codes = set(operation["responses"])
        for kind in "24":
            assert any(code.startswith(kind) for code in codes), f"{method} {path}: no {kind}xx"


def test_refusals_of_the_manual_are_specified():
    manual = (SOURCE / "man" / "vignette-http.7").read_text()
    errors = manual[manual.index(".Ss Errors"):manual.index(".Ss Keys")]
    named = set(re.findall(r"^\.It (\d{3})$", errors, re.MULTILINE))
    assert len(named) > 5
    specified = [set(operation["responses"]) for _, _, operation in operations()]
    # 405 is what a method gets that has no operation.
    assert named - {"405"} <= set.union(*specified)
    assert {"400", "403", "431"} <= set.intersection(*specified), "any path gives these"


# What http/routes.c lets repeat.
REPEATED = {("/keys/{key}", "index"), ("/keys/{key}", "join"), ("/watch", "key"),
            ("/watch", "match")}


def test_parameters_that_may_be_repeated_are_arrays():
    for path, _, operation in operations():
        for parameter in map(specification.resolve, operation.get("parameters", [])):
            is_array = parameter["schema"].get("type") == "array"
            assert is_array == ((path, parameter["name"]) in REPEATED), parameter


REQUESTS = [
    (path, method, kind, value)
    for path, method, operation in operations()
    for kind, _, value in examples(operation.get("requestBody", {}).get("content", {}))
]


@pytest.mark.parametrize("path, method, kind, value", REQUESTS,
                         ids=lambda value: str(value)[:30])
def test_examples_of_requests_are_taken(shared, path, method, kind, value):
    path = path.replace("{key}", "example").replace("{address}", "127.0.0.1:6002")
    if kind == "application/msgpack" and not isinstance(value, str):
        value = msgpack.packb(value)
    elif not isinstance(value, (str, bytes)):
        value = json.dumps(value)
    answer = shared.request(method.upper(), path, value, headers={"Content-Type": kind})
    assert 200 <= answer.status < 300, answer


@pytest.mark.parametrize("path, method", [(p, m) for p, m, _ in operations()])
def test_every_operation_is_there_with_its_methods(shared, path, method):
    path = path.replace("{key}", "example").replace("{address}", "127.0.0.1:1")
    answer = shared.request("OPTIONS", path)
    assert answer.status == 204
    allowed = {word.strip().lower() for word in answer.headers["Allow"].split(",")}
    assert method in allowed
    named = specification.document()["paths"]
    known = next(methods for template, methods in named.items()
                 if specification.path_pattern(template).fullmatch(path))
    assert allowed - {"options", "head"} <= {name for name in known}


@pytest.mark.parametrize("path, method, operation", list(operations()),
                         ids=lambda value: value if isinstance(value, str) else "")
def test_parameters_that_are_named_are_taken_and_no_others(shared, path, method, operation):
    if method != "get" or path == "/watch":
        return
    path = path.replace("{key}", "example").replace("{address}", "127.0.0.1:1")
    shared.post("/keys/example", {"0": 1})
    names = {
        parameter["name"]: parameter
        for parameter in map(specification.resolve, operation.get("parameters", []))
        if parameter["in"] == "query"
    }
    fitting = {"limit": "5", "count": "5", "from": "0", "index": "0", "wait": "1ms",
               "vectors": "1", "pretty": "1", "format": "json", "state": "alive", "after": "a",
               "prefix": "e", "match": "e*"}
    for name in names:
        is_of_search = path == "/keys/example" and name in ("after", "limit")
        answer = shared.get(f"{path}{'%25' if is_of_search else ''}?{name}={fitting[name]}")
        wanted = {"/ready": (200, 503), "/peers/127.0.0.1:1": (404,)}.get(path, (200,))
        assert answer.status in wanted, answer
    detail = shared.get(f"{path}?unknown-name=1").json()["detail"]
    assert all(name in detail for name in names)
