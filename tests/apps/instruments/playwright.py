"""playwright: its driver, by pipes, with both of its interfaces; no browser is needed for a request."""

import asyncio
import http.server
import sys
import threading
import warnings

from playwright.async_api import Error, async_playwright
from playwright.sync_api import sync_playwright

from tests.apps.instruments.start import run


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"word")

    def log_message(self, *args):
        pass


async def main():
    async with async_playwright() as playwright:
        context = await playwright.request.new_context()
        response = await context.get(url)
        print(response.status, await response.text())
        try:
            await context.get("http://127.0.0.1:1/")
        except Error as error:
            print(str(error).partition("\n")[0])
        await context.dispose()


def synchronous():
    if sys.argv[1] == "cloop":
        import cloop

        warnings.simplefilter("ignore")
        asyncio.set_event_loop_policy(cloop.EventLoopPolicy())
    with sync_playwright() as playwright:
        context = playwright.request.new_context()
        response = context.get(url)
        print(response.status, response.text())
        try:
            context.get("http://127.0.0.1:1/")
        except Error as error:
            print(str(error).partition("\n")[0].removeprefix("APIRequestContext.get: "))
        context.dispose()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
url = f"http://127.0.0.1:{server.server_port}/"
threading.Thread(target=server.serve_forever, daemon=True).start()
run(main())
synchronous()
server.shutdown()
