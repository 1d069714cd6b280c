"""An error about an override of an absent key says how to add the key, if that is possible."""

import pytest
import smdecl
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.errors import ConfigError
from smdecl.savedmodel.audits.auditing import RULES

DIGEST = "0" * 64

# An override of an absent key, its error without the key, and an override that works.
ABSENT_KEYS = [
    (
        f"sha256.examples.npz={DIGEST}",
        "unknown key 'examples.npz' in sha256, which is empty; to add it, write"
        " '+sha256={examples.npz: ...}'",
        f"+sha256={{examples.npz: {DIGEST}}}",
    ),
    (
        "signatures.my.sig.method=add",
        "unknown key 'my.sig' in signatures; expected one of serving_default; to add it, write"
        " '+signatures={my.sig: {method: ...}}'",
        "+signatures={my.sig: {method: add}}",
    ),
    (
        "model.name=n",
        "unknown key 'name' in model; expected one of _target_; to add it, write '+model.name=...'",
        "+model.name=n",
    ),
    (
        "signatures.serving_default.inputs.x.kind=dense",
        "key 'kind' is not set; to add it, write '+signatures.serving_default.inputs.x.kind=...'",
        "+signatures.serving_default.inputs.x.kind=dense",
    ),
    (
        f"sha256={{a.b: {DIGEST}}}",
        f"key 'a.b' is not set; to add it, write '+sha256={{a.b: {DIGEST}}}'",
        f"+sha256={{a.b: {DIGEST}}}",
    ),
    (
        "weights.path=p",
        "key 'path' is not set; to add it, write '+weights.path=...', or choose one of "
        + ", ".join(f"weights={name}" for name in sorted(FORMATS)),
        "+weights.path=p",
    ),
    (
        "weights.format=h5",
        "invalid format 'h5'; expected one of checkpoint, keras, keras_weights, saved_model (did you"
        " mean 'keras_weights'?); key 'format' is not set; to add it, write '+weights.format=...',"
        " or choose one of " + ", ".join(f"weights={name}" for name in sorted(FORMATS)),
        "+weights.format=keras_weights",
    ),
    (
        "weights.pth=p",
        "unknown key 'pth' in weights; expected one of expect, format, path, root"
        " (did you mean 'path'?)",
        None,
    ),
    (
        "audit.random_opps=off",
        "unknown key 'random_opps' in audit; expected one of"
        f" {', '.join(sorted(rule.name for rule in RULES))} (did you mean 'random_ops'?)",
        None,
    ),
    (
        "signatures.my.methd=add",
        "unknown key 'methd' in signatures.my; expected one of inputs, method, method_name, outputs"
        " (did you mean 'method'?)",
        None,
    ),
    ("~model.nme", "unknown key 'nme' in model; expected one of _target_", None),
    ("seed.x=1", "seed cannot have keys", None),
]


@pytest.mark.parametrize(("override", "message", "works"), ABSENT_KEYS)
def test_how_to_add_a_key_is_reported_if_the_schema_accepts_it(override, message, works):
    with pytest.raises(ConfigError) as error:
        smdecl.compose([override])

    (problem,) = error.value.problems
    assert problem.message == message
    assert problem.key == override.partition("=")[0].lstrip("~")
    assert problem.origin.override == override
    if works is not None:
        smdecl.compose([works])
