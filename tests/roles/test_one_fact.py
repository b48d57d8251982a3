"""A site says a fact once, and site.yml makes every part follow it."""

from __future__ import annotations

from typing import Any

import pytest
from kit import ROLE_NAMES, defaults, evaluate, options, site, site_roles

FOLLOWED = ["name", "uid", "gid", "root", "state", "config"]


def value(role: str, name: str, **variables: Any) -> Any:
    """Return what a role's variable is on a site that sets `variables`."""
    seen = site(role, **variables)
    return evaluate(seen[name], seen)


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        ("0", 0),
        ("1", 1),
        ("4096", 4096),
        ("500k", 500 * 1024),
        ("5m", 5 * 1024**2),
        ("12g", 12 * 1024**3),
        ("12G", 12 * 1024**3),
        ("2t", 2 * 1024**4),
        (0, 0),
        (1073741824, 1024**3),
    ],
)
def test_one_size_limit_is_the_same_number_of_bytes_for_nginx_and_for_the_app(
    limit: str | int, size: int
) -> None:
    sizes = [
        value("app", "app_max_size", upload_max_size=limit),
        value("nginx_upload", "nginx_upload_max_size", upload_max_size=limit),
    ]
    assert sizes == [size, size]
    assert {isinstance(found, int) for found in sizes} == {True}


def test_what_a_form_may_have_besides_its_file_is_the_same_for_nginx_and_for_the_app() -> None:
    for role in ("app", "nginx_upload"):
        assert value(role, f"{role}_form_overhead", upload_form_overhead="4m") == 4 * 1024**2


def test_the_space_to_keep_reaches_the_app_in_bytes() -> None:
    assert value("app", "app_reserve", upload_reserve="2g") == 2 * 1024**3


def test_one_https_port_is_the_same_for_nginx_and_for_push_py() -> None:
    assert value("nginx_upload", "nginx_upload_https_port", upload_https_port=8443) == 8443
    assert value("push_client", "push_client_port", upload_https_port=8443) == 8443


def test_one_host_name_is_served_certified_and_answered_to() -> None:
    site_says = {"upload_hostname": "upload.test", "upload_aliases": ["192.0.2.7"]}
    assert value("nginx_upload", "nginx_upload_server_name", **site_says) == "upload.test"
    for role, name in (("tls", "tls_names"), ("app", "app_allowed_hosts")):
        assert value(role, name, **site_says)[:2] == ["upload.test", "192.0.2.7"]


@pytest.mark.parametrize(
    ("role", "fact"),
    [
        (role, fact)
        for role in ("app", "nginx_upload")
        for fact in FOLLOWED
        if fact != "name" and f"{role}_{fact}" in options(role)
    ],
)
def test_a_role_follows_the_account_and_the_directories_of_the_site(role: str, fact: str) -> None:
    other = 4711 if fact in {"uid", "gid"} else "/elsewhere"
    assert value(role, f"{role}_{fact}", **{f"upload_{fact}": other}) == other


def test_the_key_is_read_by_the_group_that_nginx_runs_as() -> None:
    assert value("tls", "tls_gid", upload_gid=4711) == 4711


@pytest.mark.parametrize(
    "role", [role for role in ROLE_NAMES if role != "upload" and "uid" in str(options(role))]
)
def test_a_role_used_alone_has_the_ids_and_directories_that_the_whole_site_has(role: str) -> None:
    shared, own = defaults("upload"), defaults(role)
    pairs = [(f"{role}_{fact}", f"upload_{fact}") for fact in FOLLOWED if fact != "name"]
    for name, follows in pairs:
        if name in own:
            assert own[name] == shared[follows]


def test_every_image_that_runs_is_one_that_was_built() -> None:
    built = {e["vars"]["build_name"] for e in site_roles() if e["role"] == "build"}
    refs = {name: f"{name}:{number}" for number, name in enumerate(sorted(built))}
    running = {
        value("app", "app_image", build_refs=refs),
        value("nginx_upload", "nginx_upload_image", build_refs=refs),
    }
    assert running == set(refs.values())
