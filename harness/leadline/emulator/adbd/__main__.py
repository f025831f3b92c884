"""``python -m leadline.emulator.adbd``: serve until SIGTERM, or with ``--control`` until the end of standard input."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from pathlib import Path

from .daemon import Daemon, Device


def main() -> None:
    parser = argparse.ArgumentParser(prog="leadline.emulator.adbd", description="an emulated phone's ADB daemon")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--serial", default="emulated", help="the device's own serial")
    parser.add_argument("--directory", help="where commands start; HOME and TMPDIR (default: a temporary folder)")
    parser.add_argument("--model", default="Emulated_Phone")
    parser.add_argument("--auth", action="store_true", help="ask hosts for an RSA key; the first one is accepted")
    parser.add_argument("--control", action="store_true", help="obey fault orders, one a line, on standard input")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="adbd-") as scratch:
        directory = str(Path(options.directory or scratch).absolute())
        device = Device(serial=options.serial, directory=directory, model=options.model, needs_auth=options.auth)
        daemon = Daemon(device, port=options.port)
        daemon.start()
        try:
            _say(f"listening on 127.0.0.1:{daemon.port}, directory {directory}")
            if options.control:
                for line in sys.stdin:
                    _say(daemon.faults.obey(line))
            else:
                threading.Event().wait()
        finally:
            daemon.stop()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
