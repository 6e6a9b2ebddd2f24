"""The process beside the server that emits, when what it emits crosses Redis."""

import argparse
import asyncio

import django
import uvloop

from benchmarks.live.commands import serve_commands
from benchmarks.live.emitting import Emitters


async def _work(application: str) -> None:
    emitters = Emitters(application)
    serve_commands({"emit": emitters.emit, "emit_at_rate": emitters.emit_at_rate}, asyncio.get_running_loop())
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("application", choices=("plain", "netra"))
    name = parser.parse_args().application
    django.setup()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(name))
