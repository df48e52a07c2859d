"""The wrapper: what stands for `${…}`, and the script around it. Pure."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agavesh.tenant.apps.spec import application
from agavesh.tenant.jobs import wrapper
from tests.tenant.shop import field, record


def app(inputs: list | None = None, parameters: list | None = None) -> dict:
    return application(record(inputs=inputs or [], parameters=parameters or []))


@pytest.mark.parametrize(
    ("parameter", "given", "text"),
    [
        (field("p", kind="string"), "as it is", "as it is"),
        (field("p", kind="string"), None, ""),
        (field("p", kind="number"), 3, "3"),
        (field("p", kind="number"), "3.50", "3.50"),
        (field("p", kind="bool"), True, "1"),
        (field("p", kind="bool"), False, "0"),
        (field("p", kind="flag", details={"argument": "--fast"}), True, "--fast"),
        (field("p", kind="flag", details={"argument": "--fast"}), False, ""),
        (field("p", kind="enumeration", value={"enum_values": ["l", "w"]}), "w", "w"),
        (field("p", kind="string", details={"argument": "--p=", "showArgument": True}), "v", "--p=v"),
        (field("p", kind="string", details={"argument": "-p ", "showArgument": True}), ["a", "b"], "-p a b"),
        (
            field("p", kind="string", details={"argument": "-p ", "showArgument": True, "repeatArgument": True}),
            ["a", "b"], "-p a -p b",
        ),
        (field("p", kind="string", value={"enquote": True}), ["a b", "c"], '"a b" "c"'),
        (field("p", kind="string", details={"argument": "-p ", "showArgument": True}), None, ""),
    ],
)  # fmt: skip
def test_a_parameter_stands_in_the_script_as_the_platform_writes_it(parameter: dict, given: object, text: str) -> None:
    made = wrapper.values(app(parameters=[parameter]), {}, {} if given is None else {"p": given})
    assert made == {"p": text}


def test_an_input_stands_in_the_script_by_its_file_names() -> None:
    made = wrapper.values(
        app(inputs=[field("text", semantics={"maxCardinality": -1})]), {"text": ["a.txt", "b.txt"]}, {}
    )
    assert made == {"text": "a.txt b.txt"}


def test_names_are_compared_without_case_and_unknown_ones_are_left_to_the_shell() -> None:
    assert wrapper.fill("${Text} ${TEXT} ${HOME} ${x:-y} $text ${#a[@]}", {"text": "v"}) == (
        "v v ${HOME} ${x:-y} $text ${#a[@]}"
    )


def test_what_a_value_brings_in_is_not_replaced_again_nor_spoiled() -> None:
    assert wrapper.fill("${a} ${b}", {"a": r"${b} $1 \n", "b": "B"}) == r"${b} $1 \n B"


def test_callbacks_become_commands_and_those_of_the_platform_itself_go() -> None:
    filled = wrapper.fill(
        "${AGAVE_JOB_CALLBACK_FAILURE};${IPLANT_FAILURE};${AGAVE_JOB_CALLBACK_ALIVE};${AGAVE_JOB_CALLBACK_SUCCESS};"
        "${AGAVE_JOB_CALLBACK_NOTIFICATION};${AGAVE_JOB_CALLBACK_NOTIFICATION|A,B};"
        "${AGAVE_JOB_CALLBACK_NOTIFICATION|MY_EVENT|A,key:B, bad-name}", {},
    )  # fmt: skip
    assert filled.split(";") == [
        "agave_callback FAILED", "agave_callback FAILED", "agave_callback HEARTBEAT", "",
        "agave_event JOB_RUNTIME_CALLBACK_EVENT", "agave_event JOB_RUNTIME_CALLBACK_EVENT A A B B",
        "agave_event MY_EVENT A A key B",
    ]  # fmt: skip


def script(text: str, folder: Path, **more: object) -> str:
    common = {
        "title": "a test",
        "callback_file": str(folder / "none"),
        "modules": [],
        "environment": "",
    }
    return wrapper.script(text, folder=str(folder), **{**common, **more})


def test_the_script_begins_in_its_folder_with_the_systems_environment(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    made = script('pwd; echo "$GREETING"; agave_callback HEARTBEAT; exit 4', folder, modules=["load gcc"],
                  environment="export GREETING=hello")  # fmt: skip
    done = subprocess.run(["/bin/bash"], input=made, capture_output=True, text=True, cwd="/")
    assert (done.stdout, done.stderr, done.returncode) == (f"{folder}\nhello\n", done.stderr, 4)
    assert "load gcc" in (folder / ".agave.log").read_text()


@given(some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_a_value_in_quotes_reaches_the_program_as_it_was(text: str) -> None:
    made = wrapper.values(app(parameters=[field("p", kind="string", value={"enquote": True})]), {}, {"p": text})
    filled = wrapper.fill("printf %s ${p}", made)
    done = subprocess.run(["/bin/bash", "-c", filled], capture_output=True, env={"LANG": "C.UTF-8"})
    assert done.stdout.decode() == text
