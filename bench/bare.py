"""The least that an aiohttp application does: the same routes, headers and bytes, ready-made.

`python -m bench.bare FILE` takes `Routes` as JSON from that file. What is here knows no cache, no
counters and no rules: what pypicached needs beyond it is what those cost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from bench import processes
from bench.processes import REPOSITORY, free_port
from bench.targets import Target

_OF_THE_BODY = {"Content-Type", "Content-Encoding", "Content-Length"}


class Ready(msgspec.Struct, frozen=True):
    """What is answered at a path: a body in memory from that file, or the file by `sendfile`."""

    headers: dict[str, str]
    body: str
    in_memory: bool = True


class Routes(msgspec.Struct, frozen=True):
    """All answers, by path."""

    port: int
    ready: dict[str, Ready]


@contextmanager
def aiohttp(ready: dict[str, Ready], directory: Path) -> Iterator[Target]:
    """Run the application. Raises TargetError."""
    port = free_port()
    directory.mkdir(parents=True)
    routes = directory / "routes.json"
    routes.write_bytes(msgspec.json.encode(Routes(port, ready)))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bench.bare", str(routes)]
    with processes.running(command, directory, environment, ready_url=base + "/") as pid:
        yield Target("aiohttp", base, pid)


class _Answers:
    """The handlers: a look-up and ready bytes."""

    def __init__(self, routes: Routes) -> None:
        self._headers = {path: CIMultiDict(one.headers) for path, one in routes.ready.items()}
        self._unchanged = {
            path: CIMultiDict((n, v) for n, v in one.headers.items() if n not in _OF_THE_BODY)
            for path, one in routes.ready.items()
        }
        self._bodies = {
            path: Path(one.body).read_bytes() for path, one in routes.ready.items() if one.in_memory
        }
        self._files = {
            path: Path(one.body) for path, one in routes.ready.items() if not one.in_memory
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        headers = self._headers.get(path)
        if headers is None:
            raise web.HTTPNotFound
        if path in self._files:
            return web.FileResponse(self._files[path], headers=headers)
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=self._unchanged[path])
        return web.Response(body=self._bodies[path], headers=headers)


def main() -> None:
    """Serve until SIGTERM."""
    routes = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Routes)
    answers = _Answers(routes)
    application = web.Application()
    application.router.add_get("/simple/{project}/", answers.answer)
    application.router.add_get("/files/{index}/{host}/{path:.*}", answers.answer)
    web.run_app(application, host="127.0.0.1", port=routes.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
