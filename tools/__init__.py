"""What the Makefile calls beside well-known tools: the package inspected, the site's pages made."""
