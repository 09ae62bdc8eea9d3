"""On the path of a process that may not use the network: looking up any other host ends in an error that says so."""

import socket

look_up = socket.getaddrinfo


def refuse(host, *args, **kwargs):
    if host not in (None, "localhost", "127.0.0.1", "::1", socket.gethostname()):
        raise RuntimeError(f"a network request to {host}, where none was promised")
    return look_up(host, *args, **kwargs)


socket.getaddrinfo = refuse
