"""Training: `fit`, what it shows (`History`), what can listen to it (callbacks), and how good a model is (metrics)."""

from xpnet.training._callbacks import BestWeights, Callback, EarlyStopping, GradientNorms, LogCSV, Run
from xpnet.training._checkpoint import Checkpoint, load_checkpoint
from xpnet.training._checkpoint_folder import CheckpointError, CheckpointWarning
from xpnet.training._evaluate import Loss, evaluate, predict
from xpnet.training._fit import fit, train_step
from xpnet.training._history import History
from xpnet.training._memory import DeviceLostError, MemoryWatch, OutOfMemoryError, explained_out_of_memory
from xpnet.training._metrics import accuracy, r2
from xpnet.training._signals import Interrupted
from xpnet.training._watch import WATCHED, Watch, WatchWarning

__all__ = [
    "WATCHED",
    "BestWeights",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "CheckpointWarning",
    "DeviceLostError",
    "EarlyStopping",
    "GradientNorms",
    "History",
    "Interrupted",
    "LogCSV",
    "Loss",
    "MemoryWatch",
    "OutOfMemoryError",
    "Run",
    "Watch",
    "WatchWarning",
    "accuracy",
    "evaluate",
    "explained_out_of_memory",
    "fit",
    "load_checkpoint",
    "predict",
    "r2",
    "train_step",
]
