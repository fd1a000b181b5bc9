"""Evaluate: a run and the truth in, figures out. Nothing that reconstructs imports this room or reads the truth."""

from macrosplat.evaluate.align import Similarity as Similarity
from macrosplat.evaluate.align import align_cameras as align_cameras
from macrosplat.evaluate.evaluate import Evaluation as Evaluation
from macrosplat.evaluate.evaluate import Keep as Keep
from macrosplat.evaluate.evaluate import evaluate_run as evaluate_run
from macrosplat.evaluate.lpips import Lpips as Lpips
from macrosplat.evaluate.lpips import load_lpips as load_lpips
from macrosplat.evaluate.metrics import Scores as Scores
from macrosplat.evaluate.metrics import compare as compare
from macrosplat.evaluate.report import as_text as as_text
