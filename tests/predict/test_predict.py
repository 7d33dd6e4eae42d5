"""Answers for pictures: those of the network, computed again by hand, whatever holds it."""

from __future__ import annotations

import base64
import io
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import binarize
from binarize import layers
from binarize.errors import BinarizeError, DataError, RunError
from binarize.evaluation.targets import TorchPredictor
from binarize.models import imagenet_names
from binarize.models.attributes import set_attribute
from binarize.progress import Progress

CLASSES = ["cat", "<b>dog</b>", "owl"]
SIZE = 8


class Net(nn.Module):
    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head, self.end = nn.Linear(8, len(CLASSES)), end

    def forward(self, x):
        return self.end(self.head(torch.relu(self.conv(torch.relu(self.stem(x)))).mean((2, 3))))


def network(end: nn.Module | None = None) -> nn.Module:
    """Converted, with names of classes and a preprocessing that is nobody's default."""
    torch.manual_seed(0)
    net = binarize.convert(Net(end or nn.Identity()).eval(), img_size=SIZE).eval()
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.1], "crop_pct": 0.8}
    info = net.binarize_info
    wanted = info.preprocess.replace(**preprocess, interpolation="bilinear")
    set_attribute(net, "binarize_info", info.replace(classes=CLASSES, preprocess=wanted))
    return net


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same network as it is, and with preprocessing inside."""
    folder = tmp_path_factory.mktemp("predict")
    paths = {False: folder / "plain.onnx", True: folder / "whole.onnx"}
    for inside, path in paths.items():
        binarize.export(network(), path, with_preprocess=inside)
    return paths


@pytest.fixture
def photos(tmp_path):
    """Three pictures of three sizes, two of them in folders, and what is no picture."""
    colours = np.random.default_rng(0).integers(0, 256, (3, 1, 1, 3), np.uint8)
    for name, colour, size in zip(
        ("10.png", "2.png", "deep/er/1.png"), colours, ((9, 8), (30, 20), (8, 40)), strict=True
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.linspace(0, 1, size[0] * size[1]).reshape(*size, 1) * colour
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def by_hand(path) -> list[float]:
    """softmax(network(prepared)), prepared by torchvision: 10 = 8 / 0.8 pixels, the middle 8 of them."""
    prepare = transforms.Compose(
        [
            transforms.Resize(10),
            transforms.CenterCrop(SIZE),
            transforms.ToTensor(),
            transforms.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.1]),
        ]
    )
    with torch.inference_mode():
        return network()(prepare(Image.open(path))[None]).softmax(1)[0].tolist()


@pytest.mark.parametrize("inside", [False, True])
def test_answers_are_the_softmax_of_the_network(files, photos, inside):
    answers = binarize.predict(files[inside], photos)
    names = [str(photos / name) for name in ("2.png", "10.png", "deep/er/1.png")]
    assert [answer.image for answer in answers] == names
    for answer in answers:
        wanted = by_hand(answer.image)
        order = sorted(range(3), key=lambda index: -wanted[index])
        assert [one.index for one in answer.predictions] == order
        assert [one.name for one in answer.predictions] == [CLASSES[index] for index in order]
        given = [one.probability for one in answer.predictions]
        assert given == pytest.approx([wanted[index] for index in order], abs=1e-5)


def test_top_is_the_number_of_classes(files, photos):
    (answer,) = binarize.predict(files[False], photos / "2.png", top=2)
    (whole,) = binarize.predict(files[False], photos / "2.png")
    assert answer.predictions == whole.predictions[:2]
    with pytest.raises(BinarizeError, match="top is 0"):
        binarize.predict(files[False], photos / "2.png", top=0)


def test_the_same_picture_however_it_comes(files, photos):
    """A path, a tar, an open file, PIL's own, arrays: and the caller's image stays as it is."""
    path = photos / "2.png"
    image = Image.open(path)
    pixels = np.asarray(image)
    with tarfile.open(photos / "all.tar", "w") as tar:
        tar.add(path, "inside/2.png")
    sources = [photos / "all.tar", io.BytesIO(path.read_bytes()), image, pixels]
    answers = binarize.predict(files[True], [path, *sources], html=photos / "page.html")
    answers += binarize.predict(files[True], np.stack([pixels, pixels]))
    first, *others = answers
    assert [one.image for one in others[:4]] == [
        str(photos / "all.tar/inside/2.png"),
        "-",
        str(path),
        "image 4",
    ]
    assert len(others) == 6
    assert all(other.predictions == first.predictions for other in others)
    assert image.size == (pixels.shape[1], pixels.shape[0])


@pytest.mark.parametrize(
    ("end", "inside"), [(nn.Softmax, False), (nn.Softmax, True), (nn.LogSoftmax, True)]
)
def test_a_network_that_ends_with_a_softmax_has_it_once(files, photos, tmp_path, end, inside):
    wanted = binarize.predict(files[False], photos / "2.png")
    binarize.export(network(end(1)), tmp_path / "end.onnx", with_preprocess=inside)
    (given,) = binarize.predict(tmp_path / "end.onnx", photos / "2.png")
    shares = [one.probability for one in given.predictions]
    assert shares == pytest.approx([one.probability for one in wanted[0].predictions], abs=1e-6)


def test_pretrained_networks_of_a_library_have_the_names_of_imagenet(photos, tmp_path):
    """Unless the classifier is another one."""
    net = binarize.convert(Net(nn.Linear(len(CLASSES), 1000)).eval(), img_size=SIZE).eval()
    with torch.no_grad():
        net.end.bias[0] = 1e3
    custom = net.binarize_info
    library = custom.replace(weights="pretrained (timm net)")
    set_attribute(net, "binarize_info", library)
    binarize.export(net, tmp_path / "net.onnx")
    (answer,) = binarize.predict(tmp_path / "net.onnx", photos / "2.png")
    assert (answer.predictions[0].index, answer.predictions[0].name) == (0, "tench")
    asked = library.model.replace(kwargs={"num_classes": 1000})
    others = custom, library.replace(model=asked), library.replace(classes=["a"] * 1000)
    assert [one.has_library_classes for one in (library, *others)] == [True, False, False, False]


def test_no_two_classes_of_imagenet_are_called_the_same():
    for count in (1000, 11821):
        assert len({*imagenet_names(count)}) == count
    assert imagenet_names(999) == ()
    assert [imagenet_names(1000)[number] for number in (134, 517, 999)] == [
        *("crane (n02012849)", "crane (n03126707)", "toilet tissue")
    ]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (nn.Linear(len(CLASSES), 1), '"one.onnx" has a single logit'),
        (nn.Sigmoid(), '"one.onnx" ends with a sigmoid for each class'),
    ],
)
def test_what_is_no_choice_of_classes(photos, tmp_path, monkeypatch, end, words):
    monkeypatch.chdir(tmp_path)
    net = binarize.convert(Net(end).eval(), img_size=SIZE).eval()
    binarize.export(net, "one.onnx")
    with pytest.raises(DataError, match=words):
        binarize.predict("one.onnx", photos / "2.png")
    image, cpu = torch.zeros(1, 3, SIZE, SIZE), torch.device("cpu")
    last = "sigmoid" if isinstance(end, nn.Sigmoid) else "linear"
    layers.freeze(net)
    assert TorchPredictor(net, cpu).end(image) == last


def test_what_cannot_be_read_stops_or_is_left_out(files, photos):
    (photos / "3.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"1 of 4 images .* cannot be read: 3.png"):
        binarize.predict(files[False], photos)
    with pytest.raises(DataError, match=r'image ".*3.png" cannot be read'):
        binarize.predict(files[False], photos / "3.png")
    said = []

    class Listening(Progress):
        def say(self, text):
            said.append(text)

        def warn(self, text, hint=""):
            said.append(text)

    both = [photos, photos / "3.png"]
    left = binarize.predict(files[False], both, on_error="skip", progress=Listening())
    assert len(left) == 3
    of_folder, of_file = said
    assert "unreadable: 3.png" in of_folder
    assert of_file.startswith("skipped 1 of 4 images; the first: ")
    with tarfile.open(photos / "some.tar.gz", "w:gz") as tar:
        tar.add(photos / "2.png")
    with pytest.raises(DataError, match=r'some\.tar\.gz" is compressed \(gzip\)'):
        binarize.predict(files[False], photos / "some.tar.gz")
    with pytest.raises(DataError, match="none of 1 images"):
        binarize.predict(files[False], photos / "3.png", on_error="skip")
    with pytest.raises(BinarizeError, match='on_error is "ignore"'):
        binarize.predict(files[False], photos, on_error="ignore")


def test_the_page_holds_pictures_and_escaped_names(files, photos):
    page = photos / "page.html"
    binarize.predict(files[True], photos, html=page)
    text = page.read_text()
    pictures = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', text)
    sizes = [Image.open(io.BytesIO(base64.b64decode(content))).size for _, content in pictures]
    assert sizes == [(20, 30), (8, 9), (40, 8)]
    assert "&lt;b&gt;dog" in text
    assert "<b>" not in text
    assert "http" not in text
    before = page.read_text()
    with pytest.raises(BinarizeError, match="exists already"):
        binarize.predict("no run at all", photos, html=page)
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda photos: photos / "nothing.png", "no image"),
        (lambda photos: [], "no images to answer"),
        (lambda photos: photos / "empty", "holds no images"),
    ],
)
def test_no_pictures(files, photos, make, words):
    (photos / "empty").mkdir()
    with pytest.raises(DataError, match=words):
        binarize.predict(files[False], make(photos))


def test_no_target(photos):
    with pytest.raises(RunError, match="no run and no ONNX file"):
        binarize.predict(photos / "nothing", photos)
