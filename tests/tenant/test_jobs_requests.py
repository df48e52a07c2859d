"""What an app's record and a job's request must hold: refusals name the field. Pure."""

from typing import Any

import pytest

from agavesh.tenant.apps.spec import application, check_queue
from agavesh.tenant.jobs import sources, spec
from agavesh.tenant.limits import gigabytes, plain, run_time, seconds
from agavesh.tenant.refusal import Refusal
from tests.tenant.shop import field, record

QUEUES = [
    {"name": "long", "maxNodes": 4, "maxProcessorsPerNode": 8, "maxMemoryPerNode": 16.0,
     "maxRequestedTime": "48:00:00"},
    {"name": "short", "default": True, "maxNodes": 1, "maxProcessorsPerNode": 4, "maxMemoryPerNode": 4.0,
     "maxRequestedTime": "01:00:00"},
]  # fmt: skip
SYSTEM = {"id": "run.demo", "queues": QUEUES}


def app(**more: Any) -> dict[str, Any]:
    return {"id": "test-1.0", **application(record(**more))}


def job(made: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return spec.job(spec.flat(asked), made or app(), SYSTEM)


# apps ----------------------------------------------------------------------------------------------------------------


def test_an_app_has_all_fields_filled_in() -> None:
    made = app(inputs=[field("text")], parameters=[field("n", kind="number", value={"default": "7"})])
    assert (made["defaultNodeCount"], made["defaultMemoryPerNode"], made["available"], made["tags"]) == (
        1,
        1.0,
        True,
        [],
    )
    text, number = made["inputs"][0], made["parameters"][0]
    assert text["value"] == {
        "validator": None, "visible": True, "required": False, "order": 0, "enquote": False, "default": None,
    }  # fmt: skip
    assert (text["semantics"]["minCardinality"], text["semantics"]["maxCardinality"]) == (0, 1)
    assert number["value"]["default"] == 7


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "has blanks"}, "name"),
        ({"version": "1"}, "version"),
        ({"version": "1.0b"}, "version"),
        ({"parallelism": "SIDEWAYS"}, "parallelism"),
        ({"executionType": None}, "executionType"),
        ({"executionSystem": None}, "executionSystem"),
        ({"deploymentPath": None}, "deploymentPath"),
        ({"templatePath": 3}, "templatePath"),
        ({"templatePath": "../other/wrapper.sh"}, "templatePath"),
        ({"available": "yes"}, "available"),
        ({"tags": "one"}, "tags"),
        ({"defaultNodeCount": 0}, "defaultNodeCount"),
        ({"defaultMemoryPerNode": "lots"}, "defaultMemoryPerNode"),
        ({"defaultMaxRunTime": "1h"}, "defaultMaxRunTime"),
        ({"label": "x" * 65}, "label"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [{"value": {}}]}, "inputs[0].id"),
        ({"inputs": [field("a"), field("A")]}, '"A"'),
        ({"inputs": [field("a", value={"visible": False})]}, "inputs[0].value.default"),
        ({"inputs": [field("a", value={"validator": "("})]}, "inputs[0].value.validator"),
        ({"inputs": [field("a", value={"validator": "(?=x)x"})]}, "inputs[0].value.validator"),
        ({"inputs": [field("a", value={"validator": "x+", "default": "y"})]}, "default of input a"),
        ({"inputs": [field("a", value={"order": -1})]}, "inputs[0].value.order"),
        ({"inputs": [field("a", semantics={"maxCardinality": 0})]}, "maxCardinality"),
        ({"inputs": [field("a", semantics={"minCardinality": 3})]}, "minCardinality"),
        ({"parameters": [field("p")]}, "parameters[0].value.type"),
        ({"parameters": [field("p", kind="colour")]}, "parameters[0].value.type"),
        ({"parameters": [field("p", kind="enumeration")]}, "parameters[0].value.enum_values"),
        ({"parameters": [field("p", kind="enumeration", value={"enum_values": ["a"], "default": "b"})]}, "default"),
        ({"parameters": [field("p", kind="number", value={"default": "many"})]}, "parameters[0].value.default"),
        ({"parameters": [field("p", kind="bool", value={"default": "perhaps"})]}, "parameters[0].value.default"),
        ({"parameters": [field("p", kind="string", value={"required": "no"})]}, "parameters[0].value.required"),
    ],
)  # fmt: skip
def test_an_app_that_breaks_a_rule_is_refused_by_the_fields_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Refusal) as refused:
        app(**change)
    assert refused.value.status == 400 and named in refused.value.message


