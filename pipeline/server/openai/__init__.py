"""The interface that OpenAI's clients speak: chat completions, models and responses."""
