"""The files that the app, push.py and compose.yaml read hold what the site says."""

from __future__ import annotations

import configparser
import re
from typing import Any

from kit import ROOT, generate, render_on_site, site


def parse_env(text: str) -> dict[str, str]:
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def app_env(**variables: Any) -> dict[str, str]:
    variables.setdefault("database_url", "sqlite:////var/lib/app/db.sqlite3")
    return parse_env(render_on_site("app", "app.env.j2", **variables))


def push_conf(**variables: Any) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    variables.setdefault("app_admin_token", "dnu_token")
    parser.read_string(render_on_site("push_client", "push.conf.j2", **variables))
    assert parser.sections() == ["default"]
    return dict(parser["default"])


def test_the_app_is_told_what_the_site_says() -> None:
    assert app_env(
        upload_hostname="upload.test",
        upload_aliases=["192.0.2.7"],
        upload_max_size="12g",
        upload_reserve="2g",
        upload_quota="50g",
        upload_expiry=86400,
        upload_cors_origins=["https://portal.test", "https://other.test"],
        upload_config="/etc/elsewhere",
        database_url="postgresql://upload@/upload?host=/var/run/postgresql",
        app_hsts_seconds=0,
        app_workers=4,
    ) == {
        "UPLOAD_SECRET_KEY_FILE": "/etc/elsewhere/secrets/secret_key",
        "UPLOAD_ALLOWED_HOSTS": "upload.test,192.0.2.7,localhost,127.0.0.1,[::1]",
        "UPLOAD_DATABASE_URL": "postgresql://upload@/upload?host=/var/run/postgresql",
        "UPLOAD_MAX_SIZE": str(12 * 1024**3),
        "UPLOAD_FORM_OVERHEAD": str(1024**2),
        "UPLOAD_RESERVE_BYTES": str(2 * 1024**3),
        "UPLOAD_QUOTA": str(50 * 1024**3),
        "UPLOAD_EXPIRY": "86400",
        "UPLOAD_CORS_ORIGINS": "https://portal.test,https://other.test",
        "UPLOAD_GRANT_MAX_AGE": "604800",
        "UPLOAD_TIME_ZONE": "UTC",
        "UPLOAD_APP_WORKERS": "4",
        "UPLOAD_APP_THREADS": "8",
        "UPLOAD_APP_TIMEOUT": "60",
        "UPLOAD_HSTS_SECONDS": "0",
    }


def test_the_app_reads_every_setting_that_it_is_told() -> None:
    settings = (ROOT / "app" / "config" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'ENVIRONMENT\.\w+\(\s*"(\w+)"', settings))
    assert {name.removesuffix("_FILE") for name in app_env()} <= read


def test_the_app_is_told_no_secret() -> None:
    text = render_on_site(
        "app",
        "app.env.j2",
        app_admin_password="the password",
        app_admin_token="the token",
        database_url="sqlite:////var/lib/app/db.sqlite3",
    )
    assert "the password" not in text
    assert "the token" not in text


def test_push_py_finds_the_server_its_ca_and_its_token() -> None:
    assert push_conf(upload_https_port=8443, tls_ca_directory="/ca dir") == {
        "schema": "https",
        "host": "localhost",
        "port": "8443",
        "ca_file": "/ca dir/ca.crt",
        "token": "dnu_token",
    }


def test_push_py_trusts_the_system_when_the_site_has_a_certificate_of_its_own() -> None:
    assert "ca_file" not in push_conf(tls_certificate="/site.pem")


def test_compose_runs_the_images_that_were_built() -> None:
    template = ROOT / "playbooks" / "templates" / "compose.env.j2"
    variables = site("build", base_image_registry_ref="debian:13.2-slim")
    variables |= {"build_ca_bundle": "/site.pem", "__build_ca_stat": {"stat": {"exists": True}}}
    assert parse_env(generate.render(template, variables)) == {
        "UPLOAD_NGINX_IMAGE": "nginx-upload:1",
        "UPLOAD_APP_IMAGE": "upload-app:2",
        "UPLOAD_BASE_IMAGE": "debian:13.2-slim",
        "UPLOAD_BUILD_CLI": "docker",
        "UPLOAD_BUILD_CA": "/site.pem",
    }
