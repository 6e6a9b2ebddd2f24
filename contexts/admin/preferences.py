"""The four preferences on the pages of tiers, tenants and users."""

from typing import Any

from django import forms

from contexts.preferences import validate_allowed_model, validate_known_agent

PREFERENCES: tuple[str, Any] = (
    "Preferences",
    {
        "fields": ("preferred_model", "preferred_language", "preferred_time_zone", "preferred_agents"),
        "description": "A user's own come before the tenant's, the tenant's before the tier's.",
    },
)
"""The fieldset of the preferences."""


class PreferencesForm(forms.ModelForm):
    """Refuses models and agents that do not exist here.

    What stood there before is left alone: an account can be deactivated also when its model is no longer
    offered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not there on the pages of those who may only look.
        if agents := self.fields.get("preferred_agents"):
            agents.help_text = f"{agents.help_text} Triage and reporting are always on."

    def clean_preferred_model(self) -> str:
        """Return the model.

        Raises:
            ValidationError: when it is new here, and not among those that the installation offers.
        """
        model: str = self.cleaned_data["preferred_model"]
        if model and "preferred_model" in self.changed_data:
            validate_allowed_model(model)
        return model

    def clean_preferred_agents(self) -> list[str] | None:
        """Return the agents' names; none when the field is blank.

        Raises:
            ValidationError: when one is new here, and no agent has that name.
        """
        names: list[str] = self.cleaned_data["preferred_agents"] or []
        for name in set(names) - set(self.initial.get("preferred_agents") or ()):
            validate_known_agent(name)
        return names or None
