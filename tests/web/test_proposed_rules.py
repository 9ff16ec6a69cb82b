"""What the editor's forms begin with, and what it makes of a question, is what the file may have.

The pages' own code proposes; what `check` says of it is asked of the API.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.testing import patience
from tests.web.applications import Application, application

_UI = Path(__file__).parents[2] / "pipeline" / "web" / "ui" / "src" / "views" / "edit"
_NODE = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
_SHOP = """\
version: 1
store: {url: "sqlite:///FOLDER/moonwatch.db"}
engines:
  vlm: {type: moondream, revision: "2025-06-21"}
  gpu: {type: remote, api: moondream, url: "http://127.0.0.1:9"}
cameras:
  door:
    source: door.mp4
    tasks:
      people: {detect: person, engine: vlm}
      bags: {count: bag, engine: vlm, every: 2m, max_objects: 7}
      light: {ask: Which light?, engine: gpu, choices: [red, green]}
      # Seldom, as the door is heavy.
      open: {ask: Is the door open?, engine: gpu, every: 5m}
    lines: LINES
    zones:
      till: {polygon: [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4], [0.1, 0.4]]}
      desk: {polygon: [[0.6, 0.6], [0.9, 0.6], [0.9, 0.9], [0.6, 0.9]]}
    rules:
      inside:
        type: occupancy
        of: people
        staff: {zone: desk}
        schedule: [{days: [mon], from: "08:00", to: "12:00"}]
        verify: {ask: "Is it a person?", engine: vlm}
"""
_TYPED = {"speed": {"rectangle": "3.5, 12"}}
"""What a camera cannot tell, as it is typed by those who were there."""
_PROPOSE = """
const { draftOf } = await import(process.argv[1] + "/model.ts");
const { newRule, newTask, ownSettings, isMissing, valueOf } =
  await import(process.argv[1] + "/forms.ts");
