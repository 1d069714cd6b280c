"""Exports a KerasHub BERT of 115 MB with random weights: python bert.py DIRECTORY."""

import sys

import keras_hub

LAYERS = {"num_layers": 4, "num_heads": 8, "hidden_dim": 512, "intermediate_dim": 2048}


def make():
    return keras_hub.models.BertBackbone(30522, max_sequence_length=128, **LAYERS)


if __name__ == "__main__":
    make().export(sys.argv[1], verbose=False)
