"""Answers on logs with several models, projects, missing models and missing prices."""

from tests.agents.llm.conftest import MakeTeam, mixed_log, small_log
from tests.agents.llm.figures_checker import find_invented_figures
from tests.agents.llm.team import Team


async def test_models_projects_and_what_has_no_price_are_told_apart(mixed: Team) -> None:
    answered = await mixed.ask("Where does the spend go?")
    spend = answered.call("spend_breakdown").result
    assert [entry["model"] for entry in spend["by_model"]] == ["claude-sonnet-4-5", "gpt-4o"]
    assert "| claude-sonnet-4-5 | 80 |" in answered.text
    assert "| gpt-4o | 80 |" in answered.text
    assert "| search |" in answered.text
    assert "Not priced: 80 requests" in answered.text
    assert "house-model-7b" in answered.text
    assert "was assumed" not in answered.text
    assert find_invented_figures(answered.state) == []


async def test_a_long_enough_log_gets_a_forecast(mixed: Team) -> None:
    answered = await mixed.ask("what will March cost by month end?")
    forecast = answered.call("forecast_spend").result
    assert forecast["has_enough_data"]
    assert f"**${float(forecast['expected_usd']):.2f}**" in answered.text
    assert "2026-03" in answered.text
    assert find_invented_figures(answered.state) == []


async def test_spend_on_a_model_of_the_log_is_no_comparison(mixed: Team) -> None:
    assert (await mixed.ask("how much did we spend on gpt-4o?")).topics == ["spend_breakdown"]
    assert (await mixed.ask("what if we used gpt-4o-mini?")).topics == ["model_comparison"]


async def test_requests_per_model_come_from_the_rows(mixed: Team) -> None:
    answered = await mixed.ask("which models are in the log?")
    assert answered.call("query_dataset").result["row_count"] == 3
    assert "| house-model-7b | 80 |" in answered.text


async def test_without_a_model_nothing_is_guessed(unnamed: Team) -> None:
    answered = await unnamed.ask("Where does our AI spend go, and how do we cut it?")
    assert answered.state.evidence == []
    assert "Which model should I assume?" in answered.text
    assert "30 requests with 46,500 input and 4,650 output tokens" in answered.text
    assert "$" not in answered.text


async def test_without_a_model_counts_are_still_answered(unnamed: Team) -> None:
    answered = await unnamed.ask("how many requests?")
    assert "**30** requests" in answered.text


async def test_a_model_named_in_the_question_is_assumed(unnamed: Team) -> None:
    answered = await unnamed.ask("what would it cost on gpt-4o-mini?")
    assert answered.call("spend_breakdown").params["assume_model"] == "gpt-4o-mini"
    assert "**gpt-4o-mini** was assumed" in answered.text
    compared = await unnamed.ask("compare gpt-4o and gpt-4.1-mini")
    params = compared.call("compare_models").params
    assert (params["assume_model"], params["candidates"]) == ("gpt-4o", ["gpt-4.1-mini"])


async def test_an_assumed_model_without_a_price_stays_unpriced(make_team: MakeTeam) -> None:
    team = make_team(("calls.csv", small_log(), "house-model-7b"))
    answered = await team.ask("how do we cut our spend?")
    assert "none of it has a list price" in answered.text
    assert "No list price is known for house-model-7b" in answered.text
    assert "$" not in answered.text
    assert "draw_charts" not in answered.tools


async def test_names_in_the_log_cannot_write_markdown(make_team: MakeTeam) -> None:
    log = mixed_log().replace("search", "![x](http://evil.example/x.png)").replace("chat", "a|b*c*")
    answered = await make_team(("mixed.csv", log, None)).ask("cost per project")
    assert r"!\[x\](http://evil.example/x.png)" in answered.text
    assert r"a\|b\*c\*" in answered.text


