"""What a file in ranges costs: nothing is read back that need not be, and no descriptor is left open."""

import os
import random

import pytest

from harness import both_ways, wait_for
from resumable import DATA, ORDERS, WAYS, Upload, by_length, header_list, pieces

pytestmark = [both_ways, pytest.mark.usefixtures("without_errors")]


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
