"""Threads of a model that build one graph get the ops that TensorFlow itself adds."""

import threading
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
from smdecl.exporting.saving.cheaper_saving import cheaper_ops

OPTIONS = {"save_debug_info": False}


def pooled(x, size):
    """Adds an op that is equal to others in all but an attribute."""
    window = [1, size, size, 1]
    return tf.raw_ops.MaxPool(input=x, ksize=window, strides=[1] * 4, padding="SAME")


def test_threads_that_build_one_graph_do_not_get_each_others_attributes():
    here = threading.get_ident()

    def added():
        made = {}
        with tf.Graph().as_default() as graph, ThreadPoolExecutor(1) as thread:
            x = tf.compat.v1.placeholder(tf.float32, [1, 9, 9, 1])

            def elsewhere():
                with graph.as_default():
                    made["other"] = pooled(x, 5).op

            def device(op):  # called within the creation of an op
                if op.type == "MaxPool" and threading.get_ident() == here and not made:
                    thread.submit(elsewhere).result()
                return ""

            with graph.device(device):
                made["first"] = pooled(x, 3).op
            made["second"] = pooled(x, 3).op
        return {name: op.get_attr("ksize") for name, op in made.items()}

    own = added()
    with cheaper_ops(OPTIONS):
        made = added()

    assert made == own == {"other": [1, 5, 5, 1], "first": [1, 3, 3, 1], "second": [1, 3, 3, 1]}
