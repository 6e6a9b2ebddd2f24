"""Which model drives the agents: one named by setting, or the offline analyst."""
