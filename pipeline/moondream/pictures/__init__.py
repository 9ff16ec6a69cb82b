"""From a picture to the crops that the model sees, and their way to the device."""
