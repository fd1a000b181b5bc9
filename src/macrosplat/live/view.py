"""The page of the live view: viser's, on 127.0.0.1. Its threads only note what visitors want; training draws.

In: a trainer, its photos' names. Out: a server while the context lasts; `between_steps` answers the visitors. When it
ends, their pages become the result (`after.py`).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from macrosplat.live.after import GO, After
from macrosplat.live.draw import Look, picture, pinhole_of
from macrosplat.live.guard import Pages, guarded
from macrosplat.live.pace import Pace
from macrosplat.live.panel import Panel
from macrosplat.live.watching import Watching
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.local import HOST

if TYPE_CHECKING:
    import viser

    from macrosplat.train.trainer import Trainer

NEARER = 0.25  # of the nearest depth that training draws: visitors come closer than the photos
ASLEEP = 0.05  # s between two looks at the visitors while training is paused
JPEG_QUALITY = 85
PIXELS_LEAST = 120_000  # of a whole picture, otherwise as many as training has: a window is larger than small photos
PIXELS_PAUSED = 2.0  # times as many: nothing waits for them
PATIENCE = 5.0  # s that browsers have to fetch the result
LAST = 1.0  # s for what was fetched to arrive


def check_viser() -> None:
    """That the live view can be shown.

    Raises:
        MacrosplatError: viser is not installed.
    """
    if importlib.util.find_spec("viser") is None:
        raise MacrosplatError(f"--live needs viser, which is not installed; install it with: {install('live')}.")


class LiveView(Watching):
    """Use as a context manager."""

    def __init__(
        self, trainer: Trainer, names: tuple[str, ...], port: int, note: Callable[[str], None], after: After
    ) -> None:
        """Args: port: 0 takes a free one; a busy one, the next. note: is told the address."""
        check_viser()
        self._after = after
        self._trainer, self._names, self._port, self._note = trainer, names, port, note
        self._wake = threading.Event()  # somebody pressed something
        self._paces: dict[int, Pace] = {}
        self.spent = 0.0  # s that training waited for pictures

    def __enter__(self) -> LiveView:
        self._mute = contextlib.ExitStack()
        self._mute.enter_context(_mute())
        self._server = _server(self._port, self._answer)
        self._panel = Panel(self._server, self._trainer, self._names, self._wake.set)
        self.address = f"http://{HOST}:{self._server.get_port()}"
        self._note(f"Live view, on this machine only: {self.address}")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        import viser._messages as messages

        going = self._after.end(kind is None)
        visitors = len(self._server.get_clients())
        socket = self._server._websock_server
        # viser has no public door for this: its page would look for a server that is gone, for ever.
        socket.queue_message(messages.RunJavascriptMessage(source=GO.format(going)))
        self._server.flush()
        if visitors:
            self._after.wait(visitors, PATIENCE)
            time.sleep(LAST)
        self._server.stop()
        if socket._server_thread is not None:
            socket._server_thread.join(PATIENCE)  # which speaks as it goes
        self._mute.close()

    def trained(self) -> None:
        self._panel.end(WRITING)
        self._server.flush()

    def _answer(self, path: str) -> tuple[bytes, str] | None:
        answer = self._after.answer(path)
        return None if answer is None else (answer.content, answer.kind)

    def between_steps(self, figures: dict[str, float], interrupted: Callable[[], bool]) -> bool:
        self._panel.tell(self._trainer, figures)
        self._draw()
        while self._panel.paused and not (self._panel.stop or interrupted() or self._over):
            self._wake.wait(ASLEEP)
            self._wake.clear()
            self._panel.tell(self._trainer, {})
            self._draw()
        self.finishes = self._panel.stop
        return self._panel.stop or interrupted()

    @property
    def _over(self) -> bool:
        return self._trainer.done >= self._trainer.schedule.steps

    def _draw(self) -> None:
        """Give every visitor who is due a picture."""
        clients = self._server.get_clients()
        if not clients:
            self._paces.clear()
            return
        for number in self._paces.keys() - clients.keys():
            del self._paces[number]
        for number, client in clients.items():
            pace = self._paces.setdefault(number, Pace())
            began = time.monotonic()
            look = self._look(client)
            share = pace.pixels(look, self._trainer.done, began, self._panel.paused)
            if share:
                self._send(client, look, share)
                ended = time.monotonic()
                pace.drew(share, self._trainer.done, began, ended)
                self.spent += 0 if self._panel.paused else ended - began

    def _look(self, client: viser.ClientHandle) -> Look:
        camera, panel = client.camera, self._panel
        position, turn = tuple(map(float, camera.position)), tuple(map(float, camera.wxyz))
        return Look(position, turn, camera.fov, camera.aspect, panel.kind, panel.aperture, panel.focus)

    def _send(self, client: viser.ClientHandle, look: Look, share: float) -> None:
        trainer = self._trainer
        trainer.settle()  # on a GPU: what is learned is only true then
        first = trainer.model.rig.begun(0)
        pixels = max(PIXELS_LEAST, first.frame.width * first.frame.height) * (
            PIXELS_PAUSED if self._panel.paused else 1.0
        )
        pinhole = pinhole_of(look, share * pixels, NEARER * first.frame.near)
        sigma0 = self._panel.sigma0 * pinhole.fx / float(first.intrinsics[0])
        pixels = picture(trainer.model, look, pinhole, self._panel.pupil, sigma0)
        client.scene.set_background_image(pixels, format="jpeg", jpeg_quality=JPEG_QUALITY)


@contextlib.contextmanager
def _mute() -> Iterator[None]:
    """stdout is for results, and viser speaks there (through rich): where it listens, whom it turned away, its end."""
    console = importlib.import_module("rich").get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _server(port: int, pages: Pages) -> viser.ViserServer:
    """A server that only this machine, and only pages of this machine, can talk to."""
    import viser

    class Server(viser.ViserServer):
        def request_share_url(self, verbose: bool = True) -> str | None:
            """viser's tunnel through a server elsewhere: never."""
            return None

    with guarded(pages):
        server = Server(host=HOST, port=port, label="macrosplat", verbose=False)
    server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(11, 107, 93))
    return server


WRITING = "Training has ended: the results are being written, and this page will become them."
