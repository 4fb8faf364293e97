"""What is said, and which exit code, when it does not work."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from pvc import errors
from pvc.cli.power import waiting_for
from tests.unit.cli.calling import PVC, interrupted
from tests.unit.cli.fake_api import Answer, FakeAPI

REFUSALS = [
    (400, "invalid_xml", 2),
    (401, "unauthenticated", 6),
    (403, "not_permitted", 6),
    (404, "not_found", 3),
    (409, "busy", 4),
    (413, "too_large", 4),
    (500, "internal", 1),
    (502, "hypervisor_refused", 7),
    (503, "store_unavailable", 5),
    (504, "timeout", 5),
    (418, "a_code_of_the_future", 1),
]


@pytest.mark.parametrize(("status", "code", "exit_code"), REFUSALS)
def test_a_refusal_is_told_in_the_words_of_the_api(
    pvc: PVC, api: FakeAPI, status: int, code: str, exit_code: int
) -> None:
    api.tell("GET /vm/web1", Answer({"message": "It cannot be.", "code": code, "fields": {}}, status))
    result = pvc("vm", "info", "web1")
    assert (result.returncode, result.stdout) == (exit_code, "")
    assert result.stderr.startswith("It cannot be.")


def test_who_has_no_token_is_told_how_to_come_by_one(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm", Answer({"message": "A token is needed.", "code": "unauthenticated"}, 401))
    hint = '"pvc token add" on a server makes one; --token-file or PVC_TOKEN_FILE names its file.'
    assert pvc("vm", "list").stderr == f"A token is needed. {hint}\n"


@pytest.mark.parametrize(("status", "exit_code"), [(404, 3), (401, 6), (503, 5), (500, 1)])
def test_an_answer_of_something_else_is_judged_by_its_status(
    pvc: PVC, api: FakeAPI, status: int, exit_code: int
) -> None:
    api.tell("GET /vm", Answer(b"<html>some proxy</html>", status))
    result = pvc("vm", "list")
    assert result.returncode == exit_code
    assert result.stderr.startswith(f"The server answered {status} ")


def test_an_answer_that_is_not_json_is_told(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm", Answer(b"hello"))
    result = pvc("vm", "list")
    assert (result.returncode, result.stderr) == (5, "The server answered something that is not JSON.\n")


def test_control_characters_of_a_message_do_not_reach_the_terminal(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm", Answer({"message": "a\x1b[2Jb\nc", "code": "busy"}, 409))
    assert pvc("vm", "list").stderr == "a [2Jb c\n"


def test_an_unknown_vm_answered_as_an_empty_list_is_not_found(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /names", Answer({"names": ["web1"], "more": False}))
    api.tell("GET /vm/web9", Answer([]))
    result = pvc("vm", "info", "web9")
    assert (result.returncode, result.stderr) == (3, 'No vm "web9". Similar: "web1".\n')


def test_no_server_is_one_sentence_that_says_what_to_do(pvc: PVC, tmp_path: Path) -> None:
    url = f"unix:{tmp_path}/none.sock"
    result = pvc("-c", url, "vm", "list")
    sentence = f'No pvc serve answers at "{url}": start it with "pvc serve" or name another with -c.\n'
    assert (result.returncode, result.stderr) == (5, sentence)


def test_a_socket_that_nobody_listens_on_is_the_same(pvc: PVC, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "dead.sock"))
    result = pvc("vm", "list", "-c", f"unix:{tmp_path}/dead.sock")
    assert result.returncode == 5
    assert result.stderr.startswith("No pvc serve answers at ")


def test_a_host_that_does_not_exist_is_told(pvc: PVC) -> None:
    result = pvc("-c", "http://no-such-host.invalid", "vm", "list")
    assert result.returncode == 5
    assert result.stderr.startswith('"http://no-such-host.invalid" cannot be reached: ')


@pytest.mark.parametrize("url", ["ftp://hv1", "http://", "http://hv1:x", "unix:pvc.sock", "http://hv1/x", "http://["])
def test_a_wrong_address_is_told_with_the_right_forms(pvc: PVC, url: str) -> None:
    result = pvc("-c", url, "vm", "list")
    assert result.returncode == 2
    assert result.stderr.startswith(f'"{url}" is no address of a server: write unix:/PATH')


def test_no_permission_on_the_socket_is_told(pvc: PVC, api: FakeAPI, pvc_command: list[str]) -> None:
    nobody = 65534
    program = Path(pvc_command[0]).absolute()
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    if not all(folder.stat().st_mode & 0o001 for folder in (program, *program.parents, Path(errors.__file__).parent)):
        pytest.skip("the program cannot be reached by another user")
    path = Path(api.url.removeprefix("unix:"))
    path.chmod(0o600)
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        folder.chmod(0o755)
    result = pvc("vm", "list", user=nobody, group=nobody, extra_groups=[])
    sentence = f'No permission to use "{api.url}": run pvc as root or name another server with -c.\n'
    assert (result.returncode, result.stderr) == (6, sentence)


def test_a_connection_that_breaks_is_told(pvc: PVC, api: FakeAPI) -> None:
    api.tell("POST /vm/web1/state", Answer(breaks=True))
    result = pvc("vm", "start", "web1")
    assert result.returncode == 5
    assert result.stderr.startswith(f'The connection to "{api.url}" broke; what was asked may still have happened: ')


def test_a_document_that_is_too_large_is_refused_in_the_words_of_the_api(pvc: PVC, api: FakeAPI) -> None:
    api.tell("POST /vm", Answer({"message": "Too large.", "code": "too_large"}, 413, early=True))
    result = pvc("vm", "define", "-", text=b"<a>" + b" " * (8 << 20))
    assert (result.returncode, result.stderr) == (4, "Too large.\n")


@pytest.mark.parametrize("name", ["/no/such/file", "/"])
def test_a_file_that_cannot_be_read_is_told(pvc: PVC, name: str) -> None:
    for line in (["vm", "define", name], ["storage", "volume", "upload", "local", "web1", name]):
        result = pvc(*line)
        assert result.returncode == 2
        assert result.stderr.startswith(f'The file "{name}" cannot be read: ')


def test_a_file_that_is_not_text_is_told(pvc: PVC) -> None:
    result = pvc("vm", "define", "-", text=b"\xff\xfe")
    assert (result.returncode, result.stderr) == (2, 'The file "-" is not UTF-8 text.\n')


def test_interrupted_by_the_user(pvc: PVC, api: FakeAPI) -> None:
    api.tell("GET /vm/web1/console", Answer(b"tick\n", endless=True))
    process = pvc.start("vm", "log", "web1", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"tick\n"
    complaint = interrupted(process)
    assert (process.returncode, complaint) == (130, b"\n")


TOKENS: list[tuple[list[str], dict[str, str], str | None]] = [
    ([], {}, None),
    ([], {"PVC_TOKEN": "from-env"}, "from-env"),
    ([], {"PVC_TOKEN": "from-env", "PVC_TOKEN_FILE": "FILE"}, "from-file"),
    (["--token-file", "FILE"], {"PVC_TOKEN": "from-env"}, "from-file"),
]


@pytest.mark.parametrize(("options", "environment", "token"), TOKENS)
def test_the_token_comes_from_the_nearest_place(
    pvc: PVC, api: FakeAPI, tmp_path: Path, options: list[str], environment: dict[str, str], token: str | None
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    given = {name: value.replace("FILE", str(file)) for name, value in environment.items()}
    pvc(*(option.replace("FILE", str(file)) for option in options), "vm", "list", environment=given)
    assert api.request.headers.get("x-api-key") == token


def test_a_token_file_that_is_missing_is_told(pvc: PVC) -> None:
    result = pvc("vm", "list", "--token-file", "/no/such/token")
    assert result.returncode == 2
    assert result.stderr.startswith('The token file "/no/such/token" cannot be read: ')


USAGE: list[tuple[str, str]] = [
    ("vm strat web1", 'No command "vm strat": did you mean "pvc vm start"?'),
    ("start web1", 'No command "start": did you mean "pvc vm start"?'),
    ("sotrage", 'No command "sotrage": did you mean "pvc storage"?'),
    ("serv", 'No command "serv": did you mean "pvc serve"?'),
    ("xyzzy", 'No command "xyzzy": see "pvc --help".'),
    ("vm xyzzy", 'No command "vm xyzzy": see "pvc vm --help".'),
    ("--wrong vm list", 'Option "--wrong" is not known here: see "pvc --help".'),
    ("vm start", 'The following arguments are required: VM; see "pvc vm start --help".'),
    ("vm list --wrong", 'Option "--wrong" is not known here; see "pvc vm list --help".'),
    ("vm network remove web1", "Name the interface by its network, by its MAC, or both."),
    ("vm modify web1", 'Give a FILE ("-" for stdin), or use --editor on a terminal.'),
    ("vm remove web1", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("vm undefine web1", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("network remove 100", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("provisioner ova remove app", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("token remove ops", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("token add ops", 'The following arguments are required: -r/--role; see "pvc token add --help".'),
    ("node remove hv3", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("storage volume remove local web1", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("storage snapshot rollback local web1 s", "This needs a confirmation and there is no terminal to ask on: add -y."),
    ("storage snapshot remove local web1 s", "This needs a confirmation and there is no terminal to ask on: add -y."),
]


@pytest.mark.parametrize(("line", "sentence"), USAGE)
def test_wrong_usage_is_one_sentence_and_asks_nothing(pvc: PVC, api: FakeAPI, line: str, sentence: str) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{sentence}\n")
    assert api.requests == []


@pytest.mark.parametrize("line", ["", "vm", "storage volume"])
def test_a_group_alone_shows_its_commands_as_wrong_usage(pvc: PVC, line: str) -> None:
    result = pvc(*line.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: pvc ")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_change_the_path_is_never_sent(pvc: PVC, api: FakeAPI, name: str) -> None:
    result = pvc("vm", "undefine", name, "-y")
    assert (result.returncode, result.stderr) == (2, f'"{name}" cannot be a name.\n')
    assert api.requests == []


def test_a_name_that_is_no_text_is_the_servers_to_refuse(pvc: PVC, api: FakeAPI) -> None:
    result = pvc("vm", "list", os.fsdecode(b"\xff"))
    assert result.returncode == 0
    assert list(api.request.query) == ["limit"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(pvc: PVC, api: FakeAPI, closed: str) -> None:
    shell = PVC(["sh", "-c", f'"$@" {closed}', "sh", *pvc.command], pvc.environment)
    result = shell("vm", "start", "web1")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(api.requests) == 1


def test_a_result_that_cannot_be_written_is_told(pvc: PVC) -> None:
    shell = PVC(["sh", "-c", '"$@" >/dev/full', "sh", *pvc.command], pvc.environment)
    result = shell("vm", "list")
    assert (result.returncode, result.stderr) == (5, "The result cannot be written: No space left on device\n")


def test_a_token_that_is_none_is_told(pvc: PVC) -> None:
    result = pvc("vm", "list", environment={"PVC_TOKEN": "a\nb"})
    assert (result.returncode, result.stderr) == (2, "What PVC_TOKEN holds is no token.\n")


def test_a_console_that_is_followed_cannot_be_json(pvc: PVC) -> None:
    assert pvc("vm", "log", "web1", "-f", "--output", "json").returncode == 2


def test_https_to_a_server_without_it_is_told(pvc: PVC, tcp_api: FakeAPI) -> None:
    result = pvc("-c", tcp_api.url.replace("http:", "https:"), "vm", "list")
    assert result.returncode == 5
    assert " speaks no TLS: write http:// where it is pvc." in result.stderr


def test_tcp_works_as_the_socket_does(pvc: PVC, tcp_api: FakeAPI) -> None:
    assert pvc("-c", tcp_api.url, "vm", "tag", "add", "web1", "a").stdout == "Done.\n"
    assert tcp_api.request.json == {"action": "add", "tag": "a", "protected": False}


def test_who_waits_is_told_for_what_and_may_leave(pvc: PVC, api: FakeAPI) -> None:
    api.hold("POST /vm/web1/state", until="GET /never")
    process = pvc.start("vm", "shutdown", "web1", "--timeout", "60", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    told = process.stderr.readline().decode()
    assert told == (
        'Waiting for the guest of VM "web1" to shut down; after 60 s its plug is pulled. Ctrl-C leaves it going on.\n'
    )
    interrupted(process)
    assert process.returncode == 130
    api.held["POST /vm/web1/state"][1].set()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("start", 'Waiting for the node of VM "web1" to start it. '),
        ("stop", 'Waiting for the node of VM "web1" to stop it. '),
        ("restart", "to shut down; when its time is up (180 s unless configured) its plug is pulled. "),
    ],
)
def test_what_is_waited_for_depends_on_what_was_asked(state: str, told: str) -> None:
    assert told in waiting_for(state, "web1")
