"""How a teacher is asked, what of its answers is kept, and what it costs."""

from __future__ import annotations

import dataclasses

from geor1.asking.config import AskingConfig, at_least, refuse


@dataclasses.dataclass(frozen=True, kw_only=True)
class TeacherConfig(AskingConfig):
    """The teacher of stage 01.

    Attributes:
        backend: Who answers, ``server`` by default. In a profile of stage 01, ``teacher`` decides it.
        model: Name that the server serves the model under; hub name or folder for the others.
        templates: Prompts, by name (``positive``, ``distractors``, ``search``, ``geolocation``) or as text files.
        questions: Questions asked under each template, the first of the file; 0 for all.
        samples: Most completions drawn of a question; no more are drawn once ``keep`` have passed.
        keep: Chains kept of a question, at most.
        temperature: Of the sampling; above 0 if ``samples`` is above 1.
        max_new_tokens: Limit of a completion; one cut there is rejected.
        min_tokens: Shortest completion kept, in tokens as the server counts them (else words and marks are counted).
        max_tokens: Longest completion kept, likewise.
        min_words: Shortest chain that the prompt asks for.
        max_words: Longest chain that the prompt asks for.
        min_true_claims: Claims of a chain that the metadata must bear out.
        tolerance_km: How far coordinates of a chain may lie from the truth.
        duplicate_similarity: Jaccard similarity of five-word shingles from which a chain is a duplicate; 1.0 for equal
            texts only.
        generations: Folder of the generations, where several runs are to share them; empty for the run's own.
        usd_per_million_in: Price of a million prompt tokens, US dollars.
        usd_per_million_out: Price of a million completion tokens, US dollars.
    """

    backend: str = "server"
    model: str = ""
    templates: tuple[str, ...] = ("positive",)
    questions: int = 0
    samples: int = 4
    keep: int = 1
    temperature: float = 0.7
    max_new_tokens: int = 2048
    min_tokens: int = 120
    max_tokens: int = 2048
    min_words: int = 250
    max_words: int = 700
    min_true_claims: int = 0
    tolerance_km: float = 100.0
    duplicate_similarity: float = 0.8
    generations: str = ""
    batch_size: int = 256
    dtype: str = "bfloat16"
    context_tokens: int = 16384
    concurrency: int = 32
    timeout_s: float = 600.0
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("keep", "min_words"):
            at_least(name, getattr(self, name), 1)
        for name in ("questions", "min_tokens", "min_true_claims", "tolerance_km"):
            at_least(name, getattr(self, name), 0)
        for name in ("usd_per_million_in", "usd_per_million_out"):
            at_least(name, getattr(self, name), 0)
        if not self.templates or len(set(self.templates)) < len(self.templates):
            refuse("templates", self.templates, "at least one, each once")
        if self.keep > self.samples:
            refuse("keep", self.keep, f"at most samples={self.samples}")
        if self.max_tokens < max(1, self.min_tokens):
            refuse("max_tokens", self.max_tokens, f"at least min_tokens={self.min_tokens}")
        if self.max_words < self.min_words:
            refuse("max_words", self.max_words, f"at least min_words={self.min_words}")
        if not 0.0 < self.duplicate_similarity <= 1.0:
            refuse("duplicate_similarity", self.duplicate_similarity, "above 0, at most 1")
