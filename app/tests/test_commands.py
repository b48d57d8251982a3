"""The commands that Ansible runs: one line, its first word says whether something changed."""

import io
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import ApiToken, User, new_token
from tests.conftest import Person
from tests.nginx import Nginx

pytestmark = pytest.mark.django_db


def _run(*arguments: object) -> str:
    out = io.StringIO()
    call_command(*(str(argument) for argument in arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """Return a file with a good password."""
    path = tmp_path / "password"
    path.write_text("seven little ducklings\n")
    return path


def test_a_user_is_created_once(password_file: Path) -> None:
    command = ("ensure_user", "dora", "--password-file", password_file)
    assert _run(*command) == "changed user dora (created)\n"
    user = User.objects.get()
    assert user.check_password("seven little ducklings")
    assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
    assert _run(*command) == "unchanged user dora\n"


def test_the_password_of_a_known_user_changes_only_on_demand(password_file: Path) -> None:
    command = ("ensure_user", "dora", "--password-file", password_file)
    _run(*command)
    password_file.write_text("eight little ducklings")
    assert _run(*command) == "unchanged user dora\n"
    assert _run(*command, "--reset-password") == "changed user dora (password)\n"
    assert User.objects.get().check_password("eight little ducklings")
    assert _run(*command, "--reset-password") == "unchanged user dora\n"


def test_a_user_without_password_file_cannot_sign_in() -> None:
    _run("ensure_user", "robot")
    assert not User.objects.get().has_usable_password()


def test_flags_follow_the_command() -> None:
    assert _run("ensure_user", "dora", "--superuser") == "changed user dora (created)\n"
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (True, True)
    assert _run("ensure_user", "dora", "--staff") == "changed user dora (is_superuser)\n"
    assert _run("ensure_user", "dora", "--staff", "--email=d@upload.test").startswith("changed")
    assert _run("ensure_user", "dora", "--staff") == "unchanged user dora\n"
    User.objects.update(is_active=False)
    assert _run("ensure_user", "dora", "--staff") == "unchanged user dora (inactive)\n"
    assert not User.objects.get().is_active


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("dora", "--password-file", "/nowhere/password"), "name a file"),
        (("dora", "--reset-password"), None),
        (("do ra",), "valid username"),
    ],
)
def test_wrong_arguments_say_the_remedy(arguments: tuple[str, ...], remedy: str | None) -> None:
    if remedy is None:
        _run("ensure_user", "dora")
        remedy = "--password-file"
    before = User.objects.count()
    with pytest.raises(CommandError, match=remedy):
        _run("ensure_user", *arguments)
    assert User.objects.count() == before


def test_a_weak_password_is_refused_without_showing_it(password_file: Path) -> None:
    password_file.write_text("12345")
    with pytest.raises(CommandError) as error:
        _run("ensure_user", "dora", "--password-file", password_file)
    assert "12345" not in str(error.value)
    assert User.objects.count() == 0


def test_a_token_that_ansible_made_is_stored_once(owner: Person, tmp_path: Path) -> None:
    text = new_token()
    path = tmp_path / "token"
    path.write_text(text + "\n")
    command = ("ensure_token", "--user=olivia", "--name=ci", "--token-file", path)
    assert _run(*command) == "changed token ci of olivia (created)\n"
    assert _run(*command) == "unchanged token ci of olivia\n"
    assert Nginx(headers={"Authorization": f"Bearer {text}"}).authorize().status_code == 204
    path.write_text(new_token())
    assert _run(*command) == "changed token ci of olivia (replaced)\n"
    assert Nginx(headers={"Authorization": f"Bearer {text}"}).authorize().status_code == 401
    assert owner.user.tokens.filter(name="ci").count() == 1


def test_a_token_comes_from_standard_input_too(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{new_token()}\n"))
    assert _run("ensure_token", "--user=olivia", "--name=ci").startswith("changed")
    assert owner.user.tokens.count() == 2


def test_a_revoked_token_does_not_come_back(owner: Person, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(owner.token)
    ApiToken.objects.update(revoked="2026-01-01T00:00:00Z")
    command = ("ensure_token", "--user=olivia", "--name=laptop", "--token-file", path)
    assert _run(*command) == "unchanged token laptop of olivia (revoked)\n"
    assert owner.api.authorize().status_code == 401


def test_a_refused_token_leaves_the_old_one_in_force(owner: Person, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("too-short")
    with pytest.raises(CommandError, match="43 letters"):
        _run("ensure_token", "--user=olivia", "--name=laptop", "--token-file", path)
    assert owner.api.authorize().status_code == 204
    path.write_text(owner.token)
    with pytest.raises(CommandError, match="make a new one"):
        _run("ensure_token", "--user=olivia", "--name=other", "--token-file", path)


def test_a_new_token_is_printed_once_and_works(owner: Person) -> None:
    text = _run("create_token", "--user=olivia", "--name=ci", "--days=1").strip()
    assert Nginx(headers={"Authorization": f"Bearer {text}"}).authorize().status_code == 204
    assert ApiToken.objects.get(name="ci").expires is not None
    with pytest.raises(CommandError, match="another --name"):
        _run("create_token", "--user=olivia", "--name=ci")
    with pytest.raises(CommandError, match="1 or more"):
        _run("create_token", "--user=olivia", "--name=cd", "--days=0")
    assert owner.user.tokens.count() == 2


def test_a_new_token_has_the_scope_that_is_asked_for(owner: Person) -> None:
    text = _run("create_token", "--user=olivia", "--name=rig", "--scope=upload").strip()
    program = Nginx(headers={"Authorization": f"Bearer {text}"})
    assert program.authorize().status_code == 204
    assert program.get("/uploads/").status_code == 403
    _run("create_token", "--user=olivia", "--name=ci")
    assert owner.user.tokens.get(name="ci").scope == "all"
    with pytest.raises(CommandError, match="invalid choice"):
        _run("create_token", "--user=olivia", "--name=cd", "--scope=root")


@pytest.mark.parametrize("command", ["create_token", "ensure_token"])
def test_a_token_needs_a_known_user(command: str) -> None:
    with pytest.raises(CommandError, match="ensure_user nemo"):
        _run(command, "--user=nemo", "--name=ci")
