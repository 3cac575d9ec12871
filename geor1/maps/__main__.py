"""``python -m geor1.maps`` is ``geor1 map``."""

from geor1.maps.cli import main

if __name__ == "__main__":
    main()
