"""A program: one server with very many connections. `idle_connections.py LOOPS_MODULE PATH COUNT`.

Prints "accepted lost highest": connections that were made and that ended, and the highest number of
open ones. Its clients are a second process, since both ends of all would be too many descriptors for
one. Over a unix socket, for TCP would run out of ports.
"""

import asyncio
import importlib
import os
import resource
import socket
import sys

ACTIVE, ROUNDS = 100, 10


class Server(asyncio.Protocol):
    made = lost = highest = 0

    def connection_made(self, transport):
        self.transport = transport
        Server.made += 1
        Server.highest = max(Server.highest, Server.made - Server.lost)

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, error):
        Server.lost += 1


async def serve(listening, count):
    """Until as many as are expected have come and gone."""
    server = await asyncio.get_running_loop().create_server(Server, sock=listening)
    while Server.lost < count:
        await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()


def talk(socks):
    """A message of its own over each of them, all at once, must come back."""
    for number, sock in enumerate(socks):
        sock.sendall(b"%05d" % number)
    for number, sock in enumerate(socks):
        assert sock.recv(100) == b"%05d" % number


def be_clients(path, count):
    """Connect them all; leave most of them idle; use every one of them in the end."""
    socks = []
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        socks.append(sock)
    for first in range(ROUNDS):
        talk(socks[first :: count // ACTIVE][:ACTIVE])
    talk(socks)
    for sock in socks:
        sock.close()


def main(name, path, count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(4096)
        clients = os.fork()
        if clients == 0:
            listening.close()
            be_clients(path, count)
            return 0
        with asyncio.Runner(loop_factory=importlib.import_module(name).new_event_loop) as runner:
            runner.run(serve(listening, count))
    _, status = os.waitpid(clients, 0)
    print(Server.made, Server.lost, Server.highest)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
