"""Pictures of a training run and of a network: every function reads host data and returns matplotlib Axes.

Without `axes` a function makes a figure with `matplotlib.pyplot.subplots`; with `axes` it draws there and leaves the
rest of that figure alone. Nothing is shown and no setting is changed: call `plt.show()`, or save with
`panel.figure.savefig(path)`. Arrays that live on a device are moved to the host.
"""

from xpnet.plots._curves import gradient_norms, learning_curves
from xpnet.plots._histograms import activations, weights
from xpnet.plots._images import misclassified
from xpnet.plots._model import model
from xpnet.plots._regression import regression

__all__ = ["activations", "gradient_norms", "learning_curves", "misclassified", "model", "regression", "weights"]