const { withQuestion } = await import(process.argv[1] + "/question.ts");
let given = "";
for await (const part of process.stdin) given += part;
const { editable, forms, typed, questions } = JSON.parse(given);
const draft = draftOf(editable);
const filled = (form, settings) => {
  const lacks = form.fields.filter((field) => isMissing(field, settings));
  for (const field of lacks) {
    const text = typed[form.type]?.[field.key];
    if (text !== undefined) settings[field.key] = valueOf(field, text);
  }
  return { lacks: lacks.map((one) => one.key), settings };
};
const each = (list, of) => Object.fromEntries(list.map((form) => [form.type, of(form)]));
const [name, rule] = Object.entries(draft.rules)[0];
const was = forms.rules.find((form) => form.type === rule.type);
console.log(JSON.stringify({
  rules: each(forms.rules, (form) => filled(form, newRule(form, forms, draft))),
  turned: each(
    forms.rules,
    (form) => filled(form, newRule(form, forms, draft, ownSettings(was, rule))),
  ),
  tasks: each(forms.tasks, (form) => newTask(form, "red car", { engine: "vlm" })),
  questions: questions.map((one) => withQuestion(draft, forms, one, editable.engines)),
}));
"""

pytestmark = pytest.mark.skipif(_NODE is None, reason="no node here, which runs the pages' code")


@pytest.fixture(params=["{sill: {from: [0.1, 0.5], to: [0.9, 0.5]}}", "{}"])
def app(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Application]:
    """A camera with a line, and one without."""
    file = tmp_path / "shop.yaml"
    text = _SHOP.replace("FOLDER", str(tmp_path)).replace("LINES", request.param)
    file.write_text(text, encoding="utf-8")
    with application(file) as running:
        yield running


def _proposed(app: Application, questions: list[dict[str, str]]) -> dict[str, Any]:
    asked = {
        "editable": app.client.get("/edit/cameras/door").json(),
        "forms": app.client.get("/edit/forms").json(),
        "typed": _TYPED,
        "questions": questions,
    }
    command = [str(_NODE), "--input-type=module", "--eval", _PROPOSE, "--", _UI.as_uri()]
    done = subprocess.run(
        command,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _problems(app: Application, **parts: Any) -> list[str]:
    now = app.client.get("/edit/cameras/door").json()
    asked = {"camera": "door", "base": now["base"], **parts}
    answer = app.client.post("/edit/preview", json=asked)
    assert answer.status_code == 200, answer.text
    return [f"{one['path']}: {one['message']}" for one in answer.json()["problems"]]


def test_every_type_of_rule_can_be_added_by_its_form(app: Application) -> None:
    """With what it needs filled in it has no problems, also where another type is turned into it;
    what only the file can set stays in it.
    """
    now = app.client.get("/edit/cameras/door").json()
    forms = app.client.get("/edit/forms").json()
    required = [
        (form["type"], field["key"])
        for form in (*forms["rules"], *forms["tasks"])
        for field in form["fields"]
        if field["required"] and field["kind"] in ("file", "fields")
    ]
    assert required == []
    found = _proposed(app, [])
    types = {form["type"] for form in forms["rules"]}
    assert set(found["rules"]) == types
    for type_ in types:
        new, turned = found["rules"][type_], found["turned"][type_]
        if "line" in new["lacks"]:
            assert not now["lines"]
            continue
        assert new["lacks"] == list(_TYPED.get(type_, ())), type_
        rules = {**now["rules"], "new": new["settings"]}
        assert _problems(app, rules=rules) == [], new
        if not turned["lacks"]:
            fields = {f["key"] for form in forms["rules"] if form["type"] == type_
                      for f in form["fields"]}  # fmt: skip
            kept = {key: now["rules"]["inside"][key] for key in ("schedule", "verify", "staff")}
            for key, value in kept.items():
                assert key not in fields or turned["settings"][key] == value
    lacking = {type_ for type_ in types if "line" in found["rules"][type_]["lacks"]}
    assert lacking == (set() if now["lines"] else {"line_crossing", "tailgating", "wrong_way"})


def test_every_kind_of_task_can_be_added_by_its_form(app: Application) -> None:
    """A model is not asked about every picture."""
    now = app.client.get("/edit/cameras/door").json()
    made = _proposed(app, [])["tasks"]
    assert set(made) == {"detect", "point", "count", "ask", "caption"}
    for kind, task in made.items():
        assert _problems(app, tasks={**now["tasks"], "new": task}) == []
        assert task.get("every") == ("30s" if kind in ("ask", "caption") else None)


def test_a_question_becomes_a_rule_without_problems(app: Application) -> None:
    """Whatever its kind; a task that asks the same stays as it is, character for character."""
    now = app.client.get("/edit/cameras/door").json()
    known = {"ask": "Is the door open?", "count": "bag", "detect": "person"}
    kinds = ("detect", "point", "count", "ask")
    questions = [{"kind": kind, "words": "Is it: wet?", "engine": "gpu"} for kind in kinds]
    questions += [{"kind": kind, "words": words} for kind, words in known.items()]
    questions += [{"kind": "ask", "words": "Which light?"}, {"kind": "ask", "words": "Open!"}]
    questions[-1]["engine"] = "vlm"
    types = []
    for question, draft in zip(questions, _proposed(app, questions)["questions"], strict=True):
        assert _problems(app, tasks=draft["tasks"], rules=draft["rules"]) == [], question
        (new,) = set(draft["rules"]) - set(now["rules"])
        types.append(draft["rules"][new]["type"])
        for name, task in now["tasks"].items():
            assert draft["tasks"][name] == task
        is_new = question.get("engine") is not None
        assert len(draft["tasks"]) == len(now["tasks"]) + is_new
        if is_new:
            asked = draft["tasks"][draft["rules"][new]["of"]]
            assert asked["engine"] == question["engine"]
            assert ("every" in asked) == (question["kind"] == "ask")
    first = "line_crossing" if now["lines"] else "occupancy"
    assert types == [
        *(first, "occupancy", "count", "condition"),
        *("condition", "count", first),
        *("condition", "condition"),
    ]
