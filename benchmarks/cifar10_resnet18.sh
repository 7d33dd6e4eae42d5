#!/bin/sh
# CIFAR-10, ResNet-18, as the literature trains it: with 1-bit weights four estimators beside the float model,
# with 1-bit activations too a network that learns from its float twin. Made for a GPU: the images stay on it.
# The same line again goes on after an interruption.
#
#   sh benchmarks/cifar10_resnet18.sh DATA OUT
#
# For less: PARTS is w1a32, w1a1 or both; ARMS, SEEDS, JOBS are those of `binarize compare`; EPOCHS is how long
# each arm of w1a32 trains and WARMUP how many of them warm up. What a CPU has come to with that is in
# benchmarks/results/cifar10-resnet18/README.md.
set -eu
data=$1 out=$2
BINARIZE=${BINARIZE:-binarize}
mkdir -p "$out"

case " ${PARTS:-w1a32 w1a1} " in *" w1a32 "*)
  "$BINARIZE" compare --recipe cifar10-resnet18 --data-dir "$data" -o "$out/w1a32" \
    --estimators "${ARMS:-float,ste,reste,ab-tanh,ab-arctan}" --seeds "${SEEDS:-1}" --jobs "${JOBS:-1}" \
    --set data.cache=device \
    --set stages.0.epochs="${EPOCHS:-250}" --set stages.0.schedule.warmup_epochs="${WARMUP:-5}" ;;
esac

case " ${PARTS:-w1a32 w1a1} " in *" w1a1 "*)
  if [ -e "$out/w1a1" ]; then
    "$BINARIZE" train --resume "$out/w1a1"
  else
    "$BINARIZE" train --recipe cifar10-resnet18-step --data-dir "$data" -o "$out/w1a1"
  fi ;;
esac
