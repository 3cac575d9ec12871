"""General abilities, delegated: MEGA-Bench, MMMU and GPQA run in public harnesses, their logs compared item by item.

Nothing here needs a harness to be installed: each runs in an environment of its own, against one served checkpoint,
and leaves logs that are read back as one kind of record (:class:`~geor1.general.samples.GeneralSample`).
"""
