"""What everything that answers over HTTP with uvicorn shares."""
