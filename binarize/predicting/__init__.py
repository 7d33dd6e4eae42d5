"""The answer for a person's own pictures: class names and probabilities.

pictures    what was named: files, folders, tars, images in memory
predicting  the answers
page        the answers beside the pictures, as one HTML file
"""

from binarize.predicting.predicting import Answer, Prediction, predict

__all__ = ["Answer", "Prediction", "predict"]
