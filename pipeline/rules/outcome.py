"""What an answer says, to who knows which answer he wants."""

from pipeline.core.answers import Answer, Failed, Text
from pipeline.core.verifying import Outcome, SecondLook, Verification
from pipeline.rules.words import plain, yes_or_no


def verification_by(look: SecondLook, answer: Answer) -> Verification:
    """Whether an answer is the wanted one, or why nobody knows."""
    if isinstance(answer, Failed):
        return Verification("unverified", look.engine, reason=answer.reason)
    if not isinstance(answer, Text):
        kind = type(answer).__name__.lower()
        reason = f"the engine answered with {kind} instead of words"
        return Verification("unverified", look.engine, reason=reason)
    words, wanted = answer.text.strip(), {plain(word) for word in look.wanted}
    said = plain(words)
    probability = None
    if not look.choices and answer.yes_probability is not None and len(wanted) == 1:
        yes = answer.yes_probability
        probability = 1.0 - yes if wanted == {"no"} else yes
    if look.at_least is not None and probability is not None:
        confirms = probability >= look.at_least
    else:
        heard = said if look.choices else yes_or_no(said) or said
        possible = {plain(choice) for choice in look.choices} or {"yes", "no"}
        if heard not in possible:
            known = ", ".join(look.choices) or "yes or no"
            reason = f"the engine did not answer with {known}"
            return Verification("unverified", look.engine, words, reason=reason)
        confirms = heard in wanted
    outcome: Outcome = "confirmed" if confirms else "rejected"
    return Verification(
        outcome, look.engine, words, probability, dropped=look.drops and not confirms
    )