async def test_a_failing_tool_is_told_and_the_rest_is_answered(make_team: MakeTeam) -> None:
    team = make_team(("calls.csv", small_log(), "gpt-4o"), failing=("compare_models", "draw_charts"))
    answered = await team.ask("where does the money go and how do we cut it?")
    assert answered.tools == ["describe_dataset", "spend_breakdown", "savings_plan"]
    assert "**Not found out**: compare_models gave no result: The disk is on fire." in answered.text
    assert "### Where the money goes" in answered.text
    assert find_invented_figures(answered.state) == []


async def test_when_every_tool_fails_the_answer_says_so(make_team: MakeTeam) -> None:
    team = make_team(("calls.csv", small_log(), "gpt-4o"), failing=("spend_breakdown",))
    answered = await team.ask("how much do we spend?")
    assert answered.text.startswith("I could not work this out")
    assert "The disk is on fire." in answered.text


def cached_log() -> str:
    """Write a log with cached tokens and recorded costs: 20 requests, each too long for gpt-4."""
    rows = [f"2026-03-01T10:{number:02d}:00Z,gpt-4o,20000,5000,100,0.05" for number in range(20)]
    return "\n".join(["timestamp,model,input_tokens,cached_tokens,output_tokens,cost_usd", *rows])


async def test_cached_tokens_and_recorded_costs_are_told(make_team: MakeTeam) -> None:
    team = make_team(("cached.csv", cached_log(), None))
    spend = await team.ask("where does the money go?")
    assert "400,000 input (100,000 of them cached)" in spend.text
    assert "for cached input" in spend.text
    assert "The log itself records $1.00" in spend.text
    caching = await team.ask("what does caching save?")
    assert "100,000 input tokens (25.0 %) came from a cache already" in caching.text
    for answered in (spend, caching):
        assert find_invented_figures(answered.state) == []


async def test_a_dearer_model_costs_more_and_may_be_too_small(make_team: MakeTeam) -> None:
    answered = await make_team(("cached.csv", cached_log(), None)).ask("what would it cost on gpt-4?")
    (candidate,) = answered.call("compare_models").result["candidates"]
    assert f"{float(candidate['saving_usd']) * -1:,.2f} or " in answered.text
    assert " more." in answered.text
    assert "20 requests do not fit gpt-4 (8,192 tokens)." in answered.text
    assert find_invented_figures(answered.state) == []


async def test_a_log_without_times_has_no_trend(make_team: MakeTeam) -> None:
    log = "model,input_tokens,output_tokens\ngpt-4o,10,5\ngpt-4o,20,5"
    answered = await make_team(("calls.csv", log, None)).ask("when was the peak?")
    assert "cannot be laid out over time" in answered.text


async def test_a_log_without_batch_prices_says_so(make_team: MakeTeam) -> None:
    log = cached_log().replace("gpt-4o", "grok-3")
    answered = await make_team(("calls.csv", log, None)).ask("what would batch save?")
    plan = answered.call("savings_plan").result
    assert plan["batch"] is None
    assert "Batch processing saves nothing" in answered.text
    assert find_invented_figures(answered.state) == []


async def test_a_description_lists_the_models(mixed: Team) -> None:
    answered = await mixed.ask("what is in this dataset?")
    assert "| house-model-7b | 80 |" in answered.text
    assert "from 2026-03-01 00:00 to 2026-03-20 22:00 UTC" in answered.text


async def test_a_wrong_select_statement_is_reported(mixed: Team) -> None:
    answered = await mixed.ask("select nonsense from mixed_csv")
    assert answered.tools == ["describe_dataset"]
    assert "query_dataset gave no result: The query is wrong" in answered.text


async def test_an_empty_answer_and_texts_are_shown_as_such(mixed: Team) -> None:
    none = await mixed.ask("select model from mixed_csv where model = 'x'")
    assert "has no row that answers this" in none.text
    one = await mixed.ask("select min(model) as first_model from mixed_csv")
    assert "the first is first model **claude-sonnet-4-5**" in one.text
