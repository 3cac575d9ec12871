"""Published cross-view data sets in the layouts of their publishers, as sources of pairs.

Here and not beside the benchmarks, which read them too, since stage 01 must not import benchmarks.
"""
