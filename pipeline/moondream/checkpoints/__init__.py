"""Which weights are loaded: releases, where they come from, and how they are checked."""