def test_defaults_of_an_app_must_fit_its_queue() -> None:
    for change, named in (
        ({"defaultQueue": "none"}, "defaultQueue"),
        ({"defaultQueue": "short", "defaultNodeCount": 2}, "defaultNodeCount"),
        ({"defaultQueue": "short", "defaultMemoryPerNode": "1TB"}, "defaultMemoryPerNode"),
        ({"defaultQueue": "short", "defaultMaxRunTime": "02:00:00"}, "defaultMaxRunTime"),
    ):
        with pytest.raises(Refusal, match=named):
            check_queue(app(**change), QUEUES)
    check_queue(app(defaultQueue="long", defaultNodeCount=4), QUEUES)


# jobs ----------------------------------------------------------------------------------------------------------------


def test_a_job_without_wishes_gets_the_apps_and_the_queues_figures() -> None:
    made = job()
    assert (made["batchQueue"], made["nodeCount"], made["memoryPerNode"], made["maxRunTime"], made["archive"]) == (
        "short", 1, 1.0, "01:00:00", True,
    )  # fmt: skip


def test_a_job_goes_to_the_first_queue_that_fits() -> None:
    assert job(nodeCount=2)["batchQueue"] == "long"
    assert job(maxRunTime="03:00:00")["batchQueue"] == "long"
    assert job(app(defaultQueue="long"))["batchQueue"] == "long"
    assert job(memoryPerNode="not to be read")["memoryPerNode"] == 4.0


def test_old_names_fields_at_the_top_and_texts_from_forms_are_understood() -> None:
    made = app(parameters=[field("n", kind="number"), field("s", kind="string")])
    asked = {
        "jobName": "x",
        "softwareName": "test-1.0",
        "queue": "long",
        "processorCount": "2",
        "n": "5",
        "more": {"s": "t"},
    }
    assert spec.head(spec.flat(asked)) == ("x", "test-1.0")
    found = job(made, **asked, archive="1")
    assert (found["batchQueue"], found["processorsPerNode"], found["parameters"]) == ("long", 2, {"n": 5, "s": "t"})
    assert found["archive"] and not job(archive="no")["archive"] and not job(archive=False)["archive"]


@pytest.mark.parametrize(
    ("parameter", "given", "kept"),
    [
        (field("p", kind="number"), 3, 3),
        (field("p", kind="number"), "3", 3),
        (field("p", kind="number"), 2.5, "2.5"),
        (field("p", kind="bool"), "on", True),
        (field("p", kind="flag"), 0, False),
        (field("p", kind="string", semantics={"maxCardinality": -1}), "a;b", ["a", "b"]),
        (field("p", kind="string"), ["a;b"], "a;b"),
        (field("p", kind="enumeration", value={"enum_values": [{"l": "lines"}]}), "l", "l"),
        (field("p", kind="string", value={"visible": False, "default": "fixed"}), None, "fixed"),
        (field("p", kind="bool", value={"visible": False, "default": False}), None, False),
    ],
)
def test_parameters_are_kept_in_the_records_form(parameter: dict[str, Any], given: Any, kept: Any) -> None:
    assert job(app(parameters=[parameter]), parameters={"p": given})["parameters"] == {"p": kept}


def test_what_is_optional_and_not_given_stays_out_of_the_record() -> None:
    made = app(
        inputs=[field("a", value={"default": "x"})], parameters=[field("p", kind="string", value={"default": "x"})]
    )
    found = job(made, inputs={"a": ""}, parameters={"p": None, "unknown": 1})
    assert (found["inputs"], found["parameters"]) == ({}, {})


def test_inputs_are_arrays_of_texts_in_the_record() -> None:
    made = app(
        inputs=[field("a", semantics={"maxCardinality": -1}), field("h", value={"visible": False, "default": "d"})]
    )
    assert job(made, inputs={"a": "one; two"})["inputs"] == {"a": ["one", "two"], "h": ["d"]}
    assert job(made, inputs={"a": ["one; two"]})["inputs"]["a"] == ["one; two"]


