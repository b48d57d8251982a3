"""A file in ranges: any order, any number, in any way; digests of the whole file, for the last range."""

import itertools

import pytest

from client import Connection, head
from harness import both_ways
from resumable import (
    DATA,
    ORDERS,
    TYPE,
    WAYS,
    Upload,
    by_length,
    every_way,
    fields_of,
    header_list,
    lines,
    merge,
    pieces,
    range_list,
)

pytestmark = [both_ways, pytest.mark.usefixtures("without_errors")]


@pytest.mark.parametrize("order", ORDERS)
def test_ranges_may_come_in_any_order_and_each_in_another_way(nginx, backend, order):
    for turn in range(2):
        upload = Upload(nginx, DATA)
        ways = itertools.cycle(WAYS[turn:] + WAYS[:turn])
        for first, last in ORDERS[order][:-1]:
            upload.way = next(ways)
            upload.put(first, last)
        assert len(backend.completes) == turn
        upload.finish(*ORDERS[order][-1], backend)


@every_way
@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_ranges_may_come_in_one_way(nginx, backend, way, order):
    upload = Upload(nginx, DATA, way)
    for first, last in ORDERS[order][:-1]:
        upload.put(first, last)
    upload.finish(*ORDERS[order][-1], backend)


@every_way
@pytest.mark.parametrize("total", [1, 2, 3, 5])
def test_single_bytes_are_ranges(nginx, backend, way, total):
    upload = Upload(nginx, DATA[:total], way)
    for i in range(total - 1):
        upload.put(i, i)
    upload.finish(total - 1, total - 1, backend)


@every_way
def test_one_range_can_be_the_whole_file(nginx, backend, way):
    Upload(nginx, DATA, way).finish(0, len(DATA) - 1, backend)


def test_the_smallest_buffers_do(nginx, backend):
    upload = Upload(nginx, DATA[:20_000], path="/raw-small-buffer")
    for first, last in pieces(20_000, 4)[1:]:
        upload.put(first, last)
    upload.finish(0, 4999, backend)


@pytest.mark.parametrize("path, room", [("/raw-narrow", 128), ("/raw-fast", 256), ("/raw-wide", 8192)])
def test_two_hundred_ranges_that_do_not_touch_are_remembered(nginx, backend, path, room):
    ranges = pieces(10_001, 400)
    upload = Upload(nginx, DATA[:10_001], path=path, room=room)
    with Connection(nginx.port) as c:
        for first, last in ranges[1::2]:
            body = upload.data[first : last + 1]
            c.send(head(path, len(body), headers=lines(upload.headers(first, last)), content_type=TYPE) + body)
            response = c.response()
            upload.ranges = merge([*upload.ranges, (first, last)])
            assert response.status == 201
            assert response.header("Range") == range_list(upload.ranges, upload.total, room)
            assert response.body == response.header("Range").encode()
    assert len(upload.ranges) == 200
    assert upload.state.stat().st_size > 2000
    upload.check_partial()
    assert len(range_list(upload.ranges, upload.total, room)) <= room
    for first, last in ranges[:-2:2]:
        upload.put(first, last)
    upload.finish(*ranges[-2], backend)


def test_adjacent_ranges_are_one_before_the_list_is_cut(nginx, backend):
    upload = Upload(nginx, DATA[:1000], path="/raw-narrow", room=128)
    for i in range(998):
        response = upload.put(i, i)
        assert response.header("Range") == f"0-{i}/1000"
        if i == 40:
            break
    upload.put(500, 998)
    upload.finish(41, 999, backend)


@every_way
def test_the_digest_is_that_of_the_file_when_a_range_comes_again_with_other_bytes(nginx, backend, way):
    old = Upload(nginx, DATA, way)
    changed = bytearray(DATA)
    changed[100:70_000] = bytes(69_900)
    changed[150_000:] = bytes(50_001)
    new = Upload(nginx, bytes(changed), way, session=old.session)
    old.put(0, 99_999)
    old.put(120_000, 199_999)
    new.send(100, 69_999)
    new.send(150_000, 200_000)
    new.finish(100_000, 119_999, backend)


