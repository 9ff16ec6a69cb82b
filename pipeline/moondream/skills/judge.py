"""How likely a given answer is: its tokens are read in one go, nothing is generated."""

from collections.abc import Sequence

from pipeline.moondream.device.reads import Read
from pipeline.moondream.prompts import Prompt
from pipeline.moondream.skills.base import Language, Skill, Turn


class JudgeSkill(Skill):
    """Sums the log-probability of an answer's tokens and of the end after them."""

    def __init__(self, language: Language, prompt: Prompt, answer: str, has_picture: bool) -> None:
        self.answer = answer
        self.token_ids = tuple(language.tokenizer.encode(answer))
        judged = prompt.judging(self.token_ids, language.release.ids.eos)
        language.room(judged, has_picture)
        super().__init__(judged, positions=0)
        self.log_probability = 0.0
        self.yes_and_no = (0.0, 0.0)

    def begin(self, reads: Sequence[Read]) -> Turn | None:
        """Take the judgement of every token; that is all."""
        self.yes_and_no = (reads[0].yes, reads[0].no)
        self.log_probability = sum(read.target for read in reads)
        return None

    def advance(self, reads: Sequence[Read]) -> Turn | None:
        """Never asked: judging ends with the prefill."""
        raise AssertionError(f"a judged answer has no steps, yet got {len(reads)}")
