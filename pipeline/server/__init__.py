"""The model as a service over HTTP, as the clients of OpenAI and of Moondream speak it."""
