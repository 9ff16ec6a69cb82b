"""What the editor draws on: a picture, the paths that were walked, and where people were."""
