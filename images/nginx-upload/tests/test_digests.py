"""Digests of the files: right, in one pass, and only those that a directive of the location mentions."""

import hashlib
import random
import zlib

import pytest

from client import Connection, Http2, form, head, part, post
from harness import both_ways
from locations import HTTP, LOCATIONS, location
from sending import by_chunks, by_length, near_delimiters

pytestmark = both_ways

KINDS = ["crc32", "md5", "sha1", "sha256", "sha512"]
NAMES = KINDS + [kind + "_uc" for kind in KINDS]

STORE = "upload_store @store@; upload_pass /complete/;"


def digest(name, data):
    kind, _, upper = name.partition("_")
    text = f"{zlib.crc32(data):08x}" if kind == "crc32" else hashlib.new(kind, data).hexdigest()
    return (text.upper() if upper else text).encode()


def aggregate(*names):
    return "".join(f"upload_aggregate_form_field {name} $upload_file_{name};" for name in names)


# lengths around the blocks of the algorithms, and around the buffers
FILES = [
    b"",
    b"a",
    b"abc",
    b"x" * 55,
    b"x" * 56,
    b"x" * 64,
    b"x" * 111,
    b"x" * 112,
    b"x" * 128,
    bytes(range(256)) * 1025,
]


@pytest.fixture
def digests(own_nginx):
    return own_nginx(
        LOCATIONS
        + location("= /all", "upload_max_output_body_len 0;" + aggregate(*NAMES) + STORE)
        + location("= /all-small", "upload_buffer_size 128; client_body_buffer_size 1k;" + aggregate(*NAMES) + STORE)
        + "".join(location(f"= /{name}", aggregate(name) + STORE) for name in NAMES)
        + location("= /header", "upload_add_header X-Md5 ${upload_file_md5}!;" + STORE)
        + location("= /none", STORE)
        + location("= /in-name", "upload_aggregate_form_field $upload_file_md5 x;" + STORE),
        http=HTTP + "log_format digests '" + "|".join(f"${{upload_file_{name}}}" for name in NAMES) + "';"
        "access_log @directory@/digests.log digests;",
    )


@pytest.mark.parametrize("path", ["/all", "/all-small"])
def test_every_kind_of_every_file_of_a_form(digests, backend, path):
    body = form(*[part(data, "file", f"{i}") for i, data in enumerate(FILES)], part(b"x", "field"))
    for send in (by_length, by_chunks):
        backend.reset()
        assert send(digests, path, body).status == 200
        assert backend.completes[0].form == [(name, digest(name, data)) for data in FILES for name in NAMES]


def test_known_answers(digests, backend):
    post(digests.port, form(part(b"123456789", "f", "a"), part(b"", "f", "b"), part(b"abc", "f", "c")), path="/all")
    one, two, three = (dict(backend.completes[0].form[i : i + 10]) for i in (0, 10, 20))
    assert (one["crc32"], one["crc32_uc"], two["crc32"]) == (b"cbf43926", b"CBF43926", b"00000000")
    assert two["md5"] == b"d41d8cd98f00b204e9800998ecf8427e"
    assert three["sha1_uc"] == b"A9993E364706816ABA3E25717850C26C9CD0D89D"
    assert three["sha256"] == b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert three["sha512"].startswith(b"ddaf35a193617abacc417349ae204131") and len(three["sha512"]) == 128


def test_one_kind_alone(digests, backend):
    data = near_delimiters(1, 50000)
    for name in NAMES:
        backend.reset()
        assert post(digests.port, form(part(data, "file", "a")), path=f"/{name}").status == 200
        assert backend.completes[0].form == [(name, digest(name, data))]


def test_only_what_is_mentioned_is_computed(digests, backend):
    body = form(part(b"data", "file", "a"))
    for path in ("/sha1", "/none", "/none?$upload_file_md5"):
        assert post(digests.port, body, path=path).status == 200
    # a line is written after the answer
    post(digests.port, body, path="/sha1")
    digests.stop()
    lines = [line.split("|") for line in (digests.directory / "digests.log").read_text().splitlines()]
    only = [digest(name, b"data").decode() if name.startswith("sha1") else "" for name in NAMES]
    assert lines == [only, [""] * 10, [""] * 10, only]


def test_a_header_may_mention_one(digests, backend):
    response = post(digests.port, form(part(b"data", "file", "a")), path="/header")
    assert response.header("X-Md5") == digest("md5", b"data").decode() + "!"


def test_the_name_of_a_field_may_be_one(digests, backend):
    assert post(digests.port, form(part(b"data", "file", "a")), path="/in-name").status == 200
    assert backend.completes[0].form == [(digest("md5", b"data").decode(), b"x")]


def test_thousands_of_chunks_of_content_full_of_beginnings_of_delimiters(digests, backend):
    rand = random.Random(7)
    files = [near_delimiters(seed, 20000) for seed in (2, 3)]
    body = form(*[part(data, "file", "a") for data in files])
    pieces, left = [], body
    while left:
        size = rand.randint(1, 7)
        pieces.append(b"%x\r\n%s\r\n" % (len(left[:size]), left[:size]))
        left = left[size:]
    expected = [(name, digest(name, data)) for data in files for name in NAMES]
    for path in ("/all", "/all-small"):
        backend.reset()
        with Connection(digests.port) as c:
            c.send(head(path, headers=["Transfer-Encoding: chunked"]))
            # in packets that do not end where a chunk ends
            sent = b"".join(pieces) + b"0\r\n\r\n"
            while sent:
                size = rand.randint(1, 5000)
                c.send(sent[:size])
                sent = sent[size:]
            assert c.response().status == 200
        assert backend.completes[0].form == expected
        with Http2(digests.http2_port) as h2:
            stream = h2.request(path)
            h2.send(stream, body, size=53)
            assert h2.response(stream).status == 200
        assert backend.completes[1].form == expected
    assert [path.read_bytes() for path in digests.files()] == files * 4
