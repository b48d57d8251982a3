"""The parts of the module that are free of nginx, compiled alone under sanitizers."""

import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent / "unit"


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    out = tmp_path_factory.mktemp("units")
    made = subprocess.run(["make", "-C", str(HERE), "-j2", f"OUT={out}"], check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return out


@pytest.mark.parametrize("name", sorted(path.stem for path in HERE.glob("test_*.c")))
def test_unit(units, tmp_path, name):
    run = subprocess.run([units / name, str(tmp_path)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
