"use strict";
// The sample browser. Text from models only ever becomes text nodes: never markup, attributes or addresses.
(() => {
  const data = JSON.parse(document.getElementById("samples-data").textContent);
  const byId = (id) => document.getElementById(id);
  const PAGE = 15;
  let view = data.rounds.rows.length ? "rounds" : "answers";
  let shown = PAGE;

  const make = (tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const written = (kind, text) => {
    const node = make("div", "written " + kind, text === "" ? "(empty)" : text);
    node.dir = "auto";
    return node;
  };
  const asked = (row) => {
    const earlier = (row.earlier || []).map(([role, text]) => {
      const node = written("earlier", text);
      node.prepend(make("span", "facts", role + ": "));
      return node;
    });
    return [...earlier, written("prompt", row.prompt)];
  };
  const facts = (row) => {
    const all = [row.tokens === null ? null : row.tokens + (row.tokens === 1 ? " token" : " tokens")];
    if (row.ended === false) all.push("cut off");
    return all.filter((each) => each !== null).join(" · ");
  };
  const score = (value) => {
    const node = make("span", "score", value === null ? "unread" : value.toFixed(2));
    if (value !== null) node.style.setProperty("--shade", value / 10);
    return node;
  };

  const roundCard = (row) => {
    const card = make("article", "card");
    card.append(...asked(row));
    for (const each of row.responses) {
      const line = make("div", each.selected ? "response selected" : "response");
      const side = make("div", "side");
      side.append(score(each.score));
      if (each.selected) side.append(make("span", "badge good", "selected"));
      const body = make("div", "body");
      body.append(written("", each.text));
      const times = each.count > 1 ? " · " + each.count + " of " + row.total + " samples" : "";
      body.append(make("div", "facts", each.by.join(", ") + " · " + facts(each) + times));
      line.append(side, body);
      card.append(line);
    }
    if (row.left_out) card.append(make("p", "facts", row.left_out + " more distinct responses are not shown."));
    return card;
  };
  const answerCard = (row) => {
    const card = make("article", "card");
    card.append(...asked(row));
    const line = make("div", "response");
    const side = make("div", "side");
    side.append(score(row.score));
    if (row.correct !== null) side.append(make("span", row.correct ? "badge good" : "badge bad", row.correct ? "right" : "wrong"));
    const body = make("div", "body");
    body.append(written("", row.text));
    if (row.reference !== null && row.correct === false) {
      const reference = written("reference", row.reference);
      reference.prepend(make("span", "facts", "reference: "));
      body.append(reference);
    }
    body.append(make("div", "facts", [row.family, facts(row)].filter(Boolean).join(" · ")));
    line.append(side, body);
    card.append(line);
    return card;
  };

  const texts = (row) => [
    ...(row.earlier || []).map(([, text]) => text),
    row.prompt,
    ...(view === "rounds" ? row.responses.map((each) => each.text) : [row.text, row.reference || ""]),
  ];
  const wanted = () => {
    const words = byId("search").value.toLowerCase();
    const family = byId("family").value;
    const correct = byId("correct").value;
    return data[view].rows.filter(
      (row) =>
        (!words || texts(row).some((text) => text.toLowerCase().includes(words))) &&
        (view === "rounds" ||
          ((!family || row.family === family) && (!correct || row.correct === (correct === "right")))),
    );
  };
  const paint = () => {
    const rows = wanted();
    const all = data[view];
    const noun = view === "rounds" ? "prompts" : "answers";
    const kept = all.rows.length < all.total ? all.rows.length + " of its " + all.total + " " + noun + " are on this page, " : "";
    byId("count").textContent = all.label + ": " + kept + rows.length + (kept ? " of them" : " " + noun) + " match.";
    byId("list").replaceChildren(...rows.slice(0, shown).map(view === "rounds" ? roundCard : answerCard));
    byId("more").hidden = rows.length <= shown;
    for (const name of ["rounds", "answers"]) {
      byId("tab-" + name).setAttribute("aria-selected", String(view === name));
      byId("tab-" + name).disabled = !data[name].rows.length;
    }
    byId("family").hidden = view === "rounds" || byId("family").options.length < 2;
    byId("correct").hidden = view === "rounds" || data.answers.rows.every((row) => row.correct === null);
  };
  const restart = () => {
    shown = PAGE;
    paint();
  };

  if (!data.rounds.rows.length && !data.answers.rows.length) {
    byId("count").textContent = "No samples were given to this report.";
    return;
  }
  const families = new Set(data.answers.rows.map((row) => row.family).filter((each) => each !== null));
  for (const family of [...families].sort()) byId("family").append(new Option(family, family));
  for (const id of ["search", "family", "correct"]) byId(id).addEventListener("input", restart);
  for (const name of ["rounds", "answers"]) {
    byId("tab-" + name).addEventListener("click", () => {
      view = name;
      restart();
    });
  }
  byId("more").addEventListener("click", () => {
    shown += 4 * PAGE;
    paint();
  });
  byId("controls").hidden = false;
  paint();
})();
