"""Recipes, and what `--set` says: `recipes validate`, `recipes show` and `train` of odd YAML.

Documents with a value that is wrong at one place or two; documents whose values are right in their type and
odd in their meaning, which go on into `train`, ended after three optimiser steps; text that is hardly YAML,
recipes that extend each other; overrides.
"""

from __future__ import annotations

import contextlib
import json
import os
import random as random_
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import damage
import documents
import trained
import yaml
from documents import Spoilt
from forks import Outcome
from fuzzers import Case
from judge import judge, judge_all

COUNT, SHORT = 2000, 10

RECIPE: dict[str, Any] = {
    "version": 1,
    "description": "all sections",
    "seed": 1,
    "twin": False,
    "model": {
        "name": "cifar_resnet20",
        "pretrained": False,
        "checkpoint": None,
        "num_classes": None,
        "stem": "auto",
        "kwargs": {"blocks": 1, "channels": [4, 8, 16]},
    },
    "binarize": {
        "estimator": {"name": "ab-tanh", "a_end": 0.8},
        "scale": "channel",
        "standardise": True,
        "layers": [{"match": "layer1.*", "estimator": "ste", "scale": "layer"}],
        "keep": ["fc"],
        "include": ["conv1"],
        "activations": "sign",
        "structure": "bireal",
    },
    "data": {
        "name": "digits",
        "dir": None,
        "img_size": 8,
        "batch_size": 64,
        "workers": 0,
        "cache": True,
        "holdout": 100,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "augment": {
            "hflip": 0.5,
            "vflip": 0.0,
            "scale": None,
            "ratio": [0.75, 1.25],
            "crop_padding": 1,
            "color_jitter": 0.1,
            "auto_augment": None,
            "re_prob": 0.1,
        },
    },
    "stages": [
        {
            "name": "first",
            "steps": 1,
            "binary": "activations",
            "optimizer": {
                "name": "momentum",
                "lr": 0.05,
                "momentum": 0.9,
                "weight_decay": 1e-4,
                "kwargs": {"filter_bias_and_bn": True},
                "groups": {"latent": {"lr_scale": 0.5, "weight_decay": 0.0}},
            },
            "schedule": {"name": "poly", "warmup_lr": 0.01, "min_lr": 0.001},
            "label_smoothing": 0.1,
            "mixup": 0.2,
            "cutmix": 0.2,
            "clip_grad": 1.0,
            "ema": {"decay": 0.9},
            "reestimate_norms": 64,
        },
        {
            "epochs": 2,
            "estimator": {"name": "ede"},
            "optimizer": {"name": "adamw", "lr": 0.001, "betas": [0.9, 0.99], "eps": 1e-8},
            "schedule": {
                "name": "multistep",
                "warmup_epochs": 0.5,
                "decay_milestones": [1],
                "decay_rate": 0.5,
            },
            "early_stop": {"patience": 1, "min_delta": 0.1},
        },
    ],
    "engine": {
        "precision": "fp32",
        "accumulate": 1,
        "channels_last": True,
        "sync_norms": False,
        "tensorboard": False,
        "threads": 1,
    },
    "export": {"opset": 20, "form": "packed", "classifier": "float"},
}


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    outside = folder / "outside" / "weights.pth"
    outside.parent.mkdir()
    outside.write_bytes(b"not for you")
    kinds: list[Callable[[random_.Random, Path], Case]] = [_odd, _plausible, _text, _override]
    with trained.quick():
        if count > SHORT:
            _warm(folder)
        for number in range(count):
            random = random_.Random(f"{seed}-{number}")
            yield random.choices(kinds, [6, 4, 4, 2])[0](random, outside)


def _warm(folder: Path) -> None:
    """What every fork would do again."""
    file = folder / "good.yaml"
    file.write_text(yaml.safe_dump(RECIPE))
    trained.warm(
        ["recipes", "validate", str(file)],
        ["recipes", "show", str(file), "--json"],
        ["train", "--recipe", str(file), "-o", str(folder / "run")],
    )


def _odd(random: random_.Random, outside: Path) -> Case:
    """A value of any kind, anywhere; sometimes two."""
    found = documents.spoil(RECIPE, random, outside)
    if random.random() < 0.3 and isinstance(found.document, dict):
        again = documents.spoil(found.document, random, outside)
        found = Spoilt(f"{found}, {again.where}", again.how, again.document)
    text = _as_text(found.document, random)
    train = random.random() < 0.1
    return Case(str(found), lambda work: _read(work, text, train, random))


