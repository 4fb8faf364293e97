"""Picks serve, agent or the shell client, nothing else. Also the entry point of the frozen program."""

from __future__ import annotations

import sys


def main() -> None:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode in ("serve", "agent"):
        from pvc.daemon import main as daemon

        sys.exit(daemon(mode, sys.argv[2:]))
    from pvc.cli.main import main as client

    sys.exit(client(sys.argv[1:]))


if __name__ == "__main__":
    main()
