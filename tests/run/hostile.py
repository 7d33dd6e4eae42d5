"""Runs and ONNX files as an enemy would write them, and what the commands make of them.

    bases(folder)               trained runs, to be copied and spoilt
    mutants(document, 300, …)   ways to spoil what one says about itself: every field, structure-aware
    Judge(…).run(base, mutant)  a `Verdict` of every command

A command may do what it is for, or refuse with one sentence that names the file. Everything else is wrong:
an unexpected exception, more than LIMIT seconds, gigabytes, a connection, a file that is opened outside of
the run and the libraries, code that is run, a control character on the terminal, markup in a page.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import onnx

PREFIX = "binarize."
LIMIT = 10.0
"""CPU seconds of a command."""
MEMORY = 2 << 30
"""Bytes that a command may take on top of what the process had."""

Path_ = tuple[Any, ...]
DELETE = object()
NESTED, UNBALANCED, HUGE = "@nested@", "@unbalanced@", "@huge@"
RAW = {
    NESTED: "[" * 100_000 + "]" * 100_000,
    UNBALANCED: "[" * 100_000,
    HUGE: "9" * 5000,
}
"""Texts that `json.dumps` cannot write: they are put in the place of these words."""

RUN_COMMANDS = ("summary", "eval", "export", "report", "bench", "resume")
FILE_COMMANDS = ("eval", "bench")
ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MARKUP = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Mutant:
    """A spoilt description: where, how, and what came of it."""

    where: str
    how: str
    document: Any

    def __str__(self) -> str:
        return f"{self.where}: {self.how}"

    @property
    def json(self) -> str:
        """The text of run.json."""
        return _text(self.document)

    @property
    def properties(self) -> dict[str, str]:
        """The metadata of an ONNX file."""
        return {PREFIX + name: _text(value) for name, value in self.document.items()}


def _text(content: Any) -> str:
    text = json.dumps(content)
    for word, raw in RAW.items():
        text = text.replace(f'"{word}"', raw)
    return text


def mutants(document: dict[str, Any], count: int, seed: int, outside: Path) -> list[Mutant]:
    """`count` ways to spoil `document`, spread over all of its fields. `outside`: a file of somebody else."""
    generator = random.Random(seed)
    known = [
        Mutant(".".join(path), f"= {_short(value)}", changed(document, path, value))
        for path, value in _known(outside)
    ]
    generator.shuffle(known)
    known = known[: count // 3]
    groups = []
    for path in paths(document):
        old = at(document, path)
        ways = [
            Mutant(".".join(map(str, path)), how, changed(document, path, new))
            for how, new in _ways(old, outside, whole=not path)
        ]
        generator.shuffle(ways)
        groups.append(ways)
    generator.shuffle(groups)
    found = list(known)
    while len(found) < count and any(groups):
        for ways in groups:
            if ways and len(found) < count:
                found.append(ways.pop())
    return found


def paths(node: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Of every value in a document; of a long list, those of its ends."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from paths(value, (*path, key))
    elif isinstance(node, list):
        for index in sorted({0, len(node) - 1} & set(range(len(node)))):
            yield from paths(node[index], (*path, index))


def at(document: Any, path: Path_) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(document: Any, path: Path_, value: Any) -> Any:
    """A copy with another value at `path`, which may be new; without it for DELETE."""
    if not path:
        return value
    document = copy.deepcopy(document)
    inside = document
    for key in path[:-1]:
        if isinstance(inside, dict) and not isinstance(inside.get(key), (dict, list)):
            inside[key] = {}
        inside = inside[key]
    if value is DELETE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return document


def _ways(old: Any, outside: Path, whole: bool) -> Iterator[tuple[str, Any]]:
    """(how, new value) for a value."""
    if not whole:
        yield from (("deleted", DELETE), ("null", None), ("a list", []), ("a word", "zzz"))
        yield from (("true", True), ("0", 0), ("-1", -1), ("1", 1), ("0.5", 0.5), ("empty", ""))
        yield from (("65537", 65537), ("2**63", 2**63), ("1e308", 1e308), ("-1e308", -1e308))
        yield from (("NaN", float("nan")), ("inf", float("inf")), ("5000 digits", HUGE))
        yield from (
            ("in a list", [old]),
            ("in a mapping", {"x": old}),
            ("as text", json.dumps(old)),
        )
        yield from (("nested", NESTED), ("unbalanced", UNBALANCED), ("long", "x" * 100_000))
        yield from (
            ("escapes", "\x1b[31mred\x07\x9b2J"),
            ("bidi", "\u202egnp.exe"),
            ("nul", "a\0b"),
        )
        yield from (("half a letter", "\ud800"), ("markup", MARKUP), ("lines", "a\nb\r\nc"))
        yield from (("/etc/passwd", "/etc/passwd"), ("../x", "../../x"), ("a file", str(outside)))
        yield from (
            ("file:", f"file://{outside}"),
            ("hub", "hf-hub:a/b"),
            ("local", "local-dir:/tmp"),
        )
        yield from (("http:", "http://192.0.2.1/x.pth"), ("long list", ["x"] * 20_000))
    yield "a mapping", {}
    if isinstance(old, dict):
        yield from ((f"+ {key}", {**old, key: value}) for key, value in extras(outside).items())
        yield "keys of another type", {str(k) + "\x1b[2J": v for k, v in old.items()}
    if isinstance(old, list) and old:
        yield from (("twice", old * 2), ("2000 times", old * 2000), ("backwards", old[::-1]))
        yield from (("one less", old[:-1]), ("a number more", [*old, 1]))
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        yield from (("negative", -old), ("times 1000", old * 1000), ("a tiny number", 1e-300))
    if isinstance(old, str):
        yield from ((f"+ {end!r}", old + end) for end in (".x", "/", " ", "\x1b[0m", "*"))


def extras(outside: Path) -> dict[str, Any]:
    """Arguments that have a library open, fetch, import or run something."""
    return {
        "checkpoint_path": str(outside),
        "pretrained": True,
        "pretrained_cfg": {"url": "http://192.0.2.1/x.pth", "file": str(outside)},
        "pretrained_cfg_overlay": {"url": "http://192.0.2.1/x.pth", "hf_hub_id": "a/b"},
        "cache_dir": str(outside.parent),
        "weights": "DEFAULT",
        "weights_backbone": "DEFAULT",
        "pretrained_strict": False,
        "features_only": True,
        "scriptable": True,
        "device": "cuda",
        "dtype": "float64",
        "__class__": "os.system",
        "\x1b[31mkey": 1,
    }


def _known(outside: Path) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values that are right in their type and wrong in their meaning."""
    of_model = (("model", "kwargs", name) for name in extras(outside))
    yield from zip(of_model, extras(outside).values(), strict=True)
    for channels in ([65536] * 3, [4, 8], [4, 8, 16, 32], [0, 0, 0], "x", [1.5] * 3, [[4], 8, 16]):
        yield ("model", "kwargs", "channels"), channels
    for name, value in (
        *(("blocks", 60000), ("blocks", 0), ("blocks", "x"), ("num_classes", 65536)),
        *(("num_classes", 0), ("num_classes", 7), ("in_chans", 1), ("in_chans", 65536)),
        *(("block", "os.system"), ("norm_layer", "eval"), ("act_layer", "print"), ("depth", 60000)),
        *(("shortcut", "zzz"), ("drop_rate", float("nan")), ("global_pool", "zzz")),
    ):
        yield ("model", "kwargs", name), value
    for name in (
        *("resnet18", "vit_gigantic_patch14_clip_224", "cifar_resnet110", "resnet18.a1_in1k"),
        *("timm/resnet18", "hf-hub:timm/resnet18", "local-dir:/tmp", "cifar_resnet20.", "RESNET18"),
    ):
        yield ("model", "name"), name
    for name in ("torchvision", "custom", "hf_hub"):
        yield ("model", "library"), name
    yield ("model",), {"name": "fasterrcnn_resnet50_fpn", "library": "torchvision", "kwargs": {}}
    yield ("model",), {"name": "eva02_enormous_patch14_clip_224", "library": "timm"}
    for name in (
        *(
            "torch/cifar10",
            "torch/imagenet",
            "hfds/mnist",
            "tfds/mnist",
            "wds/x",
            "hfids/x",
            "cifar10",
        ),
        *("folder", "torch/os", "zzz"),
    ):
        yield ("data", "name"), name
    yield ("data",), {"name": "folder", "dir": str(outside.parent)}
    yield ("data",), {"name": "torch/image_folder", "dir": str(outside.parent)}
    yield ("data",), {"name": "torch/imagenet", "dir": str(outside.parent)}
    for parameters in (
        *(["no.such.weight"], ["conv1.__class__"], ["fc.bias"], ["bn1.weight"], [""], ["."]),
        *(["conv1.weight"] * 3, ["conv1.weight.x"], ["forward"], ["layer1.weight"], []),
    ):
        yield ("conversion", "parameters"), parameters
    for stem in (
        *(
            {"conv": "fc", "pool": None},
            {"conv": "", "pool": None},
            {"conv": "conv1", "pool": "fc"},
        ),
        *({"conv": "conv1", "pool": ""}, {"conv": "layer1", "pool": "zzz"}),
    ):
        yield ("conversion", "replaced_stem"), stem
    relu = {"pass": "replace_relu", "form": "rprelu", "inplace": False, "channels": 4, "axis": 1}
    relu |= {"module": None, "block": None, "target": "", "ordinal": 0}
    block = {"module": "layer1.0", "arguments": {"x": "tensor"}}
    shortcut = {"pass": "shortcut", "layer": "layer1.0.conv2", "block": block, "stride": 1}
    shortcut |= {"taken": ["conv2", 0, 0], "behind": ["bn2", 0]}
    for edit in (
        *(relu, {**relu, "module": ""}, {**relu, "module": "fc"}, {**relu, "module": "zzz"}),
        *({**relu, "module": "act1", "channels": 1 << 24}, {**relu, "block": block}),
        *({**relu, "module": "act1", "axis": 60}, {**relu, "module": "act1", "channels": 5}),
        *({**relu, "block": {"module": "", "arguments": {}}}, {**relu, "module": "layer1"}),
        *({**shortcut, "layer": "fc"}, {**shortcut, "layer": ""}, {**shortcut, "stride": 0}),
        *({**shortcut, "stride": 4000}, {**shortcut, "taken": ["conv2", 0, 60]}),
        *({**shortcut, "block": {"module": "layer1.0", "arguments": {"y": "tensor"}}},),
        *({**shortcut, "block": {"module": "layer1.0", "arguments": {"x": ["list", 4096]}}},),
        *({**shortcut, "block": {"module": "layer1", "arguments": {}}},),
    ):
        yield ("conversion", "edits"), [edit]
    for estimator in (
        *("zzz", "ste", "dsq", {"name": "ab-tanh", "a_end": 1e308}, {"name": "ab-tanh", "zzz": 1}),
        *({"name": "ab-tanh", "a_end": "x"}, {"name": "ab-tanh", "a_end": [1]}, {"name": ""}),
        *({"name": "ab-tanh", "a_end": 0}, {"name": "ab-tanh", "a_end": -1}),
    ):
        yield ("conversion", "estimator"), estimator
    for key, value in (
        *(("scale", "zzz"), ("scale", "learned"), ("activations", "zzz"), ("activations", "step")),
        *(("activations", "float"), ("structure", "zzz"), ("stem", "zzz"), ("submodule", "zzz")),
        *(("submodule", "layer1"), ("keep", ["*"]), ("layers", [{"match": "zzz"}])),
        *(
            ("layers", [{"match": "*", "estimator": "zzz"}]),
            ("layers", [{"match": "*", "scale": "z"}]),
        ),
        *(("learned_inputs", True), ("standardise", False)),
    ):
        yield ("conversion", key), value
    yield ("conversion",), None
    for key, value in (
        *(("img_size", 1), ("img_size", 17), ("img_size", 16384), ("img_size", 1 << 40)),
        *(("mean", [0.5]), ("mean", [0.5] * 16), ("std", [0, 0, 0]), ("std", [1e-300] * 3)),
        *(("crop_pct", 1e-9), ("crop_pct", 4), ("crop_pct", 0.001), ("interpolation", "lanczos")),
        *(("interpolation", "zzz"), ("mean", [1e308] * 3)),
    ):
        yield ("preprocess", key), value
    yield (
        ("preprocess",),
        {
            **{"img_size": 16, "mean": [0.5], "std": [0.5]},
            **{"interpolation": "bilinear", "crop_pct": 1.0},
        },
    )
    for classes in (
        *(["0"] * 10, [str(i) for i in range(9)], [f"\x1b[2J{i}" for i in range(10)]),
        *([], [str(i) for i in range(50_000)], [f"{MARKUP}{i}" for i in range(10)]),
    ):
        yield ("classes",), classes
    for number in (0, 1, 3, -1, 2.0, "2", True, 10**30):
        yield ("format",), number
    for number in (1e308, -1e308, 1e20, -1e12, 0):
        yield ("created",), number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class Base:
    """A good run, and what it says about itself.

    Attributes:
        run: with weights, reports' tables and an ONNX file.
        unfinished: the same, of which one short epoch is left to train.
        document: of run.json; `described`: of the file's metadata.
    """

    name: str
    run: Path
    unfinished: Path
    document: dict[str, Any]
    file: onnx.ModelProto
    described: dict[str, Any]


