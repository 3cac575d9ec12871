"""``python -m geor1.capacity --profile paper``: what a profile needs; ``--write``: the tables in papers/."""

from __future__ import annotations

import argparse
from pathlib import Path

from geor1.capacity.hardware import DEVICES
from geor1.capacity.memory import SHARINGS
from geor1.capacity.plan import plan_grpo, plan_sft
from geor1.capacity.profile import Machine, read_profile


def main() -> None:
    """Parse arguments, plan, print."""
    parser = argparse.ArgumentParser(prog="python -m geor1.capacity", description=__doc__)
    parser.add_argument("--profile", default="paper", help="parameter set (default paper)")
    parser.add_argument("--gpus", type=int, help="devices that train together (default: the profile's)")
    parser.add_argument("--device", choices=sorted(DEVICES), help="what they are (default: the profile's)")
    parser.add_argument("--sharing", choices=SHARINGS, help="how they share the model (default: the profile's)")
    parser.add_argument("--per-machine", type=int, help="devices of one machine (default: the profile's, mostly 8)")
    parser.add_argument("--price", type=float, help="dollars an hour of one device (default: an assumption)")
    parser.add_argument(
        "--write", action="store_true", help="write papers/capacity.md and profile-paper.md instead (takes minutes)"
    )
    options = parser.parse_args()
    from geor1.capacity.departures import write_table
    from geor1.capacity.report import profile_table, write_report

    if options.write:
        for path in (write_table(Path("papers")), write_report(Path("papers"))):
            print(f"written: {path}")
        return
    try:
        profile = read_profile(options.profile)
        said = profile.machine
        devices = options.gpus or said.devices
        sharing = said.sharing if options.sharing is None else options.sharing
        machine = Machine(
            name=options.device or said.name,
            devices=devices,
            sharing="" if devices == 1 else sharing or "ddp",
            per_machine=options.per_machine or said.per_machine,
            dollars_per_hour=options.price,
        )
        plans = [plan_sft(profile, machine), plan_grpo(profile, machine)]
    except ValueError as error:
        parser.error(str(error))
    print(profile_table(profile, plans))


if __name__ == "__main__":
    main()
