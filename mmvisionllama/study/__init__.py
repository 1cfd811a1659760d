"""Comparisons: several trainings, each with several seeds, and what they reached side by side."""

from mmvisionllama.study.plan import Study, load_study
from mmvisionllama.study.report import as_facts, collect, draw_study, table_of
from mmvisionllama.study.running import Job, StudyError, plan_jobs, run_study

__all__ = [
    "Job",
    "Study",
    "StudyError",
    "as_facts",
    "collect",
    "draw_study",
    "load_study",
    "plan_jobs",
    "run_study",
    "table_of",
]
