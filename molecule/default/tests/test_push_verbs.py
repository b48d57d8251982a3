"""push.py's other verbs against the deployed service: ls, get, rm, --verify, login, doctor."""

from __future__ import annotations

import json
import re
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients.hop import Hop
from clients.push import AUTH, DONE, LOCAL_FILE, MIB, REFUSED, USAGE, VERIFICATION, Client, sha256
from conftest import PASSWORD, ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable


pytest_plugins = ["clients.fixtures"]
pytestmark = pytest.mark.usefixtures("tidy")

KEYRING = """
import json, os, pathlib, types
store = pathlib.Path(os.environ["KEYRING_FILE"])
known = json.loads(store.read_text()) if store.exists() else {}

def get_keyring():
    return types.SimpleNamespace(priority=5)

def get_password(service, name):
    return known.get(service + name)

def set_password(service, name, secret):
    store.write_text(json.dumps({**known, service + name: secret}))

def delete_password(service, name):
    del known[service + name]
    store.write_text(json.dumps(known))
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Make a file that nobody else has: its name is new, and its content."""

    def make(size: int = MIB) -> Path:
        path = tmp_path / f"{secrets.token_hex(8)}.bin"
        path.write_bytes(path.name.encode() * (size // len(path.name)))
        return path

    return make


def test_what_was_sent_is_listed_and_deleted(client: Client, file: Callable[..., Path]) -> None:
    path = file()
    [receipt] = client.receipts(path)
    [upload] = listed(client, path.name)
    assert upload["sha256"] == receipt["sha256"]
    assert upload["id"] in client("ls").stdout
    assert f"Deleted: {upload['id']}" in client("rm", path.name).stdout
    assert listed(client, path.name) == []
    assert "no file is called" in client("rm", path.name, code=REFUSED).stderr


def listed(client: Client, name: str) -> list[dict[str, Any]]:
    """Return what `ls` says to a program."""
    return [json.loads(line) for line in client("ls", "--json", name).stdout.splitlines()]


def test_a_name_that_is_there_twice_is_not_guessed(
    client: Client, file: Callable[..., Path]
) -> None:
    path = file()
    client("--quiet", path)
    client("--quiet", path)
    outcome = client("rm", path.name, code=REFUSED)
    ids = [upload["id"] for upload in listed(client, path.name)]
    assert all(upload in outcome.stderr for upload in ids)
    client("rm", *ids)


def test_a_file_comes_back_and_an_interrupted_download_goes_on(
    client: Client, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file(64 * MIB)
    [receipt] = client.receipts(path)
    target = tmp_path / "back.bin"
    with client.start("get", "--limit-rate", "16M", "-o", target, path.name) as process:
        while not sum(part.stat().st_size for part in tmp_path.glob("back.bin.*.part")):
            assert process.poll() is None
        process.kill()
    [part] = tmp_path.glob("back.bin.*.part")
    before = part.stat().st_size
    outcome = client("get", "--json", "-o", target, receipt["url"])
    assert 0 < before < path.stat().st_size
    assert json.loads(outcome.stdout)["sha256"] == sha256(target) == sha256(path)
    assert not list(tmp_path.glob("*.part"))
    assert "exists" in client("get", "-o", target, path.name, code=LOCAL_FILE).stderr
    client("get", "--quiet", "--force", "-o", target, path.name)


def test_a_download_that_is_not_what_is_stored_is_removed(
    client: Client, file: Callable[..., Path], tmp_path: Path
) -> None:
    path = file()
    client("--quiet", path)
    [upload] = listed(client, path.name)
    target = tmp_path / "back.bin"
    part = tmp_path / f"back.bin.{upload['id'][:8]}.part"
    part.write_bytes(b"other")
    outcome = client("get", "-o", target, upload["id"], code=VERIFICATION)
    assert "another SHA-256" in outcome.stderr
    assert not part.exists()
    assert not target.exists()


def test_a_file_that_is_there_is_verified_without_being_sent(
    client: Client, file: Callable[..., Path]
) -> None:
    path = file()
    assert "has no such file" in client("--verify", path, code=VERIFICATION).stderr
    client("--quiet", path)
    assert "[Return status 200 Upload Verified]" in client("--verify", path).stdout
    path.write_bytes(b"changed")
    assert "under that name" in client("--verify", path, code=VERIFICATION).stderr
    assert len(listed(client, path.name)) == 1


def test_signing_in_keeps_a_token_for_its_user_alone_and_signing_out_withdraws_it(
    client: Client, pia: str, file: Callable[..., Path]
) -> None:
    del client.env["PUSH_TOKEN"]
    client.env["PUSH_TOKEN_FILE"] = ""
    answer = client.start("login", "--user", pia, stdin=-1)
    out, err = answer.communicate(f"{PASSWORD}\n".encode())
    assert answer.returncode == DONE, err
    [kept] = (Path(client.env["HOME"]) / ".config/push/tokens").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret = kept.read_bytes().strip()
    assert secret.startswith(b"dnu_")
    assert secret not in out + err
    client.env["PUSH_TOKEN"] = ""
    with client.start("--json", file()) as process:
        assert process.wait(60) == DONE
    with client.start("logout") as process:
        assert process.wait(60) == DONE
    assert not kept.exists()
    client.env["PUSH_TOKEN"] = secret.decode()
    client("ls", code=AUTH)


def test_a_keyring_keeps_the_token_where_python_has_one(
    client: Client, pia: str, tmp_path: Path
) -> None:
    # What the module of that name offers, with a file for a store.
    (tmp_path / "keyring.py").write_text(KEYRING)
    del client.env["PUSH_TOKEN"]
    client.env |= {"PYTHONPATH": str(tmp_path), "KEYRING_FILE": str(tmp_path / "store")}
    with client.start("login", "--user", pia, stdin=-1) as process:
        out, err = process.communicate(f"{PASSWORD}\n".encode())
    assert process.returncode == DONE, err
    assert b"the token is in the keyring" in out
    assert not (Path(client.env["HOME"]) / ".config/push/tokens").exists()
    with client.start("ls") as process:
        assert process.wait(60) == DONE
    with client.start("logout") as process:
        assert process.wait(60) == DONE
    assert (tmp_path / "store").read_text() == "{}"


def test_a_wrong_password_is_told(client: Client, pia: str) -> None:
    outcome = client("login", "--user", pia, stdin=b"wrong\n", code=AUTH)
    assert "password is wrong" in outcome.stderr


def test_a_token_in_netrc_is_used_and_other_passwords_are_not_sent(
    client: Client, site: Site, file: Callable[..., Path], tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.touch(0o600)
    token, client.env["PUSH_TOKEN"] = client.env["PUSH_TOKEN"], ""
    client.env["NETRC"] = str(netrc)
    netrc.write_text(f"machine {site.host} login olivia password {token}\n")
    with client.start("--json", file()) as process:
        assert process.wait(60) == DONE
    netrc.write_text(f"machine {site.host} login olivia password something-else\n")
    with client.start("--json", file()) as process:
        _, err = process.communicate()
    assert process.returncode == AUTH
    assert b"none is set" in err
    netrc.chmod(0o644)
    netrc.write_text(f"machine {site.host} login olivia password {token}\n")
    with client.start("--json", file()) as process:
        assert process.wait(60) == USAGE


def checks(client: Client, *arguments: str, code: int = DONE) -> dict[str, dict[str, str]]:
    """Run the doctor, and return its findings by their names."""
    outcome = client("doctor", "--json", *arguments, code=code)
    return {check["check"]: check for check in json.loads(outcome.stdout)["checks"]}


def test_the_doctor_finds_the_deployed_service_well(client: Client, site: Site) -> None:
    before = client("ls").stdout
    found = checks(client, "--trickle", "5")
    # How fast HTTP/2 is depends on what else this machine does.
    http2 = found.pop("HTTP/2")
    assert {check["state"] for check in found.values()} == {"ok"}, found
    assert (" HTTP/2 " in http2["found"]) is bool(site.ca_file), http2
    assert client("ls").stdout == before


def test_the_doctors_table_fits_into_80_columns(client: Client) -> None:
    lines = client("doctor", "--trickle", "0").stdout.splitlines()
    assert all(len(line) < 80 for line in lines)
    assert re.match(r"ok +name +", lines[0])


def test_the_doctor_finds_the_ceiling_of_every_hop(client: Client, site: Site, hop: Hop) -> None:
    hop.faults.name, hop.faults.largest = "inner/1.0", 10 * MIB
    inner = Site("127.0.0.1", hop.port, site.token)
    with Hop(inner) as outer:
        outer.faults.name, outer.faults.largest = "outer/2.0", 250_000_000
        found = checks(client.through(outer.port), "--trickle", "0")
    for check in ("size of a form", "size of an append"):
        assert found[check]["state"] == "warn"
        assert found[check]["found"] == (
            "requests are refused: of more than 10.5 MB by inner/1.0, of more than 250.0 MB by "
            "outer/2.0; the server takes 12.9 GB at most"
        )


def test_the_doctor_tells_what_is_wrong_with_a_hop(client: Client, hop: Hop) -> None:
    client.through(hop.port)
    hop.faults.largest = 200_000_000
    found = checks(client, "--trickle", "0")
    assert found["size of an append"]["state"] == "warn"
    assert "of more than 200.0 MB by hop" in found["size of an append"]["found"]
    assert "client_max_body_size" in found["size of an append"]["remedy"]
    hop.faults.largest = None
    hop.faults.buffers = True
    found = checks(client, "--trickle", "0", code=7)
    assert found["auth before body"]["state"] == "fail"
    assert found["streaming"]["state"] == "warn"
    assert "proxy_request_buffering" in found["streaming"]["remedy"]
    hop.faults.buffers = False
    hop.faults.cut_after = MIB
    found = checks(client, "--trickle", "2", code=6)
    assert found["slow upload"]["state"] == "warn"
    assert "timeout" in found["slow upload"]["remedy"]


def test_the_doctor_says_what_to_do_without_a_token(client: Client) -> None:
    client.env["PUSH_TOKEN"] = "dnu_" + "0" * 43
    outcome = client("doctor", "--json", "--trickle", "0", code=AUTH)
    found = {check["check"]: check for check in json.loads(outcome.stdout)["checks"]}
    assert found["token"]["state"] == "fail"
    assert found["streaming"]["state"] == "skipped"
    assert found["auth before body"]["state"] == "ok"


def test_the_doctor_names_a_host_that_is_not_known(client: Client) -> None:
    client.env["PUSH_HOST"] = "no-such-host.invalid"
    found = json.loads(client("doctor", "--json", code=6).stdout)["checks"]
    assert (found[0]["state"], found[1]["state"]) == ("fail", "skipped")


def test_the_playbook_verify_runs_the_doctor_on_every_host(
    push_config: Path, tmp_path: Path
) -> None:
    inventory = tmp_path / "hosts.yml"

    def play(*configs: Path) -> tuple[int, str]:
        hosts = {f"h{n}": {"push_client_config": str(c)} for n, c in enumerate(configs)}
        inventory.write_text(json.dumps({"upload": {"hosts": hosts}}))
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [program, "-i", inventory, ROOT / "playbooks/verify.yml"]
        done = subprocess.run(
            [*command, "--extra-vars", "verify_trickle=1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = play(push_config)
    assert code == 0, said
    assert "have the right SHA-256" in said
    elsewhere = tmp_path / "push.conf"
    elsewhere.touch(0o600)
    elsewhere.write_text("[default]\nhost = localhost\nport = 9\nschema = http\n")
    code, said = play(push_config, elsewhere)
    assert code != 0
    assert "push.py doctor failed with 6" in said
    assert "set push_client_config" in play(tmp_path / "nowhere")[1]
