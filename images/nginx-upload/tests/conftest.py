"""One nginx with every location that the tests need; tests that change nginx itself start their own."""

import contextlib
import functools
import re

import pytest

from harness import NGINX_BUILD, Backend, Disk, Nginx
from locations import HTTP, LOCATIONS


def pytest_report_header():
    return NGINX_BUILD.splitlines()[0]


def pytest_configure(config):
    config.addinivalue_line("markers", "large: takes minutes, runs only when asked for with -m large")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("-m"):
        items[:] = [item for item in items if not item.get_closest_marker("large")]


def pytest_make_parametrize_id(val):
    """Whole bodies make no readable name."""
    return repr(val)[:40] if isinstance(val, (bytes, str)) and len(val) > 40 else None


def assert_no_alert(nginx):
    """nginx finds nothing wrong with itself, and neither does what watches its memory."""
    for line in nginx.errors().splitlines():
        assert nginx.expected_alert in line or not any(word in line for word in ("[alert]", "[crit]", "[emerg]"))
    # stderr is the error log's once nginx has begun
    for output in (nginx.stderr(), nginx.errors()):
        if re.search(r"Sanitizer|runtime error|^==\d+==", output, re.MULTILINE):
            pytest.fail(output[-20000:])


@pytest.fixture(scope="session")
def session_backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture(scope="session")
def shared(session_backend, tmp_path_factory):
    """Two nginxs for the whole session: one with threads, as the kit has it, and one without."""
    with contextlib.ExitStack() as running:

        @functools.cache
        def start(aio):
            directory = tmp_path_factory.mktemp("nginx")
            nginx = Nginx(directory, session_backend.port, LOCATIONS, http=HTTP, aio=aio)
            # what it finds when it stops, too
            running.callback(assert_no_alert, nginx)
            return running.enter_context(nginx.running())

        yield start


@pytest.fixture
def aio():
    """Overridden by the tests that run both ways, see both_ways."""
    return "threads"


@pytest.fixture
def backend(session_backend):
    session_backend.reset()
    return session_backend


@pytest.fixture
def nginx(shared, aio, backend):
    """The shared nginx with an empty store. Whatever a test does, the worker lives on."""
    nginx = shared(aio)
    for path in nginx.files():
        path.unlink()
    workers = nginx.workers()
    yield nginx
    assert nginx.workers() == workers, nginx.stderr()
    assert_no_alert(nginx)


@pytest.fixture
def without_errors(nginx):
    """Nothing that is in order, or the client's fault, is an error to nginx."""
    nginx.expected = []
    before = len(nginx.errors())
    yield
    for line in nginx.errors()[before:].splitlines():
        assert "[error]" not in line or any(text in line for text in nginx.expected), line


@pytest.fixture
def own_nginx(backend, aio, tmp_path):
    """Starts nginx with other settings; as many as a test needs."""
    started = []

    def start(locations=LOCATIONS, **kwargs):
        directory = tmp_path / f"nginx{len(started)}"
        nginx = Nginx(directory, backend.port, locations, **{"http": HTTP, "aio": aio, **kwargs})
        started.append(nginx)
        return nginx.start()

    yield start
    for nginx in started:
        nginx.stop()
        assert_no_alert(nginx)


@pytest.fixture
def disk(own_nginx, tmp_path):
    """Depends on own_nginx, so that it is healed before nginx is stopped."""
    directory = tmp_path / "disk"
    directory.mkdir()
    disk = Disk(directory)
    yield disk
    disk.heal()
