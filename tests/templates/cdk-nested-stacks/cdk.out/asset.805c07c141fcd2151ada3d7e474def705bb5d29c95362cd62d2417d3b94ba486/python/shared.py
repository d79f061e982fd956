NAME = "layer"
