"""A file in ranges: any order, any number, in parallel; digests of the whole file, and a state that never lies."""

import itertools
import os
import random
import threading

import pytest

from client import Connection, Http2, head
from harness import Answer, both_ways, wait_for
from resumable import (
    TYPE,
    WAYS,
    Upload,
    by_length,
    fields_of,
    header_list,
    lines,
    merge,
    range_list,
)

DATA = random.Random(1).randbytes(200_001)
PIECES = 8

pytestmark = both_ways

every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def nginx(nginx, aio):
    """Nothing that is in order, or the client's fault, is an error to nginx."""
    nginx.expected = []
    before = len(nginx.errors())
    yield nginx
    for line in nginx.errors()[before:].splitlines():
        assert "[error]" not in line or any(text in line for text in nginx.expected), line


def pieces(total, count):
    """The ranges of a file in so many pieces of about the same size."""
    ends = [total * i // count for i in range(count + 1)]
    return [(first, last - 1) for first, last in itertools.pairwise(ends)]


def overlapping(total):
    step = total // PIECES
    return [(max(0, first - step // 3), last) for first, last in pieces(total, PIECES)]


def repeated(total):
    ranges = pieces(total, PIECES)
    return [r for r in ranges[:-1] for _ in range(2)] + ranges[-1:]


ORDERS = {
    "in order": pieces(len(DATA), PIECES),
    "in reverse": pieces(len(DATA), PIECES)[::-1],
    "shuffled": random.Random(2).sample(pieces(len(DATA), PIECES), PIECES),
    "odd ones first": pieces(len(DATA), PIECES)[1::2] + pieces(len(DATA), PIECES)[::2],
    "overlapping": overlapping(len(DATA)),
    "overlapping in reverse": overlapping(len(DATA))[::-1],
    "repeated": repeated(len(DATA)),
    "the end first": [(len(DATA) - 1, len(DATA) - 1), (0, len(DATA) - 2)],
    "within others": [(0, 99_999), (10, 20), (150_000, 180_000), (100_001, 190_000), (190_001, 200_000), (50, 100_001)],
}


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


def in_parallel(jobs):
    """Calls all at the same time and returns what they return."""
    results = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(i):
        start.wait()
        results[i] = jobs[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def workers(request, nginx, own_nginx, aio):
    """Locks are between processes as well as between threads of one."""
    return nginx if request.param == 1 else own_nginx(workers=request.param)


@every_way
def test_ranges_may_come_in_parallel(workers, backend, way):
    for seed in range(4):
        backend.reset()
        upload = Upload(workers, DATA, way)
        ranges = random.Random(seed).sample(pieces(len(DATA), 12), 12)
        responses = in_parallel([lambda r=r, u=upload: u.send(*r) for r in ranges])
        assert sorted(response.status for response in responses) == [200] + [201] * 11
        final = [r for r, response in zip(ranges, responses, strict=True) if response.status == 200]
        assert len(backend.completes) == 1
        upload.check_complete(backend.completes[0], f"bytes {final[0][0]}-{final[0][1]}/{len(DATA)}")


def test_the_same_range_in_parallel_is_one(workers, backend):
    upload = Upload(workers, DATA)
    responses = in_parallel([lambda: upload.send(0, 100_000) for _ in range(6)])
    assert [response.status for response in responses] == [201] * 6
    upload.ranges = [(0, 100_000)]
    upload.check_partial()
    upload.finish(100_001, 200_000, backend)


def test_a_range_completes_nothing_while_another_request_may_still_write(nginx, backend):
    upload = Upload(nginx, DATA)
    with Connection(nginx.port) as slow:
        text = head("/raw", 100_000, headers=lines(upload.headers(0, 99_999)), content_type=TYPE)
        slow.send_read(text + DATA[:50_000])
        upload.wait_written(1)
        upload.put(0, 99_999)
        response = upload.send(100_000, 200_000)
        assert response.status == 409
        assert "another request" in response.json()["detail"]
        assert backend.completes == []
        upload.ranges = [(0, 200_000)]
        upload.check_partial()
        slow.send(DATA[50_000:100_000])
        assert slow.response().status == 200
    upload.check_complete(backend.completes[0], "bytes 0-99999/200001")


def test_everything_can_be_there_without_being_complete_and_any_range_completes_it(nginx, backend):
    upload = Upload(nginx, DATA)
    with upload.cut(0, 99_999, 50_000):
        upload.put(0, 99_999)
        assert upload.send(100_000, 200_000).status == 409
    assert backend.completes == []
    upload.finish(7, 7, backend)


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


# what is refused


@every_way
def test_another_total_is_refused_and_changes_nothing(nginx, backend, way):
    upload = Upload(nginx, DATA, way)
    upload.put(0, 999)
    upload.put(5000, 9999)
    for total in (len(DATA) - 1, len(DATA) + 1, 1000):
        response = upload.send(0, 999, body=bytes(1000), total=total)
        assert response.status == 409
        assert "total size differs" in response.json()["detail"]
        upload.check_partial()
    assert backend.completes == []
    upload.put(1000, 4999)
    upload.finish(10_000, 200_000, backend)


CORRUPT = [
    "",
    "nonsense",
    "0-99/200001",
    "0-99/200001\n100-/200001\n",
    "99-0/200001\n",
    "0-200001/200001\n",
    "0-99/200001\n200-299/200002\n",
    "0-99/200001\n\0",
    "0-99999999999999999999999/200001\n",
]


@pytest.mark.parametrize("text", CORRUPT[1:])
def test_a_state_that_cannot_be_read_is_left_alone(nginx, backend, text):
    upload = Upload(nginx, DATA)
    upload.put(0, 99)
    upload.state.write_text(text)
    for first, last in ((100, 199), (0, 200_000)):
        response = upload.send(first, last, body=bytes(last - first + 1))
        assert response.status == 409
        assert "state" in response.json()["detail"] or "total" in response.json()["detail"]
        assert upload.state.read_text() == text
        assert upload.file.read_bytes() == DATA[:100]
    assert backend.completes == []


def test_a_state_with_carriage_returns_or_unsorted_lines_is_read_or_refused_but_never_believed(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 99)
    upload.put(200, 299)
    upload.state.write_text("200-299/200001\n0-99/200001\n50-60/200001\n")
    upload.put(100, 100)


def test_a_state_may_be_larger_than_a_kilobyte(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 199_999)
    upload.ranges = [(i, i) for i in range(0, 199_000, 199)]
    upload.state.write_text("".join(f"{a}-{b}/200001\n" for a, b in upload.ranges))
    upload.put(199_990, 199_999)
    upload.put(0, 199_500)
    assert upload.ranges == [(0, 199_500), (199_990, 199_999)]
    upload.put(199_501, 199_995)
    upload.finish(200_000, 200_000, backend)


@every_way
def test_a_total_over_the_limit_is_413_before_anything_is_there(nginx, backend, way):
    upload = Upload(nginx, DATA[:1001], way, "/raw-limited")
    response = upload.send(0, 0)
    assert response.status == 413
    assert "1000 bytes (upload_max_file_size)" in response.json()["detail"]
    assert (nginx.files(), upload.state_files()) == ([], [])
    upload = Upload(nginx, DATA[:1000], way, "/raw-limited")
    upload.put(0, 0)
    upload.finish(1, 999, backend)


@pytest.mark.parametrize("length", [1, 99, 101, 1000])
def test_a_length_other_than_that_of_the_range_is_416_before_anything_is_there(nginx, backend, length):
    for way in (WAYS[0], WAYS[2]):
        upload = Upload(nginx, DATA, way)
        response = upload.send(100, 199, body=bytes(length))
        assert response.status == 416
        assert f"{length} bytes and its range 100" in response.json()["detail"]
        assert (nginx.files(), upload.state_files(), backend.completes) == ([], [], [])


@pytest.mark.parametrize("length", [0, 1, 99, 101, 100_000])
def test_a_body_without_a_length_that_is_not_its_range_is_416_and_does_not_count(nginx, backend, length):
    for way in (WAYS[1], WAYS[3]):
        upload = Upload(nginx, DATA, way)
        assert upload.send(100, 199, body=bytes(length)).status == 416
        upload.put(300, 399)
        upload.put(200, 299)
        assert upload.send(100, 199, body=DATA[100 : 100 + length]).status == 416
        upload.check_partial()
        upload.put(0, 199)
        upload.finish(400, 200_000, backend)


# a session id again


@pytest.mark.parametrize("moved", [False, True], ids=["still there", "moved away"])
@pytest.mark.parametrize("size", [4, 50_000, len(DATA), 250_000])
def test_a_finished_session_id_can_be_used_again(nginx, backend, moved, size):
    first = Upload(nginx, DATA)
    first.put(0, 99_999)
    first.finish(100_000, 200_000, backend)
    if moved:
        first.file.rename(nginx.directory / "moved")
    second = Upload(nginx, random.Random(3).randbytes(size), session=first.session)
    second.put(size // 2, size - 1)
    assert second.file.stat().st_size == size
    second.finish(0, size // 2 - 1, backend)


def test_a_session_id_is_taken_until_the_application_has_answered(nginx, backend):
    answered = threading.Event()
    backend.complete = lambda seen: answered.wait(15) and Answer(200, {}, b"done")
    upload = Upload(nginx, DATA[:100])
    text = head("/raw", 100, headers=lines(upload.headers(0, 99)), content_type=TYPE)
    try:
        with Connection(nginx.port) as c:
            c.send(text + DATA[:100])
            wait_for(lambda: backend.completes, "the application is asked")
            for headers in (upload.headers(0, 0), upload.headers(0, 0, total=1), header_list(upload.session)):
                response = by_length(nginx, "/raw", b"x", headers)
                assert response.status == 409
                assert "another request" in response.json()["detail"]
            assert upload.file.read_bytes() == DATA[:100]
            answered.set()
            assert c.response().body == b"done"
    finally:
        answered.set()
    assert upload.file.read_bytes() == DATA[:100]
    backend.reset()
    upload.finish(0, 99, backend)


def test_a_session_without_a_range_is_a_whole_file(nginx, backend):
    for way in WAYS:
        upload = Upload(nginx, DATA, way)
        for size in (len(DATA), 10):
            assert way(nginx, "/raw", DATA[:size], header_list(upload.session)).status == 200
            assert upload.file.read_bytes() == DATA[:size]
            form = dict(backend.completes[-1].form)
            assert {**form, **fields_of(DATA[:size])} == form
            assert form["file.path"] == str(upload.file).encode()
            assert upload.state_files() == []


def test_a_whole_file_takes_the_place_of_ranges_and_ranges_that_of_a_whole_file(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(100, 200_000)
    assert by_length(nginx, "/raw", b"whole", header_list(upload.session)).status == 200
    assert upload.file.read_bytes() == b"whole"
    assert upload.state_files() == []
    upload.ranges = []
    upload.put(100, 199)
    assert upload.file.read_bytes() == bytes(100) + DATA[100:200]
    upload.put(200, 200_000)
    upload.finish(0, 99, backend)


def test_a_whole_file_waits_for_nobody(nginx, backend):
    upload = Upload(nginx, DATA)
    with Connection(nginx.port) as c:
        text = head("/raw", 100_000, headers=lines(upload.headers(0, 99_999)), content_type=TYPE)
        c.send_read(text + DATA[:50_000])
        upload.wait_written(1)
        assert by_length(nginx, "/raw", b"whole", header_list(upload.session)).status == 409
        c.send(DATA[50_000:100_000])
        assert c.response().status == 201
    upload.ranges = [(0, 99_999)]
    upload.check_partial()
    with Connection(nginx.port) as c:
        c.send_read(
            head("/raw", 100_000, headers=lines(header_list(upload.session)), content_type=TYPE) + bytes(50_000)
        )
        wait_for(lambda: upload.state_files() == [], "the whole file begins")
        assert upload.send(100_000, 200_000).status == 409
    upload.ranges = []
    upload.wait_gone()
    upload.put(100_000, 200_000)
    upload.finish(0, 99_999, backend)


# what belongs to the state


def test_a_state_without_its_file_counts_for_nothing(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 99_999)
    upload.file.unlink()
    upload.ranges = []
    upload.put(100_000, 149_999)
    with upload.file.open("r+b") as f:
        f.truncate(120_000)
    upload.ranges = []
    upload.put(150_000, 200_000)
    upload.finish(0, 149_999, backend)


def test_a_lost_checkpoint_costs_a_reading_and_nothing_else(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 49_999)
    checkpoint = upload.state.with_suffix(".checkpoint")
    checkpoint.unlink()
    upload.put(50_000, 99_999)
    checkpoint.write_bytes(b"upload-checkpoint 1\nsequence 8\noffset 100\n" + bytes(9000))
    upload.put(100_000, 149_999)
    checkpoint.write_bytes(checkpoint.read_bytes()[::-1])
    upload.finish(150_000, 200_000, backend)


def test_the_access_rights_are_those_of_the_store(nginx, backend):
    for location, mode in (("/raw-access", 0o664), ("/raw", 0o600)):
        upload = Upload(nginx, DATA, path=location)
        upload.put(0, 99_999)
        files = [upload.file, *upload.state_files()]
        assert len(files) == 3
        assert [file.stat().st_mode & 0o7777 for file in files] == [mode] * 3


def test_both_stores_may_have_levels(nginx, backend):
    upload = Upload(nginx, DATA[:100], path="/raw-levels", session="film-7")
    assert upload.send(50, 99).status == 201
    levels = nginx.directory / "hashed-states"
    assert (nginx.store / "hashed/7/film-7").read_bytes() == bytes(50) + DATA[50:100]
    assert (levels / "e/at/film-7.state").read_text() == "50-99/100\n"
    assert upload.send(0, 49).status == 200
    assert nginx.files() == [nginx.store / "hashed/7/film-7"]
    assert nginx.files(levels) == []
    assert dict(backend.completes[0].form)["file.path"] == str(nginx.store / "hashed/7/film-7").encode()


def test_a_session_of_one_letter_has_a_directory_of_that_letter(nginx, backend):
    for session in ("7", "x", "_", "-", "Z"):
        upload = Upload(nginx, DATA[:100], path="/raw-levels", session=session)
        assert upload.send(0, 99).status == 200
        assert (nginx.store / "hashed" / session / session).read_bytes() == DATA[:100]


def test_stores_with_variables_are_those_of_the_request(nginx, backend):
    (nginx.directory / "there/states").mkdir(parents=True, exist_ok=True)
    upload = Upload(nginx, DATA[:100], path="/raw-on-demand?where=there", session="film-42")
    assert upload.send(50, 99).status == 201
    assert (nginx.directory / "there/states/e/film-42.state").read_text() == "50-99/100\n"
    assert upload.send(0, 49).status == 200
    assert (nginx.directory / "there/42/film-42").read_bytes() == DATA[:100]
    nginx.expected.append("nowhere")
    upload.path = "/raw-on-demand?where=nowhere"
    response = upload.send(0, 49)
    assert response.status == 503
    assert "upload_store" in response.json()["detail"]


# what it costs


@pytest.fixture
def counted(own_nginx, disk, aio):
    """An nginx that says how much it reads back."""
    disk.count_reads("/store/")
    nginx = own_nginx(environment=disk.environment)
    nginx.bytes_read = disk.bytes_read
    return nginx


def test_nothing_is_read_back_in_order(counted, backend):
    for way in WAYS:
        upload = Upload(counted, DATA, way)
        ranges = pieces(len(DATA), 20)
        for first, last in ranges[:-1]:
            upload.put(first, last)
        upload.finish(*ranges[-1], backend)
    assert counted.bytes_read() == 0


def test_what_came_early_is_read_back_once(counted, backend):
    early = 0
    for order in ("in reverse", "shuffled", "odd ones first", "the end first"):
        upload = Upload(counted, DATA)
        prefix = 0
        for first, last in ORDERS[order][:-1]:
            upload.put(first, last)
            early += last - first + 1 if first != prefix else 0
            prefix = upload.ranges[0][1] + 1 if upload.ranges[0][0] == 0 else 0
        upload.finish(*ORDERS[order][-1], backend)
        assert counted.bytes_read() == early


def test_what_comes_more_than_once_is_read_back_once(counted, backend):
    for i, order in enumerate(("overlapping", "overlapping in reverse", "repeated"), 1):
        upload = Upload(counted, DATA)
        for first, last in ORDERS[order][:-1]:
            upload.put(first, last)
        upload.finish(*ORDERS[order][-1], backend)
        assert counted.bytes_read() <= i * len(DATA)


@pytest.mark.parametrize("size", [1 << 20, 2_500_000])
def test_what_came_early_is_read_back_once_even_if_it_is_large(counted, backend, size):
    upload = Upload(counted, random.Random(4).randbytes(size))
    upload.put(size // 2, size - 1)
    upload.finish(0, size // 2 - 1, backend)
    assert counted.bytes_read() == size - size // 2


def test_the_last_range_again_after_a_lost_answer_costs_no_reading(counted, backend):
    upload = Upload(counted, DATA)
    for first, last in pieces(len(DATA), 4)[:3]:
        upload.put(first, last)
        upload.put(first, last)
    upload.finish(*pieces(len(DATA), 4)[3], backend)
    assert counted.bytes_read() == 0


def open_files(nginx):
    return sum(len(os.listdir(f"/proc/{worker}/fd")) for worker in nginx.workers())


def test_no_descriptor_is_left_open(nginx, backend):
    def session():
        upload = Upload(nginx, DATA)
        upload.put(100, 199)
        assert upload.send(0, 99, total=500).status == 409
        assert upload.send(0, 99, body=b"x").status == 416
        with upload.cut(0, 99, 50):
            pass
        upload.put(0, 99)
        upload.finish(200, 200_000, backend)
        assert by_length(nginx, "/raw", b"whole", header_list(upload.session)).status == 200

    session()
    stable = open_files(nginx)
    for _ in range(10):
        session()
    wait_for(lambda: open_files(nginx) <= stable + 5, "descriptors are closed")


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


def test_one_http2_connection_carries_many_ranges_at_once(nginx, backend):
    upload = Upload(nginx, DATA)
    ranges = pieces(len(DATA), 5)
    with Http2(nginx.http2_port) as h2:
        streams = []
        for first, last in ranges:
            headers = [(name.lower(), value) for name, value in upload.headers(first, last)]
            streams.append(h2.request("/raw", last - first + 1, headers=headers, content_type=TYPE))
        for step in range(4):
            for stream, (first, last) in zip(streams, ranges, strict=True):
                a, b = pieces(last - first + 1, 4)[step]
                h2.send(stream, DATA[first + a : first + b + 1], end=step == 3)
        statuses = sorted(h2.response(stream).status for stream in streams)
    assert statuses == [201] * 4 + [200] or statuses == [200] + [201] * 4
    assert upload.file.read_bytes() == DATA
    assert len(backend.completes) == 1
