"""The status page: the service now, and over the last day as lines that tell the truth."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiToken, Scope, new_token
from monitoring import plots
from monitoring.measure import measure
from monitoring.models import Sample
from tests.conftest import Person
from tests.nginx import Nginx, received
from tests.parts import partial
from tests.tus import NAME, Tus
from uploads import storage
from uploads.models import Upload

ADDRESS = "/admin/status"
JSON = {"Accept": "application/json"}
MINUTE = timedelta(minutes=1)


def record(at: datetime, received: int = 0, **changes: int) -> Sample:
    """Write a sample down."""
    values = {"free": 10 * 1024**3, "reserved": 0, "in_flight": 0, **changes}
    return Sample.objects.create(at=at, received=received, **values)


def samples(*numbers: int, step: timedelta = MINUTE) -> list[Sample]:
    """Return samples of bytes received, the last of them now."""
    now = timezone.now()
    count = len(numbers)
    return [record(now - step * (count - 1 - n), number) for n, number in enumerate(numbers)]


# What is measured.


def test_a_sample_has_what_is_free_reserved_in_flight_and_received(owner: Person) -> None:
    owner.api.upload(received(bytes(1000)))
    url = Tus(owner.api).begin(1024**2)
    Tus(owner.api).patch(url, 0, bytes(500))
    call_command("record_sample")
    sample = Sample.objects.get()
    assert sample.in_flight == 1
    assert sample.received == 1500
    assert 1024**2 - 64 * 1024 <= sample.reserved < 1024**2
    assert abs(sample.free - storage.room()) < 1024**3


def test_a_file_of_parts_came_once(owner: Person) -> None:
    part = owner.api.send("POST", "/files/", bytes(700), {**NAME, **partial(700)})
    assert part.status_code == 201
    assert measure().received == 700
    Upload.objects.create(
        owner=owner.user, name="whole", size=700, sha256="0" * 64, concat="final;/files/x"
    )
    assert measure().received == 700


def test_what_a_form_brought_so_far_has_come(owner: Person, store: Path) -> None:
    received(bytes(300))
    (store / "incoming" / "unknown").write_bytes(bytes(9000))
    now = measure()
    assert (now.received, now.forms, now.uploads) == (300, 1, ())
    assert now.sample().in_flight == 1
    assert owner.user.uploads.count() == 0


def test_a_deleted_file_has_come_all_the_same(owner: Person) -> None:
    owner.api.upload(received(bytes(1000)))
    Tus(owner.api).delete(f"/files/{Upload.objects.get().id}")
    assert measure().received == 1000


def test_samples_are_kept_for_a_week(db: None) -> None:  # noqa: ARG001
    now = timezone.now()
    record(now - timedelta(days=7, minutes=1))
    young = record(now - timedelta(days=6))
    call_command("record_sample")
    assert Sample.objects.count() == 2
    assert Sample.objects.first() == young


# What the lines say.


def test_throughput_is_the_growth_between_two_samples(db: None) -> None:  # noqa: ARG001
    rates = [rate for _, rate in plots.throughput(samples(0, 600, 600, 60_600))]
    assert rates == pytest.approx([10, 0, 1000])


def test_where_an_unfinished_upload_was_removed_the_throughput_is_not_known(
    db: None,  # noqa: ARG001
) -> None:
    found = samples(0, 600, 100, 160)
    assert [at for at, _ in plots.throughput(found)] == [found[1].at, found[3].at]


def test_samples_far_apart_tell_no_throughput(db: None) -> None:  # noqa: ARG001
    assert plots.throughput(samples(0, 600, step=timedelta(hours=1))) == []


def test_a_line_has_gaps_where_nothing_is_known_and_begins_at_zero(db: None) -> None:  # noqa: ARG001
    now = timezone.now()
    for minutes, free in ((60, 100), (56, 50), (10, 25), (6, 0)):
        record(now - minutes * MINUTE, free=free)
    [plot, *_] = plots.plots(list(Sample.objects.all()), measure().sample())
    assert plot.line.count("M") == 2
    places = re.findall(r"L([0-9.]+) ([0-9.]+)", plot.line)
    heights = [float(y) for _, y in places]
    assert heights[0] == 4
    assert heights == sorted(heights)
    assert heights[-1] == 96
    assert (plot.lowest, plot.highest, plot.top) == ("0 bytes", "100 bytes", "100 bytes")


def test_of_a_day_one_line_has_no_more_than_its_steps(owner: Person) -> None:
    now = timezone.now()
    Sample.objects.bulk_create(
        Sample(at=now - number * MINUTE, free=1, reserved=0, in_flight=0, received=0)
        for number in range(1, 2000)
    )
    owner.user.is_staff = True
    owner.user.save()
    page = owner.browser.get(ADDRESS).content.decode()
    assert 280 <= page.split('fill="none"')[0].count("L") <= 300


# The page.


def test_only_staff_sees_it(owner: Person, colleague: Person, nobody: Nginx) -> None:
    assert colleague.browser.get(ADDRESS).status_code == 200
    assert owner.browser.get(ADDRESS).status_code == 403
    assert owner.api.get(ADDRESS, **JSON).status_code == 403
    assert nobody.get(ADDRESS, Accept="text/html").status_code == 303
    assert nobody.get(ADDRESS, **JSON).status_code == 401


def test_it_tells_who_sends_what(owner: Person, colleague: Person) -> None:
    url = Tus(owner.api).begin(4096)
    Tus(owner.api).patch(url, 0, bytes(1024))
    Tus(owner.api).begin(None)
    page = colleague.browser.get(ADDRESS).content.decode()
    rows = page.split("<tbody>")[1].split("<tr>")[1:]
    assert "olivia" in rows[0]
    assert "tus 1.0" in rows[0]
    assert "1.0 KiB of 4.0 KiB" in rows[0]
    assert '<progress max="4096" value="1024"' in rows[0]
    assert "length not known" in rows[1]
    assert "none yet" in rows[1]


def test_a_name_is_shown_and_not_run(owner: Person, colleague: Person) -> None:
    owner.api.send("PUT", "/files/%3Cscript%3Ealert(1)", bytes(8), cut=4)
    page = colleague.browser.get(ADDRESS).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_plots_are_read_out_and_the_numbers_stand_beside(colleague: Person) -> None:
    samples(0, 60 * 1024, 120 * 1024)
    page = colleague.browser.get(ADDRESS).content.decode()
    for name in ("free", "reserved", "in-flight", "throughput"):
        svg = re.search(
            rf'<svg[^>]*aria-labelledby="{name}-title {name}-desc".*?</svg>', page, re.DOTALL
        )
        assert svg, name
        assert f'<title id="{name}-title">' in svg[0]
        assert f'<desc id="{name}-desc">' in svg[0]
    assert "from 1.0 KiB/s to 1.0 KiB/s" in page
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", page)


def test_without_samples_it_says_what_records_them(colleague: Person) -> None:
    page = colleague.browser.get(ADDRESS).content.decode()
    assert "record_sample" in page
    assert "not known" in page
    samples(0)
    assert "record_sample" not in colleague.browser.get(ADDRESS).content.decode()


def test_a_program_gets_the_numbers(owner: Person, colleague: Person) -> None:
    Tus(owner.api).patch(Tus(owner.api).begin(4096), 0, bytes(1024))
    record(timezone.now() - MINUTE)
    answer = colleague.api.get(ADDRESS, **JSON)
    assert "Accept" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"
    numbers = answer.json()
    assert numbers["received"] == 1024
    assert 16 <= numbers["throughput"] <= 17
    [upload] = numbers["uploads"]
    assert (upload["name"], upload["owner"], upload["protocol"]) == ("run.bam", "olivia", "tus")
    assert (upload["offset"], upload["length"]) == (1024, 4096)


def test_a_token_for_reading_reads_it_and_one_for_uploading_does_not(colleague: Person) -> None:
    def ask(scope: Scope) -> int:
        text = new_token()
        ApiToken.objects.add(colleague.user, scope, text, scope=scope)
        program = Nginx(headers={"Authorization": f"Bearer {text}"})
        return program.get(ADDRESS, **JSON).status_code

    assert ask(Scope.READ) == 200
    assert ask(Scope.UPLOAD) == 403


@pytest.mark.parametrize("count", [1, 150])
def test_it_needs_as_many_queries_for_one_upload_as_for_many(
    owner: Person,
    colleague: Person,
    django_assert_num_queries: DjangoAssertNumQueries,
    count: int,
) -> None:
    Upload.objects.bulk_create(
        Upload(
            owner=owner.user,
            name=f"{number}",
            state="receiving",
            protocol="tus",
            length=8,
            expires=timezone.now() + timedelta(days=1),
        )
        for number in range(count)
    )
    samples(*range(count))
    # Session, user, uploads, what they reserve and parts do, bytes received, samples.
    with django_assert_num_queries(7):
        page = colleague.browser.get(ADDRESS).content.decode()
    assert page.count("<progress") == min(count, 100)
    assert ("And 50 more" in page) == (count > 100)


def test_the_script_is_a_file_and_the_page_does_without(
    colleague: Person, stored: Callable[[], list[Path]]
) -> None:
    page = colleague.browser.get(ADDRESS).content.decode()
    assert re.search(r'<script src="/static/upload/status\.[0-9a-f]{12}\.js" defer>', page)
    assert re.search(r'<label id="refresh" hidden>', page)
    assert stored() == []
