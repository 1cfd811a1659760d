"""From a folder of images to a config: find the data, choose a recipe, write what a training reads."""
