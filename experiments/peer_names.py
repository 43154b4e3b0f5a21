"""What Optuna, Ray Tune, W&B, Keras, PyTorch and scikit-learn call the keys and values of a sweep file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_KEYS: dict[str, dict[str, str]] = {
    "": {
        "name": "sweep_name experiment_name experiment study_name project title",
        "description": "notes comment comments",
        "dataset": "data train_data",
        "model": "network net architecture arch",
        "grid": "parameters params param_grid param_distributions param_space search_space space hyperparameters "
        "hyperparams hparams hyper_parameters axes",
        "search": "tuner tune tune_config search_alg search_algorithm",
        "early_stopping": "early_stop earlystopping",
        "record": "logging tracking",
        "learning_rate": "lr init_lr lr_init initial_lr base_lr learning_rate_init learningrate learn_rate",
        "steps": "n_steps num_steps max_steps total_steps train_steps training_steps iterations n_iterations "
        "num_iterations max_iter n_iter niter updates max_t max_resource max_resources max_budget",
        "batch_size": "batchsize batch bs minibatch minibatch_size mini_batch_size train_batch_size batch_sizes",
        "optimizer": "optim opt optimiser optimizer_name optimizer_type solver",
        "loss": "loss_fn loss_func loss_function lossfunction criterion",
        "schedule": "lr_schedule lr_scheduler learning_rate_schedule learning_rate_scheduler scheduler",
        "weight_decay": "wd l2 l2_reg l2_penalty l2_regularization weightdecay",
        "momentum": "mom sgd_momentum",
        "beta1": "beta_1 adam_beta1 b1",
        "beta2": "beta_2 adam_beta2 b2",
        "epsilon": "eps adam_epsilon adam_eps",
        "alpha": "rho",
        "clip_norm": "clipnorm global_clipnorm max_grad_norm max_norm grad_clip gradient_clip gradient_clip_val "
        "gradient_clipping grad_clip_norm clip_grad_norm grad_norm_clip",
        "clip_value": "clipvalue grad_clip_value clip_grad_value",
        "warmup_steps": "warmup num_warmup_steps n_warmup_steps lr_warmup_steps",
        "step_size": "lr_step_size decay_steps",
        "gamma": "lr_gamma decay_rate",
        "seed": "random_state random_seed rng rng_seed manual_seed global_seed torch_seed seeds n_seeds num_seeds",
        "dtype": "precision float_type",
    },
    "model": {
        "hidden": "layers hidden_layers hidden_layer_sizes hidden_layer_size hidden_size hidden_sizes hidden_dim "
        "hidden_dims hidden_units n_hidden num_hidden layer_sizes layer_size units num_units n_units neurons "
        "n_neurons width widths dense",
        "activation": "act act_fn activation_fn activation_function activations nonlinearity non_linearity",
        "output": "output_activation final_activation last_activation out_activation",
        "initializer": "init initialiser kernel_initializer weight_init weight_initializer init_method initialization "
        "initialisation",
        "bias": "use_bias fit_intercept",
    },
    "search": {
        "method": "algorithm algo alg type strategy search_alg search_algorithm",
        "trials": "n_trials num_trials max_trials num_samples samples n_iter n_configurations num_configs "
        "count run_cap points",
        "first": "min_resources min_resource min_iter min_t grace_period min_budget r_min min_steps",
        "factor": "reduction_factor eta",
        "metric": "monitor objective scoring",
        "batch": "batch_size max_concurrent max_concurrent_trials n_jobs parallel",
        "seed": "random_state random_seed seeds",
    },
    "dataset": {
        "path": "file filename file_name data_path filepath file_path csv",
        "target": "label labels target_column label_column y target_name",
        "features": "columns feature_columns feature_names x inputs",
        "samples": "n_samples num_samples sample_count size",
        "noise": "noise_std sigma std",
        "test_fraction": "test_size test_split test_ratio holdout",
        "validation_fraction": "val_split validation_split val_size validation_size val_fraction valid_fraction "
        "val_ratio",
        "folds": "cv n_folds num_folds k_folds kfold kfolds n_splits k",
        "standardize": "normalize normalise standardise scale scaler normalization",
        "separator": "sep delimiter",
        "class_weight": "class_weights",
        "seed": "random_state random_seed rng_seed",
    },
    "early_stopping": {
        "patience": "n_iter_no_change early_stopping_rounds rounds wait",
        "metric": "monitor",
        "min_delta": "delta tol tolerance threshold",
        "every": "interval check_every eval_every frequency",
    },
}  # fmt: skip
"""Section of the sweep file, empty for its top -> own key -> the names elsewhere."""

_VALUES: dict[str, dict[str, str]] = {
    "optimizer": {"momentum": "sgdmomentum sgdm heavyball", "nesterov": "nag", "adamw": "adamweightdecay"},
    "loss": {
        "mean_squared_error": "mse mseloss l2 l2loss squarederror meansquared",
        "mean_absolute_error": "mae maeloss l1 l1loss absoluteerror",
        "huber": "huberloss smoothl1 smoothl1loss",
        "hinge": "hingeloss",
        "cross_entropy": "ce bce bceloss bcewithlogits bcewithlogitsloss crossentropyloss binarycrossentropy nll "
        "nllloss logloss categoricalcrossentropy sparsecategoricalcrossentropy softmaxcrossentropy logistic",
    },
    "activation": {
        "identity": "linear none",
        "leaky_relu": "lrelu",
        "silu": "swish",
        "sigmoid": "logistic",
        "sin": "sine",
    },
    "initializer": {
        "he_normal": "kaimingnormal kaiming henormal",
        "he_uniform": "kaiminguniform",
        "xavier_normal": "glorotnormal",
        "xavier_uniform": "glorotuniform glorot xavier",
        "normal": "randomnormal gaussian",
        "uniform": "randomuniform",
        "zeros": "zero",
    },
    "schedule": {
        "constant": "none",
        "step": "steplr",
        "exponential": "exponentiallr exponentialdecay",
        "cosine": "cosineannealing cosineannealinglr cosinedecay",
        "warmup": "linearwarmup",
    },
    "method": {
        "grid": "gridsearch gridsampler exhaustive",
        "random": "randomsearch randomized randomizedsearch randomsampler",
        "sobol": "qmc qmcsampler quasirandom lhs latinhypercube halton",
        "halving": "asha ashascheduler sha successivehalving successivehalvingpruner asynchyperband "
        "asynchyperbandscheduler halvinggridsearch halvingrandomsearch",
        "hyperband": "hyperbandscheduler hyperbandpruner bohb hyperbandforbohb",
        "tpe": "bayes bayesian bayesopt bayesianoptimization tpesampler hyperopt hyperoptsearch optunasearch",
        "cmaes": "cma cmaessampler",
    },
}
"""Kind of a value -> its own name -> the names elsewhere, in small letters without signs."""

NO_KEYS = {
    "dropout": "gradgrid's networks have no dropout; weight_decay keeps weights small",
    "mode": "remove it: whether a metric should rise or fall is known",
    "direction": "remove it: whether a metric should rise or fall is known",
    "goal": "remove it: whether a metric should rise or fall is known",
    "program": "remove it: gradgrid trains the networks itself, without a script",
    "command": "remove it: gradgrid trains the networks itself, without a script",
    "train_fn": "remove it: gradgrid trains the networks itself, without a script",
    "entity": "remove it: sweeps are recorded in MLflow's store, which --tracking-uri names",
    "callbacks": "there are no callbacks; the sections early_stopping and record do their work",
    "device": "remove it: gradgrid trains on processors, and --workers N says how many tasks run at once",
    "gpus": "remove it: gradgrid trains on processors, and --workers N says how many tasks run at once",
    "num_gpus": "remove it: gradgrid trains on processors, and --workers N says how many tasks run at once",
    "num_workers": "it is an option of the command: --workers N",
    "resources_per_trial": "remove it: --workers N says how many tasks run at once",
    "restore_best_weights": "remove it: a trial that stops keeps the weights of its last step",
}
"""Keys elsewhere that a sweep file does not have -> what to do."""

OWN_SECTION_ALONE = frozenset(
    (
        "x", "y", "k", "size", "count", "type", "std", "sigma", "rounds", "wait", "delta", "interval", "frequency",
        "points", "label", "labels", "columns", "inputs", "threshold", "tolerance", "tol", "scale", "file", "parallel",
        "title", "notes", "cv",
    )
)  # fmt: skip
"""Names of `KEYS` that mean too much to be understood outside the section of the own key."""

EPOCHS = ("epochs", "epoch", "n_epochs", "num_epochs", "max_epochs", "nb_epoch", "num_train_epochs", "training_epochs")
"""Keys that count passes over the data."""


def _inverted(names: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {kind: {name: own for own, text in row.items() for name in text.split()} for kind, row in names.items()}


KEYS = _inverted(_KEYS)
"""Section -> name elsewhere -> own key."""

_OWN_VALUES = _inverted(_VALUES)


def plain(name: object) -> str:
    """Return a key in small letters, with underscores."""
    return str(name).strip().lower().replace("-", "_").replace(" ", "_")


def own_value(kind: str, value: object, known: Iterable[str] = ()) -> str:
    """Return gradgrid's name for a value of another tool; empty if it is not known.

    kind: `optimizer`, `loss`, `activation`, `initializer`, `schedule`, or `method` of a search.
    known: the names that there are, which are recognised with other capitals and signs, as ReLU.
    """
    bare = _bare(value)
    same = next((name for name in known if _bare(name) == bare), "")
    return same or _OWN_VALUES.get(kind, {}).get(bare, "")


def _bare(name: object) -> str:
    return "".join(sign for sign in str(name).rpartition(".")[2].lower() if sign.isalnum())
