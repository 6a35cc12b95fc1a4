"""Other toolkits beside this one: their environments, configurations, commands, and what their logs say."""
