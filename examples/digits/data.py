"""Loads scikit-learn's digits: 1,347 for training and 450 held out."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def load():
    images = load_digits()
    return train_test_split(
        images.data.astype("float32"),
        images.target,
        test_size=450,
        random_state=0,
    )
