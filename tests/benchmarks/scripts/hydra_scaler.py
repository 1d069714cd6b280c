"""Saves one model per job of a Hydra sweep: python hydra_scaler.py -m factor=1,2,3."""

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="hydra_scaler")
def main(config: DictConfig):
    import tensorflow as tf

    class Scaler(tf.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = tf.Variable(factor, name="factor")

        @tf.function
        def scale(self, x):
            return x * self.factor

    model = Scaler(float(config.factor))
    signature = model.scale.get_concrete_function(tf.TensorSpec([], tf.float32, name="x"))
    tf.saved_model.save(model, f"{config.directory}/{config.factor}", signatures=signature)


if __name__ == "__main__":
    main()
