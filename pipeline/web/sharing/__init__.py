"""Pictures and clips that somebody shares with people who do not sign in."""
