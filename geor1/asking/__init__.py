"""Ask a model many questions and keep every answer: who answers, how a killed run goes on, what is known already.

Shared by the stages that ask (01's teacher, 04, the public benchmarks). Nothing here loads torch, transformers or vLLM
before the first prompt goes to a model of this process.
"""
