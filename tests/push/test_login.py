"""Signing in with a token from the browser; passwords are tried with the deployed service."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Outcome, Push
    from upload_server import Exchange, Script, Server

    Serve = Callable[..., Server]

USAGE, AUTH = 2, 4
TOKEN = "dnu_" + "x" * 43


def knowing(token: str, status: str = "401 Unauthorized") -> Script:
    """Answer as a server does that knows one token."""

    def script(exchange: Exchange) -> None:
        assert exchange.line.startswith("GET /uploads/ ")
        if exchange.headers.get("authorization") == f"Bearer {token}":
            exchange.answer("200 OK", {"uploads": [], "next": None})
        else:
            exchange.problem(status, "No.")

    return script


@pytest.fixture
def browser(push: Push) -> Path:
    """Where the page stands that a browser was told to show."""
    shown = push.home / "shown"
    opener = push.home / "browser"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}\n')
    opener.chmod(0o755)
    push.env["BROWSER"] = f"{opener} %s"
    return shown


def sign_in(push: Push, server: Server, typed: str = TOKEN) -> Outcome:
    push.env |= {
        "PUSH_HOST": "localhost",
        "PUSH_PORT": str(server.port),
        "PUSH_SCHEMA": "http",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    return push.on_a_terminal("login", "--browser", typed=typed)


def kept(push: Push) -> list[Path]:
    return list((push.home / ".config" / "push" / "tokens").glob("*"))


def test_a_token_made_in_the_browser_is_pasted_unseen_checked_and_kept(
    push: Push, serve: Serve, browser: Path
) -> None:
    server = serve(knowing(TOKEN))
    outcome = sign_in(push, server)
    assert outcome.code == 0, outcome.err
    address = f"http://localhost:{server.port}/accounts/"
    assert browser.read_text() == address
    assert f"Your browser shows {address}: make a token there" in outcome.err
    assert TOKEN not in outcome.out + outcome.err
    [path] = kept(push)
    assert path.read_text().strip() == TOKEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"Signed in to http://localhost:{server.port}; the token is in {path}." in outcome.out


def test_where_there_is_no_browser_the_address_is_told(push: Push, serve: Serve) -> None:
    server = serve(knowing(TOKEN))
    outcome = sign_in(push, server)
    assert outcome.code == 0, outcome.err
    assert f"Open http://localhost:{server.port}/accounts/: make a token there" in outcome.err


@pytest.mark.parametrize(("typed", "code"), [("dnu_other", AUTH), ("two words", USAGE)])
def test_a_token_that_is_none_is_not_kept(
    push: Push, serve: Serve, browser: Path, typed: str, code: int
) -> None:
    outcome = sign_in(push, serve(knowing(TOKEN)), typed)
    assert outcome.code == code
    assert "what was pasted" in outcome.err
    assert typed not in outcome.out + outcome.err
    assert browser.exists()
    assert kept(push) == []


def test_a_token_that_may_not_list_is_kept(push: Push, serve: Serve) -> None:
    outcome = sign_in(push, serve(knowing("another", "403 Forbidden")))
    assert outcome.code == 0, outcome.err
    assert len(kept(push)) == 1


def test_no_secret_is_asked_for_over_plain_http(push: Push) -> None:
    outcome = push("login", "--browser", "--host", "files.example.org", "--schema", "http")
    assert outcome.code == USAGE
    assert "not sent over plain http" in outcome.sentence


def test_a_user_name_and_the_browser_exclude_each_other(push: Push) -> None:
    outcome = push("login", "--browser", "--user", "pia")
    assert outcome.code == USAGE
    assert "not allowed with argument" in outcome.sentence


def test_signing_out_forgets_a_token_that_the_server_does_not_know_any_more(
    push: Push, serve: Serve
) -> None:
    def script(exchange: Exchange) -> None:
        if exchange.line.startswith("DELETE "):
            exchange.problem("401 Unauthorized", "No.")
        else:
            knowing(TOKEN)(exchange)

    sign_in(push, serve(script))
    outcome = push("logout")
    assert outcome.code == 0, outcome.err
    assert kept(push) == []
