"""What the doctor can find: each cause by its code, with what shows it, how it is tested, and what mends it.

`docs/diagnosis.md` is this table at length.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """One reason why a network does not learn.

    Attributes
    ----------
    group : `"program"`, `"data"`, `"outputs"`, `"gradients"`, `"initialization"` or `"dynamics"`: the order of the
        examination.
    symptom, test, remedy : in a sentence each.
    """

    group: str
    symptom: str
    test: str
    remedy: str


CAUSES: dict[str, Cause] = {
    # The program itself
    "function_raises": Cause(
        "program",
        "a function of the network raises an error",
        "it is called with the parameters and a batch",
        "mend the function; the error's own message is given",
    ),
    "function_mutates": Cause(
        "program",
        "a function changes its arguments",
        "arguments are compared with copies after each call",
        "work on copies: `a = a + b` instead of `a += b`",
    ),
    "function_random": Cause(
        "program",
        "the same call gives different results",
        "functions are called twice with the same arguments",
        "fix the seed, or pass the random numbers in",
    ),
    "wrong_shape": Cause(
        "program",
        "outputs, or gradients, have a shape that does not belong to the targets, or the parameters",
        "shapes are compared",
        "give outputs one row for each example, and each gradient the shape of its parameter",
    ),
    "nothing_computed": Cause(
        "program",
        "the loss does not depend on the parameters at all",
        "all parameters are moved and the loss is compared",
        "use the parameters that are passed in, not copies kept elsewhere",
    ),
    # Data
    "labels_column": Cause(
        "data",
        "labels stand in a column (n, 1)",
        "shapes of labels against outputs",
        "t = t.reshape(-1)",
    ),
    "targets_broadcast": Cause(
        "data",
        "targets (n,) meet outputs (n, 1): their difference is (n, n)",
        "shapes of targets against outputs; the loss of a permuted batch",
        "t = t.reshape(-1, 1)",
    ),
    "inputs_unscaled": Cause(
        "data",
        "inputs are far from 0 ± 1",
        "mean and spread of each feature; the same network trained on standardized inputs",
        "subtract the training set's mean and divide by its standard deviation",
    ),
    "inputs_scaled_apart": Cause(
        "data",
        "validation inputs are scaled by statistics of their own",
        "means, spreads and ranges of both sets, within classes where there are; the same ends or quartiles in both",
        "scale all data by the training set's mean and deviation",
    ),
    "inputs_constant": Cause(
        "data",
        "features that never change, or that one number fills",
        "values of each feature; the empty frame of a picture is none",
        "leave them out; look where they were lost",
    ),
    "data_overlap": Cause(
        "data",
        "validation examples are training examples",
        "rows of both sets are compared",
        "split the data before anything else",
    ),
    "labels_imbalanced": Cause(
        "data",
        "all labels are of one class, or nearly all, or next to none of one that validation has",
        "labels are counted",
        "weigh the classes, or sample them evenly",
    ),
    "labels_shuffled": Cause(
        "data",
        "targets have nothing to do with the inputs",
        "neighbours' targets, and what features explain, against targets shuffled at random; the network itself on "
        "examples that it has not seen",
        "shuffle inputs and targets by the same permutation",
    ),
    # Outputs
    "output_range": Cause(
        "outputs",
        "the last activation cannot reach the targets",
        "range of the outputs, over many parameters, against that of the targets",
        "leave the last layer linear, or scale the targets into the activation's range",
    ),
    "softmax_axis": Cause(
        "outputs",
        "softmax is taken over the batch: columns sum to 1, rows do not",
        "sums of rows and columns; one example's outputs in different batches",
        "softmax over axis 1",
    ),
    "softmax_overflow": Cause(
        "outputs",
        "exp overflows for large logits",
        "outputs and loss for inputs and weights scaled up",
        "subtract each row's largest logit before exp",
    ),
    "output_constant": Cause(
        "outputs",
        "outputs do not depend on the inputs",
        "outputs of different inputs",
        "look at dead units, zero weights, or inputs that are not used",
    ),
    # Gradients
    **{
        code: Cause("gradients", symptom, "central differences of the loss, and what the mistake would give", remedy)
        for code, symptom, remedy in (
            ("gradient_sign", "a gradient has the wrong sign", "turn the sign round"),
            ("gradient_scale", "a gradient is a multiple of the right one", "divide by the number of examples once"),
            (
                "loss_summed",
                "gradients are sums over the batch where the loss is a mean",
                "divide by the number of examples",
            ),
            (
                "bias_gradient_axis",
                "a bias gradient is summed over the wrong axis, or over all",
                "sum dy over the examples: axis 0",
            ),
            ("gradient_transposed", "a gradient is transposed, or its values stand at other places", "x.T @ dy"),
            (
                "gradient_activation",
                "a weight gradient uses another layer's activation",
                "use the activation that the weight multiplied",
            ),
            (
                "gradient_argument",
                "an activation's derivative is taken at the wrong place",
                "take it where the activation was: before it for z, behind it for its value",
            ),
            (
                "gradient_mask",
                "a gradient passes where the activation was zero",
                "multiply by the activation's derivative",
            ),
            (
                "gradient_after_update",
                "a gradient uses weights that were already updated",
                "compute all gradients before the first update",
            ),
            ("gradient_zero", "a gradient is zero", "compute it, and use it in the update"),
            ("gradient_stale", "a gradient is that of another batch", "compute it anew in each step"),
            ("gradient_term", "a term of the loss has no gradient", "add the term's derivative"),
            (
                "activation_overwritten",
                "an activation that the backward pass needs was overwritten",
                "keep a copy: z = z + b, not z += b",
            ),
            (
                "gradient_wrong",
                "a gradient is wrong, in no way that is known here",
                "compare with the central differences that are given",
            ),
        )
    },
    # Initialization
    "weights_zero": Cause(
        "initialization",
        "units of a layer start equal, all or in a few kinds, and stay so",
        "units' weights are compared, at the start and behind a short run",
        "draw weights at random",
    ),
    "weights_small": Cause(
        "initialization",
        "signals and gradients fade from layer to layer",
        "spread of each layer's values and gradients",
        "Xavier's scale for tanh and sigmoid, He's for ReLU",
    ),
    "weights_large": Cause(
        "initialization",
        "units saturate, or values grow from layer to layer",
        "share of saturated units; spread of each layer's values",
        "Xavier's scale for tanh and sigmoid, He's for ReLU",
    ),
    "hinges_outside_data": Cause(
        "initialization",
        "ReLUs bend at the edge of the data or outside: the network starts as a straight line",
        "where each unit is zero, against where the data are",
        "centre the inputs, or spread the biases over the data",
    ),
    "dead_relus": Cause(
        "initialization",
        "units are zero for all examples and get no gradient",
        "units' values over the data",
        "He's scale and zero biases; a lower rate; leaky ReLU",
    ),
    # Dynamics
    "rate_high": Cause(
        "dynamics",
        "steps overshoot",
        "losses over a short run at the given and at lower rates; update against weight",
        "a lower learning rate",
    ),
    "rate_low": Cause(
        "dynamics",
        "steps are too small to matter, or become so too early",
        "update against weight; losses over a short run at higher rates; late steps against the first",
        "a higher learning rate, or one that falls later",
    ),
    "dropout_in_evaluation": Cause(
        "dynamics",
        "evaluation drops units at random",
        "evaluation called twice; share of zeros",
        "switch dropout off in evaluation",
    ),
    "state_between_batches": Cause(
        "dynamics",
        "what a call gives depends on the calls before it",
        "calls in another order",
        "keep nothing between batches",
    ),
    "overfitting": Cause(
        "dynamics",
        "training examples are learned, others are not",
        "training against validation over a short run",
        "more data, a penalty, dropout, or fewer units",
    ),
    "no_fit": Cause(
        "dynamics",
        "even one small batch cannot be learned",
        "a long run on one batch, at several rates",
        "the findings before this one; a larger network",
    ),
}
