"""nginx -t accepts what is right and names the directive when something is wrong."""

import pytest

from client import form, part, post
from harness import Nginx
from locations import HTTP, LOCATIONS, PLAIN, location


@pytest.fixture
def check(tmp_path):
    def check(locations, **kwargs):
        result = Nginx(tmp_path / "nginx", 1, locations, **kwargs).test_conf()
        return result.returncode, result.stderr

    return check


def test_the_whole_configuration_is_accepted_without_a_warning_about_uploads(check):
    code, output = check(LOCATIONS, http=HTTP)
    assert code == 0, output
    assert "upload_" not in output


WRONG = [
    "upload_pass nowhere;",
    "upload_pass '';",
    "upload_store '';",
    "upload_store @store@ x;",
    "upload_store @store@ 0;",
    "upload_store @store@ 5 5 5;",
    "upload_store @store@/a; upload_store @store@/b;",
    "upload_store_access everybody:rw;",
    "upload_buffer_size 10;",
    "upload_buffer_size big;",
    "upload_max_part_header_len 10;",
    "upload_max_file_size big;",
    "upload_max_file_size_action perhaps;",
    "upload_max_output_body_len -1;",
    "upload_set_form_field only-a-name;",
    "upload_set_form_field size $upload_file_size;",
    'upload_set_form_field "${upload_file_sha256}" x;',
    "upload_set_form_field a $no_such_variable;",
    "upload_pass_form_field '(';",
    "upload_cleanup 100;",
    "upload_cleanup 400-600;",
    "upload_cleanup 500-400;",
    "upload_cleanup all;",
    "upload_cleanup -;",
    "upload_pass_args perhaps;",
    "upload_tame_arrays 1;",
    "upload_fsync sometimes;",
    "upload_authorize_set name value;",
    "upload_authorize_set $ value;",
    "upload_authorize /a; upload_authorize /b;",
    "upload_add_header X-Only-A-Name;",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_directive(check, wrong):
    rest = "" if wrong.startswith(("upload_pass ", "upload_store ")) else "upload_store @store@; upload_pass /;"
    code, output = check(location("/x", wrong + rest))
    assert code == 1
    if "no_such_variable" in wrong:
        assert "no_such_variable" in output
    else:
        assert f'"{wrong.split()[0]}"' in output


def test_a_store_that_is_not_named_is_that_of_proxy_temp_path_s_default(check):
    """Which belongs to root here: what nginx cannot create says its name."""
    code, output = check(location("/x", "upload_pass /complete/;"))
    assert code == 1 and '"/var/lib/nginx/proxy"' in output


def test_levels_must_agree_where_a_store_is_used_twice(check):
    code, output = check(
        location("/x", "upload_store @store@/s 1; upload_pass /;")
        + location("/y", "upload_store @store@/s 2; upload_pass /;")
    )
    assert code == 1 and "levels" in output


def test_everything_is_inherited_and_replaced(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + "upload_set_form_field server $upload_file_name; upload_store @store@; upload_max_file_size 10;"
        + location("= /inherits", "upload_pass /complete/;")
        + location(
            "= /replaces",
            "upload_pass /complete/; upload_set_form_field location $upload_file_name; upload_max_file_size 0;",
        )
        + location(
            "/nested",
            "upload_pass /complete/; upload_max_file_size 0;"
            "if ($arg_a) { upload_set_form_field if $upload_file_name; }",
        )
    )
    body = form(part(b"x" * 20, "file", "name"))
    for path in ("/inherits", "/replaces", "/nested", "/nested?a=1"):
        assert post(nginx.port, body, path=path).status == 200
    assert [seen.form[0][0] for seen in backend.completes] == ["<ngx_upload_module_dummy>", "location", "server", "if"]


def test_limit_except_keeps_the_upload(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + location(
            "= /limited", PLAIN + "limit_except GET { upload_max_file_size 1; upload_max_file_size_action reject; }"
        )
    )
    assert post(nginx.port, form(part(b"xx", "file", "a")), path="/limited").status == 413
    assert post(nginx.port, form(part(b"x", "file", "a")), path="/limited").status == 200
