"""The live view: a page on this machine that shows a training while it runs, and may pause or stop it.

In: a trainer between two steps, whose state stays as it is to the bit. Out: pictures and figures for a browser, and
whether somebody asked to stop. `draw.py` makes the pictures, `view.py` the page (viser, an optional dependency),
`after.py` what becomes of it, `preview.py` a picture in RUN.
"""

from macrosplat.live.after import After as After
from macrosplat.live.preview import Preview as Preview
from macrosplat.live.view import LiveView as LiveView
from macrosplat.live.view import check_viser as check_viser
from macrosplat.live.watching import Nobody as Nobody
from macrosplat.live.watching import Watching as Watching