@pytest.mark.parametrize(
    ("parts", "asked", "named"),
    [
        ({}, {"nodeCount": 0}, "nodeCount"),
        ({}, {"nodeCount": 99}, "nodeCount"),
        ({}, {"processorsPerNode": "two"}, "processorsPerNode"),
        ({}, {"maxRunTime": "soon"}, "maxRunTime"),
        ({}, {"batchQueue": "none"}, "batchQueue"),
        ({}, {"batchQueue": "short", "nodeCount": 2}, "nodeCount"),
        ({}, {"dependencies": ["x"]}, "dependencies"),
        ({}, {"notifications": [{"url": "x@y"}]}, "notifications[0]"),
        ({}, {"notifications": [{"url": "nowhere", "event": "*"}]}, "notifications[0].url"),
        ({}, {"callbackUrl": 3}, "callbackUrl"),
        ({"inputs": [field("a", value={"required": True})]}, {}, "input a"),
        ({"inputs": [field("a")]}, {"inputs": {"a": ["x", "y"]}}, "input a"),
        ({"inputs": [field("a")]}, {"inputs": {"a": 3}}, "input a"),
        ({"inputs": [field("a")]}, {"inputs": {"a": "sftp://host/x"}}, "input a"),
        ({"inputs": [field("a", value={"validator": r".*\.txt"})]}, {"inputs": {"a": "x.bin"}}, "input a"),
        ({"inputs": [field("a", value={"validator": "x|y"})]}, {"inputs": {"a": "x or"}}, "input a"),
        ({"inputs": [field("a", value={"validator": "x.*"})]}, {"inputs": {"a": "x\ny"}}, "input a"),
        ({"inputs": [field("a", value={"visible": False, "default": "d"})]}, {"inputs": {"a": "x"}}, "input a"),
        ({"parameters": [field("p", kind="number")]}, {"parameters": {"p": "many"}}, "parameter p"),
        ({"parameters": [field("p", kind="number")]}, {"parameters": {"p": True}}, "parameter p"),
        ({"parameters": [field("p", kind="bool")]}, {"parameters": {"p": "maybe"}}, "parameter p"),
        ({"parameters": [field("p", kind="string")]}, {"parameters": {"p": "a;b"}}, "parameter p"),
        ({"parameters": [field("p", kind="enumeration", value={"enum_values": ["l"]})]}, {"p": "w"}, "parameter p"),
    ],
)
def test_a_job_that_breaks_a_rule_is_refused_by_the_fields_name(parts: Any, asked: Any, named: str) -> None:
    with pytest.raises(Refusal) as refused:
        job(app(**parts), **asked)
    assert refused.value.status == 400 and named in refused.value.message


def test_the_name_and_the_app_of_a_job_are_checked_first() -> None:
    nameless: list[dict[str, str]] = [{}, {"name": " "}, {"name": "x" * 65}]
    appless = [{"name": "x"}, {"name": "x", "appId": "nodash"}, {"name": "x", "appId": "a-"}]
    for asked, named in [*((each, "name") for each in nameless), *((each, "appId") for each in appless)]:
        with pytest.raises(Refusal, match=named):
            spec.head(asked)


def test_another_execution_system_than_the_apps_is_forbidden() -> None:
    with pytest.raises(Refusal) as refused:
        job(executionSystem="elsewhere")
    assert refused.value.status == 403


def test_a_callback_url_stands_for_three_notifications() -> None:
    assert [each["event"] for each in job(callbackUrl="https://hook.example.org")["notifications"]] == [
        "FINISHED", "FAILED", "STOPPED",
    ]  # fmt: skip


def test_amounts_are_read_and_written_as_the_platform_does() -> None:
    assert [gigabytes(text) for text in (2, "2", "2GB", "512mb", "1 TB", 0.5)] == [2, 2, 2, 0.5, 1024, 0.5]
    assert [gigabytes(text) for text in ("", "GB", "-1", 0, None, True, [], "1XB", "9" * 400)] == [None] * 9
    assert [seconds(text) for text in ("00:01:00", "100:00:00", "00:00:00", "1:2", 5, "00:60:00")] == [
        60, 360000, None, None, None, None,
    ]  # fmt: skip
    assert run_time(3661) == "01:01:01"
    assert (plain(1.0), plain(1.5)) == ("1", "1.5")


def test_the_name_of_a_download_is_never_a_path() -> None:
    urls = (
        "http://h/a/b.txt?x=/y",
        "http://h/a%2Fb.txt",
        "http://h/..%2F..%2Fup",
        "http://h/%2E%2E",
        "http://h/",
        "http://h",
    )
    assert [sources._name(url) for url in urls] == ["b.txt", "b.txt", "up", "unknown", "unknown", "unknown"]
