"""Options, environment, configuration file and token: which one counts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest
from conftest import receive

if TYPE_CHECKING:
    import ssl

    from conftest import Push
    from upload_server import Exchange, Server

    Serve = Callable[..., Server]

USAGE, AUTH = 2, 4
SECRET = "t0ps3cret"


def token_of(server: Server) -> str | None:
    return server.requests[-1].headers.get("authorization")


def test_help_names_every_option_variable_key_and_exit_code_in_80_columns(push: Push) -> None:
    outcome = push("--help")
    assert outcome.code == 0
    assert all(len(line) <= 80 for line in outcome.out.splitlines())
    words = "HOST PORT SCHEMA TOKEN TOKEN_FILE CA_FILE PROFILE CONFIG".split()  # noqa: SIM905
    for word in [f"PUSH_{word}" for word in words] + ["--ca-file", "ca_file", "examples:", "130"]:
        assert word in outcome.out


def test_the_historic_usage_line_is_still_true(push: Push) -> None:
    assert "usage: push.py [-h] [--host HOST] [--port PORT] [--schema SCHEMA]" in push("-h").out


def test_version_is_printed(push: Push) -> None:
    assert push("--version").out.startswith("push.py ")


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ([], "required: file"),
        (["--nonsense", "x"], "--nonsense"),
        (["--port", "0", "x"], "'0' is not a port"),
        (["--port", "https", "x"], "'https' is not a port"),
        (["--schema", "ftp", "x"], "'ftp' is not a schema: give https or http"),
        (["--host", "https://a", "x"], "'https://a' is not a host"),
        (["--config", "/nowhere/push.conf", "x"], "cannot be read: no such file"),
        (["--profile", "lab", "x"], "There is no push.conf with the profile 'lab'"),
        (["--ca-file", "/nowhere/ca.pem", "x"], "/nowhere/ca.pem cannot be read"),
        (["--ca-file", "push.py", "x"], "push.py holds no PEM certificate"),
        (["--token-file", "/nowhere/token", "x"], "/nowhere/token cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence(push: Push, arguments: list[str], phrase: str) -> None:
    outcome = push(*arguments)
    assert outcome.code == USAGE
    assert phrase in outcome.sentence


@pytest.mark.parametrize("argument", [f"--token={SECRET}", "--token"])
def test_a_token_on_the_command_line_is_refused_and_not_repeated(push: Push, argument: str) -> None:
    outcome = push(argument, SECRET, push.file())
    assert outcome.code == USAGE
    assert "never taken from the command line" in outcome.sentence
    assert SECRET not in outcome.err


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    push: Push, serve: Serve
) -> None:
    server = serve(receive)
    push.config("[default]\nhost = 127.0.0.1\nport = 1\nschema = http\n")
    assert push(push.file(), PUSH_PORT=str(server.port)).code == 0
    assert push("--port", server.port, push.file(), PUSH_PORT="2").code == 0
    assert "port 1 cannot" in push(push.file()).sentence


def test_without_settings_the_server_is_https_on_localhost(push: Push) -> None:
    assert "localhost" in push(push.file()).sentence
    assert "port 443 " in push(push.file()).sentence
    assert "port 80 " in push("--schema", "http", push.file()).sentence


def test_the_file_of_make_up_beside_push_py_is_all_it_needs(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path
) -> None:
    server = serve(receive, tls)
    (push.home / "certs").mkdir()
    (push.home / "certs" / "ca.pem").write_bytes(ca_file.read_bytes())
    push.config(
        f"[default]\nhost = localhost\nport = {server.port}\nschema = https\n"
        f"ca_file = certs/ca.pem\ntoken = {SECRET}\n"
    )
    outcome = push(push.file())
    assert outcome.code == 0, outcome.err
    assert token_of(server) == f"Bearer {SECRET}"
    assert SECRET not in outcome.out + outcome.err


def test_the_users_own_file_is_read_when_there_is_none_beside_push_py(
    push: Push, serve: Serve
) -> None:
    server = serve(receive)
    text = f"[default]\nport = {server.port}\nschema = http\n"
    push.config(text, ".config/push/push.conf")
    assert push(push.file()).code == 0
    push.config("[default]\nport = 1\nschema = http\n", ".config/push/push.conf")
    push.config(text, "xdg/push/push.conf")
    assert push(push.file(), XDG_CONFIG_HOME=str(push.home / "xdg")).code == 0


def test_a_profile_is_a_section_that_borrows_nothing_from_another(push: Push, serve: Serve) -> None:
    server = serve(receive)
    push.config(
        f"[DEFAULT]\ntoken = {SECRET}\n[default]\ntoken = {SECRET}\nport = 1\n"
        f"[lab]\nport = {server.port}\nschema = http\n"
    )
    assert push("--profile", "lab", push.file()).code == 0
    assert token_of(server) is None
    assert push(push.file(), PUSH_PROFILE="lab").code == 0


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "has no section [default] (it has: none)"),
        ("[lab]\nhost = x\n", "has no section [default] (it has: [lab])"),
        ("[default]\nhots = x\n", "has the unknown key 'hots'"),
        (f"token {SECRET}\n", "is not an INI file: mend its line 1"),
        (f"[default]\ntoken {SECRET}\n", "is not an INI file: mend its line 2"),
        (f"[default]\ntoken = a\ntoken = {SECRET}\n", "is not an INI file: mend its line 3"),
        (f"[default]\ntoken = {SECRET}\ntoken_file = t\n", "both token and token_file"),
        ("[default]\ntoken = two words\n", "has characters that no token has"),
    ],
)
def test_a_configuration_file_that_makes_no_sense_is_told(
    push: Push, text: str, phrase: str
) -> None:
    push.config(text)
    outcome = push(push.file())
    assert outcome.code == USAGE
    assert phrase in outcome.sentence
    assert SECRET not in outcome.err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused_with_the_command_that_mends_it(
    push: Push, mode: int
) -> None:
    config = push.config(f"[default]\ntoken = {SECRET}\n", mode=mode)
    outcome = push(push.file())
    assert outcome.code == USAGE
    assert f"run `chmod 600 {config}`" in outcome.sentence
    config.unlink()
    token = push.config(SECRET, "token", mode=mode)
    assert f"run `chmod 600 {token}`" in push("--token-file", token, push.file()).sentence


def test_a_configuration_file_without_a_token_may_be_readable(push: Push, serve: Serve) -> None:
    server = serve(receive)
    push.config(f"[default]\nport = {server.port}\nschema = http\n", mode=0o644)
    assert push(push.file()).code == 0


def test_the_token_is_taken_in_the_order_of_precedence(push: Push, serve: Serve) -> None:
    server = serve(receive)
    first, second = push.config("first", "one"), push.config("second\n", "two")
    push.config("fourth", "conf/token")
    config = push.config("[default]\ntoken_file = token\n", "conf/push.conf")
    env = {"PUSH_CONFIG": str(config), "PUSH_TOKEN_FILE": str(second), "PUSH_TOKEN": "third"}
    assert push("--token-file", first, push.file(), to=server, **env).code == 0
    assert token_of(server) == "Bearer first"
    for expected, spent in (("third", "PUSH_TOKEN"), ("second", "PUSH_TOKEN_FILE")):
        push(push.file(), to=server, **env)
        assert token_of(server) == f"Bearer {expected}"
        del env[spent]
    push(push.file(), to=server, **env)
    assert token_of(server) == "Bearer fourth"


def test_a_token_of_one_host_is_not_sent_to_another(push: Push, serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.problem("401 Unauthorized", "No.")

    server = serve(script)
    config = push.config(f"[default]\nhost = files.example.org\ntoken = {SECRET}\n")
    outcome = push(push.file(), to=server)
    assert outcome.code == AUTH
    assert token_of(server) is None
    assert (
        f"the token in {config} is for files.example.org and was not sent to localhost"
        in outcome.sentence
    )


def test_without_a_token_no_credentials_are_sent_not_even_those_of_netrc(
    push: Push, serve: Serve
) -> None:
    server = serve(receive)
    push.config("machine localhost login me password hidden\n", ".netrc")
    assert push(push.file(), to=server).code == 0
    assert token_of(server) is None


def test_the_token_is_in_no_process_list(push: Push, serve: Serve) -> None:
    seen: list[bytes] = []
    processes: list[Any] = []

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        part = exchange.form()
        seen.append(Path(f"/proc/{processes[0].pid}/cmdline").read_bytes())
        exchange.stored(part)

    server = serve(script)
    token = push.config(SECRET, "token")
    processes.append(push.start("--token-file", token, push.file(), to=server))
    with processes[0] as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert b"push.py" in seen[0]
    assert SECRET.encode() not in seen[0]
    assert SECRET not in out + err