def _plausible(random: random_.Random, outside: Path) -> Case:
    """Values that the schema takes, or nearly."""
    found = Spoilt("", "", RECIPE)
    for _ in range(random.randint(1, 3)):
        place, values = random.choice(PLAUSIBLE)
        value = random.choice(values)
        with contextlib.suppress(KeyError, IndexError, TypeError):  # the place has gone
            again = documents.spoilt(found.document, place, value)
            found = Spoilt("; ".join(filter(None, (str(found), str(again)))), "", again.document)
    text = _as_text(found.document, random)
    train = random.random() < 0.5
    return Case(found.where, lambda work: _read(work, text, train, random))


def _text(random: random_.Random, outside: Path) -> Case:
    """Text that is hardly YAML."""
    text = yaml.safe_dump(RECIPE, sort_keys=False)
    if random.random() < 0.6:
        name, raw = damage.damage(text.encode(), random, damage.TEXT)
    else:
        name, spoil = random.choice(TEXTS)
        raw = spoil(text, random).encode("utf-8", "surrogatepass")
    return Case(f"text: {name}", lambda work: _read(work, raw, False, random))


def _override(random: random_.Random, outside: Path) -> Case:
    """A good recipe, and `--set` with odd keys or odd values."""
    place = [*map(str, random.choice(list(documents.paths(RECIPE))[1:]))]
    how = random.choice(["value", "longer", "escape", "numbers", "deep", "empty", "no =", "dots"])
    if how == "longer":
        place += [random.choice(["x", "0", "-1", "name", "9" * 5000, "\x1b[2J", "٣"])]
    if how == "numbers":
        place = [
            random.choice(["0", "1", "-1", "9" * 5000, "1e3", "٣", "²"]) if s.isdigit() else s
            for s in place
        ]
    if how == "deep":
        place += ["a"] * random.choice([10, 100, 3000])
    if how == "escape":
        place[random.randrange(len(place))] = "\x1b[31m\u202e"
    if how == "empty":
        place.insert(random.randrange(len(place) + 1), "")
    value = random.choice(VALUES)
    override = ".".join(place) + ("" if how == "no =" else "=") + value
    if how == "dots":
        override = "." * random.randint(1, 5000) + override

    def check(work: Path) -> Outcome:
        file = work / "mine.yaml"
        file.write_text(yaml.safe_dump(RECIPE, sort_keys=False))
        argv = ["recipes", random.choice(["validate", "show"]), str(file), "--set", override]
        return judge(argv, file)

    return Case(f"--set {override}", check)


def _as_text(document: Any, random: random_.Random) -> bytes:
    """As YAML in blocks, or as JSON, which is YAML too."""
    if random.random() < 0.5:
        with contextlib.suppress(yaml.YAMLError, UnicodeError):
            return documents.raw(yaml.safe_dump(document, sort_keys=False)).encode()
    text = documents.raw(json.dumps(document, ensure_ascii=random.random() < 0.5))
    return text.encode("utf-8", "surrogatepass")


def _read(work: Path, content: bytes, train: bool, random: random_.Random) -> Outcome:
    """What the commands make of a recipe file with this content."""
    file = work / "mine.yaml"
    file.write_bytes(content)
    for name in ("base.yaml", "loop.yaml"):
        (work / name).write_text("extends: mine.yaml\ntwin: true\n")
    (work / "folder.yaml").mkdir()
    os.mkfifo(work / "pipe.yaml")
    commands = [
        ["recipes", "validate", str(file)],
        ["recipes", "show", str(file), *random.choice([[], ["--resolved"], ["--json"]])],
    ]
    outcome = judge_all(commands, file)
    if not train or not outcome.good:
        return outcome
    with trained.short():
        argv = ["train", "--recipe", str(file), "-o", str(work / "run")]
        return judge(argv, file, named=False)


def _extends(text: str, random: random_.Random) -> str:
    """A base that is odd."""
    bases = [
        *(
            "mine.yaml",
            "base.yaml",
            "loop.yaml",
            "folder.yaml",
            "pipe.yaml",
            ".",
            "..",
            "/",
            "/dev/zero",
        )
    ]
    bases += [
        *("~nobody_here/x.yaml", "http://192.0.2.1/x.yaml", "a\\0b.yaml", "\\e[2J.yaml", "x" * 5000)
    ]
    bases += [*("digits", "zzz", "/etc/passwd", "digits.yaml", "/proc/self/mem", "/dev/stdin")]
    return f'extends: "{random.choice(bases)}"\n' + random.choice([text, "twin: 3\n", "a: 1\n"])


