"""What a teacher's completion must be to be taught: ended, well formed, right, true, and not given away.

Each rejected completion carries every reason that applies; it is booked under the first, in the order of ``REASONS``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from geor1.answers import ParseFailure, is_well_formed, parse_choice, parse_coordinates, think_block
from geor1.geodesy import haversine_km
from geor1.records import Prediction, Scaffold
from geor1.synthesis.teacher.claims import MAX_CHARS
from geor1.synthesis.teacher.config import TeacherConfig
from geor1.synthesis.teacher.duplicates import Shingler, Shingles
from geor1.synthesis.teacher.jobs import Job
from geor1.synthesis.teacher.leaks import names_answer, names_source, passed_over, step_places
from geor1.synthesis.teacher.verdicts import Claim, check_text
from geor1.synthesis.teacher.vocabulary import Names

REASONS = (
    "api_error", "timeout", "broken_reply", "context_length", "refused", "unfinished", "empty", "format", "no_answer",
    "wrong_answer", "too_short", "too_long", "steps", "leak_answer", "leak_source", "one_sided", "false_coordinates",
    "false_latitude", "false_longitude", "false_city", "false_country", "false_climate", "false_koppen",
    "false_hemisphere", "false_driving_side", "false_coast", "false_relief", "too_few_claims", "duplicate",
)  # fmt: skip
_PIECE = re.compile(r"\w+|[^\w\s]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checked:
    """One completion and what became of it; a line of ``checked.jsonl``.

    Attributes:
        template: Name of the template.
        item_id: What was asked about.
        sample: Which of several completions, from 0.
        reasons: Why it is rejected, the decisive one first; empty if it is kept.
        claims: Claims of the chain with their verdicts; character places are those of the completion.
        prompt_tokens: As the server counts them, if known.
        completion_tokens: Likewise.
        repeats: Scaffold that it is a duplicate of, if it is one.
    """

    template: str
    item_id: str
    sample: int
    reasons: tuple[str, ...]
    claims: tuple[Claim, ...]
    prompt_tokens: int | None
    completion_tokens: int | None
    repeats: str | None = None

    @property
    def kept(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


class Checker:
    """Checks completions one by one.

    Args:
        config: Limits and tolerances.
        names: Names that the fact check looks for.
    """

    def __init__(self, config: TeacherConfig, names: Names) -> None:
        self.config, self.names = config, names
        self._shingler = Shingler()

    def check(self, job: Job, answered: Prediction) -> Checked:
        """One completion alone; duplicates are another matter."""
        claims: list[Claim] = []
        reasons = [answered.status] if answered.status != "ok" else list(self._reasons(job, answered, claims))
        order = sorted(set(reasons), key=REASONS.index)
        return Checked(
            template=job.template.name,
            item_id=job.item_id,
            sample=answered.sample,
            reasons=tuple(order),
            claims=tuple(claims),
            prompt_tokens=answered.prompt_tokens,
            completion_tokens=answered.completion_tokens,
        )

    def shingles(self, answered: Prediction) -> Shingles:
        """The chain's shingles."""
        return self._shingler(think_block(answered.raw))

    def _reasons(self, job: Job, answered: Prediction, claims: list[Claim]) -> Iterator[str]:
        text, config = answered.raw, self.config
        if not text.strip():
            yield "empty"
            return
        if not is_well_formed(text):
            yield "format"
            return
        yield from _answer_reasons(job, text, config.tolerance_km)
        length = answered.completion_tokens
        length = len(_PIECE.findall(text)) if length is None else length
        if length < config.min_tokens:
            yield "too_short"
        if length > config.max_tokens:
            yield "too_long"
        think = think_block(text)
        if len(think) > MAX_CHARS:  # what is not read cannot be vouched for
            yield "too_long"
        claims += self._claims(job, text, think)
        yield from _leak_reasons(job, think, claims, text.index(think))
        yield from (f"false_{claim.kind}" for claim in claims if claim.verdict == "false")
        if sum(claim.verdict == "true" for claim in claims) < config.min_true_claims:
            yield "too_few_claims"

    def _claims(self, job: Job, text: str, think: str) -> list[Claim]:
        offset = text.index(think)
        found = check_text(think, job.place, self.names, tolerance_km=self.config.tolerance_km)
        return [dataclasses.replace(one, start=one.start + offset, end=one.end + offset) for one in found]


def scaffold_id(job: Job, sample: int) -> str:
    """What the chain of a completion is known by: question, template, sample."""
    return f"{job.item_id}/{job.template.name}/{sample}"


def scaffold_of(job: Job, answered: Prediction, checked: Checked) -> Scaffold:
    """The supervised example of a kept completion; image paths as in the job."""
    return Scaffold(
        scaffold_id=scaffold_id(job, answered.sample),
        kind=job.template.task,
        split=job.split,
        images=job.images,
        prompt=job.student_prompt,
        completion=answered.raw.strip(),
        n_facts=sum(claim.verdict != "unknown" for claim in checked.claims),
        pairing_labels_seen=int(job.template.task == "pairing"),
    )


def _answer_reasons(job: Job, text: str, tolerance_km: float) -> Iterator[str]:
    if job.template.task == "pairing":
        choice = parse_choice(text, job.letters)
        if isinstance(choice, ParseFailure):
            yield "no_answer"
        elif choice != job.answer:
            yield "wrong_answer"
        return
    position = parse_coordinates(text)
    if isinstance(position, ParseFailure):
        yield "no_answer"
        return
    apart_km = haversine_km(
        lat1=position.latitude_deg,
        lon1=position.longitude_deg,
        lat2=job.place.latitude_deg,
        lon2=job.place.longitude_deg,
    )
    if apart_km > tolerance_km:
        yield "wrong_answer"


def _leak_reasons(job: Job, think: str, claims: list[Claim], offset: int) -> Iterator[str]:
    places = step_places(think, job.template.steps)
    if places is None:
        yield "steps"
        conclusion = think.rstrip().rstrip(".!").rfind(".") + 1  # the last sentence
    else:
        conclusion = places[-1]
    before = think[:conclusion]
    if job.template.task == "pairing":
        position = job.letters.index(job.answer)
        if names_answer(before, job.answer, position, len(job.letters)):
            yield "leak_answer"
        if len(job.letters) > 1 and passed_over(before, job.letters):
            yield "one_sided"
    elif any(claim.kind == "coordinates" and claim.start < offset + conclusion for claim in claims):
        yield "leak_answer"
    if names_source(think, job.template.hidden):
        yield "leak_source"
