"""Ask the agents from a terminal, over the real socket."""

import asyncio
import logging
import signal
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from contexts.exceptions import NetraError
from realtime.terminal.api import check_address, server_api
from realtime.terminal.conversation import Conversation, Frame, ShowFrame
from realtime.terminal.local_server import local_server
from realtime.terminal.progress import LiveProgress
from realtime.terminal.sign_in import mint_token, sign_in_at
from realtime.terminal.waiting import ShowWait, watched_wait


class Command(BaseCommand):
    """`manage.py chat`: exit status 0 only when the question was answered."""

    help = "Ask a question and print the answer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the question and how to ask it."""
        parser.add_argument("question", help="What to ask.")
        parser.add_argument("--user", required=True, help="Username to ask as.")
        parser.add_argument("--dataset", type=Path, metavar="FILE", help="Usage log to upload and ask about.")
        parser.add_argument("--assume-model", metavar="NAME", help="Model to assume if the log names none.")
        parser.add_argument("--thread", metavar="ID", help="Thread to go on with.")
        parser.add_argument("--url", help="Server to ask; by default the local one, started if none runs.")
        parser.add_argument("--json", action="store_true", help="Print the server's frames, one a line.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, show what happens, and end with status 1 and one line when there is no answer.

        Raises:
            CommandError: when the question was not answered, and why.
        """
        if options["assume_model"] and not options["dataset"]:
            raise CommandError("--assume-model goes with --dataset.")
        options["thread"] = _thread_id(options["thread"])
        if options["dataset"]:
            options["dataset"] = _readable(options["dataset"].expanduser())
        # Said once by the error itself, and not again for every attempt to connect.
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
        try:
            if options["json"]:
                end = asyncio.run(_chat(options, show=self._print_frame, show_wait=None))
            else:
                with LiveProgress() as progress:
                    end = asyncio.run(_chat(options, show=progress.show, show_wait=progress.show_wait))
        except NetraError as error:
            raise CommandError(error.message) from error
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise CommandError("Interrupted.") from None
        if end["type"] == "run_failed":
            raise CommandError(f"The run failed ({end['data']['code']}): {end['data']['message']}")
        if end["type"] == "run_cancelled":
            raise CommandError(f"The run was cancelled by {end['data']['by']}.")

    def _print_frame(self, text: str, frame: Frame) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _readable(file: Path) -> Path:
    try:
        file.open("rb").close()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    return file


def _thread_id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None else None
    except ValueError as error:
        raise CommandError(f"{text!r} is no thread id.") from error


async def _chat(options: dict[str, Any], *, show: ShowFrame, show_wait: ShowWait | None) -> Frame:
    with _Interruption() as interruption:
        async with (
            _signed_in(options["url"], options["user"]) as (url, token),
            server_api(url) as api,
        ):
            dataset_ids = []
            if options["dataset"]:
                dataset_ids.append(
                    await api.upload_dataset(
                        options["dataset"], assume_model=options["assume_model"], token=token
                    )
                )
            async with watched_wait(api, token, show=show_wait) as waits:
                interruption.conversation = Conversation(url, token, show=show, waits=waits)
                return await interruption.conversation.ask(
                    options["question"], thread_id=options["thread"], dataset_ids=dataset_ids
                )


@asynccontextmanager
async def _signed_in(url: str | None, username: str) -> AsyncIterator[tuple[str, str]]:
    if url is None:
        token = await asyncio.to_thread(mint_token, username)
        async with local_server(token) as address:
            yield address, token
        return
    address = check_address(url)
    async with server_api(address) as api:
        token = await sign_in_at(api, username)
    yield address, token


class _Interruption:
    """Makes Ctrl-C cancel the run, if there may be one; else, or again, it ends the command in order."""

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self._cancelling: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._main = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._cancelling is not None:
            self._cancelling.cancel()

    def _interrupt(self) -> None:
        if self.conversation is not None and self._cancelling is None:
            self._cancelling = asyncio.create_task(self.conversation.cancel())
        elif self._main is not None:
            self._main.cancel()
