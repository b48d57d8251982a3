"""Pack a build context into an archive that depends on names, modes and contents alone."""
# ruff: noqa: INP001 - Ansible runs a module as a file, not out of a package

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: build_context
short_description: Pack a build context reproducibly
description:
  - Writes the folder as an uncompressed tar archive with sorted names and no times or owners, so
    that its digest says whether an image must be built again, and the builder's cache holds.
options:
  src: {type: path, required: true, description: The folder.}
  dest:
    type: path
    required: true
    description: The archive, written when its content differs (mode 0600).
  exclude:
    type: list
    elements: str
    default: []
    description: Shell patterns of names to leave out.
"""

RETURN = r"""
sha256: {type: str, returned: always, description: Digest of the archive, lower-case hex.}
"""


def files_of(src: Path, exclude: list[str]) -> Iterator[Path]:
    """Yield regular files and links in sorted order; a folder that is excluded is not entered."""
    for folder, folders, names in os.walk(src):
        folders[:] = sorted(n for n in folders if not any(fnmatch.fnmatch(n, p) for p in exclude))
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *links]):
            if not any(fnmatch.fnmatch(name, p) for p in exclude):
                yield Path(folder, name)


def pack(src: Path, exclude: list[str]) -> bytes:
    """Return the archive: a build context is source text, so it fits into memory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in files_of(src, exclude):
            # Hard links are files like any other: how a checkout was copied must not show.
            tar.inodes = {}  # type: ignore[attr-defined]
            info = tar.gettarinfo(path, arcname=str(path.relative_to(src)))
            info.mtime = 0
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode = 0o755 if info.mode & 0o100 else 0o644
            if info.isreg():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    return out.getvalue()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    src, dest = Path(module.params["src"]), Path(module.params["dest"])
    if not (src / "Dockerfile").is_file():
        module.fail_json(
            msg=f"{src} has no Dockerfile: set build_context to the folder that holds it"
        )
    archive = pack(src, module.params["exclude"])
    changed = not dest.is_file() or dest.read_bytes() != archive
    if changed and not module.check_mode:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=dest.parent, delete=False) as partial:
            partial.write(archive)
        module.atomic_move(partial.name, str(dest))
    module.exit_json(changed=changed, sha256=hashlib.sha256(archive).hexdigest())


if __name__ == "__main__":
    main()