SMALL = {"blocks": 1, "channels": [4, 8, 16], "shortcut": "end"}


def bases(folder: Path) -> list[Base]:
    """A trained run, put back into format 1, and one with ±1 inputs and edited blocks, made in `folder`."""
    plain = {"estimator": "ab-tanh", "include": ["conv1"]}
    edited = {"estimator": "ab-tanh", "activations": "sign", "structure": "bireal"}
    return [_base(folder, "trained", plain, 1), _base(folder, "edited", edited, 2)]


def _base(folder: Path, name: str, binarize: dict[str, Any], number: int) -> Base:
    from binarize.exporting import export
    from binarize.recipe import load
    from binarize.training import train

    run, unfinished = folder / name, folder / f"{name}-unfinished"
    recipe = {
        "data": {"name": "digits", "img_size": 16, "batch_size": 1024, "workers": 0},
        "model": {"name": "cifar_resnet20", "pretrained": False, "kwargs": SMALL},
        "binarize": binarize,
        "stages": [{"epochs": 1, "optimizer": {"name": "momentum", "lr": 0.05}}],
        "engine": {"threads": 1},
    }
    train(load(recipe), out=run)
    export(run, run / "model.onnx")
    (unfinished / "initial").mkdir(parents=True)
    for file in ("run.json", "summary.json", "env.json", "recipe.resolved.yaml"):
        shutil.copy(run / file, unfinished / file)
    shutil.copy(run / "last" / "model.safetensors", unfinished / "initial")
    base = base_of(run)
    if number == 1:
        documents = _of_format_1(base.document), _of_format_1(base.described)
        base = replace(base, document=documents[0], described=documents[1])
    return replace(base, unfinished=unfinished)


