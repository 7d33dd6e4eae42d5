"""Mixed precision: a conversion that chooses bases and kept layers, for a size of file or an agreement.

    sensitivity   what each layer costs the answers at 1 to 4 bases, all others float, beyond what batch norms
                  mend when they are measured again
    allocation    the layers' bases for a number of bytes: `fitting.allocation`
    curve         networks of several sizes after a short fit: what they agree on with the float one
    choice        as large as the file may be, by the file itself; or the first network, from where the curve
                  says, that agrees often enough when it is fitted

Only the last one is fitted to the end. See docs/decisions/0024-bits-by-sensitivity.md.
"""

from __future__ import annotations

import copy
import glob
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from binarize import fitting
from binarize.choices import MOST_BASES
from binarize.errors import BinarizeError
from binarize.exporting import packed_file_bytes
from binarize.exporting.size import filters_of, weight_bytes
from binarize.filesize import bytes_of, words_of
from binarize.fitting import FitImages, allocation, calibration_images
from binarize.fitting.allocation import FLOAT, Allocation, Choice, Choices
from binarize.layers import binary_weights
from binarize.models.attributes import set_attribute
from binarize.progress import Progress
from binarize.rewrite import Converted, FloatModel, Options, convert_float
from binarize.run import AllocationRecord, CurvePoint, LayerChoice, Sensitivities, layout

SENSED = 64
"""Images that layers are compared on, at most: whole batches, for one image has no statistics."""
SHORT_STEPS, SHORT_IMAGES = 16, 256
"""Of the fits behind the curve."""
SIZES = 4
"""Networks of the curve, besides the one that is taken."""
GROWTH = 1.5
"""From a network that agrees too seldom to the next one, in bytes of its weights."""


@dataclass(frozen=True)
class Goal:
    """What bases and kept layers are chosen for; one of the two.

    Attributes:
        size: bytes of the packed ONNX file, at most.
        agreement: per cent of the images held aside on which the fitted network answers as the float one, at
            least.
    """

    size: int | None = None
    agreement: float | None = None

    @classmethod
    def of(cls, size: str | int | None, agreement: float | None) -> Goal | None:
        """The goal in what a user gave; None for neither. Raises BinarizeError for both, for what is no size
        and for what is no per cent."""
        if size is None and agreement is None:
            return None
        if size is not None and agreement is not None:
            raise BinarizeError(
                "--size and --agreement are two goals, and one decides", "omit one of them"
            )
        if agreement is not None and not 0 < agreement <= 100:
            raise BinarizeError(
                f"--agreement is a share of images in per cent, not {agreement:g}",
                "give more than 0 and at most 100",
            )
        return cls(None if size is None else bytes_of(size), agreement)

    @property
    def option(self) -> str:
        return "--size" if self.size is not None else "--agreement"

    def chooses(self, other: str) -> BinarizeError:
        """The error for another option that chooses the same."""
        return BinarizeError(
            f"{self.option} chooses the bases of every layer, and so does {other}",
            "omit one of them",
        )

    def check(self, options: Options) -> None:
        """Raises BinarizeError for options that leave nothing to choose."""
        if options.bases != 1:
            raise self.chooses("--bases")
        if options.structure != "keep":
            raise BinarizeError(
                f"{self.option} chooses layers that stay float, and blocks of --structure "
                f"{options.structure} are made for layers that do not",
                "omit --structure, or choose with --bases and --keep",
            )


