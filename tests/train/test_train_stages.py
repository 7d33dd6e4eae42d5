"""What a stage may have of its own: an estimator, groups, a teacher, an early end, norms measured again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import train_toys as toys
from torch import nn
from torch.nn import functional as F
from train_toys import last, rows, same

from binarize import estimators
from binarize.errors import PatternError, RecipeError, TrainingError
from binarize.fitting.outputs import LOGITS, Watched
from binarize.layers import WeightBinarizer, binarize_weight, binary_weights, scale
from binarize.recipe import Recipe, load
from binarize.recipe.schema import Distill, Optimizer
from binarize.rewrite import Options, SourceOptions, convert_float, open_float
from binarize.training import stages
from binarize.training.diagnosis import first_bad_layer
from binarize.training.norms import reestimate
from binarize.training.objective import Distillation, Objective
from binarize.training.optim import make_optimizer
from binarize.training.phase import Phase
from binarize.training.prepare import merge
from binarize.training.training_state import TrainingState

OPTIMIZER = {"name": "momentum", "lr": 0.05}


def stage(**keys):
    return {"epochs": 1, "optimizer": OPTIMIZER, **keys}


def binarized(*stages_, **sections) -> Recipe:
    return toys.recipe(*stages_, binarize={"estimator": "ab-tanh"}, **sections)


@pytest.fixture
def told(monkeypatch):
    """(estimator, progress) of the binary layer at every optimiser step."""
    seen = []
    original = stages.RunningStage.step

    def step(self, *args):
        ((_, _, _, binarizer),) = binary_weights(self.model)
        seen.append((binarizer.estimator.name, round(binarizer.progress, 6)))
        return original(self, *args)

    monkeypatch.setattr(stages.RunningStage, "step", step)
    return seen


class TestEstimator:
    def test_a_stage_has_its_own_and_the_next_one_the_recipes_again(self, tmp_path, told):
        toys.train(binarized(stage(), stage(estimator="ste"), stage()), tmp_path)
        assert [name for name, _ in told] == ["ab-tanh"] * 6 + ["ste"] * 6 + ["ab-tanh"] * 6

    def test_progress_counts_the_steps_of_the_stages_that_use_it(self, tmp_path, told):
        toys.train(binarized(stage(), stage(estimator="ede"), stage()), tmp_path)
        own = [n / 5 for n in range(6)]
        both = [n / 11 for n in range(12)]
        assert [p for _, p in told] == pytest.approx(both[:6] + own + both[6:], abs=1e-6)

    def test_a_layer_of_its_own_keeps_its_estimator(self, tmp_path, told):
        chosen = binarized(stage(), stage(estimator="ste"))
        toys.trainer(chosen).train(Phase("binarized", tmp_path, toys.network(), own={"2"}))
        assert [p for _, p in told] == pytest.approx([n / 11 for n in range(12)], abs=1e-6)
        assert {name for name, _ in told} == {"ab-tanh"}

    def test_one_with_learned_values_is_resumed_to_the_bit(self, tmp_path):
        learned = {"name": "ab-tanh", "adaptive": "learned"}
        chosen = binarized(stage(), stage(epochs=2, estimator=learned))
        toys.train(chosen, tmp_path / "whole")

        class Stop(toys.Progress):
            def epoch(self, row, epochs):
                if row["epoch"] == 2:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            toys.train(chosen, tmp_path / "cut", Stop())
        toys.train(chosen, tmp_path / "cut")
        assert any("theta" in key for key in last(tmp_path / "cut"))
        assert same(last(tmp_path / "cut"), last(tmp_path / "whole"))


class TestLayers:
    CHOICES = (
        {"match": "layer*", "estimator": {"name": "ede", "t_max": 5.0}},
        {"match": "layer3.0.*", "scale": "layer", "bases": 2, "standardise": False},
    )

    def converted(self, choices):
        float_model = open_float("cifar_resnet20", SourceOptions(pretrained=False, img_size=32))
        convert_float(float_model, Options(layers=choices), values=False)
        return {name: binarizer for name, _, _, binarizer in binary_weights(float_model.model)}

    def test_the_last_entry_that_matches_counts(self):
        found = self.converted(self.CHOICES)
        first, second = found["layer1.0.conv1"], found["layer3.0.conv1"]
        assert first.estimator == estimators.get("ede", t_max=5.0)
        assert (first.scale.name, first.bases, first.standardise) == ("channel", 1, True)
        assert second.estimator == estimators.get("ab-tanh")
        assert (second.scale.name, second.bases, second.standardise) == ("layer", 2, False)

    def test_a_pattern_without_a_match_is_an_error(self):
        with pytest.raises(PatternError, match='no layer matches layers "layer9"'):
            self.converted(({"match": "layer9", "scale": "none"},))
        with pytest.raises(PatternError, match="matches only layers that are kept"):
            self.converted(({"match": "fc", "scale": "none"},))

    def test_a_recipe_says_it_in_its_own_section(self):
        section = {"bases": 3, "layers": [{"match": "layer*", "estimator": "ste", "bases": 2}]}
        chosen = load({"data": "digits", "stages": [stage()], "binarize": section})
        (choice,) = chosen.binarize.layers
        assert (choice.match, choice.estimator.name, choice.scale) == ("layer*", "ste", None)
        merged = merge(None, chosen.binarize, None)
        assert (merged.bases, merged.choices[0].bases) == (3, 2)


class TestGroups:
    def made(self, model, **keys):
        config = Optimizer(name="adamw", lr=0.1, weight_decay=0.5, **keys)
        optimizer = make_optimizer(config, model)
        of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        found = {name: of[id(p)] for name, p in model.named_parameters()}
        assert len(of) == len(found)
        return {name: (g["weight_decay"], g["lr_scale"]) for name, g in found.items()}

    def test_latent_weights_scales_and_the_rest_are_apart(self):
        model = toys.network(binary=False)
        binarizer = WeightBinarizer(estimators.get("ab-tanh"), scale.get("learned"))
        binarize_weight(model[2], "weight", binarizer)
        groups = {
            "latent": {"weight_decay": 0.0, "lr_scale": 2.0},
            "scales": {"lr_scale": 0.1},
            "rest": {"weight_decay": 0.25},
        }
        found = self.made(model, groups=groups)
        assert found["2.weight"] == (0.0, 2.0)
        assert found["2.weight_binarizer.learned_scale"] == (0.0, 0.1)
        assert found["0.weight"] == (0.25, 1.0)
        assert found["0.bias"] == (0.0, 1.0)

    def test_what_conversion_added_decays_only_where_that_is_said(self):
        model = toys.network(binary=False)
        binarizer = WeightBinarizer(estimators.get("ab-tanh"), scale.get("learned"))
        binarize_weight(model[2], "weight", binarizer)
        found = self.made(model, groups={"scales": {"weight_decay": 0.125}})
        assert found["2.weight_binarizer.learned_scale"] == (0.125, 1.0)

    def test_the_learning_rates_differ_by_their_factor_at_every_step(self, tmp_path, monkeypatch):
        seen = []
        original = stages.RunningStage.step

        def step(self, *args):
            total = original(self, *args)
            groups = self._bare_optimizer.param_groups
            seen.append(({group["lr_scale"]: group["lr"] for group in groups}, self.lr))
            return total

        monkeypatch.setattr(stages.RunningStage, "step", step)
        groups = {"latent": {"lr_scale": 2.0}}
        toys.train(toys.recipe(stage(optimizer={**OPTIMIZER, "groups": groups})), tmp_path)
        for rates, lr in seen:
            assert rates[2.0] == pytest.approx(2 * rates[1.0])
            assert lr == pytest.approx(rates[1.0])
        assert seen[0][1] > seen[-1][1]


class TestDistillation:
    @pytest.mark.parametrize(("temperature", "weight"), [(1.0, 1.0), (4.0, 0.5)])
    def test_the_loss_is_that_of_the_formula(self, temperature, weight):
        model, teacher = toys.network(binary=False).eval(), toys.network().eval()
        images, labels = toys.images().tensors
        objective = Objective(model)
        objective.distillation = Distillation(teacher, temperature, weight)
        loss, _ = objective(images, labels)
        with torch.no_grad():
            ours, wanted = (m(images).double().numpy() / temperature for m in (model, teacher))
            hard = F.cross_entropy(model(images), labels).item()
        log = ours - np.log(np.exp(ours).sum(1, keepdims=True))
        soft = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
        expected = (1 - weight) * hard - weight * temperature**2 * (soft * log).sum(1).mean()
        assert loss.item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("labels", [True, False])
    @pytest.mark.parametrize("weight", [0.0, 0.25])
    def test_inner_outputs_are_learned_as_a_fit_does(self, weight, labels):
        """The same errors as `fitting.Watched` finds, on top of what is left of the formula."""
        model = toys.network(binary=False).eval()
        with torch.no_grad():
            model[2].weight.mul_(0.5)
        images, targets = toys.images().tensors
        teacher = toys.parent()
        objective = Objective(model)
        objective.distillation = Distillation(teacher, 1.0, weight, 0.5, labels)
        loss, _ = objective(images, targets)
        _, errors = Watched(model, ["2", "3"]).errors(
            images, Watched(teacher.model, ["2", "3"]).outputs(images)
        )
        assert list(errors) == ["2", "3", LOGITS]
        objective.distillation = Distillation(teacher, 1.0, weight, 0.0, True)
        rest = objective(images, targets)[0]
        if not labels:
            rest = rest - (1 - weight) * F.cross_entropy(model(images), targets)
        expected = rest + 0.5 * sum(errors.values())
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_the_teacher_learns_nothing_and_has_no_parameters_in_the_objective(self):
        model, teacher = toys.network(binary=False), toys.network()
        objective = Objective(model)
        objective.distillation = Distillation(teacher.eval(), 1.0, 1.0)
        objective(*toys.images().tensors)[0].backward()
        assert all(p.grad is None for p in teacher.parameters())
        assert len(list(objective.parameters())) == len(list(model.parameters()))

    def test_inner_outputs_and_averaged_weights_resume_to_the_bit(self, tmp_path):
        matching = {"teacher": "float", "weight": 0.5, "features": 0.5}
        averaged = toys.recipe(stage(epochs=3, distill=matching, ema={"decay": 0.9}))
        toys.train(averaged, tmp_path / "whole")
        with pytest.raises(toys.Killed):
            toys.train(averaged, tmp_path / "killed", toys.KillAt(2, "step"))
        toys.train(averaged, tmp_path / "killed")
        assert toys.same(toys.last(tmp_path / "whole"), toys.last(tmp_path / "killed"))
        other = toys.recipe(stage(epochs=3, distill=matching))
        toys.train(other, tmp_path / "other")
        assert not toys.same(toys.last(tmp_path / "whole"), toys.last(tmp_path / "other"))

    def test_a_stage_follows_its_teacher(self, tmp_path):
        """Distilled from one that always answers class 1, a network answers class 1."""
        asked = []

        class One(nn.Module):
            def forward(self, images):
                return torch.eye(toys.CLASSES)[torch.ones(len(images), dtype=torch.long)] * 9

        def teacher(distill: Distill) -> nn.Module:
            asked.append(distill.teacher)
            return One()

        chosen = toys.recipe(stage(epochs=4, distill={"teacher": "some-run"}))
        phase = Phase("binarized", tmp_path, toys.network(), teacher=teacher)
        toys.trainer(chosen).train(phase)
        assert asked == ["some-run"]
        with torch.no_grad():
            answers = phase.model.eval()(toys.images().tensors[0]).argmax(1)
        assert (answers == 1).float().mean() > 0.9


class TestEarlyStop:
    def test_a_stage_ends_when_nothing_gets_better(self, tmp_path):
        still = {"name": "sgd", "lr": 1e-12}
        chosen = toys.recipe(
            stage(epochs=9, optimizer=still, early_stop={"patience": 2}),
            stage(),
            data={"holdout": 40},
        )
        state = toys.train(chosen, tmp_path)
        assert [(row["epoch"], row["stage"]) for row in rows(tmp_path)] == [
            *(("1", "1"), ("2", "1"), ("3", "1")),
            ("10", "2"),
        ]
        assert state.epochs == 10

    def test_better_begins_the_count_anew_but_only_by_enough(self):
        state, rule = (
            TrainingState(),
            toys.recipe(stage(early_stop={"patience": 2, "min_delta": 1.0}), data={"holdout": 8})
            .stages[0]
            .early_stop,
        )
        scores = [50.0, 50.5, 51.5, 51.6, 52.0]
        assert [state.stops(n, top1, rule) for n, top1 in enumerate(scores, 1)] == [
            *(False, False, False, False),
            True,
        ]

    def test_it_never_looks_at_the_test_images(self):
        with pytest.raises(RecipeError, match=r"needs data\.holdout"):
            toys.recipe(stage(early_stop={"patience": 2}))


class TestHeldOut:
    def test_they_judge_every_epoch_and_the_test_images_answer_once(self, tmp_path):
        state = toys.train(toys.recipe(stage(epochs=3), data={"holdout": 20}), tmp_path)
        lines = rows(tmp_path)
        assert all(line["val_top1"] for line in lines)
        assert [bool(line["test_top1"]) for line in lines] == [False, False, True]
        assert state.top1 == pytest.approx(float(lines[-1]["test_top1"]), abs=1e-3)
        assert state.best_top1 == pytest.approx(
            max(float(line["val_top1"]) for line in lines), abs=1e-3
        )

    def test_without_them_there_are_no_such_columns_filled(self, tmp_path):
        toys.train(toys.recipe(stage()), tmp_path)
        assert rows(tmp_path)[0]["val_top1"] == ""


class TestNorms:
    def test_they_are_the_mean_over_the_images(self):
        trainer = toys.trainer(toys.recipe(stage()))
        model = toys.network()
        loader = trainer.loaders.train
        torch.manual_seed(3)
        reestimate(model, loader, 32, trainer.accelerator, torch.contiguous_format)
        found = model[3].running_mean.clone()
        torch.manual_seed(3)
        batches = [images for _, (images, _) in zip(range(2), loader, strict=False)]
        loader.end()
        with torch.no_grad():
            expected = torch.stack([model[:3](batch).mean((0, 2, 3)) for batch in batches]).mean(0)
        torch.testing.assert_close(found, expected)
        assert model[3].momentum == 0.1

    def test_at_the_end_of_a_stage_they_change_what_is_kept(self, tmp_path):
        toys.train(toys.recipe(stage()), tmp_path / "a")
        toys.train(toys.recipe(stage(reestimate_norms=64)), tmp_path / "b")
        a, b = last(tmp_path / "a"), last(tmp_path / "b")
        assert torch.equal(a["2.weight"], b["2.weight"])
        assert not torch.equal(a["3.running_mean"], b["3.running_mean"])

    def test_several_cpu_processes_have_no_common_ones(self, tmp_path):
        trainer = toys.trainer(toys.recipe(stage(), engine={"sync_norms": True}))
        trainer.train(Phase("binarized", tmp_path, toys.network()))  # alone: nothing to do

        class Two:
            num_processes, device = 2, torch.device("cpu")

        trainer.accelerator = Two()
        with pytest.raises(TrainingError, match="sync_norms needs GPUs"):
            trainer.train(Phase("binarized", tmp_path / "two", toys.network()))


class TestNoNumber:
    def test_the_first_layer_that_gives_one_is_named(self):
        model = toys.network()
        images = toys.images().tensors[0]
        before = {name: value.clone() for name, value in model.named_buffers()}
        assert first_bad_layer(model, images) is None
        with torch.no_grad():
            model[3].weight[0] = float("nan")
        assert first_bad_layer(model, images) == "3"
        for name, value in model.named_buffers():
            assert torch.equal(value, before[name])

    def test_a_layer_with_a_binarizer_inside_is_still_a_layer(self):
        model = toys.network()
        with torch.no_grad():
            model[2]._parameters["weight"][1] = float("inf")
        assert first_bad_layer(model, toys.images().tensors[0]) == "2"

    def test_training_stops_with_its_name_and_keeps_the_last_checkpoint(self, tmp_path):
        chosen = toys.recipe(
            stage(epochs=1), stage(optimizer={"name": "sgd", "lr": 1e9, "weight_decay": 1e9})
        )
        with pytest.raises(TrainingError, match=r'no longer a number in epoch 2: layer "\d"'):
            toys.train(chosen, tmp_path)
        assert len(rows(tmp_path)) == 1
        assert last(tmp_path)["2.weight"].isfinite().all()
