"""Public benchmarks by name: what their files hold, what is asked, how a reply is read, how it is scored.

``geor1 data list`` shows where each comes from, :mod:`geor1.benchmarks.registry` names the readers. Nothing here loads
torch, and nothing is downloaded unless :mod:`geor1.benchmarks.fetch` is told to.
"""
