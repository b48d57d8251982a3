"""Typed, strict readers of the environment: a setting that is missing or malformed stops the start.

Each reader names the variable and the remedy in its error. `NAME_FILE` may hold the path of a file
with the value of NAME, which keeps secrets out of `docker inspect` and of /proc.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

PREFIX: Final = "UPLOAD_"
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Environment:
    """Reads variables from `values` and remembers their names, so that a check can find typos."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Take the variables, `os.environ` as a rule."""
        self._values = values
        self._known: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        """Return the value without surrounding white space; without default it is required."""
        self._known |= {name, f"{name}_FILE"}
        path = self._values.get(f"{name}_FILE", "").strip()
        direct = self._values.get(name, "").strip()
        if path and direct:
            raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: remove one of them.")
        if path:
            direct = self._read_file(name, Path(path))
        if direct:
            return direct
        if default is None:
            raise ImproperlyConfigured(
                f"{name} is not set: give it a value, or set {name}_FILE to a file that holds it."
            )
        return default

    def secret(self, name: str, minimum: int) -> str:
        """Return a required value of at least `minimum` characters; errors never show it."""
        value = self.text(name)
        if len(value) < minimum:
            raise ImproperlyConfigured(
                f"{name} has {len(value)} characters, and at least {minimum} are needed: make one"
                ' with `python3 -c "import secrets; print(secrets.token_urlsafe(50))"`.'
            )
        return value

    def integer(self, name: str, default: int, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """Return a decimal number between `minimum` and `maximum`."""
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit()) or not minimum <= int(value) <= maximum:
            raise ImproperlyConfigured(
                f"{name} is {value!r}: write a whole number from {minimum} to {maximum},"
                " in digits only."
            )
        return int(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return true for true/yes/1 and false for false/no/0, in any case."""
        value = self.text(name, str(default))
        try:
            return _BOOLEANS[value.lower()]
        except KeyError:
            raise ImproperlyConfigured(f"{name} is {value!r}: write true or false.") from None

    def words(self, name: str, default: str | None = None) -> list[str]:
        """Return the members of a comma-separated list; without default it has some."""
        text = self.text(name, default)
        found = [word.strip() for word in text.split(",") if word.strip()]
        if not found and text != default:
            raise ImproperlyConfigured(f"{name} is empty: write names separated by commas.")
        return found

    def path(self, name: str, default: str) -> Path:
        """Return an absolute path. Whether it exists is for a system check to say."""
        value = Path(self.text(name, default))
        if not value.is_absolute():
            raise ImproperlyConfigured(f"{name} is {str(value)!r}: write an absolute path.")
        return value

    def unknown(self) -> list[str]:
        """Return the variables that carry our prefix and that no reader asked for."""
        return sorted(n for n in self._values if n.startswith(PREFIX) and n not in self._known)

    def _read_file(self, name: str, path: Path) -> str:
        try:
            value = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ImproperlyConfigured(
                f"{name}_FILE is {str(path)!r}, which cannot be read ({reason}): make it a text"
                " file that the service's user may read."
            ) from error
        if not value:
            raise ImproperlyConfigured(
                f"{name}_FILE is {str(path)!r}, which is empty: write it once more."
            )
        return value


def database(url: str, pool_size: int) -> dict[str, object]:
    """Return Django's settings of one database.

    Shapes: `sqlite:////absolute/path`, `postgresql://user:password@host:5432/name` and, through a
    unix socket with peer authentication, `postgresql:///name?host=/run/postgresql`. Further query
    parameters of a PostgreSQL address (`sslmode`, `sslrootcert`, ...) go to libpq as they are.
    `pool_size` is the number of connections one process may hold.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _database_error("its host or port is malformed") from None
    name = unquote(parts.path)
    if parts.scheme == "sqlite":
        if parts.netloc or not name.startswith("//"):
            raise _database_error("an SQLite path needs four slashes")
        return _sqlite(name[1:])
    if parts.scheme in {"postgresql", "postgres"}:
        if not name.strip("/"):
            raise _database_error("it names no database")
        options: dict[str, object] = dict(parse_qsl(parts.query, keep_blank_values=True))
        host = options.pop("host", None) or unquote(parts.hostname or "")
        # A connection for each thread: waiting for one means that the database is away, and the
        # health check, which waits 5 seconds, shall hear of it.
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 4}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name.strip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": host,
            "PORT": str(port or ""),
            "OPTIONS": options,
            "CONN_HEALTH_CHECKS": True,
        }
    raise _database_error("its scheme is neither sqlite nor postgresql")


def _sqlite(path: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": 600,
        "OPTIONS": {
            # A writer waits this many seconds for the one before it.
            "timeout": 20,
            # Taking the write lock at the start means waiting there, rather than failing when a
            # reading transaction turns into a writing one.
            "transaction_mode": "IMMEDIATE",
            # WAL lets readers go on beside the writer. FULL because NORMAL may lose the last
            # commits in a power cut, and an upload that was acknowledged must stay known.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                " PRAGMA journal_size_limit=67108864;"
            ),
        },
    }


def _database_error(reason: str) -> ImproperlyConfigured:
    # The address may hold a password, so the message never repeats it.
    return ImproperlyConfigured(
        f"UPLOAD_DATABASE_URL cannot be used, {reason}: write sqlite:////var/lib/app/db.sqlite3,"
        " postgresql://user:password@host:5432/name or postgresql:///name?host=/run/postgresql."
    )
