"""Everything that can be wrong with a deployment file, and the sentences that say so."""
