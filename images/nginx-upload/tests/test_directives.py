"""nginx -t accepts what is right and names the directive when something is wrong."""

import pathlib
import re

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
    "upload_aggregate_form_field only-a-name;",
    "upload_aggregate_form_field a b c;",
    "upload_append perhaps;",
    "upload_resumable 1;",
    "upload_preallocate maybe;",
    "upload_empty_fiels_names maybe;",
    "upload_limit_rate fast;",
    "upload_merge_buffer_size big;",
    "upload_range_header_buffer_size 10;",
    "upload_range_header_buffer_size big;",
    "upload_max_parts -1;",
    "upload_max_fields many;",
    "upload_state_store '';",
    "upload_state_store @store@ 0;",
    "upload_authorize;",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_directive(check, wrong):
    rest = "" if wrong.startswith(("upload_pass ", "upload_store ")) else "upload_store @store@; upload_pass /;"
    code, output = check(location("/x", wrong + rest))
    assert code == 1
    if "no_such_variable" in wrong:
        assert "no_such_variable" in output
    else:
        assert f'"{wrong.split()[0].rstrip(";")}"' in output


def test_a_store_that_is_not_named_is_that_of_proxy_temp_path_s_default(check):
    """Which belongs to root here: what nginx cannot create says its name."""
    code, output = check(location("/x", "upload_pass /complete/;"))
    assert code == 1 and '"/var/lib/nginx/proxy"' in output


# one right use of each; what classic configurations may say stands in each context that it may stand in
RIGHT = {
    "upload_pass": "/complete/",
    "upload_authorize": "/internal/authorize",
    "upload_authorize_set": "$grant $upstream_http_x_upload_grant",
    "upload_store": "@store@ 1",
    "upload_state_store": "@store@/states 1",
    "upload_store_access": "user:rw group:r all:r",
    "upload_buffer_size": "64k",
    "upload_merge_buffer_size": "2k",
    "upload_range_header_buffer_size": "1k",
    "upload_limit_rate": "1m",
    "upload_append": "on",
    "upload_resumable": "on",
    "upload_preallocate": "off",
    "upload_fsync": "off",
    "upload_max_part_header_len": "1k",
    "upload_max_output_body_len": "0",
    "upload_max_file_size": "5g",
    "upload_max_file_size_action": "reject",
    "upload_max_parts": "0",
    "upload_max_fields": "5",
    "upload_set_form_field": "$upload_field_name.name $upload_file_name",
    "upload_aggregate_form_field": "md5 $upload_file_md5_uc",
    "upload_pass_form_field": "^a",
    "upload_add_header": "X-Name $upload_file_name",
    "upload_cleanup": "400 404 499 500-505",
    "upload_pass_args": "on",
    "upload_tame_arrays": "on",
    "upload_empty_fiels_names": "on",
}

LISTS = [
    "upload_authorize_set",
    "upload_set_form_field",
    "upload_aggregate_form_field",
    "upload_pass_form_field",
    "upload_add_header",
    "upload_cleanup",
]

BLOCKS = ["http", "server", "location", "if", "limit_except"]

ELSEWHERE = {
    "upload_state_store": ["if", "limit_except"],
    "upload_merge_buffer_size": ["if", "limit_except"],
    "upload_range_header_buffer_size": ["if", "limit_except"],
    "upload_limit_rate": ["limit_except"],
}


def within(block, text):
    """The settings of an nginx that has some of them in such a block."""
    # what these two need is not of them
    needed = "upload_authorize /internal/authorize; upload_state_store @store@/states 1;"
    return {
        "http": {"locations": "", "http": text},
        "server": {"locations": text},
        "location": {"locations": location("/x", text)},
        "if": {"locations": location("/x", f"{needed} if ($arg_a) {{{text}}}")},
        "limit_except": {"locations": location("/x", f"{needed} limit_except GET {{{text}}}")},
    }[block]


def test_each_directive_is_tried_here():
    source = pathlib.Path("/src/module/ngx_http_upload_conf.c").read_text()
    assert set(RIGHT) == set(re.findall(r'{ ngx_string\("(upload_\w+)"\)', source))
    assert {wrong.split()[0].rstrip(";") for wrong in WRONG} == set(RIGHT)


@pytest.mark.parametrize("block", BLOCKS)
def test_each_directive_may_stand_where_the_specification_says(check, block):
    text = "".join(f"{name} {value};" for name, value in RIGHT.items() if block not in ELSEWHERE.get(name, []))
    code, output = check(**within(block, text))
    assert code == 0, output
    assert "upload_" not in output


@pytest.mark.parametrize("name, block", [(name, block) for name, blocks in ELSEWHERE.items() for block in blocks])
def test_no_directive_may_stand_elsewhere(check, name, block):
    code, output = check(**within(block, f"{name} {RIGHT[name]};"))
    assert code == 1 and f'"{name}" directive is not allowed here' in output


@pytest.mark.parametrize("name", RIGHT)
def test_a_directive_that_is_set_twice_is_refused_unless_it_is_a_list(check, name):
    once = f"{name} {RIGHT[name]};"
    code, output = check(**within("server", once + once))
    if name in LISTS:
        assert code == 0, output
    else:
        assert code == 1 and f'"{name}" directive is duplicate' in output


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
