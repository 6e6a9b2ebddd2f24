"""What the scripted runs are, for the processes that only count them."""

MODEL_CALLS = 3
TOOL_CALLS = 2
QUESTION = "Where does our AI spend go, and how do we cut it?"
SECONDS_VARIABLE = "BENCHMARK_MODEL_SECONDS"
"""The environment's variable that says how long the model takes for each answer."""
