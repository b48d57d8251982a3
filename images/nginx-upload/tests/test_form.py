"""What the application receives for whole uploads: files, fields, their order and their names."""

import hashlib
import subprocess

import pytest

from client import BOUNDARY, exchange, form, head, part, post
from harness import both_ways

pytestmark = both_ways


def file_fields(data, field="file", name="a.bin", kind="", path=None):
    return [
        ("file.field", field.encode()),
        ("file.name", name.encode()),
        ("file.type", kind.encode()),
        ("file.path", str(path).encode()),
        ("file.size", str(len(data)).encode()),
        ("file.sha256", hashlib.sha256(data).hexdigest().encode()),
    ]


def test_one_file_is_stored_and_described(nginx, backend):
    data = bytes(range(256)) * 1000
    response = post(nginx.port, form(part(data, "file", "a.bin", "application/x-one")))
    assert (response.status, response.body) == (200, b'{"detail": "Upload Complete"}')
    (path,) = nginx.files()
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o7777 == 0o640
    (seen,) = backend.completes
    assert (seen.method, seen.path) == ("POST", "/complete/")
    assert seen.header("X-Upload-Grant") == "granted"
    assert seen.form == file_fields(data, kind="application/x-one", path=path)
    assert seen.header("Content-Length") == str(len(seen.body))


def test_the_client_s_boundary_and_content_type_are_kept(nginx, backend):
    post(nginx.port, form(part(b"x", "file", "a")))
    assert backend.completes[0].header("Content-Type") == "multipart/form-data; boundary=" + BOUNDARY.decode()
    assert backend.completes[0].body.startswith(
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file.field"\r\n\r\nfile\r\n--'
    )
    assert backend.completes[0].body.endswith(b"\r\n--" + BOUNDARY + b"--\r\n")


def test_files_and_fields_keep_the_client_s_order(nginx, backend):
    post(
        nginx.port,
        form(
            part(b"1", "first"),
            part(b"one", "file", "a.bin"),
            part(b"2\r\n", "second"),
            part(b"two", "file", "b.bin"),
            part(b"", "third"),
        ),
    )
    one, two = nginx.files()
    assert backend.completes[0].form == [
        ("first", b"1"),
        *file_fields(b"one", path=one),
        ("second", b"2\r\n"),
        *file_fields(b"two", name="b.bin", path=two),
        ("third", b""),
    ]


def test_fields_that_are_not_named_by_upload_pass_form_field_are_dropped(nginx, backend):
    post(nginx.port, form(part(b"x", "file.path"), part(b"y", ""), part(b"z", "ok"), part(b"w", "with space")))
    assert backend.completes[0].form == [("ok", b"z")]


def test_a_form_of_which_nothing_is_passed_on_has_the_dummy_field(nginx, backend):
    for body in (form(), form(final=False) + b"--" + BOUNDARY + b"--", form(part(b"x", "not/passed"))):
        backend.reset()
        assert post(nginx.port, body).status == 200
        assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]
    backend.reset()
    assert post(nginx.port, form(part(b"x", "file", "a")), path="/silent").status == 200
    assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]


def test_an_empty_file_is_a_file(nginx, backend):
    post(nginx.port, form(part(b"", "file", "empty")))
    (path,) = nginx.files()
    assert path.stat().st_size == 0
    assert backend.completes[0].form == file_fields(b"", name="empty", path=path)


def test_an_empty_file_name_is_a_plain_field(nginx, backend):
    post(nginx.port, form(part(b"", "file", "")))
    assert nginx.files() == []
    assert backend.completes[0].form == [("file", b"")]


LONG = "n" * 4096

NAMES = [
    # disposition, field name, file name
    (b'form-data; name="f"; filename="a.txt"', "f", "a.txt"),
    (b"form-data; name=f; filename=a.txt", "f", "a.txt"),
    (b'attachment; filename="a.txt"; name="f"', "f", "a.txt"),
    (b'FORM-DATA; NAME="f"; FileName="a.txt"', "f", "a.txt"),
    (b'form-data ; name = "f" ;filename= "a.txt"  ', "f", "a.txt"),
    (b'form-data; name="f"; filename="C:\\Users\\me\\a.txt"', "f", "a.txt"),
    (b'form-data; name="f"; filename="/home/me/a.txt"', "f", "a.txt"),
    (b'form-data; name="f"; filename="../../a.txt"', "f", "a.txt"),
    (b'form-data; name="f"; filename=".."', "f", ".."),
    (b'form-data; name="f"; filename="a;b.txt"', "f", "a;b.txt"),
    (b'form-data; name="f"; filename="a\\"b.txt"', "f", 'a"b.txt'),
    (b'form-data; name="f"; filename="a%22b.txt"', "f", 'a"b.txt'),
    (b'form-data; name="f%22"; filename="a%0D%0Ab%20.txt"', 'f"', "a%0D%0Ab%20.txt"),
    ('form-data; name="dätei"; filename="grün 漢字.txt"'.encode(), "dätei", "grün 漢字.txt"),
    (b"form-data; name=\"f\"; filename*=UTF-8''gr%C3%BCn%20%22.txt", "f", 'grün ".txt'),
    (b'form-data; name="f"; filename="plain"; filename*=utf-8\'de\'gr%C3%BCn', "f", "grün"),
    (b"form-data; name=\"f\"; filename*=utf-8''%2Fetc%2Fpasswd", "f", "passwd"),
    (b'form-data; name="f"; filename*=koi8-r\'\'%C1; filename="plain"', "f", "plain"),
    (b'form-data; filename="a.txt"', "", "a.txt"),
    (b'form-data; xname="evil"; name="f"; filename="name=evil"', "f", "name=evil"),
    (b'form-data; name="xfilename=evil"; filename="a.txt"', "xfilename=evil", "a.txt"),
    (b'form-data;\r\n\tname="f";\r\n  filename="a.txt"', "f", "a.txt"),
    (b'form-data; name="f"; filename="' + LONG.encode() + b'"', "f", LONG),
    (b'form-data; name="f"; filename="C:\\"', "f", ""),
]