def test_the_application_hears_of_the_last_range_only(nginx, backend):
    upload = Upload(nginx, DATA)
    more = [("X-Custom", "kept"), ("Cookie", "a=b")]
    upload.put(0, 99, more=more, disposition='form-data; name="early"; filename="early.bin"')
    disposition = 'form-data; name="film"; filename="C:\\dir\\late.bin"'
    content_type = "video/mp4"
    response = by_length(
        nginx, "/raw", DATA[100:], upload.headers(100, 200_000, disposition=disposition, more=more), content_type
    )
    assert response.status == 200
    (seen,) = backend.completes
    form = dict(seen.form)
    assert (form["file.field"], form["file.name"], form["file.type"]) == (b"film", b"late.bin", b"video/mp4")
    assert form["file.range"] == b"bytes 100-200000/200001"
    assert form["file.size"] == b"200001"
    assert seen.method == "POST"
    assert seen.header("Session-ID") == upload.session
    assert seen.header("Content-Range") == "bytes 100-200000/200001"
    assert seen.header("Content-Disposition") == disposition
    assert (seen.header("X-Custom"), seen.header("Cookie")) == ("kept", "a=b")


@pytest.mark.parametrize("prefix", ["", "X-", "x-"])
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_headers_may_have_a_prefix_and_any_case(nginx, backend, prefix, change):
    upload = Upload(nginx, DATA)
    for first, last in ((0, 99), (100, 200_000)):
        headers = [
            (change(prefix + name), value)
            for name, value in header_list(upload.session, f"bytes {first}-{last}/{len(DATA)}")
        ]
        response = by_length(nginx, "/raw", DATA[first : last + 1], headers)
    assert response.status == 200
    upload.check_complete(backend.completes[0], f"bytes 100-200000/{len(DATA)}")
    assert backend.completes[0].header(prefix + "Session-ID") == upload.session


@pytest.mark.parametrize("text", ["BYTES 0-3/4", "Bytes 0-3/4", "bytes 00-03/0004"])
def test_a_range_reaches_the_application_in_one_spelling(nginx, backend, text):
    upload = Upload(nginx, DATA[:4])
    assert by_length(nginx, "/raw", DATA[:4], header_list(upload.session, text)).status == 200
    upload.check_complete(backend.completes[0], "bytes 0-3/4")


def test_a_named_location_gets_the_file_as_well(nginx, backend):
    upload = Upload(nginx, DATA, path="/raw-named")
    upload.put(5, 9)
    upload.put(10, 200_000)
    upload.finish(0, 4, backend)
    assert backend.completes[0].path == "/raw-named"


@pytest.mark.parametrize("location, kinds", [("/raw-no-digests", []), ("/raw-one-digest", ["crc32"])])
def test_only_digests_that_are_asked_for_are_made(nginx, backend, location, kinds):
    upload = Upload(nginx, DATA, path=location)
    upload.put(0, 99_999)
    assert [path.suffix for path in upload.state_files()] == [".checkpoint", ".state"][not kinds :]
    upload.put(150_000, 200_000)
    assert upload.send(100_000, 149_999).status == 200
    assert upload.file.read_bytes() == DATA
    assert upload.state_files() == []
    form = dict(backend.completes[0].form)
    if kinds:
        assert form == {"crc32": fields_of(DATA)["file.crc32"]}
    else:
        assert form == {"<ngx_upload_module_dummy>": b""}


def test_the_digests_that_are_wanted_may_change_between_ranges(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 49_999, path="/raw-no-digests")
    upload.put(50_000, 99_999, path="/raw-one-digest")
    upload.put(100_000, 149_999)
    upload.put(150_000, 199_999, path="/raw-one-digest")
    upload.finish(200_000, 200_000, backend)


def test_a_finished_file_is_logged(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 99_999)
    assert str(upload.file) not in nginx.errors()
    upload.finish(100_000, 200_000, backend)
    (line,) = [line for line in nginx.errors().splitlines() if str(upload.file) in line]
    assert "[info]" in line and "MB/s" in line
    assert "100001 bytes in" in line and "size 200001" in line
    assert fields_of(DATA)["file.sha256"].decode() in line


def test_one_connection_carries_many_ranges(nginx, backend):
    upload = Upload(nginx, DATA[:10_000])
    ranges = pieces(10_000, 10)

    def request(first, last, more=(), body=None):
        body = upload.data[first : last + 1] if body is None else body
        length = None if more else last - first + 1
        return head("/raw", length, headers=[*lines(upload.headers(first, last)), *more], content_type=TYPE) + body

    chunks = [b"%x\r\n%s\r\n0\r\n\r\n" % (b - a + 1, upload.data[a : b + 1]) for a, b in ranges]
    requests = [
        request(*r, ["Transfer-Encoding: chunked"], chunk) if i % 2 else request(*r)
        for i, (r, chunk) in enumerate(zip(ranges, chunks, strict=True))
    ]
    with Connection(nginx.port) as c:
        c.send(b"".join(requests))
        assert [c.response().status for _ in requests] == [201] * 9 + [200]
    upload.check_complete(backend.completes[0], "bytes 9000-9999/10000")
