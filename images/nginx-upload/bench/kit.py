"""What the kit sets in its nginx.conf: the benchmark runs with the same buffers and windows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

# directives of the http block that have a say in how fast a body is received
TUNING = re.compile(r"aio|client_body_buffer_size|http[23]_\w+|quic_\w+|ssl_buffer_size|upload_\w*buffer\w*")
DIRECTIVE = re.compile(r"^    (\w+) ([^;]+);$", re.MULTILINE)
VARIABLE = re.compile(r"\{\{ (\w+) \}\}")


def tuning(role: Path) -> dict[str, str]:
    """Return the directives of the role's template, with the role's defaults in them."""
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    template = (role / "templates" / "nginx.conf.j2").read_text()
    return {
        name: VARIABLE.sub(lambda match: str(defaults[match.group(1)]), value)
        for name, value in DIRECTIVE.findall(template)
        if TUNING.fullmatch(name)
    }
