"""Samples as lines: a day in means of five minutes, from zero up, gaps where nothing is known."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean
from typing import Final

from monitoring.models import Sample
from uploads.templatetags.sizes import human_size

SPAN: Final = timedelta(days=1)
STEP: Final = timedelta(minutes=5)
# Further apart, two samples tell nothing of what was between them.
_APART: Final = timedelta(minutes=5)
WIDTH: Final = 600
HEIGHT: Final = 100
# Room above and below, so that the line is not cut off.
_MARGIN: Final = 4

type Point = tuple[datetime, float]


@dataclass(frozen=True, slots=True)
class Plot:
    """A line for the page, and what it says in words. Without points there is no line."""

    name: str
    title: str
    line: str
    top: str
    lowest: str
    highest: str
    now: str


def plots(samples: Sequence[Sample], now: Sample) -> list[Plot]:
    """Return the plots of the page; `now` is what was measured for it."""
    rates = throughput([*samples, now])
    return [
        _plot("free", "Free space", _of(samples, lambda s: s.free), now.free, now.at, _size),
        _plot(
            "reserved",
            "Reserved by unfinished uploads",
            _of(samples, lambda s: s.reserved),
            now.reserved,
            now.at,
            _size,
        ),
        _plot(
            "in-flight",
            "Uploads in flight",
            _of(samples, lambda s: s.in_flight),
            now.in_flight,
            now.at,
            _count,
        ),
        _plot("throughput", "Throughput", rates, current(rates, now.at), now.at, _rate),
    ]


def throughput(samples: Iterable[Sample]) -> list[Point]:
    """Return bytes a second, each at the later one of two samples.

    When an unfinished upload is removed, what was there of it is gone from the sum: of that time
    the growth is not known.
    """
    return [
        (later.at, (later.received - earlier.received) / (later.at - earlier.at).total_seconds())
        for earlier, later in pairwise(samples)
        if earlier.at < later.at <= earlier.at + _APART and later.received >= earlier.received
    ]


def current(rates: Sequence[Point], now: datetime) -> float | None:
    """Return the rate that counts as the one of now, None: nothing tells."""
    return rates[-1][1] if rates and rates[-1][0] == now else None


def _of(samples: Sequence[Sample], value: Callable[[Sample], int]) -> list[Point]:
    return [(sample.at, float(value(sample))) for sample in samples]


def _plot(  # noqa: PLR0913, PLR0917 - what the plots differ in
    name: str,
    title: str,
    points: Sequence[Point],
    current_value: float | None,
    end: datetime,
    words: Callable[[float], str],
) -> Plot:
    means = _means(points, end)
    known = [mean for mean in means if mean is not None]
    top = max(known, default=0.0)
    return Plot(
        name=name,
        title=title,
        line=_line(means, top),
        top=words(top) if known else "",
        lowest=words(min(known)) if known else "",
        highest=words(top) if known else "",
        now="not known" if current_value is None else words(current_value),
    )


def _means(points: Sequence[Point], end: datetime) -> list[float | None]:
    steps: list[list[float]] = [[] for _ in range(SPAN // STEP)]
    for at, value in points:
        age = (end - at) // STEP
        if 0 <= age < len(steps):
            steps[-1 - age].append(value)
    return [fmean(values) if values else None for values in steps]


def _line(means: Sequence[float | None], top: float) -> str:
    words: list[str] = []
    before: float | None = None
    for number, mean in enumerate(means):
        if mean is not None:
            x = WIDTH * (number + 0.5) / len(means)
            share = mean / top if top else 0.0
            y = _MARGIN + (HEIGHT - 2 * _MARGIN) * (1 - share)
            place = f"{x:.1f} {y:.1f}"
            # A step that stands alone becomes a dot.
            words.append(f"L{place}" if before is not None else f"M{place}L{place}")
        before = mean
    return "".join(words)


def _count(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _size(value: float) -> str:
    return human_size(round(value))


def _rate(value: float) -> str:
    return f"{_size(value)}/s"
