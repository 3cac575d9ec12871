"""Anti-shortcut probes: can anything but the content of the views tell which tile is right?

Each probe is a small model that sees one nuisance only and tries to choose among the K options. Learnt on the train
split and tried on the test split it must score 1/K within chance. Where it does not, the data leak, and a policy could
be rewarded for reading the leak instead of the place.
"""

from geor1.synthesis.probes.run import ALARMS, LeakError, probe_folder, raise_alarm, summary_lines

__all__ = ["ALARMS", "LeakError", "probe_folder", "raise_alarm", "summary_lines"]
