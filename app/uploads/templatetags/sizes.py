"""Sizes for people: `{{ size|human_size }}` and `{{ size|grouped }}`."""

from typing import Final

from django import template

register = template.Library()

_STEP: Final = 1024
_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")


@register.filter
def human_size(size: int) -> str:
    """Return bytes in the largest binary unit that gives at least 1, with one decimal."""
    if size < _STEP:
        return f"{size} byte" if size == 1 else f"{size} bytes"
    amount = float(size)
    for unit in _UNITS:
        amount /= _STEP
        # Compared as it will be shown, so that nothing reads "1024.0 KiB".
        if round(amount, 1) < _STEP or unit == _UNITS[-1]:
            return f"{amount:.1f} {unit}"
    raise AssertionError("the last unit takes every size")


@register.filter
def grouped(size: int) -> str:
    """Return a number with its digits in groups of three, by narrow no-break spaces."""
    return f"{size:,}".replace(",", "\u202f")
