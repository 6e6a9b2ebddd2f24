"""The process under test: one of the applications on uvicorn or daphne, told from outside what to emit."""

import argparse
import asyncio
import gc
import socket
from typing import Any

import django
import uvloop

from benchmarks.live.commands import Handler, serve_commands
from benchmarks.live.emitting import Emitters


def main() -> None:
    """Serve until the benchmark ends, or ends this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("application", choices=("bare", "plain", "netra"))
    parser.add_argument("server", choices=("uvicorn", "daphne"))
    parser.add_argument("--send-bytes", type=int, help="what the kernel keeps for each socket's client")
    arguments = parser.parse_args()
    listener = socket.socket()
    if arguments.send_bytes:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, arguments.send_bytes)
    listener.bind(("127.0.0.1", 0))
    listener.listen(4_096)
    # daphne's own loop must be there before anything else asks for Twisted's
    serve = _serve_daphne if arguments.server == "daphne" else _serve_uvicorn
    serve(arguments.application, listener)


def _serve_uvicorn(name: str, listener: socket.socket) -> None:
    import uvicorn

    from contexts.garbage import settle_garbage_collection
    from netra_site.web_server import web_server_options

    application = _application(name)

    async def serve() -> None:
        config = uvicorn.Config(application, **web_server_options())
        config.load()
        settle_garbage_collection()
        serve_commands(_handlers(name, listener), asyncio.get_running_loop())
        await uvicorn.Server(config).serve([listener])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def _serve_daphne(name: str, listener: socket.socket) -> None:
    from daphne.server import Server, twisted_loop

    handlers = _handlers(name, listener)
    server = Server(
        _application(name),
        endpoints=[f"fd:fileno={listener.detach()}"],
        ready_callable=lambda: serve_commands(handlers, twisted_loop),
    )
    server.run()


def _application(name: str) -> Any:
    django.setup()
    if name == "bare":
        from benchmarks.live.bare import application

        return application
    if name == "plain":
        from benchmarks.live.plain import application

        return application
    from netra_site.asgi import application

    return application


def _handlers(name: str, listener: socket.socket) -> dict[str, Handler]:
    emitters = Emitters(name)
    port = listener.getsockname()[1]

    async def address() -> int:
        return int(port)

    async def tidy() -> None:
        gc.collect()

    async def managers() -> dict[str, int]:
        from realtime.managers import get_manager_registry_status

        status = get_manager_registry_status()
        return {"managers": status.managers, "connections": status.connections}

    return {
        "address": address,
        "tidy": tidy,
        "managers": managers,
        "emit": emitters.emit,
        "emit_burst_beside": emitters.emit_burst_beside,
        "emit_at_rate": emitters.emit_at_rate,
    }


if __name__ == "__main__":
    main()
