#!/bin/sh
# The main job from end to end on embedded data: what `make demo` runs after setting up.
# Ends with one table: the float twin and the binarized network, in torch and in onnxruntime.
set -eu
BINARIZE=${BINARIZE:-binarize}

run() {
  printf '\n$ binarize %s\n' "$*"
  "$BINARIZE" "$@"
}

rm -rf demo
run convert cifar_resnet20 --estimator ab-tanh --num-classes 10 -o demo/converted
run train --recipe digits demo/converted -o demo/trained
run export demo/trained/twin --onnx
run export demo/trained --onnx
run eval demo/trained/twin demo/trained
