"""Training in processes of its own: started detached, followed, taken up again by whoever asks next.

A notebook (``start``) starts a supervisor (``supervise``) in a session of its own. The supervisor starts ``accelerate
launch`` on this machine, or on each machine of a Slurm job (``machine``), which starts the processes that train
(``child``). The notebook only reads files, so it may be closed at any time. Each process ends with the one that started
it, so that a killed supervisor leaves nothing running.
"""

from geor1.runs.jobs.start import follow, is_running, start

__all__ = ["follow", "is_running", "start"]