def convert_for(
    goal: Goal,
    float_model: FloatModel,
    options: Options,
    images: FitImages,
    *,
    steps: int = fitting.STEPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Converted:
    """Convert a copy of a trained float model with bases and kept layers for `goal`, and fit it.

    `options` say which layers may become binary; `steps` and `seed` are those of `fitting.fit_converted`.
    Raises BinarizeError where no network reaches the goal, and where the float one does.
    """
    search = _Search(goal, float_model, options, images, steps, seed, progress or Progress())
    return search.within_size() if goal.size is not None else search.agreeing()


class _Search:
    """Everything that lives as long as one search.

    Attributes:
        trial: a conversion with every layer binary. Its layers are given bases, or made float, one after the
            other; nothing of it is kept.
        sensed, sensed_on: what each layer costs, and the number of images.
        choices: the same as bytes and costs.
        rest: bytes of a file besides the weights in `choices`.
    """

    def __init__(
        self,
        goal: Goal,
        float_model: FloatModel,
        options: Options,
        images: FitImages,
        steps: int,
        seed: int,
        progress: Progress,
    ) -> None:
        self.goal, self.float_model, self.options = goal, float_model, options
        self.images, self.steps, self.seed, self.progress = images, steps, seed, progress
        self.parent = copy.deepcopy(float_model.model)
        count = min(SENSED, len(images.fitted))
        self.sensed_on = count // fitting.BATCH * fitting.BATCH or count
        self.trial = self.converted({})
        self.check_trial()
        self.progress.task("measuring the smallest file")
        file = packed_file_bytes(self.trial.conversion.model)
        with fitting.on_accelerator(self.trial.conversion.model):
            self.sensed = fitting.sensitivities(
                self.trial.conversion.model,
                images.spread(self.sensed_on),
                progress,
                bases=range(1, MOST_BASES + 1),
                batch_statistics=True,
            )
        self.choices = self._choices()
        self.smallest = allocation.smallest(self.choices)
        self.rest = file - self.bytes_of(dict.fromkeys(self.choices, 1))

    def check_trial(self) -> None:
        option = self.goal.option
        if self.trial.conversion.replay.replaced_stem is not None:
            raise BinarizeError(
                f"{option} compares with the float model, and the stem has new weights, which it never had",
                f"omit --stem, or omit {option}",
            )
        if not self.trial.info.binary:
            raise BinarizeError(f"{option} has no layer to choose for", "keep fewer layers")

    def _choices(self) -> Choices:
        """Of each layer: 1 to 4 bases, as far as it can have several, and float."""
        found: dict[str, list[Choice]] = {}
        for name, module, parameter, _ in binary_weights(self.trial.conversion.model):
            weight = dict(module.named_parameters(recurse=False))[parameter]
            count, filters = weight.numel(), filters_of(module, weight)
            found[name] = [Choice(FLOAT, weight_bytes(count, filters, FLOAT), 0.0)]
            found[name] += [
                Choice(each.bases, weight_bytes(count, filters, each.bases), max(each.kl, 0.0))
                for each in self.sensed
                if each.name == name
            ]
        return found

    def bytes_of(self, chosen: Allocation) -> int:
        return allocation.size_of(self.choices, chosen)

    @property
    def float_bytes(self) -> int:
        """Of the weights, where all are float."""
        return self.bytes_of(dict.fromkeys(self.choices, FLOAT))

    def within_size(self) -> Converted:
        """The network whose file is as large as it may be."""
        size = self.goal.size
        assert size is not None
        if size >= self.rest + self.float_bytes:
            raise BinarizeError(
                f"the float network takes {words_of(self.rest + self.float_bytes)}: for --size "
                f"{words_of(size)} nothing has to be binary",
                "ask for a smaller --size",
            )
        least = self.bytes_of(self.smallest)
        limit = max(size - self.rest, least)
        curve: dict[int, float] = {}
        while True:
            chosen = allocation.allocate(self.choices, limit)
            converted = self.converted(chosen)
            found = packed_file_bytes(converted.conversion.model)
            if found <= size:
                curve = curve or self.curve([*self.sizes(), limit])
                converted = self.fitted(converted)
                found = packed_file_bytes(converted.conversion.model)
            if found <= size:
                return self.recorded(converted, found, curve)
            if chosen == self.smallest:
                break
            limit = max(self.bytes_of(chosen) - (found - size), least)
        raise BinarizeError(
            f"the smallest file of this network takes {words_of(found)}, which is more than --size "
            f"{words_of(size)}",
            f"ask for --size {-(-found // 1000)}kB or more, or take a smaller network",
        )

    def agreeing(self) -> Converted:
        """The network from where the curve says on that agrees often enough once it is fitted."""
        wanted = self.goal.agreement
        assert wanted is not None
        largest = self.float_bytes - 1  # one layer is binary
        curve = self.curve([*self.sizes(), largest])
        limit = allocation.limit_for(curve, wanted)
        best = 0.0
        while True:
            converted = self.fitted(self.converted(allocation.allocate(self.choices, limit)))
            fit = converted.info.fit
            agreement = (fit.agreement_after if fit else None) or 0.0
            if agreement >= wanted:
                found = packed_file_bytes(converted.conversion.model)
                return self.recorded(converted, found, curve)
            best = max(best, agreement)
            if limit >= largest:
                raise BinarizeError(
                    f"no binary network gave the float one's answer on {wanted:g} % of the images held "
                    f"aside: the best did on {best:.1f} %",
                    "ask for a lower --agreement, or fit for longer: --calib-images and --calib-steps",
                )
            limit = min(int(limit * GROWTH), largest)

    def sizes(self) -> list[int]:
        """Bytes from all layers at the fewest bases to all at the most, at equal ratios."""
        first = self.bytes_of(self.smallest)
        most = {name: max(each.bases for each in some) for name, some in self.choices.items()}
        ratio = self.bytes_of(most) / first
        return [round(first * ratio ** (number / (SIZES - 1))) for number in range(SIZES)]

    def curve(self, limits: list[int]) -> dict[int, float]:
        """Bytes of weights -> agreement of the network with so many, after a short fit."""
        model = self.trial.conversion.model
        state = {name: value.clone() for name, value in model.state_dict().items()}
        few = replace(self.images, fitted=self.images.spread(SHORT_IMAGES))
        network = fitting.watched(self.trial, self.float_model.size)
        found: dict[int, float] = {}
        self.progress.task("a short fit of each size", len(limits))
        with fitting.on_accelerator(model, self.parent):
            for number, limit in enumerate(sorted(set(limits))):
                chosen = allocation.allocate(self.choices, limit)
                model.load_state_dict(state)
                _use(model, chosen)
                inner = _Inner(self.progress, number)
                fit = fitting.fit(
                    network, self.parent, few, steps=self.short, seed=self.seed, progress=inner
                )
                found[self.bytes_of(chosen)] = fit.agreement_after or 0.0
                self.progress.update(number + 1, f"{fit.agreement_after:.1f} % agree")
        return found

    @property
    def short(self) -> int:
        return min(SHORT_STEPS, self.steps)

    def converted(self, chosen: Allocation) -> Converted:
        """A copy of the float model with these bases and kept layers; {}: as the options say."""
        fresh = FloatModel(copy.deepcopy(self.float_model.model), self.float_model.info)
        options = with_allocation(self.options, chosen) if chosen else self.options
        return convert_float(
            fresh, options, progress=self.progress, images=calibration_images(self.images)
        )

    def fitted(self, converted: Converted) -> Converted:
        return fitting.fit_converted(
            converted,
            self.parent,
            self.float_model.size,
            self.images,
            steps=self.steps,
            seed=self.seed,
            progress=self.progress,
        )

    def recorded(self, converted: Converted, size: int, curve: Mapping[int, float]) -> Converted:
        """The same, which says how its bits were allocated, with what the layers cost."""
        fit = converted.info.fit
        assert fit is not None
        points = [
            CurvePoint(bytes=self.rest + each, agreement=found)
            for each, found in sorted(curve.items())
        ]
        record = AllocationRecord(
            size=self.goal.size,
            agreement=self.goal.agreement,
            bytes=size,
            steps=self.short,
            curve=points,
        )
        info = converted.info.replace(fit=fit.replace(allocation=record))
        set_attribute(converted.conversion.model, "binarize_info", info)
        sensed = Sensitivities(
            model=self.float_model.info.model.title,
            images=self.sensed_on,
            statistics="batch",
            layers=self.sensed,
        )
        return replace(converted, info=info, files={layout.SENSITIVITY: sensed.to_json()})


def with_allocation(options: Options, chosen: Allocation) -> Options:
    """The options with those bases and kept layers; the most frequent number of bases stands for all."""
    bases = Counter(each for each in chosen.values() if each != FLOAT)
    common = bases.most_common(1)[0][0] if bases else 1
    others = sorted((n, k) for n, k in chosen.items() if k not in (FLOAT, common))
    kept = (name for name, each in chosen.items() if each == FLOAT)
    return replace(
        options,
        bases=common,
        keep=(*options.keep, *map(glob.escape, kept)),
        layers=(*options.layers, *(LayerChoice(match=glob.escape(n), bases=k) for n, k in others)),
    )


def _use(model: nn.Module, chosen: Allocation) -> None:
    """Give the layers of a conversion these bases; those that stay float are switched off."""
    for name, _, _, binarizer in binary_weights(model):
        bases = chosen[name]
        if bases != FLOAT:
            binarizer.use_bases(bases)
        for added in (binarizer, binarizer.inputs):
            if added is not None:
                added.enabled = bases != FLOAT


class _Inner(Progress):
    """Work inside of a part of a task: the task stays at the parts that are done."""

    def __init__(self, outer: Progress, done: int) -> None:
        self._outer, self._done = outer, done

    def task(self, what: str, total: int | None = None, done: int = 0) -> None:
        self._outer.update(self._done)

    def update(self, done: int, note: str = "") -> None:
        self._outer.update(self._done)