TEXTS: list[tuple[str, Callable[[str, random_.Random], str]]] = [
    ("extends", _extends),
    ("several documents", lambda text, _: f"{text}---\n{text}"),
    ("long", lambda text, _: f"description: {'x' * (1 << 18)}\n{text}"),
    ("many keys", lambda text, _: text + "".join(f"k{i}: 1\n" for i in range(20_000))),
    ("many stages", lambda *_: "stages:\n" + "- {epochs: x}\n" * 3000),
    ("aliases", lambda *_: "a: &a [x,x]\n" + "".join(f"b{i}: &b{i} [*a,*a]\n" for i in range(30))),
    ("tag", lambda text, _: text.replace("all", "!!python/object/apply:os.system ['true']", 1)),
    ("deep blocks", lambda *_: "".join(" " * i + "a:\n" for i in range(500))),
]

VALUES = [
    *("3", "[", "{a: b}", "!!python/object:os.system x", "&a [*a]", "'", "- 1", "a: b: c", "\x00"),
    *("9" * 5000, "[" * 5000, ".nan", "1e999", "\ud800", "null", "x" * 100_000, "\x1b[2J", "@x"),
]
NUMBERS: list[Any] = [0, 1, 2, 3, 7, 255, 4096, 65537, 2**31, 2**63, -1, 0.5, 1.0, 1e-300, 1e300]
WORDS: list[Any] = [
    "zzz",
    "",
    " ",
    "a/b",
    "../x",
    "*",
    "[",
    "\x1b[2J",
    "x" * 300,
    "a\0b",
    "é",
    "\n",
]
PLAUSIBLE: list[tuple[tuple[Any, ...], list[Any]]] = [
    (("seed",), [0, 2**32 - 1, 2**31]),
    (("twin",), [True]),
    (
        ("model",),
        # names without weights: for others the model hub is asked, which is what such a recipe wants
        ["nf_resnet26", "cifar_resnet20", "zzz", "ecaresnet200d", "timm/nf_resnet26", "a/b"],
    ),
    (
        ("model", "name"),
        ["torchvision/alexnet", "cifar_resnet110", "hf-hub:a/b", "local-dir:/tmp", *WORDS],
    ),
    (("model", "pretrained"), [True, "auto"]),
    (("model", "checkpoint"), ["/etc/passwd", "no.pth", "a\0b", ".", *WORDS]),
    (("model", "num_classes"), NUMBERS),
    (("model", "stem"), ["keep", "cifar"]),
    (("model", "kwargs"), [{}, {"blocks": 0}, {"channels": []}, {"x": 1}]),
    (("model", "kwargs"), [{"channels": [65536] * 3}, {"in_chans": 1}, {"in_chans": 0}]),
    (("model", "kwargs"), [{"drop_rate": 2}, {"act_layer": "zzz"}, {"norm_layer": "eval"}]),
    (("model", "kwargs"), [{"pretrained": True}, {"checkpoint_path": "/etc/passwd"}]),
    (("binarize",), [None, {}, {"keep": ["*"]}, {"estimator": "zzz"}]),
    (("binarize", "estimator"), ["ste", "dsq", "reste", "recu", "rbnn", "fda", "zzz", *WORDS]),
    (("binarize", "estimator", "a_end"), [*NUMBERS, None, "x", True]),
    (("binarize", "estimator", "zzz"), NUMBERS),
    (("binarize", "scale"), ["layer", "none", "learned", "power-of-two", "in-graph"]),
    (("binarize", "keep"), [[word] for word in WORDS] + [["*"], ["["], ["*"] * 5000]),
    (("binarize", "include"), [[word] for word in WORDS] + [["*"], ["fc"]]),
    (
        ("binarize", "layers"),
        [[{"match": word}] for word in WORDS] + [[{"match": "*", "estimator": "zzz"}]],
    ),
    (("binarize", "activations"), ["float", "step"]),
    (("binarize", "structure"), ["keep", "reactnet"]),
    (
        ("data", "name"),
        ["cifar10", "folder", "torch/cifar10", "torch/os", "hfds/x", "tfds/x", "wds/x", *WORDS],
    ),
    (("data", "dir"), ["/nowhere", "/etc", "/dev/null", "~nobody_here", *WORDS]),
    (("data", "img_size"), NUMBERS),
    (("data", "batch_size"), NUMBERS),
    (("data", "holdout"), NUMBERS),
    (("data", "cache"), [False, "device"]),
    (("data", "mean"), [[0, 0, 0], [1e300] * 3, [-1e9] * 3]),
    (("data", "std"), [[1e-300] * 3, [1e300] * 3, [1e-40] * 3]),
    (("data", "interpolation"), ["nearest", "bicubic", "lanczos"]),
    (("data", "crop_pct"), [1e-300, 1e-9, 0.001, 0.5]),
    (
        ("data", "augment"),
        [{}, {"scale": [0.1, 1]}, {"scale": [1e-300, 1e300]}, {"scale": [1e9, 1e9]}],
    ),
    (("data", "augment", "ratio"), [[1e-300, 1e300], [1e-9, 1e-9], [1e9, 1e9]]),
    (("data", "augment", "crop_padding"), NUMBERS),
    (("data", "augment", "color_jitter"), NUMBERS),
    (
        ("data", "augment", "auto_augment"),
        ["rand-m9-mstd0.5", "augmix-m3", "rand-", "original", *WORDS],
    ),
    (("data", "augment", "re_prob"), [1, 1e-300]),
    (("stages", 0, "steps"), NUMBERS),
    (("stages", 0, "binary"), ["all", "none", "weights"]),
    (("stages", 0, "estimator"), ["dsq", "zzz", {"name": "ab-tanh", "a_end": 1e300}]),
    (
        ("stages", 0, "optimizer", "name"),
        ["adamw", "lamb", "muon", "lookahead_adam", "zzz", "adafactor", *WORDS],
    ),
    (("stages", 0, "optimizer", "lr"), NUMBERS),
    (("stages", 0, "optimizer", "momentum"), [0, 0.999999]),
    (("stages", 0, "optimizer", "weight_decay"), NUMBERS),
    (("stages", 0, "optimizer", "betas"), [[0, 0], [1, 1], [2, 2], [-1, 0.5], [0.9, 1e300]]),
    (("stages", 0, "optimizer", "eps"), NUMBERS),
    (
        ("stages", 0, "optimizer", "kwargs"),
        [{"zzz": 1}, {"lr": 1}, {"momentum": "x"}, {"nesterov": True}],
    ),
    (
        ("stages", 0, "optimizer", "kwargs"),
        [{"foreach": True}, {"params": []}, {"opt": "adam"}, {"\x1b[2J": 1}],
    ),
    (("stages", 0, "optimizer", "kwargs"), [{"param_group_fn": "os.system"}, {"layer_decay": 0.5}]),
    (
        ("stages", 0, "optimizer", "groups"),
        [{"rest": {"lr_scale": 1e300}}, {"scales": {"weight_decay": 1e300}}],
    ),
    (("stages", 0, "schedule"), ["cosine", "constant", {"name": "poly", "decay_rate": 1e300}]),
    (
        ("stages", 0, "schedule"),
        [{"name": "step", "decay_epochs": 1e-300}, {"warmup_epochs": 1e300}],
    ),
    (("stages", 0, "schedule", "warmup_lr"), NUMBERS),
    (("stages", 0, "schedule", "min_lr"), NUMBERS),
    (("stages", 0, "label_smoothing"), [0, 0.9999999]),
    (("stages", 0, "mixup"), NUMBERS),
    (("stages", 0, "cutmix"), NUMBERS),
    (("stages", 0, "clip_grad"), NUMBERS),
    (("stages", 0, "ema"), [None, {"decay": 1e-300}, {"decay": 1 - 1e-16}]),
    (
        ("stages", 0, "distill"),
        [{}, {"teacher": "zzz"}, {"temperature": 1e-300}, {"teacher": "cifar_resnet20"}],
    ),
    (("stages", 0, "distill"), [{"teacher": "/etc"}, {"teacher": "a\0b"}, {"temperature": 1e300}]),
    (("stages", 0, "reestimate_norms"), NUMBERS),
    (("stages", 1, "epochs"), NUMBERS),
    (("stages", 1, "early_stop"), [{"patience": 2**63}, {"patience": 1, "min_delta": -1e300}]),
    (("stages", 1, "schedule", "decay_milestones"), [[0], [-1], [1e300], [2, 1], [0.5] * 5000]),
    (("stages", 1, "schedule", "warmup_epochs"), [1e-300, 2, 2.5]),
    (("stages", 1, "schedule", "decay_rate"), NUMBERS),
    (("engine", "precision"), ["bf16", "fp16"]),
    (("engine", "accumulate"), NUMBERS),
    (("engine", "channels_last"), [False]),
    (("engine", "sync_norms"), [True]),
    (("engine", "tensorboard"), [True]),
    (("engine", "threads"), [1, 2, None]),
    (("export", "opset"), NUMBERS),
    (("export", "form"), ["inline", "int8", "native"]),
    (("export", "classifier"), ["fp16", "1bit"]),
]
