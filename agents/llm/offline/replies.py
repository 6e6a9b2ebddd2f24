"""Whole answers that need no specialist: what Netra can do, what is missing, what it cannot do."""

from collections.abc import Sequence

from agents.state import DatasetCard

from .dataset_choice import LISTS_DATASETS
from .figures import count, name
from .question import ASKS_FOR_MODEL
from .tables import table

_ABILITIES = """\
- **Where the spend goes**: by model, period, project and size of request. *Where does our AI spend go?*
- **Trend and peaks**. *When was the spend highest?*
- **Model comparison**: the same requests on other models. *What would it cost on gpt-4o-mini?*
- **Savings**, ranked, with assumptions, formula and steps. *How do we cut it?*
- **Prompt caching** and **batch processing**. *What would batch save if 30 % can wait?*
- **Forecast** of the month. *What will we pay by the end of the month?*
- **Questions about the log itself**. *How many requests? Which was the busiest hour?*
- **Your own SQL**: one SELECT statement.
"""
_FORMATS = """\
Attach a file to your message: CSV, JSON or JSON Lines in UTF-8. These are recognised:

- a table with one row a request: time, model (may be missing), input tokens, output tokens, and if you \
have them cached tokens, cost, project or user, under their usual names;
- a LiteLLM spend-log export;
- the JSON of the OpenAI usage API;
- the public Azure (CSV) and Mooncake (JSON Lines) inference traces.

If the log names no model, say which one to assume when you upload it or in your question.
"""
_PRICES = (
    "Prices are the providers' public list prices as the genai-prices library bundles them, applied to each "
    "request; discounts of your own contract are not in them. A model that is not listed stays unpriced. "
    "Every "
    "figure in an answer comes from a tool that computed it on your log, and you can see each call."
)


def describe_abilities(cards: Sequence[DatasetCard]) -> str:
    """Say what Netra can do, and with what."""
    return (
        "I analyse what your organisation's calls of language models cost, and how to pay less. You can "
        "ask for:\n\n"
        f"{_ABILITIES}\n{_FORMATS}\n{_PRICES}\n\n{_list_datasets(cards)}"
    )


def answer_small_talk(cards: Sequence[DatasetCard]) -> str:
    """Be friendly, and say what comes next."""
    return (
        "Hello! I look into your LLM usage logs: where the spend goes and how to cut it.\n\n"
        + _list_datasets(cards)
    )


def report_missing_data() -> str:
    """Say that there is no dataset, and how to give one."""
    return (
        "There is no dataset to answer this from yet: you have not uploaded any usage log that I could "
        "read, and I "
        f"do not guess figures.\n\n{_FORMATS}\nThen ask again."
    )


def report_missing_file(missing: str, cards: Sequence[DatasetCard]) -> str:
    """Say that the dataset named in the question is not there."""
    return f"There is no dataset named {name(missing)}.\n\n{_list_datasets(cards)}"


def ask_for_model(card: DatasetCard) -> str:
    """Ask which model's prices to use, with what is known already."""
    return (
        f"The dataset {name(card.name)} names no model, so it has no price yet: "
        f"{count(card.requests)} requests with {count(card.input_tokens)} input and "
        f"{count(card.output_tokens)} output "
        f"tokens. I do not guess. **{ASKS_FOR_MODEL}** Answer for example `assume gpt-4o`, or ask what it "
        "would cost "
        "on several models."
    )


def report_out_of_scope(cards: Sequence[DatasetCard]) -> str:
    """Say plainly that this cannot be answered here."""
    return (
        "I cannot help with that, or I did not understand it: I only read LLM usage logs and answer "
        "questions about "
        f"what they cost, and I change nothing. You can ask for:\n\n{_ABILITIES}\n{_list_datasets(cards)}"
    )


def _list_datasets(cards: Sequence[DatasetCard]) -> str:
    if not cards:
        return "You have no dataset yet: attach one to your next message."
    rows = [
        (
            name(card.name),
            count(card.requests),
            count(card.input_tokens),
            count(card.output_tokens),
            name(card.assumed_model)
            if card.assumed_model
            else "named in the log"
            if card.names_models
            else "–",
        )
        for card in cards[:10]
    ]
    headers = ("Dataset", "Requests", "Input tokens", "Output tokens", "Model")
    return f"{LISTS_DATASETS}\n\n{table(headers, rows)}"
