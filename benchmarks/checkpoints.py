"""Which checkpoint files load: prefix x container x EMA x extras x kind of file, over three architectures.

    python benchmarks/checkpoints.py        # writes benchmarks/results/checkpoints.jsonl

Every file is written from a network with known weights and given to `--checkpoint` as the command line does.
One that is to load has to give equal weights (equal to half precision where it was stored so); one that is to
be refused, by a sentence with the words that are expected; and none that is whole is called corrupt.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from binarize import models
from binarize.errors import BinarizeError
from binarize.rewrite import SourceOptions, open_float

RESULTS = Path(__file__).parent / "results" / "checkpoints.jsonl"
ARCHITECTURES = ("cifar_resnet20", "test_vit", "torchvision/shufflenet_v2_x0_5")
CLASSES = 7
State = dict[str, Tensor]
LOADS = ""


@dataclass(frozen=True)
class Case:
    """A file: how it is called and written, and the word of its refusal (LOADS: none)."""

    title: str
    name: str
    write: Callable[[Path, State, nn.Module], None]
    refusal: str = LOADS
    ema: bool | None = None


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def other(state: State) -> State:
    """Weights that must not be the ones that are loaded."""
    return {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}


def cases() -> Iterator[Case]:
    """All of them."""
    for prefix in (
        *("", "module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module."),
        *("model.module.", "model._orig_mod.", "module.model._orig_mod.", "net.", "model.model."),
    ):
        yield Case(f"prefix {prefix or 'none'}", "w.pth", _bare(prefix))
    yield Case("a wrapper inside", "w.pth", _inside)
    for key in ("state_dict", "model_state_dict", "model", "net", "generator_of_epoch_7"):
        yield Case(f"in {key}", "w.pth", _inside_of(key))
    yield Case("in model.state_dict", "w.pth", _inside_of("model", "state_dict"))
    for key in ("state_dict_ema", "model_ema"):
        yield Case(f"with {key}", "w.pth.tar", _with_ema(key, True))
        yield Case(f"with {key}, --no-ema", "w.pth.tar", _with_ema(key, False), ema=False)
        yield Case(f"with {key}, --ema", "w.pth.tar", _with_ema(key, True), ema=True)
    yield Case("only plain, --ema", "w.pth", _inside_of("model"), "no averaged", ema=True)
    yield Case("optimizer and epoch", "w.pth", _training)
    yield Case("timm's arguments", "w.pth.tar", _namespace)
    yield Case("lightning", "w.ckpt", _lightning)
    yield Case("counters of a profiler", "w.pth", _profiled)
    yield Case("without num_batches_tracked", "w.pth", _untracked)
    for kind in ("float16", "bfloat16", "float64"):
        yield Case(kind, "w.pth", _typed(getattr(torch, kind)))
    yield Case("legacy torch.save", "w.pth", _legacy)
    yield Case("safetensors", "w.safetensors", _safetensors)
    yield Case("safetensors called .pth", "w.pth", _safetensors)
    yield Case("torch.save called .safetensors", "w.safetensors", _bare(""))
    yield Case("torch.save without ending", "weights", _bare("module."))
    yield Case("half safetensors in module.", "w.safetensors", _half_safetensors)
    yield Case(
        "a whole module", "w.pth", lambda f, s, m: torch.save(m, f), "holds more than tensors"
    )
    yield Case("a whole module, legacy", "w.pth", _legacy_module, "holds more than tensors")
    yield Case("a numpy number", "w.pth", _numpy, "holds more than tensors: numpy")
    yield Case("a plain pickle", "w.pkl", _pickle, "plain pickle")
    yield Case("TorchScript", "w.pt", _script, "TorchScript")
    yield Case("npz", "w.npz", _npz, "numpy arrays")
    yield Case("gzip", "w.pth.gz", _gzip, "gzip")
    yield Case("a web page", "w.pth", _text("<!DOCTYPE html><title>404"), "web page")
    yield Case("Git LFS", "w.safetensors", _text("version https://git-lfs.example/v1\n"), "Git LFS")
    yield Case("an index", "w.index.json", _text('{"weight_map": {}}'), "JSON")
    yield Case("truncated", "w.pth", _cut(_bare("")), "corrupt")
    yield Case("truncated safetensors", "w.safetensors", _cut(_safetensors), "corrupt")
    yield Case("empty", "w.pth", _text(""), "corrupt")
    yield Case("no dictionary", "w.pth", lambda f, s, m: torch.save([1, 2], f), "no state dict")
    yield Case("two unnamed states", "w.pth", _two, "dictionaries of tensors")
    yield Case("of another network", "w.pth", _another, "does not fit the model")
    yield Case("a layer less", "w.pth", _less, "1 missing")
    yield Case("of other classes", "w.pth", _classes, f"{CLASSES + 1} classes")


def _bare(prefix: str) -> Callable[[Path, State, nn.Module], None]:
    return lambda file, state, model: torch.save(prefixed(state, prefix), file)


def _inside(file: Path, state: State, model: nn.Module) -> None:
    """As where a part of the network alone is wrapped, in DataParallel or by torch.compile."""
    head = next(key for key in state if "." in key).partition(".")[0]
    torch.save({k.replace(f"{head}.", f"{head}.module.", 1): v for k, v in state.items()}, file)


def _inside_of(*keys: str) -> Callable[[Path, State, nn.Module], None]:
    def write(file: Path, state: State, model: nn.Module) -> None:
        content: Any = prefixed(state, "module.")
        for key in reversed(keys):
            content = {key: content, "epoch": 3}
        torch.save(content, file)

    return write


def _with_ema(key: str, wanted: bool) -> Callable[[Path, State, nn.Module], None]:
    def write(file: Path, state: State, model: nn.Module) -> None:
        averaged, own = (state, other(state)) if wanted else (other(state), state)
        counted = {"n_averaged": torch.tensor(3), **prefixed(averaged, "module.")}
        plain = {"state_dict_ema": "state_dict", "model_ema": "model"}[key]
        torch.save({plain: own, key: counted, "epoch": 1}, file)

    return write


def _training(file: Path, state: State, model: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    torch.save({"model": state, "optimizer": optimizer.state_dict(), "epoch": 9, "acc": 0.5}, file)


def _namespace(file: Path, state: State, model: nn.Module) -> None:
    arguments = argparse.Namespace(model="x", lr=0.1)
    torch.save({"arch": "x", "state_dict": state, "args": arguments, "version": 2}, file)


def _lightning(file: Path, state: State, model: nn.Module) -> None:
    whole = {**prefixed(state, "model."), "criterion.weight": torch.ones(CLASSES)}
    callbacks = {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}}
    rest = {"callbacks": callbacks, "hyper_parameters": {"lr": 0.1}, "loops": {}}
    torch.save({"state_dict": whole, "optimizer_states": [], **rest}, file)


def _profiled(file: Path, state: State, model: nn.Module) -> None:
    paths = [name for name, module in model.named_modules() if name and list(module.parameters())]
    counted = {
        f"{p}.{w}": torch.zeros(1).double() for p in paths for w in ("total_ops", "total_params")
    }
    torch.save({**state, **counted}, file)


def _untracked(file: Path, state: State, model: nn.Module) -> None:
    torch.save({k: v for k, v in state.items() if "num_batches_tracked" not in k}, file)


def _typed(kind: torch.dtype) -> Callable[[Path, State, nn.Module], None]:
    def write(file: Path, state: State, model: nn.Module) -> None:
        torch.save({k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}, file)

    return write


def _legacy(file: Path, state: State, model: nn.Module) -> None:
    torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=False)


def _safetensors(file: Path, state: State, model: nn.Module) -> None:
    save_file({k: v.clone() for k, v in state.items()}, file)


def _half_safetensors(file: Path, state: State, model: nn.Module) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file({k: v.clone() for k, v in prefixed(half, "module.").items()}, file)


def _legacy_module(file: Path, state: State, model: nn.Module) -> None:
    torch.save(model, file, _use_new_zipfile_serialization=False)


def _numpy(file: Path, state: State, model: nn.Module) -> None:
    torch.save({"state_dict": state, "best": np.float64(0.5)}, file)


def _pickle(file: Path, state: State, model: nn.Module) -> None:
    file.write_bytes(pickle.dumps({k: v.numpy() for k, v in state.items()}))


def _script(file: Path, state: State, model: nn.Module) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), file)


def _npz(file: Path, state: State, model: nn.Module) -> None:
    with file.open("wb") as opened:
        np.savez(opened, **{k: v.numpy() for k, v in state.items()})


def _gzip(file: Path, state: State, model: nn.Module) -> None:
    torch.save(state, file)
    file.write_bytes(gzip.compress(file.read_bytes()))


def _text(text: str) -> Callable[[Path, State, nn.Module], None]:
    return lambda file, state, model: file.write_text(text) and None


def _cut(write: Callable[[Path, State, nn.Module], None]) -> Callable[..., None]:
    def cut(file: Path, state: State, model: nn.Module) -> None:
        write(file, state, model)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return cut


def _two(file: Path, state: State, model: nn.Module) -> None:
    torch.save({"student": state, "teacher": other(state)}, file)


def _another(file: Path, state: State, model: nn.Module) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)).state_dict(), file)


def _less(file: Path, state: State, model: nn.Module) -> None:
    gone = next(key for key in state if key.endswith("weight"))
    torch.save({k: v for k, v in state.items() if k != gone}, file)


def _classes(file: Path, state: State, model: nn.Module) -> None:
    models.reset_classifier(model, CLASSES + 1)
    torch.save(model.state_dict(), file)


def judge(case: Case, architecture: str, folder: Path) -> dict[str, Any]:
    """Write the file, give it to the product, and say what came of it."""
    model = models.create(architecture, num_classes=CLASSES)
    with torch.no_grad():
        for parameter in model.parameters():  # no two networks that a constructor makes
            parameter.add_(torch.randn_like(parameter) * 0.1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    file = folder / case.name
    case.write(file, state, model)
    source = SourceOptions(False, checkpoint=file, ema=case.ema, num_classes=CLASSES)
    row = {"architecture": architecture, "case": case.title, "expected": case.refusal or "loads"}
    try:
        opened = open_float(architecture, source)
    except BinarizeError as problem:
        words = f"{problem.message.replace(str(folder), '')}; {problem.hint}"
        good = bool(case.refusal) and case.refusal in problem.message
        return {**row, "outcome": "refused", "words": words, "good": good}
    exact = not any(word in case.title for word in ("float16", "half"))
    found = opened.model.state_dict()
    equal = all(
        torch.equal(found[key], value) if exact else torch.allclose(found[key], value, 1e-2, 1e-2)
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    )
    outcome = "loads" if equal else "other weights"
    return {
        **row,
        "outcome": outcome,
        "words": "; ".join(opened.notes),
        "good": equal and not case.refusal,
    }


def main() -> int:
    torch.manual_seed(0)
    rows = []
    for architecture in ARCHITECTURES:
        for case in cases():
            with tempfile.TemporaryDirectory() as folder:
                rows.append(judge(case, architecture, Path(folder)))
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad = [row for row in rows if not row["good"]]
    for row in bad:
        print(row)
    loaded = sum(row["outcome"] == "loads" for row in rows)
    print(
        f"{len(rows)} files: {loaded} load, {len(rows) - loaded - len(bad)} refused as they should be"
    )
    print(f"{len(bad)} not as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