def base_of(run: Path) -> Base:
    """A finished run that holds an ONNX file."""
    file = onnx.load(run / "model.onnx")
    described = {
        entry.key.removeprefix(PREFIX): json.loads(entry.value)
        for entry in file.metadata_props
        if entry.key.startswith(PREFIX)
    }
    return Base(run.name, run, run, json.loads((run / "run.json").read_text()), file, described)


def _of_format_1(document: dict[str, Any]) -> dict[str, Any]:
    """As 0.1.0 would have written it."""
    document = copy.deepcopy(document)
    document["conversion"]["force"] = document["conversion"].pop("include")
    document["conversion"].pop("learned_inputs", None)
    del document["model"]["kwargs"]["shortcut"]
    return {**document, "format": 1}


@dataclass(frozen=True)
class Verdict:
    """What a command made of a mutant: "done", "refused", or what is wrong; and its words."""

    kind: str
    command: str
    mutant: str
    verdict: str
    words: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return self.verdict in ("done", "refused")


class Hang(BaseException):
    """More than LIMIT."""


@dataclass
class Judge:
    """Runs commands in this process on mutants in `folder`, with `outside` beyond what they may open."""

    folder: Path
    outside: Path
    seen: list[str] = field(default_factory=list)
    watching: bool = False

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        (self.work / "tmp").mkdir(parents=True)
        self.roots = [
            *(str(Path(place).resolve()) for place in sys.path if place),
            *(sys.prefix, sys.base_prefix, str(self.work.resolve()), str(self.work)),
            *("/proc", "/sys", "/dev", "/usr/lib", "/usr/share", "/usr/local/lib", "<"),
            *map(str, _caches()),
        ]
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        if event in (
            "socket.connect",
            "socket.getaddrinfo",
            "socket.gethostbyname",
            "urllib.Request",
        ):
            self.seen.append(f"connected: {event} {arguments!r:.200}")
            raise OSError("no network in this test")
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
            self.seen.append(f"ran: {event} {arguments!r:.200}")
        elif event == "pickle.find_class":
            self.seen.append(f"ran: pickle {arguments[1:]!r}")
        elif event == "import" and str(self.outside.parent) in repr(arguments[2]):
            self.seen.append(f"ran: import {arguments[0]}")
        elif event == "open" and isinstance(arguments[0], str):
            path = os.path.realpath(arguments[0]) if os.path.sep in arguments[0] else ""
            if path and not path.startswith(tuple(self.roots)):
                self.seen.append(f"opened: {path}")

    def run(self, base: Base, mutant: Mutant, commands: tuple[str, ...]) -> Iterator[Verdict]:
        """Verdicts on the run whose run.json is `mutant`."""
        text = mutant.json
        place = self.work / "run"
        for command in commands:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(base.unfinished if command == "resume" else base.run, place)
            (place / "run.json").write_text(text, encoding="utf-8", errors="surrogatepass")
            out = self.work / "out.onnx"
            out.unlink(missing_ok=True)
            argv = {
                "summary": ["summary", str(place)],
                "eval": ["eval", str(place), "--limit", "8", "-j", "0"],
                "export": ["export", str(place), "--onnx", str(out)],
                "report": ["report", str(place)],
                "bench": ["bench", str(place), "--rounds", "1"],
                "resume": ["train", "--resume", str(place)],
            }[command]
            yield self._verdict(f"run {base.name}", command, mutant, argv, place / "run.json")

    def file(self, base: Base, mutant: Mutant, commands: tuple[str, ...]) -> Iterator[Verdict]:
        """Verdicts on the ONNX file whose metadata is `mutant`."""
        place = self.work / "file" / "spoilt.onnx"
        place.parent.mkdir(exist_ok=True)
        model = onnx.ModelProto()
        model.CopyFrom(base.file)
        del model.metadata_props[:]
        for key, value in mutant.properties.items():
            model.metadata_props.add(key=key, value=value)
        place.write_bytes(model.SerializeToString())
        for command in commands:
            argv = {
                "eval": ["eval", str(place), "--limit", "8", "-j", "0"],
                "bench": ["bench", str(place), "--rounds", "1"],
            }[command]
            yield self._verdict(f"file {base.name}", command, mutant, argv, place)

    def _verdict(
        self, kind: str, command: str, mutant: Mutant, argv: list[str], file: Path
    ) -> Verdict:
        from binarize.cli.app import main

        out, err = io.StringIO(), io.StringIO()
        self.seen.clear()
        memory, began = _peak(), time.process_time()
        wrong, code = "", -1
        try:
            with _time_limit(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                self.watching = True
                try:
                    code = main(argv)
                finally:
                    self.watching = False
        except Hang:
            wrong = "hang"
        except BaseException as error:  # whatever comes out of main is a fault of it
            wrong = f"crash: {type(error).__name__}: {error}"
        seconds = time.process_time() - began
        words = err.getvalue() + out.getvalue() * (code != 1)
        if not wrong:
            wrong = self._wrong(code, out.getvalue(), err.getvalue(), file)
        if not wrong and seconds > LIMIT:
            wrong = "hang"
        if not wrong and _peak() - memory > MEMORY:
            wrong = "memory"
        verdict = wrong or ("done" if code == 0 else "refused")
        return Verdict(kind, command, str(mutant), verdict, words[-600:], seconds)

    def _wrong(self, code: int, out: str, err: str, file: Path) -> str:
        if self.seen:
            return self.seen[0]
        if "Traceback" in err or re.search(r"error: unexpected \w+:", err):
            return "unexpected"
        if ESCAPE.search(out + err):
            return "escape"
        if code == 0:
            return "markup" if self._has_markup(file.parent) else ""
        if code != 1 or "error: " not in err:
            return f"exit {code}"
        message = next(line for line in err.splitlines() if line.startswith("error: "))
        if len(message) > 2000:
            return "a message without end"
        named = str(file if file.suffix == ".onnx" else file.parent)
        return "" if named in message else "file not named"

    def _has_markup(self, folder: Path) -> bool:
        pages = (folder / "report.html", folder / "README.md")
        return any(MARKUP in page.read_text("utf-8") for page in pages if page.is_file())


@contextlib.contextmanager
def quick(work: Path) -> Iterator[None]:
    """One thread, temporary files in `work`, no subprocess that measures memory; and torch's exporter, which
    takes most of the time, once for all mutants of the same network."""
    import onnx_ir as ir
    import torch

    from binarize.benching import lineup, measure
    from binarize.exporting import exporting

    threads, kept = torch.get_num_threads(), (lineup.float_entry, measure.peak_bytes)
    to_graph = exporting.to_graph
    graphs: dict[str, Any] = {}
    place, tempfile.tempdir = tempfile.tempdir, str(work / "tmp")
    built: dict[str, Path] = {}

    def float_entry(file: Any, folder: Path) -> Any:
        key = file.info.replace(weights="", classes=[]).to_json()
        text = json.dumps(key, sort_keys=True)
        if text in built:
            copied = folder / "0-float.onnx"
            shutil.copy(built[text], copied)
            return lineup.Entry(file.name, copied, "float", False, file.architecture, True, False)
        entry = kept[0](file, folder)
        built[text] = work / f"float-{len(built)}.onnx"
        shutil.copy(entry.path, built[text])
        return entry

    def graph_once(model: Any, frozen: Any, *args: Any) -> Any:
        tensors = [
            (k, tuple(v.shape), float(v.double().sum())) for k, v in model.state_dict().items()
        ]
        key = repr((model, sorted(frozen), tensors, args))
        if key not in graphs:
            graphs[key] = ir.to_proto(to_graph(model, frozen, *args))
        return ir.from_proto(graphs[key])

    torch.set_num_threads(1)
    exporting.to_graph = graph_once
    lineup.float_entry, measure.peak_bytes = float_entry, lambda *_: None
    try:
        yield
    finally:
        lineup.float_entry, measure.peak_bytes = kept
        exporting.to_graph = to_graph
        tempfile.tempdir = place
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _caches() -> Iterator[Path]:
    """Where matplotlib keeps its fonts."""
    with contextlib.suppress(ImportError):
        import matplotlib

        yield Path(matplotlib.get_cachedir())
        yield Path(matplotlib.get_configdir())
