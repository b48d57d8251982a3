"""One nginx with every location that the tests need; tests that change nginx itself start their own."""

import pytest

from harness import Backend, Nginx
from locations import HTTP, LOCATIONS


def assert_no_alert(nginx):
    """nginx finds nothing wrong with itself, and neither does a sanitizer."""
    for line in nginx.errors().splitlines():
        assert not any(word in line for word in ("[alert]", "[crit]", "[emerg]"))
    assert "Sanitizer" not in nginx.stderr() and "runtime error" not in nginx.stderr()


@pytest.fixture(scope="session")
def session_backend():
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture(scope="session")
def session_nginx(session_backend, tmp_path_factory):
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), session_backend.port, LOCATIONS, http=HTTP)
    with nginx.running():
        yield nginx


@pytest.fixture
def backend(session_backend):
    session_backend.reset()
    return session_backend


@pytest.fixture
def nginx(session_nginx, backend):
    """The shared nginx with an empty store. Whatever a test does, the worker lives on."""
    for path in session_nginx.files():
        path.unlink()
    workers = session_nginx.workers()
    yield session_nginx
    assert session_nginx.workers() == workers, session_nginx.stderr()
    assert_no_alert(session_nginx)


@pytest.fixture
def own_nginx(backend, tmp_path):
    """Starts nginx with other settings; as many as a test needs."""
    started = []

    def start(locations=LOCATIONS, **kwargs):
        nginx = Nginx(tmp_path / f"nginx{len(started)}", backend.port, locations, **{"http": HTTP, **kwargs})
        started.append(nginx)
        return nginx.start()

    yield start
    for nginx in started:
        nginx.stop()
        assert_no_alert(nginx)
