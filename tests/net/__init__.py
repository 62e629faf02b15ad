"""TCP: transports, servers, connections, streams."""
