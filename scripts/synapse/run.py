"""Runs Synapse until SIGTERM, or until stdin ends: so it never outlives the test that started it."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=end_with_parent, daemon=True).start()

from synapse.app.homeserver import main  # noqa: E402

main()
