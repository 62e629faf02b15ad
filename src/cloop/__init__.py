"""cloop: a fast asyncio event loop."""

from cloop._version import __version__
from cloop.loop import Loop
