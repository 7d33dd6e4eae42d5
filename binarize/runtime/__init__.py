"""Running ONNX files: sessions of onnxruntime, and what a file says about itself."""
