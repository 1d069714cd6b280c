"""Stage 1: from config files and overrides to one resolved config. No TensorFlow here."""
