"""redis-py, on asyncio's streams, under each loop, with a real Redis."""
