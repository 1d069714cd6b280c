"""Shared by the tests of the audit: specs, rules, and a function that is saved and audited."""

import tensorflow as tf
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import auditing

RULES = [rule.name for rule in auditing.RULES]
X = tf.TensorSpec([None], tf.float32, "x")
Y = tf.TensorSpec([None], tf.float32, "y")
SCALAR = tf.TensorSpec([], tf.float32, "x")
INDEX = tf.TensorSpec([], tf.int32, "i")
TEXT = tf.TensorSpec([None], tf.string, "x")


def levels(rules=RULES):
    return {rule: "warn" if rule in rules else "off" for rule in RULES}


def save_and_audit(
    directory, function, *specs, rules=RULES, consumer=None, edit=None, providers=None, **attributes
):
    """Saves a function as a signature and returns the findings."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    module.function = tf.function(function)
    tf.saved_model.save(
        module, str(directory), signatures=module.function.get_concrete_function(*specs)
    )
    message = inspection.read(directory)
    if edit is not None:
        edit(message.meta_graphs[0].graph_def)
    return auditing.audit(message, levels(rules), consumer, providers)


def rules_of(findings):
    return {finding.rule for finding in findings}


def places(findings):
    return {finding.where for finding in findings}


def nodes(findings):
    """Returns the places without the numbers of functions."""
    return {finding.where.partition("/")[2] or finding.where for finding in findings}
