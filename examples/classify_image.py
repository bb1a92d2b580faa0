"""What a picture shows, by one of the ImageNet networks: a weights file and a picture -> the five best classes.

    python examples/classify_image.py --model resnet50 --weights resnet50.safetensors --image cat.jpg

xpnet comes without weights. A file in PyTorch's names is made from torchvision's, where that is installed, by

    import safetensors.torch, torchvision
    model = torchvision.models.resnet50(weights="IMAGENET1K_V1")
    safetensors.torch.save_file(model.state_dict(), "resnet50.safetensors")

(GoogLeNet wants `aux_logits=True` there, or its file lacks two heads), and the names of its classes, for `--classes`,
by

    names = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    open("imagenet.txt", "w").write("\\n".join(names))

Three things have to fit together: the network (`models.resnet50`), its weights, and what happens to the picture before
(`models.preprocess("resnet50")`: the size, the crop in the middle, the colours it was trained with). The picture
`classify_image.png` shows what the network sees of the photograph, beside the probabilities of the five best classes.
They are what the network believes among the classes that it knows: something else altogether becomes one of them, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray
from PIL import Image, ImageOps

import xpnet
from xpnet import functional as F
from xpnet import models
from xpnet.layers import Layer

SHOWN = 5


def picture_of(path: Path) -> Image.Image:
    """The picture in a file, upright as its camera was held."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image)


def probabilities(model: Layer, x: Any) -> NDArray[np.floating[Any]]:
    """How much the network believes in each class, for one picture: (1, height, width, 3) -> (classes,)."""
    y, _ = F.softmax(model(x))
    return np.asarray(model.backend.to_host(y)[0])


def seen(prepare: models.Preprocess, x: Any) -> NDArray[np.floating[Any]]:
    """The network's input as a picture again, (height, width, 3) from 0 to 1."""
    colours = xpnet.get_backend().to_host(x)[0] * prepare.std + prepare.mean
    return np.asarray(np.clip(colours, 0, 1))


def draw(picture: NDArray[Any], names: Sequence[str], values: NDArray[Any]) -> Any:
    """What the network sees, and what it takes it for."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1, 1.4], layout="constrained")
    left.imshow(picture)
    left.set(xticks=[], yticks=[], title="what the network sees")
    right.barh(range(len(values)), values, color="#0072B2")
    right.set(yticks=range(len(values)), yticklabels=names, xlim=(0, 1), xlabel="probability")
    right.invert_yaxis()
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Loads, looks, draws; returns the probabilities of the five best classes."""
    parser = new_parser(__doc__)
    parser.add_argument("--model", default="resnet50", help="the network, a name in xpnet.models (default: resnet50)")
    parser.add_argument("--weights", type=Path, required=True, help="its weights, a safetensors file")
    parser.add_argument("--image", type=Path, required=True, help="the picture, a file of any format that Pillow reads")
    parser.add_argument("--classes", type=Path, help="a text file with the names of the classes, one a line")
    options = start(parser, arguments)
    try:
        prepare = models.preprocess(options.model)
        names = options.classes.read_text(encoding="utf-8").splitlines() if options.classes else []
        model = getattr(models, options.model)(classes=len(names) or 1000)
        xpnet.load_weights(model, options.weights)
        x = prepare(picture_of(options.image))
    except (OSError, ValueError) as error:
        parser.error(str(error))

    y = probabilities(model, x)
    best = np.argsort(-y)[:SHOWN]
    known = [names[k] if names else f"class {k}" for k in best]
    save(draw(seen(prepare, x), known, y[best]), options.out / "classify_image.png")
    print_table(
        [str(options.image), "probability"], [[name, f"{y[k]:.1%}"] for name, k in zip(known, best, strict=True)]
    )
    return {name: float(y[k]) for name, k in zip(known, best, strict=True)}


if __name__ == "__main__":
    main()
