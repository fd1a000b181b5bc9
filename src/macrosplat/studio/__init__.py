"""The studio: macrosplat in a browser of this machine, for who does not want a command line.

In: a folder that photos are dropped into, or named. Out: runs as `macrosplat reconstruct` makes them, by that command
as a process of its own, watched through its events (`--json`). `looking.py` shows what is in the photos, `job.py` runs
the command, `desk.py` holds what one person has before them, `server.py` answers the page.
"""

from macrosplat.studio.server import studio as studio
