"""The protocols of /files/: each is a thin adapter over uploads/service.py.

An adapter is a class that satisfies `adapter.Adapter`, and one entry in `adapters()` below. The
order there counts: the first that recognises a request by its method and headers gets it, so the
one that asks for most comes first, and one that takes whatever is left comes last.

What a request goes through, in uploads/append_views.py:

1.  *authorize*: nginx has a POST, PUT or PATCH whose body it has not read. The adapter looks at the
    `Call`, asks `access` who it is and `service.begin` or `service.append` for leave, and returns
    `Permit` (the body is received), or any `HttpResponse`, which is the client's answer without a
    body being read.
2.  nginx appends the body to the file, and keeps what came of a request that is cut, too.
3.  *complete*: the whole body is on the disk. `service.received` has taken note of it before the
    adapter is asked, which only words the answer from the `Status` and the `AppendGrant`.
4.  *respond*: requests of other methods (HEAD, DELETE, ...) come straight to Django.
    X-HTTP-Method-Override is applied before, so a POST may end here as well.

An adapter raises any `Problem`; those of the service stand in uploads/refusals.py and have typed
numbers. It becomes a problem document; `refuse` may turn it into what the protocol asks for, and
`headers` stand on every answer, refusals included. An OPTIONS request, which tells of no protocol,
is answered with what all adapters `advertise`. CORS is not an adapter's concern: it names the
headers that scripts may send and read.
"""

from functools import cache

from uploads.protocols.adapter import Adapter
from uploads.protocols.put import Put
from uploads.protocols.rufh import Rufh
from uploads.protocols.tus import Tus


@cache
def adapters() -> tuple[Adapter, ...]:
    """Return the adapters in the order in which they are asked."""
    return (Tus(), Rufh(), Put())