@pytest.mark.parametrize("disposition, field, name", NAMES)
def test_names_are_read_as_browsers_and_the_standards_write_them(nginx, backend, disposition, field, name):
    body = form(part(b"data", disposition=disposition))
    assert post(nginx.port, body, path="/large-header").status == 200
    if name:
        (path,) = nginx.files()
        assert backend.completes[0].form == file_fields(b"data", field=field, name=name, path=path)
    else:
        assert backend.completes[0].form == [(field, b"data")]


def test_a_quote_in_a_field_name_is_escaped_in_the_form(nginx, backend):
    post(nginx.port, form(part(b"x", disposition=b'form-data; name="a%22\\b"; filename="c"')), path="/uppercase")
    assert backend.completes[0].form == [('a"\\b.n', b"1"), ("sha", hashlib.sha256(b"x").hexdigest().upper().encode())]


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
def test_curl_uploads_a_file_and_a_field(nginx, backend, tmp_path, version):
    source = tmp_path / "source"
    source.write_bytes(b"from curl")
    port = nginx.http2_port if "2" in version else nginx.port
    subprocess.run(
        [
            "curl",
            "--silent",
            "--fail",
            version,
            "--form",
            "comment=hello",
            "--form",
            f'file=@{source};filename="grün; \\"1\\".txt"',
            f"http://127.0.0.1:{port}/upload",
        ],
        check=True,
        capture_output=True,
    )
    fields = dict(backend.completes[0].form)
    assert (fields["comment"], fields["file.name"], fields["file.size"]) == (b"hello", 'grün; "1".txt'.encode(), b"9")


def test_the_form_cannot_be_forged_by_content_that_looks_like_a_delimiter(nginx, backend):
    """A lenient parser behind us would take --boundary anywhere for a delimiter."""
    forged = b"x\r\n--" + BOUNDARY + b'more\r\nContent-Disposition: form-data; name="file.path"\r\n\r\n/etc/passwd'
    assert post(nginx.port, form(part(forged, "comment"))).status == 200
    (seen,) = backend.completes
    assert seen.form == [("comment", forged)]
    boundary = seen.header("Content-Type").partition("boundary=")[2]
    assert boundary != BOUNDARY.decode() and len(boundary) == 32
    assert forged.find(boundary.encode()) == -1


def test_the_query_string_is_dropped_unless_upload_pass_args(nginx, backend):
    body = form(part(b"x", "a"))
    post(nginx.port, body, path="/plain?a=1")
    post(nginx.port, body, path="/args?a=1&b=2")
    post(nginx.port, body, path="/variables?a=1")
    assert [seen.path for seen in backend.completes] == [
        "/complete/",
        "/complete/?a=1&b=2",
        "/complete/variables?from=nginx",
    ]


def test_upload_pass_to_a_named_location_keeps_the_uri(nginx, backend):
    assert post(nginx.port, form(part(b"x", "a")), path="/named?a=1").status == 200
    assert (backend.completes[0].path, backend.completes[0].form) == ("/named?a=1", [("a", b"x")])


def test_upload_tame_arrays_strips_brackets(nginx, backend):
    body = form(part(b"x", "files[]", "a"))
    post(nginx.port, body, path="/tame")
    post(nginx.port, body, path="/plain")
    assert [dict(seen.form)["file.field"] for seen in backend.completes] == [b"files", b"files[]"]


def test_headers_of_the_client_s_body_do_not_reach_the_application(nginx, backend):
    body = form(part(b"x", "a"))
    exchange(
        nginx.port,
        head("/plain", headers=["Transfer-Encoding: chunked", "Expect: 100-continue"])
        + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    )
    (seen,) = backend.completes
    assert seen.header("Transfer-Encoding") is None and seen.header("Expect") is None
    assert seen.form == [("a", b"x")]
