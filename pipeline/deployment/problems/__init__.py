"""Every sentence that an operator can be told about a deployment file."""
