"""The manual page and the completion of shells, both from the parsers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Push

VERBS = ["ls", "get", "rm", "login", "logout", "doctor"]


CLIENTS = Path(__file__).resolve().parents[2] / "docs" / "clients.md"


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def test_the_manual_has_every_option_verb_and_exit_code(push: Push) -> None:
    page = push("--man").out
    text = page.replace("\\-", "-")
    told = options_in(push("--help").out).union(*(options_in(push(v, "--help").out) for v in VERBS))
    assert told <= options_in(text)
    for verb in VERBS:
        assert f".SH {verb.upper()}\n" in page
    for heading in ("NAME", "SYNOPSIS", "EXAMPLES", "INTERRUPTIONS", "SETTINGS", "EXIT CODES"):
        assert f".SH {heading}\n" in page
    assert "130  stopped by Ctrl-C" in text


def test_the_manual_is_what_man_takes(push: Push) -> None:
    push.home.joinpath("push.1").write_text(push("--man").out)
    shown = subprocess.run(
        ["man", "--warnings", "-l", "push.1"],
        cwd=push.home,
        env={**push.env, "MANWIDTH": "78"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert "~/.config/push/push.conf ($XDG_CONFIG_HOME)" in shown.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["--che"], "--checksum-file"),
        (["doc"], "doctor"),
        (["doctor", "--tri"], "--trickle"),
        (["get", "--for"], "--force"),
        (["run"], "run.bam"),
    ],
)
def test_bash_completes_options_verbs_and_files(push: Push, line: list[str], expected: str) -> None:
    push.file()
    words = " ".join(f"'{word}'" for word in ["push.py", *line])
    script = (
        push("--completion", "bash").out
        + f"COMP_WORDS=({words}); COMP_CWORD={len(line)}; _push; "
        + 'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-uc", script], cwd=push.home, capture_output=True, text=True, check=True
    )
    assert expected in done.stdout.split()


def test_zsh_uses_the_completion_of_bash(push: Push) -> None:
    assert push("--completion", "zsh").out.startswith("autoload -U +X bashcompinit")
    assert push("--completion", "fish").code == 2


def test_the_document_and_the_help_have_the_same_exit_codes(push: Push) -> None:
    told = re.findall(r"^  (\d+) +(.+)$", push("--help").out.split("exit codes")[1], re.MULTILINE)
    table = CLIENTS.read_text().split("| exit code |")[1].split("\n\n")[0]
    written = re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert written == told


def test_the_commands_of_the_document_are_understood(push: Push) -> None:
    block = CLIENTS.read_text().split("## push.py")[1].split("```")[1]
    options = options_in(block)
    known = options_in(push("--help").out)
    assert options
    assert options <= known
    assert set(re.findall(r"push\.py (ls|get|rm|doctor)\b", block)) <= set(VERBS)
