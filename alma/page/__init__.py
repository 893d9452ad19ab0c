"""The cumulative page: numbers of all points and samples of the latest one become one self-contained HTML file.

::

    numbers     what report.json holds
    measure     tables → numbers
    headline    numbers → the head of the page
    quality outside best_of_n judge selection prompts training cost      numbers → sections
    arms comparison imitation                                    the same where arms are compared
    difference  whether arms differ; comparison_files: their table as JSON, CSV and Markdown
    evaluators  what outside evaluators leave → numbers
    divergence  where they and the judge part
    proof       what was proven of the model: a table of training's
    overlaps    what sets of prompts have in common: a table of the prompts'
    section     what a section is made of; text: how numbers are written
    samples     tables → rows of the sample browser
    figure      matplotlib → SVG in the page's colours
    page.html style.css browser.js                                    the page

No method is named here: which sections a page has, and what its head says was run, each method states in its settings
(``alma.sections.Report``).

Model text is untrusted: the template escapes everything, the browser writes text nodes only, and the page's content
security policy runs no script but the one whose hash it names and loads nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from alma import __version__
from alma.page import (
    best_of_n,
    comparison,
    cost,
    headline,
    imitation,
    judge,
    outside,
    prompts,
    quality,
    selection,
    training,
)
from alma.page.headline import Headline
from alma.page.numbers import Point, Report
from alma.page.samples import script_json
from alma.page.section import Section
from alma.page.training import TrainingCurve
from alma.sections.report import PageSection
from alma.text.visible import visible

Draw = Callable[[Sequence[Point], Sequence[TrainingCurve]], Section]

SECTIONS: Mapping[PageSection, Draw] = {
    "quality": lambda points, _: quality.quality(points),
    "length": lambda points, _: quality.length(points),
    "outside": lambda points, _: outside.outside(points),
    "best_of_n": lambda points, _: best_of_n.best_of_n(points),
    "judge": lambda points, _: judge.judge(points),
    "selection": lambda points, _: selection.selection(points),
    "prompts": lambda points, _: prompts.prompts(points),
    "comparison": lambda points, _: comparison.comparison(points),
    "imitation": lambda points, _: imitation.imitation(points),
    "training": training.training,
    "cost": lambda points, _: cost.cost(points),
}
"""Name of a section → what draws it."""


def render(report: Report, samples: Mapping[str, Any], curves: Sequence[TrainingCurve] = ()) -> str:
    """The page. ``samples`` is what ``browser.js`` reads. Pure: equal arguments give equal bytes."""
    return document(
        report.title,
        report.points[-1].label,
        headline.headline(report),
        sections(report, curves),
        samples=script_json(dict(samples)),
        numbers="report.json",
    )


def document(
    title: str, label: str, head: Headline, parts: Sequence[Section], *, numbers: str, samples: Markup | None = None
) -> str:
    """The HTML file of ``parts``. Without ``samples`` it has no browser for them, and no script at all.

    ``numbers`` is the file beside the page that holds its numbers.
    """
    files = resources.files(__name__)
    script = (files / "browser.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        label=label,
        headline=head,
        sections=parts,
        samples=samples,
        numbers=numbers,
        style=Markup((files / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


def sections(report: Report, curves: Sequence[TrainingCurve] = ()) -> list[Section]:
    """The sections that the report asks for, in its order."""
    return [SECTIONS[name](report.points, curves) for name in report.sections]


def _finalize(value: Any) -> Any:
    return visible(value) if type(value) is str else value
