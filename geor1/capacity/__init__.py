"""What a profile will need before it runs: memory, arithmetic, seconds, money; ``python -m geor1.capacity``.

Beside the stages, because one plan looks at several of them; nothing but the command and its tests imports it.

* :mod:`.hardware` what devices and links can do, and what share of it training gets;
* :mod:`.simulate` the peak of a scoring pass, from running the real code on tensors without data;
* :mod:`.memory` everything that a device holds, by how the processes share the model;
* :mod:`.seconds` the time of a step, phase by phase;
* :mod:`.profile` what a profile says of it, and :mod:`.plan` its stages as plans;
* :mod:`.report` the tables, and ``papers/capacity.md``; :mod:`.measure` what holds them against a machine.
"""
