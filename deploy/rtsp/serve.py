"""A camera to try things out with: plays every video of a folder over RTSP, for ever.

`rtsp://HOST:8554/NAME.mp4/play_count_0` begins again at its end, as often as it takes.
"""

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path

from aio_rtsp_toolkit.server import serve

_PROBE_S = 3.0


def main() -> int:
    """Serve until stopped, or with `--probe` say by the exit code whether a server answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the videos")
    parser.add_argument("--listen", default="127.0.0.1:8554", metavar="HOST:PORT")
    parser.add_argument("--probe", metavar="HOST:PORT", help="only ask the server there")
    asked = parser.parse_args()
    if asked.probe:
        return probe(*address(asked.probe))
    if asked.folder is None or not asked.folder.is_dir():
        parser.error("name the folder of the videos")
    host, port = address(asked.listen)
    # Otherwise SIGTERM would not end it as the first process of a container.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(serve(str(asked.folder), host=host, port=port))
    return 0


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT` in two."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def probe(host: str, port: int) -> int:
    """0 when the server there answers an RTSP request, else 1."""
    try:
        with socket.create_connection((host, port), _PROBE_S) as connection:
            connection.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            return 0 if connection.recv(16).startswith(b"RTSP/1.0 200") else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
