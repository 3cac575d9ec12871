"""``python -m geor1`` is the command ``geor1``."""

from geor1.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
